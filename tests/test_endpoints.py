"""Online endpoints on both databases: names, keys, tokens, and how traffic is shared out."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import select

from services import endpoints, secrets, workspaces
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import ProvisioningState
from services.core.times import now
from services.endpoints import Keys
from services.specs.endpoints import OnlineEndpoint
from services.specs.workspaces import Workspace
from services.store.endpoints import EndpointQuery
from services.store.rows import Event, RoleAssignment, Token
from services.store.serving import Deployment, Endpoint
from services.studio import Scope
from tests.conftest import Stage


def made(stage: Stage, name: str = "iris", **fields: Any) -> Endpoint:
    with stage.scope(stage.ben) as scope:
        return endpoints.create(scope, OnlineEndpoint.model_validate({"name": name, **fields}))


def deployed(scope: Scope, endpoint: Endpoint, name: str, *, serving: int = 1) -> Deployment:
    """As if the worker had brought it up."""
    row = Deployment(
        workspace_id=endpoint.workspace_id,
        endpoint_id=endpoint.id,
        kind="online",
        name=name,
        folded=name.casefold(),
        serving_generation=serving,
        provisioning_state=ProvisioningState.Succeeded if serving else ProvisioningState.Creating,
    )
    scope.session.add(row)
    scope.session.flush()
    return row


def pair(stage: Stage, **traffic: int) -> Endpoint:
    """An endpoint `iris` with `Blue`, `green`, and `young` that does not answer yet."""
    row = made(stage)
    with stage.scope() as scope:
        for name in ("Blue", "green"):
            deployed(scope, row, name)
        deployed(scope, row, "young", serving=0)
        return endpoints.update(scope, "iris", traffic=traffic) if traffic else row


def keys_of(stage: Stage) -> Keys:
    with stage.scope() as scope:
        return endpoints.keys(scope, "iris")


def told(stage: Stage) -> list[str]:
    with stage.scope() as scope:
        return [event.message for event in endpoints.events_of(scope, endpoints.get(scope, "iris"))]


def test_names_are_unique_without_case(stage: Stage) -> None:
    made(stage)
    with pytest.raises(Conflict, match="'iris' exists already") as raised:
        made(stage, "IRIS")
    assert raised.value.where == "name"
    with stage.scope(stage.cleo) as scope:
        assert endpoints.get(scope, "Iris").name == "iris"


@pytest.mark.parametrize("name", ["ab", "x" * 33, "1ris", "iris-", "i_ris", "ïris", "iris.one", ""])
def test_other_names_are_refused(lite: Stage, name: str) -> None:
    with pytest.raises((ValidationError, Invalid)):
        made(lite, name)


@pytest.mark.parametrize("mode", ["key", "aml_token", "aad_token"])
def test_keys_or_tokens_open_it(stage: Stage, mode: str) -> None:
    row = made(stage, auth_mode=mode)
    assert set(row.key_hashes) == ({"primary", "secondary"} if mode == "key" else set())
    with stage.scope(stage.ben) as scope:
        if mode == "key":
            with pytest.raises(Conflict, match="opened by keys"):
                endpoints.token(scope, "iris")
        else:
            for ask in (endpoints.keys, lambda s, n: endpoints.regenerate(s, n, "primary")):
                with pytest.raises(Conflict, match="has no keys"):
                    ask(scope, "iris")


def test_keys_are_in_the_vault_and_only_their_hashes_in_the_row(stage: Stage) -> None:
    row = made(stage)
    found = keys_of(stage)
    assert found.primary != found.secondary
    assert min(len(found.primary), len(found.secondary)) >= 32
    for which in ("primary", "secondary"):
        value = getattr(found, which)
        assert row.key_hashes[which] == hashlib.sha256(value.encode()).hexdigest()
        assert value not in repr(found)
        with stage.scope() as scope:
            assert secrets.reveal(scope, f"endpoint/{row.id}/{which}") == value


def test_a_key_is_made_anew_and_the_other_stays(stage: Stage) -> None:
    made(stage)
    before = keys_of(stage)
    with stage.scope(stage.ben) as scope:
        row = endpoints.regenerate(scope, "iris", "primary")
        hashes = dict(row.key_hashes)
    after = keys_of(stage)
    assert after.primary != before.primary
    assert after.secondary == before.secondary
    assert hashes["primary"] == hashlib.sha256(after.primary.encode()).hexdigest()
    with stage.scope() as scope, pytest.raises(Invalid, match="no key"):
        endpoints.regenerate(scope, "iris", "tertiary")  # type: ignore[arg-type]


def test_tokens_end_by_themselves(stage: Stage) -> None:
    row = made(stage, auth_mode="aml_token")
    with stage.scope(stage.ben) as scope:
        first = endpoints.token(scope, "iris")
        assert timedelta(minutes=59) < first.expires_at - now() <= timedelta(hours=1)
        token = scope.session.exec(select(Token).where(Token.endpoint_id == row.id)).one()
        assert (token.kind, token.principal_id) == ("endpoint", stage.ben.id)
        assert token.secret_hash == hashlib.sha256(first.token.encode()).hexdigest()
        token.expires_at = now() - timedelta(seconds=1)
        scope.session.add(token)
    with stage.scope(stage.ben) as scope:
        endpoints.token(scope, "iris")
        left = scope.session.exec(select(Token).where(Token.endpoint_id == row.id)).all()
        assert [each.id for each in left] != [token.id]
        assert len(left) == 1


def test_what_opens_it_is_in_no_event_and_in_nothing_that_is_shown(stage: Stage) -> None:
    made(stage)
    made(stage, "tokens", auth_mode="aml_token")
    first = keys_of(stage)
    with stage.scope(stage.ben) as scope:
        endpoints.regenerate(scope, "iris", "secondary")
        issued = endpoints.token(scope, "tokens")
    second = keys_of(stage)
    with stage.scope() as scope:
        shown = "".join(str(endpoints.as_json(scope, row)) for row in endpoints.listed(scope).rows)
        shown += "".join(str(vars(row)) for row in scope.session.exec(select(Event)))
        shown += "".join(str(vars(row)) for row in scope.session.exec(select(Endpoint)))
    for value in (first.primary, first.secondary, second.secondary, issued.token):
        assert value not in shown
    assert "The keys of endpoint 'iris' were read" in told(stage)
    assert "The secondary key of endpoint 'iris' was made anew" in told(stage)


def test_readers_see_no_keys_and_change_nothing(stage: Stage) -> None:
    pair(stage, Blue=100)
    with stage.scope(stage.cleo) as scope:
        assert endpoints.as_json(scope, endpoints.get(scope, "iris"))["traffic"] == {"Blue": 100}
        for ask in (
            lambda: endpoints.keys(scope, "iris"),
            lambda: endpoints.token(scope, "iris"),
            lambda: endpoints.regenerate(scope, "iris", "primary"),
            lambda: endpoints.scorable(scope, "iris"),
            lambda: endpoints.create(scope, OnlineEndpoint(name="other")),
            lambda: endpoints.update(scope, "iris", description="x"),
            lambda: endpoints.set_traffic(scope, "iris", {"green": 100}),
            lambda: endpoints.start(scope, "iris"),
            lambda: endpoints.stop(scope, "iris"),
            lambda: endpoints.delete(scope, "iris"),
        ):
            with pytest.raises(Denied):
                ask()


def test_another_workspaces_endpoint_is_not_found(stage: Stage) -> None:
    row = made(stage)
    with stage.scope(workspace=None) as scope:
        other = workspaces.create(scope, Workspace(name="other"))
        scope.session.add(RoleAssignment(principal_id=stage.dan.id, role="Owner", scope=other.id))
    with stage.scope(stage.dan, "other") as scope:
        for ask in (
            lambda: endpoints.get(scope, "iris"),
            lambda: endpoints.get_by_id(scope, row.id),
            lambda: endpoints.keys(scope, "iris"),
            lambda: endpoints.delete(scope, "iris"),
            lambda: endpoints.scorable(scope, "iris"),
        ):
            with pytest.raises(NotFound):
                ask()
        assert endpoints.listed(scope).rows == []
        assert endpoints.create(scope, OnlineEndpoint(name="iris")).id != row.id


GOOD: list[tuple[Mapping[str, int], Mapping[str, int]]] = [
    ({"blue": 100}, {"Blue": 100}),
    ({"Blue": 90, "GREEN": 10}, {"Blue": 90, "green": 10}),
    ({"Blue": 100, "green": 0, "young": 0}, {"Blue": 100, "green": 0, "young": 0}),
    ({"Blue": 0}, {"Blue": 0}),
    ({}, {}),
]


@pytest.mark.parametrize(("given", "kept"), GOOD)
def test_traffic_that_can_be(lite: Stage, given: Mapping[str, int], kept: Mapping[str, int]) -> None:
    pair(lite)
    with lite.scope() as scope:
        assert endpoints.set_traffic(scope, "iris", given).traffic == kept


@pytest.mark.parametrize(
    ("given", "said", "where"),
    [
        ({"Blue": 90}, "sum to 0 or 100, not to 90", "traffic"),
        ({"Blue": 90, "green": 20}, "sum to 0 or 100, not to 110", "traffic"),
        ({"Blue": 110, "green": -10}, "110 % of the traffic", "traffic.Blue"),
        ({"green": -100}, "-100 % of the traffic", "traffic.green"),
        ({"gren": 100}, "Did you mean 'green'", "traffic"),
        ({"purple": 100}, "It has: Blue, green, young", "traffic"),
        ({"Blue": 50, "blue": 50}, "named twice", "traffic"),
        ({"young": 100}, "is Creating and answers nothing yet", "traffic.young"),
        ({"young": 1, "Blue": 99}, "answers nothing yet", "traffic.young"),
        ({"Blue": True, "green": 99}, "True % of the traffic", "traffic.Blue"),
    ],
)
def test_traffic_that_cannot_be(lite: Stage, given: Mapping[str, int], said: str, where: str) -> None:
    pair(lite, Blue=100)
    with lite.scope() as scope, pytest.raises(Invalid) as raised:
        endpoints.set_traffic(scope, "iris", given)
    assert said in str(raised.value)
    assert raised.value.where == where
    with lite.scope() as scope:
        assert endpoints.get(scope, "iris").traffic == {"Blue": 100}


def test_a_new_endpoint_has_nobody_to_give_traffic_to(lite: Stage) -> None:
    with pytest.raises(Invalid, match="no deployment 'blue'"):
        made(lite, traffic={"blue": 100})


def test_a_change_of_traffic_is_told_with_what_was_before(stage: Stage) -> None:
    pair(stage, Blue=100)
    with stage.scope(stage.ben) as scope:
        row = endpoints.set_traffic(scope, "iris", {"Blue": 90, "green": 10})
        assert row.previous_traffic == {"Blue": 100}
        before = row.revision
        assert endpoints.set_traffic(scope, "iris", {"Blue": 90, "green": 10}).revision == before
    assert told(stage)[-2:] == [
        "Traffic of 'iris' went from nobody to Blue 100 %",
        "Traffic of 'iris' went from Blue 100 % to Blue 90 %, green 10 %",
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [({"green": 100}, {"green": 100}), ({"GREEN": 10, "Blue": 0}, {"green": 10}), ({"green": 0}, {}), ({}, {})],
)
def test_mirrored_traffic_need_not_sum_up(lite: Stage, given: Mapping[str, int], kept: Mapping[str, int]) -> None:
    pair(lite, Blue=100)
    with lite.scope() as scope:
        row = endpoints.update(scope, "iris", mirror_traffic=given)
        assert (row.mirror_traffic, row.traffic) == (kept, {"Blue": 100})


@pytest.mark.parametrize(
    ("given", "said"),
    [({"Blue": 10}, "would go to itself"), ({"green": 101}, "101 %"), ({"young": 10}, "yet"), ({"red": 1}, "no dep")],
)
def test_mirrored_traffic_that_cannot_be(lite: Stage, given: Mapping[str, int], said: str) -> None:
    pair(lite, Blue=100)
    with lite.scope() as scope, pytest.raises(Invalid, match=said):
        endpoints.update(scope, "iris", mirror_traffic=given)


def test_a_mirror_may_be_of_what_has_a_part_and_ends_when_that_gets_all(stage: Stage) -> None:
    pair(stage, Blue=90, green=10)
    with stage.scope() as scope:
        assert endpoints.update(scope, "iris", mirror_traffic={"green": 50}).mirror_traffic == {"green": 50}
        row = endpoints.set_traffic(scope, "iris", {"green": 100})
        assert row.mirror_traffic == {}


def test_all_of_both_can_be_changed_at_once(lite: Stage) -> None:
    pair(lite, Blue=100)
    with lite.scope() as scope:
        row = endpoints.update(scope, "iris", traffic={"green": 100}, mirror_traffic={"Blue": 100})
        assert (row.traffic, row.mirror_traffic) == ({"green": 100}, {"Blue": 100})


@pytest.mark.parametrize("header", ["Authorization", "azureml-model-deployment", "a b", "x:y", "ü", "x" * 101])
def test_callers_are_kept_apart_by_a_header_of_theirs(lite: Stage, header: str) -> None:
    made(lite)
    with lite.scope() as scope:
        assert endpoints.update(scope, "iris", sticky=" X-User ").sticky == "x-user"
        with pytest.raises(Invalid):
            endpoints.update(scope, "iris", sticky=header)
        assert endpoints.update(scope, "iris", sticky="").sticky == ""


def test_what_else_may_change(stage: Stage) -> None:
    made(stage, description="one", tags={"a": "1"})
    with stage.scope(stage.ben) as scope:
        row = endpoints.update(scope, "iris", description="two", tags={"b": "2"}, samples={"first": '{"data": []}'})
        assert (row.description, row.tags, row.samples) == ("two", {"b": "2"}, {"first": '{"data": []}'})
        before = row.revision
        assert endpoints.update(scope, "iris", description="two").revision == before
    assert "Endpoint 'iris' was changed: description, tags, samples" in told(stage)


@pytest.mark.parametrize(
    "samples",
    [{"": "x"}, {"x" * 81: "x"}, {"x": "y" * ((64 << 10) + 1)}, {str(number): "x" for number in range(51)}],
    ids=["no name", "long name", "large", "many"],
)
def test_samples_are_few_and_small(lite: Stage, samples: dict[str, str]) -> None:
    made(lite)
    with lite.scope() as scope, pytest.raises(Invalid):
        endpoints.update(scope, "iris", samples=samples)


def test_it_is_stopped_and_started(stage: Stage) -> None:
    made(stage)
    with stage.scope(stage.ben) as scope:
        assert endpoints.stop(scope, "iris").desired == "stop"
        assert endpoints.stop(scope, "iris").revision == 2
        assert endpoints.start(scope, "iris").desired == "run"
    assert told(stage)[-2:] == ["Endpoint 'iris' was stopped", "Endpoint 'iris' was started"]


def test_deleting_takes_its_deployments_keys_and_tokens_along(stage: Stage) -> None:
    row = pair(stage, Blue=100)
    with stage.scope() as scope:
        scope.session.add(Token(kind="endpoint", secret_hash="x", principal_id="p", endpoint_id=row.id))
    with stage.scope(stage.ben) as scope:
        row = endpoints.delete(scope, "iris")
        assert (row.desired, row.provisioning_state, row.key_hashes) == ("delete", "Deleting", {})
        assert {each.desired for each in endpoints.deployments_of(scope, row)} == {"delete"}
        assert endpoints.delete(scope, "iris").revision == row.revision
        assert scope.session.exec(select(Token).where(Token.endpoint_id == row.id)).all() == []
    with stage.scope() as scope:
        with pytest.raises(NotFound):
            secrets.reveal(scope, f"endpoint/{row.id}/primary")
        for ask in (
            lambda: endpoints.update(scope, "iris", description="x"),
            lambda: endpoints.keys(scope, "iris"),
            lambda: endpoints.start(scope, "iris"),
            lambda: endpoints.scorable(scope, "iris"),
            lambda: endpoints.create(scope, OnlineEndpoint(name="iris")),
        ):
            with pytest.raises(Conflict, match="is being deleted"):
                ask()


def test_they_are_listed_in_pages(stage: Stage) -> None:
    for name in ("gamma", "Alpha", "beta"):
        made(stage, name, description=f"of {name}")
    with stage.scope(stage.cleo) as scope:
        first = endpoints.listed(scope, EndpointQuery(limit=2))
        assert [row.name for row in first.rows] == ["Alpha", "beta"]
        rest = endpoints.listed(scope, EndpointQuery(limit=2, cursor=first.next_cursor))
        assert ([row.name for row in rest.rows], rest.next_cursor) == (["gamma"], "")
        assert [row.name for row in endpoints.listed(scope, EndpointQuery(search="OF GAM")).rows] == ["gamma"]
        newest = endpoints.listed(scope, EndpointQuery(order_by="-created_at"))
        assert [row.name for row in newest.rows] == ["beta", "Alpha", "gamma"]
        with pytest.raises(Invalid, match="sorted"):
            endpoints.listed(scope, EndpointQuery(order_by="key_hashes"))


def test_a_near_name_is_offered(lite: Stage) -> None:
    made(lite)
    with lite.scope() as scope, pytest.raises(NotFound, match="Did you mean 'iris'"):
        endpoints.get(scope, "irs")


def test_addresses_are_the_gateways(lite: Stage) -> None:
    row = made(lite)
    studio = lite.studio
    assert endpoints.scoring_uri(studio, "lab", "iris") == "http://127.0.0.1:8510/lab/iris/score"
    studio.say("scoring", {"url": "http://127.0.0.1:9999"})
    assert endpoints.openapi_uri(studio, "lab", "iris") == "http://127.0.0.1:9999/lab/iris/swagger.json"
    with lite.scope() as scope:
        assert endpoints.as_json(scope, row)["scoring_uri"] == "http://127.0.0.1:9999/lab/iris/score"
    studio.settings.gateway_public_url = "https://models.example.com/"
    assert endpoints.scoring_uri(studio, "lab", "iris") == "https://models.example.com/lab/iris/score"


def test_it_is_shown_as_the_cloud_shows_it(lite: Stage) -> None:
    row = made(lite, compute="azureml:cluster", tags={"team": "vision"})
    with lite.scope() as scope:
        shown = endpoints.as_json(scope, row)
    assert {key: shown[key] for key in ("name", "location", "kind", "auth_mode", "provisioning_state", "tags")} == {
        "name": "iris",
        "location": "local",
        "kind": "Kubernetes",
        "auth_mode": "key",
        "provisioning_state": "Succeeded",
        "tags": {"team": "vision"},
    }
    assert shown["id"] == "/workspaces/lab/online-endpoints/iris"
