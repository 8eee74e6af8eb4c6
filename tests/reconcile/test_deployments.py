"""Deployments on an engine of memory: what is wanted becomes true, whatever goes wrong in between."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from app.worker import Worker
from services import environments, secrets, workspaces
from services.core.times import now
from services.engines.containers import Container
from services.specs.servers import REQUIREMENTS
from services.store.rows import Asset, Build, Secret, Token
from services.store.serving import Deployment, Endpoint, Replica
from tests.conftest import Stage, free_port
from tests.reconcile.conftest import Site, eventually, make_site, working
from tests.reconcile.serving import Server, Shop, quick


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def shop(site: Site, server: Server) -> Shop:
    site.engine.reached_at = lambda wish: ("127.0.0.1", server.server_port)
    return Shop(site)


@pytest.fixture
def closed(lite: Stage, server: Server, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose worker does not work yet."""
    site = make_site(lite, monkeypatch)
    site.engine.reached_at = lambda wish: ("127.0.0.1", server.server_port)
    return Shop(site)


def opened(shop: Shop, worker: Worker | None = None) -> Callable[[], None]:
    """Lets a worker work; what is answered ends it."""
    worker = worker or shop.site.worker
    thread = working(worker)

    def close() -> None:
        worker.stop()
        thread.join(timeout=30)

    return close


def fate(shop: Shop, **exits: int) -> None:
    """Servers whose variable MODE has one of these values end at once with its exit code."""
    shop.site.engine.fate = lambda wish: exits.get(wish.environment.get("MODE", ""))


def mode(value: str) -> dict[str, object]:
    return {"environment_variables": {"MODE": value}}


def names(wishes: list[Container]) -> list[str]:
    return [each.name for each in wishes]


def test_a_deployment_comes_up_and_answers(shop: Shop) -> None:
    id_ = shop.deploy()
    row = shop.until(id_, "Succeeded")
    assert (row.serving_generation, row.failures, row.message) == (1, 0, "")
    [one] = shop.replicas(id_)
    assert (str(one.state), one.host, one.container_name) == ("Ready", "127.0.0.1", f"rep-{one.id}")
    assert one.ready_at
    [wish] = shop.site.engine.created
    assert (wish.port, wish.command, wish.holder) == (8080, (), None)
    assert wish.labels["atelier.kind"] == "replica"
    assert [reason for reason, _ in shop.events()] == ["Pulled", "Created", "Started", "Ready"]


def test_it_gets_all_traffic_when_that_was_asked_for(shop: Shop) -> None:
    id_ = shop.deploy(wants_all_traffic=True)
    shop.until(id_, "Succeeded")
    endpoint = shop.endpoint_row()
    assert endpoint is not None
    assert endpoint.traffic == {"blue": 100}
    assert not shop.row(id_).wants_all_traffic
    assert ("", "Deployment 'blue' received 100 % of traffic") in shop.events()


def test_one_that_fails_gets_no_traffic(shop: Shop) -> None:
    fate(shop, broken=3)
    id_ = shop.deploy(wants_all_traffic=True, spec=mode("broken"), resolved={"script": ""})
    shop.change(id_, launches={})
    eventually(lambda: len(shop.replicas(id_, "Failed")) >= 2, "it crashes")
    assert shop.endpoint_row().traffic == {}  # type: ignore[union-attr]


def test_a_crash_loop_fails_in_the_end_and_says_what_its_log_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.reconcile.serving_plan.LONGEST_BACK_OFF", timedelta(milliseconds=10))
    fate(shop, broken=1)
    well, id_ = shop.deploy("well"), shop.deploy(spec=mode("broken"))
    row = shop.until(id_, "Failed")
    assert (row.reason, row.message.partition("\n")[0]) == ("Exited", "The server ended (exit code 1).")
    assert (row.serving_generation, row.failures) == (0, 5)
    assert [str(each.state) for each in shop.replicas(id_)] == ["Failed"] * 5
    assert [each.attempt for each in shop.replicas(id_)] == [1, 2, 3, 4, 5]
    assert sum(reason == "BackOff" for reason, _ in shop.events()) == 5
    assert str(shop.until(well, "Succeeded").provisioning_state) == "Succeeded"
    eventually(lambda: len(shop.site.engine.found({"atelier.deployment": id_})) == 0, "nothing of it is left")


