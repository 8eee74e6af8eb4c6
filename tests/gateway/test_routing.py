"""The table of routes: which rows become routes, and what of them."""

from datetime import timedelta

from services import routing
from services.core.states import AssetKind, ReplicaState
from services.core.times import now
from services.engines.routes import Backend, Route
from services.store.rows import Asset, Principal, Token, Workspace
from services.studio import SYSTEM
from tests.conftest import Stage
from tests.gateway.rows import PRIMARY, SECONDARY, a_deployment, a_replica, a_token, an_endpoint, change, digest


def route(stage: Stage, name: str = "iris") -> Route:
    return routing.table(stage.studio).routes["lab", name]


def test_a_route_is_found_without_case_and_knows_both_keys(stage: Stage) -> None:
    an_endpoint(stage, "Iris-Flowers", traffic={"blue": 90, "green": 10}, mirror_traffic={"red": 30}, sticky="x-user")
    found = route(stage, "iris-flowers")
    assert (found.workspace, found.name, found.workspace_id) == ("lab", "Iris-Flowers", stage.lab.id)
    assert (found.traffic, found.mirror, found.sticky) == ({"blue": 90, "green": 10}, {"red": 30}, "x-user")
    assert {each.hex() for each in found.key_hashes} == {digest(PRIMARY), digest(SECONDARY)}


def test_only_ready_replicas_take_requests(stage: Stage) -> None:
    endpoint = an_endpoint(stage)
    blue = a_deployment(stage, endpoint, ports=(7001,))
    for state in set(ReplicaState) - {ReplicaState.Ready}:
        a_replica(stage, blue, 7002, state=state)
    second = a_replica(stage, blue, 7003)
    backends = route(stage).targets["blue"].backends
    assert [each.port for each in backends] == [7001, 7003]
    assert backends[1] == Backend(second.id, "127.0.0.1", 7003)


def test_times_and_limits_are_those_of_the_request_settings(stage: Stage) -> None:
    endpoint = an_endpoint(stage)
    settings = {"request_timeout_ms": 90_000, "max_concurrent_requests_per_instance": 7, "max_queue_wait_ms": 50}
    a_deployment(stage, endpoint, "blue", spec={"request_settings": settings})
    a_deployment(stage, endpoint, "plain", spec={}, is_asleep=True)
    targets = route(stage).targets
    blue, plain = targets["blue"], targets["plain"]
    assert (blue.timeout_ms, blue.max_concurrent, blue.queue_ms, blue.is_asleep) == (90_000, 7, 50, False)
    assert (plain.timeout_ms, plain.max_concurrent, plain.queue_ms, plain.is_asleep) == (5000, 1, 500, True)


def test_a_server_of_its_own_is_asked_where_its_environment_says(stage: Stage) -> None:
    config = {"scoring_route": {"port": 8501, "path": "/v1/models/half:predict"}}
    asset = Asset(
        workspace_id=stage.lab.id, kind=AssetKind.environment, name="tf", version="1", hash="h",
        spec={"image": "tf", "inference_config": config},
    )  # fmt: skip
    with stage.studio.database.session(write=True) as session:
        session.add(asset)
    a_deployment(stage, an_endpoint(stage), environment_id=asset.id)
    assert route(stage).targets["blue"].score_path == "/v1/models/half:predict"


def test_tokens_open_until_they_end_or_are_taken_back(stage: Stage) -> None:
    endpoint = an_endpoint(stage, auth_mode="aml_token")
    soon = now() + timedelta(hours=1)
    a_token(stage, endpoint, "good", soon)
    a_token(stage, endpoint, "late", now() - timedelta(seconds=1))
    a_token(stage, endpoint, "revoked", soon, revoked_at=now())
    found = route(stage)
    assert {key.hex() for key in found.tokens} == {digest("good")}
    assert abs(found.tokens[bytes.fromhex(digest("good"))] - soon.timestamp()) < 1
    assert found.key_hashes == (), "an endpoint of tokens has no keys"


def test_tokens_of_who_may_not_come_in_open_nothing(stage: Stage) -> None:
    endpoint, soon = an_endpoint(stage, auth_mode="aml_token"), now() + timedelta(hours=1)
    a_token(stage, endpoint, "of-ada", soon)
    with stage.studio.database.session(write=True) as session:
        mine = Token(kind="endpoint", secret_hash=digest("ours"), principal_id=SYSTEM.id, endpoint_id=endpoint.id)
        mine.expires_at = soon
        session.add(mine)
    assert {key.hex() for key in route(stage).tokens} == {digest("of-ada"), digest("ours")}
    with stage.studio.database.session(write=True) as session:
        session.get_one(Principal, stage.ada.id).disabled_at = now()
    assert {key.hex() for key in route(stage).tokens} == {digest("ours")}


def test_what_is_captured_and_where(stage: Stage) -> None:
    collector = {
        "collections": {
            "model_inputs": {"enabled": "True"},
            "model_outputs": {"enabled": True, "sampling_rate": 0.5},
            "request": {"enabled": "False"},
        },
        "sampling_rate": 0.25,
        "drop_columns": ["name"],
    }
    a_deployment(stage, an_endpoint(stage), spec={"data_collector": collector})
    capture = route(stage).targets["blue"].capture
    assert capture is not None
    assert capture.collections == {"model_inputs": 0.25, "model_outputs": 0.5}
    assert capture.drop == {"name"}
    assert capture.folder.endswith("workspaceblobstore/modelDataCollector/iris/blue")


def test_stopped_endpoints_stay_and_deleted_ones_go(stage: Stage) -> None:
    endpoint = an_endpoint(stage)
    blue = a_deployment(stage, endpoint)
    change(stage, endpoint, desired="stop")
    assert route(stage).is_stopped
    change(stage, blue, desired="delete")
    assert route(stage).targets == {}
    change(stage, endpoint, desired="delete")
    assert routing.table(stage.studio).routes == {}


def test_a_deleted_workspace_has_no_routes(stage: Stage) -> None:
    an_endpoint(stage)
    with stage.studio.database.session(write=True) as session:
        workspace = session.get(Workspace, stage.lab.id)
        assert workspace is not None
        workspace.deleted_at = now()
        session.add(workspace)
    assert routing.table(stage.studio).routes == {}


def test_batch_endpoints_are_not_in_it(stage: Stage) -> None:
    endpoint = an_endpoint(stage)
    change(stage, endpoint, kind="batch")
    assert routing.table(stage.studio).routes == {}
