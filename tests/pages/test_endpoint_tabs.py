"""An endpoint's monitoring, logs and rollouts, with requests as the gateway writes them."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services import alerts, endpoints, requests, rollouts
from services.core.states import RolloutState
from services.core.times import now
from services.specs.rollouts import Alert
from services.specs.rollouts import Rollout as RolloutSpec
from services.store.serving import Rollout
from tests.conftest import Stage
from tests.pages import batch_seed, serving_seed
from tests.pages.conftest import Opened, said


@pytest.fixture
def served(house: Stage) -> Stage:
    serving_seed.lived_in(house)
    return house


@pytest.fixture
def asked(served: Stage) -> Stage:
    with served.scope() as scope:
        batch_seed.busy(scope, endpoints.get(scope, "flowers"))
    return served


def given(test: AppTest, name: str) -> dict[str, Any]:
    """What the component of that name is told."""
    found = [each.proto for each in test.get("bidi_component") if name in each.proto.component_name]
    assert len(found) == 1, [each.proto.component_name for each in test.get("bidi_component")]
    told: dict[str, Any] = json.loads(found[0].json)
    return told


def is_whole(test: AppTest) -> bool:
    return not test.exception and "This page could not be shown" not in said(test)


def act(test: AppTest, label: str) -> AppTest:
    return test.button(key=f"act_{label}").click().run()


@pytest.mark.parametrize("name", ["flowers", "broken", "empty", "growing"])
@pytest.mark.parametrize("tab", ["monitoring", "logs", "rollout"])
@pytest.mark.parametrize("who", ["ada", "cleo"])
def test_every_tab_opens_for_every_endpoint(served: Stage, opened: Opened, name: str, tab: str, who: str) -> None:
    assert is_whole(opened("endpoint", getattr(served, who), name=name, tab=tab))


def test_an_endpoint_nobody_asks_says_how_to_ask_it(served: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="empty", tab="monitoring"))
    assert "No requests in this time" in words
    assert "atelier online-endpoint invoke --name empty" in words


def test_charts_have_the_names_of_the_cloud(asked: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="monitoring")
    tiles = {each["title"]: each["figure"] for each in given(test, "figures")["tiles"]}
    assert set(tiles) == {
        "RequestsPerMinute",
        "RequestLatency",
        "RequestLatency P95",
        "Errors",
        "In flight and queued",
        "NetworkBytes",
        "CpuUtilizationPercentage",
        "CpuMemoryUtilizationPercentage",
    }
    assert [each["name"] for each in tiles["RequestsPerMinute"]["data"]] == ["blue", "green"]
    assert [each["name"] for each in tiles["RequestLatency"]["data"]] == ["P50", "P90", "P95", "P99"]
    assert [each["name"] for each in tiles["Errors"]["data"]] == ["5xx", "424", "408", "429"]
    assert {each["name"] for each in tiles["CpuUtilizationPercentage"]["data"]} == {"blue 1", "blue 2", "green 1"}
    assert all("bdata" in each["y"] for figure in tiles.values() for each in figure["data"])


def test_one_deployment_is_looked_at_alone(asked: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="monitoring", deployment="green", range="6h")
    tiles = {each["title"]: each["figure"] for each in given(test, "figures")["tiles"]}
    assert "RequestLatency P95" not in tiles
    assert [each["name"] for each in tiles["RequestsPerMinute"]["data"]] == ["green"]
    assert {each["name"] for each in tiles["CpuUtilizationPercentage"]["data"]} == {"green 1"}


def test_a_time_that_is_over_shows_what_was_then(asked: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="monitoring", until=str(int(time.time()) - 86_400))
    words = said(test)
    assert "UTC" in words
    assert "No requests in this time" in words


def test_a_shadow_is_shown_beside_what_callers_got(asked: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="flowers", tab="monitoring"))
    assert "of 41 answers of green were those of blue" in words
    assert "8 furthest apart" in words
    assert "&lt;script&gt;" in words
    assert "<script>" not in words


def test_the_request_log_has_the_columns_of_the_cloud_and_follows(asked: Stage, opened: Opened) -> None:
    told = given(opened("endpoint", name="flowers", tab="logs"), "requests")
    with asked.scope() as scope:
        newest = requests.newest(scope, "flowers")
    assert told["url"] == f"/files/requests/lab/flowers?after={newest}"
    assert len(told["rows"]) == 100
    assert {"XMSClientRequestId", "RequestThrottlingDelayMs", "ModelStatusReason"} <= told["rows"][0].keys()
    assert f"page={told['rows'][-1]['Id']}" in told["older"]


def test_the_request_log_is_narrowed_and_taken_away_as_csv(asked: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="logs", code="424,5xx", deployment="green", find="httpx")
    told = given(test, "requests")
    assert {each["ResponseCode"] for each in told["rows"]} == {424, 503}
    assert told["filter"] == {"deployment": "green", "codes": ["424", "5xx"], "search": "httpx"}
    assert told["csv"] == "/files/requests-export/lab/flowers?deployment=green&code=424&code=5xx&search=httpx"


def test_an_older_page_does_not_follow(asked: Stage, opened: Opened) -> None:
    newest = given(opened("endpoint", name="flowers", tab="logs"), "requests")["rows"]
    told = given(opened("endpoint", name="flowers", tab="logs", page=str(newest[-1]["Id"])), "requests")
    assert told["url"] == ""
    assert len(told["rows"]) == 100
    assert not {each["Id"] for each in told["rows"]} & {each["Id"] for each in newest}
    assert told["newest"]


def test_a_container_log_is_that_of_the_deployment_that_failed(served: Stage, opened: Opened) -> None:
    told = given(opened("endpoint", name="broken", tab="logs", log="container"), "log")
    assert "No module named 'pandaz'" in told["text"]
    assert told["title"] == "blue · inference-server"
    test = opened("endpoint", name="broken", tab="logs", log="container", container="storage-initializer")
    assert given(test, "log")["text"] == ""


def test_events_of_endpoint_and_containers_stand_in_one_line_of_time(served: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="flowers", tab="logs", log="events"))
    assert "Deployment &#x27;green&#x27; was created" in words
    assert "Traffic of &#x27;flowers&#x27; went from" in words
    only = said(opened("endpoint", name="flowers", tab="logs", log="events", deployment="green"))
    assert "Deployment &#x27;blue&#x27; was created" not in only


def test_a_rollout_is_started_from_the_form(served: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="rollout")
    assert test.selectbox(key="rollout_target").value == "green"
    test.number_input(key="rollout_bake").set_value(2).run()
    test.slider(key="rollout_percent:canary").set_value(25).run()
    assert "25 % for 2m 00s, then 100 %" in said(test)
    act(test, "begin_rollout")
    with served.scope() as scope:
        row = rollouts.get(scope, "flowers")
        assert (row.target, row.state, rollouts.percents(row)) == ("green", "Running", [25, 100])
        assert rollouts.written(row).bake_seconds == 120
        assert endpoints.get(scope, "flowers").traffic == {"blue": 75, "green": 25}


def test_steps_of_ones_own_are_checked_before_they_start(served: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="rollout")
    test.button_group(key="rollout_kind").set_value("steps").run()
    test.text_input(key="rollout_steps").set_value("50, 20").run()
    assert "rising percents" in said(test)
    assert test.button(key="act_begin_rollout").disabled
    test.text_input(key="rollout_steps").set_value("20%, 50%, 100%").run()
    assert "20 % for 5m 00s, then 50 %, 100 %" in said(test)
    assert not test.button(key="act_begin_rollout").disabled


def began(stage: Stage, steps: list[int]) -> None:
    with stage.scope() as scope:
        rollouts.start(scope, "flowers", RolloutSpec(deployment="green", steps=steps, bake_seconds=600))


def test_a_rollout_under_way_shows_its_steps_and_what_is_watched(asked: Stage, opened: Opened) -> None:
    began(asked, [20, 50, 100])
    test = opened("endpoint", name="flowers", tab="rollout")
    words = said(test)
    for word in ("Rollout to green", "step 1 of 3", "20 %", "50 %", "at most 5 %", "not watched"):
        assert word in words, word
    assert "rollout_target" not in [each.key for each in test.selectbox]


@pytest.mark.parametrize(
    ("button", "state", "traffic"),
    [
        ("promote", RolloutState.Running, {"blue": 50, "green": 50}),
        ("promote_fully", RolloutState.Succeeded, {"blue": 0, "green": 100}),
        ("cancel_rollout", RolloutState.Canceled, {"blue": 80, "green": 20}),
        ("rollout_back", RolloutState.RolledBack, {"blue": 90, "green": 10}),
    ],
)
def test_a_rollout_is_moved_by_hand(
    served: Stage, opened: Opened, button: str, state: RolloutState, traffic: dict[str, int]
) -> None:
    began(served, [20, 50, 100])
    act(opened("endpoint", name="flowers", tab="rollout"), button)
    with served.scope() as scope:
        assert rollouts.get(scope, "flowers").state == state
        assert endpoints.get(scope, "flowers").traffic == traffic


def test_rollouts_before_say_why_they_went_back(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        row = endpoints.get(scope, "flowers")
        gone = Rollout(
            workspace_id=row.workspace_id,
            endpoint_id=row.id,
            target="green",
            spec=RolloutSpec(deployment="green", steps=[20, 100]).model_dump(mode="json"),
            before={"blue": 100},
            state=RolloutState.RolledBack,
            message="Rolled back at 20 %: 40.00 % of 30 requests failed.",
            created_at=now() - timedelta(hours=1),
        )
        scope.session.add(gone)
    words = said(opened("endpoint", name="flowers", tab="rollout"))
    assert "Rolled back at 20 %: 40.00 % of 30 requests failed." in words
    assert "20 % → 100 %" in words


def test_one_walks_from_blue_to_green(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        endpoints.update(scope, "flowers", traffic={"blue": 100}, mirror_traffic={})
    assert "tab=test&amp;deployment=green" in said(opened("endpoint", name="flowers", tab="rollout"))
    with served.scope() as scope:
        flowers = endpoints.get(scope, "flowers")
        green = next(each for each in endpoints.deployments_of(scope, flowers) if each.name == "green")
        serving_seed.requests(scope, flowers, green, count=1, kind="test")
    act(opened("endpoint", name="flowers", tab="rollout"), "walk_mirror")
    with served.scope() as scope:
        assert endpoints.get(scope, "flowers").mirror_traffic == {"green": 20}
        batch_seed.busy(scope, flowers)
    test = opened("endpoint", name="flowers", tab="rollout")
    assert "80.5 % of 41 answers agree." in said(test)
    act(test, "walk_canary")
    act(opened("endpoint", name="flowers", tab="rollout"), "walk_all")
    with served.scope() as scope:
        assert endpoints.get(scope, "flowers").traffic == {"green": 100}
    assert "do=delete&amp;of=blue" in said(opened("endpoint", name="flowers", tab="rollout"))


def test_an_alert_shows_no_more_of_its_webhook_than_the_host(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        wanted = Alert(name="errors", on="error_rate", threshold=5, webhook="https://hooks.example.com/T0/secret")
        alerts.put(scope, "flowers", [wanted])
    test = opened("endpoint", name="flowers", tab="rollout")
    words = said(test)
    assert "hooks.example.com" in words
    assert "secret" not in words
    act(test, "remove_alert:errors")
    with served.scope() as scope:
        assert alerts.listed(scope, "flowers") == []


def test_an_alert_needs_a_name_and_somebody_to_tell(served: Stage, opened: Opened) -> None:
    test = act(opened("endpoint", name="flowers", tab="rollout"), "add_alert")
    assert test.button(key="alert_add").disabled
    assert test.text_input(key="alert_mail").disabled
    assert "no mail server" in test.text_input(key="alert_mail").placeholder


def test_a_reader_changes_nothing(asked: Stage, opened: Opened) -> None:
    began(asked, [20, 100])
    test = opened("endpoint", asked.cleo, name="flowers", tab="rollout")
    assert all(each.disabled for each in test.button if (each.key or "").startswith("act_"))