def test_what_the_server_says_of_its_end_is_the_reason(shop: Shop) -> None:
    """As our runner tells it, in the last line of its log."""

    def ended(wish: Container) -> int:
        log = next(each.source for each in wish.mounts if each.target == "/studio/user_logs") / "std_log.txt"
        log.write_text("Traceback …\nATELIER-FAILURE UserScriptImportError: No module named 'x'\n")
        (log.parents[1] / "system_logs" / "lifecycle").touch()
        return 3

    shop.site.engine.fate = ended
    id_ = shop.deploy(server="script")
    row = shop.until(id_, "Failed")
    assert (row.reason, row.message) == ("UserScriptImportError", "No module named 'x'")
    assert len(shop.replicas(id_)) == 2, "what no waiting heals is tried twice"


def test_memory_beyond_the_limit_is_named(shop: Shop) -> None:
    id_ = shop.deploy(spec={"resources": {"limits": {"memory": "1Gi", "cpu": "1"}}})
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    assert [(each.memory, each.cpus) for each in shop.site.engine.created] == [(1 << 30, 1.0)]
    shop.site.engine.end(one.container_name, 137, oom_killed=True)
    eventually(lambda: bool(shop.replicas(id_, "Failed")), "it is over")
    [failed] = shop.replicas(id_, "Failed")
    assert failed.message.startswith("OutOfMemory: It used more than the 1 GiB")


def test_a_replica_that_ends_is_replaced_by_another_container(shop: Shop) -> None:
    id_ = shop.deploy()
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.site.engine.end(one.container_name, 1)
    eventually(lambda: len(shop.replicas(id_)) == 2, "there is another")
    [other] = shop.until_ready(id_)
    assert other.id != one.id
    assert (other.ordinal, other.attempt) == (0, 2)
    assert str(shop.row(id_).provisioning_state) == "Succeeded"


def test_a_container_that_somebody_removed_is_replaced_and_counts_for_nothing(shop: Shop) -> None:
    id_ = shop.deploy()
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.site.engine.lose(one.container_name)
    shop.site.worker._full.set()
    eventually(lambda: bool(shop.replicas(id_, "Gone")), "it is gone")
    assert shop.replicas(id_, "Gone")[0].message.startswith("ContainerLost")
    shop.until_ready(id_)
    assert shop.row(id_).failures == 0


def test_one_that_does_not_answer_any_more_is_replaced(shop: Shop, server: Server) -> None:
    id_ = shop.deploy(spec={"liveness_probe": quick(failure_threshold=2)})
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    server.broken.add("/live")
    eventually(lambda: bool(shop.replicas(id_, "Failed")), "it is given up")
    server.broken.clear()
    assert shop.replicas(id_, "Failed")[0].id == one.id
    assert "2 probes in a row; the last: HTTP 503" in shop.replicas(id_, "Failed")[0].message
    assert [reason for reason, _ in shop.events()].count("LivenessProbeFailed") == 2
    shop.until_ready(id_)


def test_one_that_never_answers_fails_when_its_time_is_over(shop: Shop, server: Server) -> None:
    server.broken.add("/ready")
    id_ = shop.deploy(spec={"liveness_probe": quick()})
    row = shop.until(id_, "Failed")
    assert row.reason == "UserScriptInitFailed"
    assert "time-out" in row.message
    assert "ReadinessProbeFailed" in [reason for reason, _ in shop.events()]


def test_an_update_swaps_replicas_without_a_gap(shop: Shop) -> None:
    id_ = shop.deploy(spec={"request_settings": {"request_timeout_ms": 100}})
    [old] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    seen: list[int] = []
    watching = threading.Event()

    def watch() -> None:
        while not watching.is_set():
            seen.append(len(shop.replicas(id_, "Ready")))

    thread = threading.Thread(target=watch)
    thread.start()
    shop.update(id_, tags={"a": "b"})
    eventually(lambda: shop.row(id_).serving_generation == 2, "it serves")
    eventually(lambda: not shop.replicas(id_, "Draining") and len(shop.replicas(id_, "Ready")) == 1, "the old one went")
    watching.set()
    thread.join()
    assert min(seen) >= 1
    assert str(shop.row(id_).provisioning_state) == "Succeeded"
    gone = next(each for each in shop.replicas(id_) if each.id == old.id)
    assert str(gone.state) == "Gone"
    assert gone.draining_at
    assert gone.ended_at
    assert gone.ended_at - gone.draining_at >= timedelta(seconds=1.1)
    assert list(shop.row(id_).launches) == ["2"]


def test_a_failed_update_leaves_what_serves(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.reconcile.serving_plan.LONGEST_BACK_OFF", timedelta(milliseconds=10))
    fate(shop, broken=1)
    id_ = shop.deploy()
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.wish(traffic={"blue": 100})
    shop.update(id_, **mode("broken"))
    row = shop.until(id_, "Failed")
    assert (row.generation, row.serving_generation) == (2, 1)
    assert [each.id for each in shop.replicas(id_, "Ready")] == [one.id]
    assert shop.endpoint_row().traffic == {"blue": 100}  # type: ignore[union-attr]
    shop.site.engine.end(one.container_name, 1)
    eventually(lambda: one.id not in [each.id for each in shop.replicas(id_, "Ready")], "it is over")
    assert [each.generation for each in shop.until_ready(id_)] == [1]
    assert "MODE" not in shop.site.engine.created[-1].environment
    shop.update(id_, **mode("fine"))
    assert shop.until(id_, "Succeeded").serving_generation == 3


def test_a_broken_environment_fails_the_deployment_and_says_why(shop: Shop) -> None:
    environment = shop.environment_of(conda_file={"dependencies": ["six"]})
    with shop.stage.scope(write=False) as scope:
        asset = scope.session.get(Asset, environment)
        assert asset is not None
        shop.site.engine.broken_builds.add(environments.wish(shop.stage.studio, asset).hash)
    id_ = shop.deploy(server="script", environment_id=environment)
    row = shop.until(id_, "Failed")
    assert row.reason == "BuildFailed"
    assert "it was told to" in row.message
    shop.site.engine.broken_builds.clear()
    shop.update(id_)
    assert shop.until(id_, "Succeeded").serving_generation == 2


def test_our_server_stands_on_a_layer_above_the_environment_and_both_images_are_kept(shop: Shop) -> None:
    environment = shop.environment_of(conda_file={"dependencies": ["six==1.16.0"]})
    id_ = shop.deploy(server="script", environment_id=environment)
    row = shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    kept = row.launches["1"]
    assert (wish.image, kept["image"]) == (row.image, row.image)
    assert kept["base"] != row.image
    with shop.stage.scope(write=False) as scope:
        builds = {each.image: each for each in scope.session.exec(select(Build))}
        assert builds[row.image].wish["layer"]["requirements"] == list(REQUIREMENTS)
        assert builds[row.image].id == row.build_id
        assert environments.served(scope.session) == {row.image, kept["base"]}
    eventually(lambda: all(each.size for each in disk(shop)) and len(disk(shop)) == 2, "both are measured")
    assert {each.holder for each in disk(shop)} == {"deployment"}
    with shop.stage.scope() as scope:
        assert environments.prune(scope, versions_too=True) == []


def disk(shop: Shop) -> list[environments.Kept]:
    shop.site.worker.builds.measure()
    with shop.stage.scope(write=False) as scope:
        return environments.disk(scope)


def test_a_build_that_was_asked_to_be_discarded_stays_while_a_deployment_serves(shop: Shop) -> None:
    id_ = shop.deploy(server="script", environment_id=shop.environment_of(conda_file={"dependencies": ["six==1.16.0"]}))
    row = shop.until(id_, "Succeeded")
    with shop.stage.scope() as scope:
        build = scope.session.get(Build, row.build_id)
        assert build is not None
        build.desired = "discard"
        scope.session.add(build)
    eventually(lambda: wished(shop, row.build_id) == "build", "the wish was read")
    assert row.image in {each.reference for each in shop.site.engine.built.values()}


def wished(shop: Shop, build_id: str | None) -> str:
    with shop.stage.scope(write=False) as scope:
        build = scope.session.get(Build, build_id)
        assert build is not None
        return build.desired


def model_at(shop: Shop, path: str, basename: str, type: str = "custom_model") -> dict[str, object]:
    uri = f"azureml://datastores/workspaceblobstore/paths/{path}"
    return {"model": {"name": "iris", "version": "3", "path": uri, "type": type, "basename": basename}}


def placed(shop: Shop, path: str) -> Path:
    target = shop.stage.studio.folders.datastore(shop.stage.lab.id, "workspaceblobstore") / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"weights")
    return target


def test_the_model_lies_where_the_cloud_has_it(shop: Shop) -> None:
    placed(shop, "models/iris/model/weights.bin")
    id_ = shop.deploy(server="script", resolved=model_at(shop, "models/iris/model", "model"))
    shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    [mount] = [each for each in wish.mounts if "azureml-models" in each.target]
    assert (mount.target, mount.read_only) == ("/var/azureml-app/azureml-models/iris/3/model", True)
    said = variables(shop, wish)
    assert said["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models/iris/3"
    [one] = shop.replicas(id_)
    told = (shop.stage.studio.folders.replica(one.id) / "system_logs" / "storage-initializer.txt").read_text()
    assert "Bringing model 'iris:3' here" in told
    assert "1 files" in told


@pytest.mark.parametrize(("type", "is_sorted"), [("custom_model", True), ("mlflow_model", False)])
def test_a_model_of_mlflow_is_shown_without_links_which_it_would_refuse(shop: Shop, type: str, is_sorted: bool) -> None:
    placed(shop, "models/iris/model/weights.bin")
    id_ = shop.deploy(server="script", resolved=model_at(shop, "models/iris/model", "model", type))
    shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    [mount] = [each for each in wish.mounts if "azureml-models" in each.target]
    assert mount.sorted is is_sorted


def test_a_single_file_and_a_mount_path_of_ones_own(shop: Shop) -> None:
    placed(shop, "models/iris.pkl")
    model = model_at(shop, "models/iris.pkl", "iris.pkl")
    id_ = shop.deploy(server="script", resolved=model, spec={"model_mount_path": "/opt/models/"})
    shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    assert "/opt/models/iris/3/iris.pkl" in [each.target for each in wish.mounts]
    assert variables(shop, wish)["AZUREML_MODEL_DIR"] == "/opt/models/iris/3"


def test_a_model_that_is_not_there_fails_the_deployment(shop: Shop) -> None:
    id_ = shop.deploy(server="script", resolved=model_at(shop, "models/none", "none"))
    row = shop.until(id_, "Failed")
    assert row.reason == "ModelPathNotFound"
    assert "'iris:3'" in row.message
    assert shop.site.engine.created == []


def variables(shop: Shop, wish: Container) -> dict[str, str]:
    """What the entry script reads."""
    file = next(each.source for each in wish.mounts if each.target == "/studio/variables")
    lines = [line.removeprefix("export ").split("=", 1) for line in file.read_text().splitlines()]
    return {name: value.strip("'") for name, value in lines}


def test_our_server_gets_its_variables_by_a_file_and_the_person_has_the_last_word(shop: Shop) -> None:
    written = {"environment_variables": {"WORKER_COUNT": "3", "GREETING": "hello", "ATELIER_SERVE": "mlflow"}}
    id_ = shop.deploy(server="script", resolved={"script": "online/score.py"}, spec=written, snapshot_id="abc")
    shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    assert dict(wish.environment) == {}
    assert wish.code is not None
    assert wish.code.target == "/var/azureml-app/src"
    said = variables(shop, wish)
    assert (said["AML_APP_ROOT"], said["AZUREML_ENTRY_SCRIPT"]) == ("/var/azureml-app/src/online", "score.py")
    assert (said["WORKER_COUNT"], said["GREETING"], said["ATELIER_SERVE"]) == ("3", "hello", "script")
    assert wish.command[:2] == ("sh", "/studio/entry.sh")
    assert "/studio/serve/main.py" in wish.command[2]
    [serve] = [each for each in wish.mounts if each.target == "/studio/serve"]
    assert (serve.source / "main.py").is_file()
    assert shop.stage.studio.folders.home / "runtime" in serve.source.parents


def test_the_clouds_own_server_starts_by_its_own_command(shop: Shop) -> None:
    id_ = shop.deploy(server="azureml")
    row = shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    assert "exec azmlinfsrv --entry_script score.py" in wish.command[2]
    assert row.launches["1"]["base"] == row.image, "nothing is put on its image"


def put(shop: Shop, name: str, value: str) -> None:
    with shop.stage.scope() as scope:
        secrets.put(scope, f"user/{name}", value)


@pytest.mark.parametrize(
    "text", ["Bearer ${{secrets.API-KEY}}!", "Bearer ${{keyvault:https://kv1.vault.azure.net/secrets/API-KEY}}!"]
)
def test_secrets_are_put_into_variables_when_a_replica_starts(shop: Shop, text: str) -> None:
    put(shop, "API-KEY", "s3cret-value")
    id_ = shop.deploy(server="script", spec={"environment_variables": {"KEY": text}})
    shop.until(id_, "Succeeded")
    [wish] = shop.site.engine.created
    assert variables(shop, wish)["KEY"] == "Bearer s3cret-value!"
    assert "s3cret" not in str(wish)
    assert "s3cret" not in str(shop.row(id_).launches)


def test_a_secret_that_is_not_there_is_named(shop: Shop) -> None:
    id_ = shop.deploy(server="script", spec={"environment_variables": {"KEY": "${{secrets.none}}"}})
    row = shop.until(id_, "Failed")
    assert row.reason == "SecretNotFound"
    assert "'none'" in row.message
    assert "'KEY'" in row.message


def test_secrets_do_not_stand_in_what_is_said_of_a_failure(shop: Shop) -> None:
    put(shop, "pass", "s3cret-value")

    def ended(wish: Container) -> int:
        log = next(each.source for each in wish.mounts if each.target == "/studio/user_logs") / "std_log.txt"
        log.write_text("ATELIER-FAILURE UserScriptImportError: cannot sign in with s3cret-value\n")
        return 3

    shop.site.engine.fate = ended
    id_ = shop.deploy(server="script", spec={"environment_variables": {"KEY": "${{secrets.pass}}"}})
    assert shop.until(id_, "Failed").message == "cannot sign in with ***"
    assert "s3cret" not in str(shop.events()) + str([each.message for each in shop.replicas(id_)])


def test_it_is_scaled_up_and_down(shop: Shop) -> None:
    id_ = shop.deploy(instance_count=2, spec={"request_settings": {"request_timeout_ms": 1}})
    shop.until(id_, "Succeeded")
    assert {each.ordinal for each in shop.until_ready(id_, 2)} == {0, 1}
    shop.change(id_, instance_count=3)
    shop.until_ready(id_, 3)
    shop.change(id_, instance_count=1)
    eventually(lambda: len(shop.site.engine.found({})) == 1, "two containers are gone")
    assert [each.ordinal for each in shop.replicas(id_, "Ready")] == [0]
    assert shop.row(id_).generation == 1


def test_a_stopped_endpoint_runs_nothing_and_comes_back(shop: Shop) -> None:
    id_ = shop.deploy(spec={"request_settings": {"request_timeout_ms": 1}})
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.wish(desired="stop")
    eventually(lambda: not shop.site.engine.found({}), "nothing runs")
    assert str(shop.row(id_).provisioning_state) == "Succeeded"
    shop.wish(desired="run")
    [other] = shop.until_ready(id_)
    assert other.id != one.id


def test_one_that_sleeps_is_woken_by_a_request_and_it_is_measured(shop: Shop) -> None:
    id_ = shop.deploy(spec={"request_settings": {"request_timeout_ms": 1}})
    shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.change(id_, is_asleep=True)
    eventually(lambda: not shop.site.engine.found({}), "nothing runs")
    shop.change(id_, woken_at=now())
    shop.until_ready(id_)
    row = shop.row(id_)
    assert not row.is_asleep
    assert 0 < row.cold_start_ms < 30_000


def test_one_that_was_asked_for_before_it_slept_goes_on_and_can_sleep_later(shop: Shop) -> None:
    id_ = shop.deploy(spec={"request_settings": {"request_timeout_ms": 1}})
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.change(id_, is_asleep=True, woken_at=now())
    eventually(lambda: not shop.row(id_).is_asleep, "it is awake")
    assert [each.id for each in shop.replicas(id_, "Ready")] == [one.id]
    shop.change(id_, is_asleep=True)
    eventually(lambda: not shop.site.engine.found({}), "it sleeps")


def test_a_purged_workspace_leaves_no_replica(shop: Shop) -> None:
    id_ = shop.deploy(spec={"request_settings": {"request_timeout_ms": 1}})
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    with shop.stage.scope() as scope:
        workspaces.delete(scope)
    eventually(lambda: not shop.site.engine.found({}), "a deleted workspace serves nobody")
    with shop.stage.scope(deleted=True) as scope:
        workspaces.recover(scope)
    shop.until_ready(id_)
    with shop.stage.scope() as scope:
        workspaces.delete(scope)
    with shop.stage.scope(deleted=True) as scope:
        workspaces.purge(scope)

    def rows() -> int:
        with shop.stage.studio.database.session(write=False) as session:
            return len(session.exec(select(Replica)).all() + session.exec(select(Endpoint)).all())

    eventually(lambda: rows() == 0, "the rows are gone", seconds=60)
    assert shop.site.engine.found({}) == []
    assert not shop.stage.studio.folders.replica(one.id).exists()


def test_what_a_ready_replica_uses_is_kept(shop: Shop) -> None:
    id_ = shop.deploy()
    [one] = shop.until_ready(id_)
    deployments, requests = shop.site.worker.deployments, shop.stage.studio.requests

    def measured() -> bool:
        deployments.sample()
        return bool(requests.samples(id_, since=0, until=2e9))

    eventually(measured, "there are samples")
    [sample, *_] = requests.samples(id_, since=0, until=2e9)
    assert (sample.replica_id, sample.memory) == (one.id, 1 << 20)


def test_a_deleted_deployment_leaves_nothing(shop: Shop) -> None:
    placed(shop, "models/iris.pkl")
    id_ = shop.deploy(server="script", resolved=model_at(shop, "models/iris.pkl", "iris.pkl"))
    other = shop.deploy("green")
    [one] = shop.until_ready(id_)
    shop.until(other, "Succeeded")
    folder = shop.stage.studio.folders.replica(one.id)
    assert folder.is_dir()
    shop.change(id_, desired="delete", spec={"request_settings": {"request_timeout_ms": 1}})
    eventually(lambda: gone(shop, id_), "its row is gone")
    assert not folder.exists()
    assert len(shop.site.engine.found({})) == 1
    with shop.stage.scope(write=False) as scope:
        assert {each.deployment_id for each in scope.session.exec(select(Replica))} == {other}
    assert shop.endpoint_row() is not None


def gone(shop: Shop, id_: str) -> bool:
    with shop.stage.scope(write=False) as scope:
        return scope.session.get(Deployment, id_) is None


def test_a_deleted_endpoint_goes_last_with_all_that_opened_it(shop: Shop) -> None:
    fast = {"request_settings": {"request_timeout_ms": 1}}
    ids = [shop.deploy(name, spec=fast) for name in ("blue", "green")]
    for id_ in ids:
        shop.until(id_, "Succeeded")
    endpoint = shop.names["churn"]
    with shop.stage.scope() as scope:
        secrets.put(scope, f"endpoint/{endpoint}/primary", "key")
        digest = hashlib.sha256(b"t").hexdigest()
        token = Token(kind="endpoint", secret_hash=digest, principal_id=shop.stage.ada.id, endpoint_id=endpoint)
        scope.session.add(token)
    shop.wish(desired="delete")
    eventually(lambda: shop.endpoint_row() is None, "the endpoint is gone")
    assert all(gone(shop, id_) for id_ in ids)
    assert shop.site.engine.found({}) == []
    with shop.stage.scope(write=False) as scope:
        assert scope.session.exec(select(Secret)).all() == []
        assert scope.session.exec(select(Token).where(Token.endpoint_id == endpoint)).all() == []


def test_an_endpoint_without_deployments_is_deleted_too(shop: Shop) -> None:
    shop.endpoint(desired="delete")
    eventually(lambda: shop.endpoint_row() is None, "the endpoint is gone")


def test_a_later_worker_adopts_what_serves(closed: Shop) -> None:
    close = opened(closed)
    id_ = closed.deploy()
    [one] = closed.until_ready(id_)
    closed.until(id_, "Succeeded")
    close()
    assert len(closed.site.engine.found({})) == 1, "a studio that stops leaves its servers"
    worker = Worker(closed.stage.studio, closed.site.engine)
    close = opened(closed, worker)
    closed.change(id_, instance_count=2)
    assert one.id in [each.id for each in closed.until_ready(id_, 2)]
    close()
    assert names(closed.site.engine.created).count(one.container_name) == 1


def test_a_container_that_a_crash_left_is_adopted(closed: Shop) -> None:
    """The worker died between the container and its row's next state."""
    close = opened(closed)
    id_ = closed.deploy()
    [one] = closed.until_ready(id_)
    closed.until(id_, "Succeeded")
    close()
    with closed.stage.scope() as scope:
        row = scope.session.get(Replica, one.id)
        assert row is not None
        row.state, row.host, row.container_id, row.started_at, row.ready_at = "Creating", "", "", None, None
        scope.session.add(row)
    close = opened(closed, Worker(closed.stage.studio, closed.site.engine))
    assert [each.id for each in closed.until_ready(id_)] == [one.id]
    close()
    assert names(closed.site.engine.created) == [one.container_name]
    assert closed.site.engine.started == [one.container_name]


def test_two_workers_start_each_replica_once(closed: Shop) -> None:
    workers = [closed.site.worker, Worker(closed.stage.studio, closed.site.engine)]
    closes = [opened(closed, worker) for worker in workers]
    ids = [closed.deploy(f"blue{number}", instance_count=2) for number in range(6)]
    for id_ in ids:
        closed.until(id_, "Succeeded", seconds=60)
    assert len(closed.site.engine.created) == len(set(names(closed.site.engine.created))) == 12
    for close in closes:
        close()


def test_a_whole_life_on_either_database(stage: Stage, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(stage, monkeypatch)
    site.engine.reached_at = lambda wish: ("127.0.0.1", server.server_port)
    shop = Shop(site)
    workers = [site.worker, Worker(stage.studio, site.engine)]
    closes = [opened(shop, worker) for worker in workers]
    id_ = shop.deploy(server="script", wants_all_traffic=True, spec={"request_settings": {"request_timeout_ms": 1}})
    shop.until(id_, "Succeeded")
    shop.update(id_, environment_variables={"MODE": "2"})
    eventually(lambda: shop.row(id_).serving_generation == 2, "it serves")
    shop.change(id_, is_asleep=True)
    eventually(lambda: not site.engine.found({}), "it sleeps")
    shop.change(id_, woken_at=now())
    shop.until_ready(id_)
    shop.wish(desired="delete")
    eventually(lambda: shop.endpoint_row() is None, "it is gone")
    assert site.engine.found({}) == []
    for close in closes:
        close()


def test_a_silent_engine_changes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.worker.SILENT_SECONDS", 0.5)
    monkeypatch.setattr("app.worker.PROBE_SECONDS", 0.1)
    id_ = shop.deploy()
    [one] = shop.until_ready(id_)
    shop.until(id_, "Succeeded")
    shop.site.engine.silent = True
    eventually(lambda: shop.site.worker._silent_since is not None, "it is noticed")
    shop.site.engine.silent = False
    shop.change(id_, instance_count=2)
    assert one.id in [each.id for each in shop.until_ready(id_, 2)]


def test_a_container_of_no_replica_is_swept(shop: Shop) -> None:
    mine = {"atelier.install": shop.stage.studio.install, "atelier.kind": "replica", "atelier.replica": "gone"}
    made = shop.site.engine.create(Container(name="rep-gone", image="x", command=(), labels=mine, port=1))
    shop.site.engine.start(made)
    shop.site.engine._there[made] = type(shop.site.engine._there[made])(
        made, made, mine, "running", started_at=now() - timedelta(minutes=5)
    )
    shop.site.worker._full.set()
    eventually(lambda: not shop.site.engine.found({}), "it is gone")


def test_only_the_last_that_ended_are_kept(shop: Shop) -> None:
    id_ = shop.deploy(spec={"request_settings": {"request_timeout_ms": 1}})
    shop.until(id_, "Succeeded")
    for number in range(8):
        [one] = shop.until_ready(id_)
        shop.site.engine.lose(one.container_name)
        shop.site.worker._full.set()
        eventually(lambda one=one: one.id not in [each.id for each in shop.replicas(id_, "Ready")], f"{number}")  # type: ignore[misc]
    shop.until_ready(id_)
    eventually(lambda: len(shop.replicas(id_, "Gone")) <= 6, "only six are kept")
    folders = list((shop.stage.studio.folders.home / "runs").glob("replica-*"))
    assert len(folders) <= 7


def test_an_images_own_output_is_its_log(shop: Shop) -> None:
    id_ = shop.deploy()
    [one] = shop.until_ready(id_)
    log = shop.stage.studio.folders.replica(one.id) / "user_logs" / "std_log.txt"
    shop.site.engine.said[one.container_name] = "one\n"
    eventually(lambda: log.is_file() and log.read_text() == "one\n", "it is written")
    shop.site.engine.said[one.container_name] = "one\ntwo\n"
    eventually(lambda: log.read_text() == "one\ntwo\n", "only what is new is added")


def test_an_unknown_size_is_told_once(shop: Shop) -> None:
    id_ = shop.deploy(spec={"instance_type": "Standard_Q9"})
    shop.until(id_, "Succeeded")
    assert any("'Standard_Q9' is not known here" in text for _, text in shop.events())


def test_it_waits_while_its_port_is_closed_and_is_ready_as_soon_as_it_opens(shop: Shop, server: Server) -> None:
    late = free_port()
    shop.site.engine.reached_at = lambda wish: ("127.0.0.1", late)
    id_ = shop.deploy()
    eventually(lambda: bool(shop.replicas(id_, "Starting")), "it starts")
    assert str(shop.row(id_).provisioning_state) == "Creating"
    shop.site.engine.reached_at = lambda wish: ("127.0.0.1", server.server_port)
    [one] = shop.replicas(id_, "Starting")
    shop.site.engine.end(one.container_name, 1)
    shop.until(id_, "Succeeded")
