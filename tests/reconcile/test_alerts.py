"""Alerts: told once, to who is named, without a secret in any event; told again only after it was well for a while."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from services import alerts, secrets
from services.core.errors import Denied, Invalid
from services.core.names import new_id
from services.core.states import ProvisioningState
from services.core.times import iso, now
from services.reconcile.alerts import CLAIM, ENOUGH, Alerts, Excursion, Reading, followed, is_due, read
from services.specs.rollouts import Alert
from services.store.requests import Window
from services.store.rows import Event, Fact, Secret
from services.store.serving import Deployment
from tests.conftest import Stage
from tests.posted import Hook, hook, letterbox
from tests.rolling import ENDPOINT, asked, deployment_of, endpoint_of, opened, told

AT = now()
GREEN = Deployment(workspace_id="w", endpoint_id="e", kind="online", name="green", folded="green", id="g")
FAILED = Alert(name="broken", on="failed", mail=["a@b.c"])
RATE = Alert(name="errors", on="error_rate", threshold=5, window=60, mail=["a@b.c"])
SLOW = Alert(name="slow", on="p95", threshold=200, window=60, mail=["a@b.c"])


def seen(requests: int, errors: int = 0, p95: float | None = 20.0) -> Window:
    return Window(requests=requests, errors=errors, error_rate=errors / max(1, requests), p95=p95)


def in_state(state: ProvisioningState, generation: int = 1) -> Deployment:
    return GREEN.model_copy(update={"provisioning_state": state, "generation": generation})


@pytest.mark.parametrize(
    ("alert", "deployment", "window", "is_bad", "value"),
    [
        (FAILED, in_state(ProvisioningState.Failed), Window(), True, None),
        (FAILED, in_state(ProvisioningState.Succeeded), Window(), False, None),
        (FAILED, in_state(ProvisioningState.Updating), Window(), False, None),
        (RATE, GREEN, seen(100, 5), False, 5.0),
        (RATE, GREEN, seen(100, 6), True, 6.0),
        (RATE, GREEN, seen(ENOUGH - 1, ENOUGH - 1), False, None),
        (RATE, GREEN, seen(ENOUGH, ENOUGH), True, 100.0),
        (SLOW, GREEN, seen(100, p95=200.0), False, 200.0),
        (SLOW, GREEN, seen(100, p95=201.5), True, 201.5),
        (SLOW, GREEN, seen(0, p95=None), False, None),
    ],
)
def test_what_an_alert_says(alert: Alert, deployment: Deployment, window: Window, is_bad: bool, value: float | None):
    reading = read(alert, deployment, window)
    assert (reading.is_bad, reading.value, reading.deployment) == (is_bad, value, "green")


def test_each_attempt_that_fails_is_a_failure_of_its_own():
    first, second = (read(FAILED, in_state(ProvisioningState.Failed, each), Window()) for each in (1, 2))
    assert first.key != second.key
    assert read(RATE, in_state(ProvisioningState.Failed, 1), Window()).key == read(RATE, GREEN, Window()).key


def reading(is_bad: bool) -> Reading:
    return Reading(RATE, "green", "k", is_bad, 50.0)


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=30))
def test_an_excursion_ends_when_it_was_well_for_a_window_and_not_before(steps: list[tuple[bool, int]]):
    """Against a plain reading: a new one begins only after 60 s without anything bad."""
    at, known, ids, well_for, is_on, begun = AT, {}, [], 0.0, False, 0
    for is_bad, seconds in steps:
        at += timedelta(seconds=seconds)
        known = followed(known, [reading(is_bad)], at)
        ids += [each.id for each in known.values() if each.id not in ids]
        if is_bad:
            begun += not is_on
            is_on, well_for = True, -1.0
        elif is_on:
            well_for = 0.0 if well_for < 0 else well_for + seconds
            is_on = well_for < 60
        assert ("k" in known) is is_on
    assert len(ids) == begun


@pytest.mark.parametrize(
    ("excursion", "is_so"),
    [
        (Excursion("i", "t"), True),
        (Excursion("i", "t", told_at=str(iso(AT))), False),
        (Excursion("i", "t", claimed_until=str(iso(AT + CLAIM))), False),
        (Excursion("i", "t", claimed_until=str(iso(AT - timedelta(seconds=1)))), True),
    ],
)
def test_what_is_told_now(excursion: Excursion, is_so: bool):
    assert is_due(excursion, AT) is is_so


def test_what_is_not_there_any_more_is_forgotten():
    assert followed({"gone": Excursion(new_id(), str(iso(AT)))}, [], AT) == {}


@pytest.fixture
def kept() -> Iterator[Hook]:
    with hook() as made:
        yield made


def watched(stage: Stage, *wanted: dict[str, Any]) -> Alerts:
    stage.studio.settings.allowed_url_hosts = "127.0.0.1"
    opened(stage, blue=100, green=0)
    with stage.scope() as scope:
        alerts.put(scope, ENDPOINT, [Alert.model_validate(each) for each in wanted])
    return Alerts(stage.studio, waits=(0.01, 0.01))


def looked(worker: Alerts) -> None:
    worker.look()
    worker.settle(20)


def fail(stage: Stage, name: str, state: ProvisioningState = ProvisioningState.Failed) -> None:
    with stage.scope() as scope:
        row = scope.session.get_one(Deployment, deployment_of(stage, name).id)
        row.provisioning_state = state
        scope.session.add(row)


def test_a_failed_deployment_is_told_to_a_webhook_once(stage: Stage, kept: Hook):
    worker = watched(stage, {"name": "broken", "on": "failed", "webhook": kept.url})
    looked(worker)
    assert kept.got == []
    fail(stage, "green")
    looked(worker)
    looked(worker)
    looked(Alerts(stage.studio))  # another worker, or this one started again
    assert len(kept.got) == 1
    body = kept.got[0]
    assert body.pop("id")
    assert body.pop("at")
    assert body == {
        "schema": "atelier.alert/1",
        "name": "broken",
        "on": "failed",
        "workspace": "lab",
        "endpoint": "shop",
        "deployment": "green",
        "value": None,
        "threshold": None,
        "window": None,
        "text": "Deployment lab/shop/green failed.",
        "link": f"{stage.studio.settings.reached_at}/endpoint?ws=lab&name=shop",
    }
    assert told(stage)[-1] == f"Alert 'broken' was sent to {kept.host}"


def test_errors_and_slowness_are_told_with_their_figures(lite: Stage, kept: Hook):
    worker = watched(
        lite,
        {"name": "errors", "on": "error_rate", "threshold": 5, "webhook": kept.url},
        {"name": "slow", "on": "p95", "threshold": 300, "webhook": kept.url},
    )
    asked(lite, "blue", *[200] * 15, *[500] * 5, ms=900)
    looked(worker)
    bodies = {body["name"]: body for body in kept.got}
    assert bodies["errors"]["text"] == "25.0 % of the requests to lab/shop/blue failed, and 5 % may."
    assert (bodies["errors"]["value"], bodies["errors"]["threshold"], bodies["errors"]["window"]) == (25.0, 5.0, 60)
    assert 880 < bodies["slow"]["value"] < 920


def test_mail_is_sent_where_a_server_is_set(lite: Stage):
    with letterbox() as kept:
        lite.studio.settings.smtp_url, lite.studio.settings.smtp_from = kept.url, "studio@example.com"
        worker = watched(lite, {"name": "broken", "on": "failed", "mail": ["ops@example.com"]})
        fail(lite, "blue")
        looked(worker)
    assert "Subject: [atelier] broken: Deployment lab/shop/blue failed." in kept.letters[0]
    assert told(lite)[-1] == "Alert 'broken' was sent to ops@example.com"


def test_a_webhook_that_is_busy_is_tried_again(lite: Stage):
    with hook(503, 503, 200) as kept:
        worker = watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
        fail(lite, "blue")
        looked(worker)
        assert len(kept.got) == 3
        assert len({body["id"] for body in kept.got}) == 1
        assert told(lite)[-1] == f"Alert 'broken' was sent to {kept.host}"


def test_a_webhook_that_stays_away_is_given_up_and_told(lite: Stage):
    with hook(*[500] * 20) as kept:
        worker = watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
        fail(lite, "blue")
        looked(worker)
        looked(worker)
        assert len(kept.got) == 3
        assert told(lite)[-1] == f"Alert 'broken' could not be sent to {kept.host}: {kept.host} answered 500"


def test_a_webhook_that_refuses_is_not_tried_again(lite: Stage):
    with hook(404) as kept:
        worker = watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
        fail(lite, "blue")
        looked(worker)
        assert len(kept.got) == 1


def test_a_worker_that_died_before_sending_leaves_it_to_the_next(lite: Stage, kept: Hook):
    worker = watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
    fail(lite, "blue")
    key = f"broken/{deployment_of(lite, 'blue').id}/1"
    name = f"alerts/{endpoint_of(lite).id}"
    for until, count in ((now() + CLAIM, 0), (now() - CLAIM, 1)):
        excursion = {"id": "i", "since": iso(now()), "claimed_until": iso(until)}
        lite.studio.say(name, {key: excursion})
        looked(worker)
        assert len(kept.got) == count


def test_what_nobody_watches_any_more_is_forgotten(stage: Stage, kept: Hook):
    worker = watched(stage, {"name": "broken", "on": "failed", "webhook": kept.url})
    fail(stage, "blue")
    looked(worker)
    with stage.scope() as scope:
        alerts.put(scope, ENDPOINT, [])
    looked(worker)
    assert stage.studio.fact(f"alerts/{endpoint_of(stage).id}") is None


def test_the_whole_webhook_is_in_the_vault_alone(stage: Stage, kept: Hook):
    worker = watched(stage, {"name": "broken", "on": "failed", "webhook": kept.url})
    fail(stage, "blue")
    looked(worker)
    with stage.scope(stage.cleo, write=False) as scope:
        shown = alerts.listed(scope, ENDPOINT)[0].webhook
        rows = [*scope.session.exec(_all(Event)), *scope.session.exec(_all(Secret)), *scope.session.exec(_all(Fact))]
    assert shown == f"http://{kept.host}/…"
    for text in [*map(repr, rows), repr(endpoint_of(stage))]:
        assert "s3cret" not in text
        assert "t0ken" not in text


def _all(table: Any) -> Any:
    return select(table)


def test_a_webhook_given_as_it_is_shown_stays(lite: Stage, kept: Hook):
    worker = watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
    with lite.scope() as scope:
        shown = alerts.listed(scope, ENDPOINT)
        alerts.put(scope, ENDPOINT, [shown[0].model_copy(update={"name": "Broken", "window": 5})])
    fail(lite, "blue")
    looked(worker)
    assert kept.paths == ["/hook/s3cret?token=t0ken"]


def test_a_webhook_goes_with_its_alert(lite: Stage, kept: Hook):
    watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
    with lite.scope() as scope:
        alerts.put(scope, ENDPOINT, [])
        assert scope.session.exec(_all(Secret).where(Secret.name.contains("/alert/"))).all() == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wanted", "where", "says"),
    [
        ([{"name": "a", "webhook": "http://example.com/…"}], "alerts[0].webhook", "cut short"),
        ([{"name": "a", "mail": ["a@example.com"]}], "alerts[0].mail", "No mail can be sent"),
        ([{"name": "a", "webhook": "http://:80/x"}], "alerts[0].webhook", "not an http"),
        ([{"name": "a", "webhook": "http://a/x"}, {"name": "A", "webhook": "http://a/x"}], "alerts[1].name", "two"),
        ([{"name": " ", "webhook": "http://a/x"}], "alerts[0].name", "needs a name"),
        ([{"name": "a\u202e", "webhook": "http://a/x"}], "alerts[0].name", "not allowed"),
    ],
)
def test_an_alert_that_could_not_be_told_is_refused(lite: Stage, wanted: list[dict[str, Any]], where: str, says: str):
    opened(lite, blue=100)
    with lite.scope() as scope, pytest.raises(Invalid, match=says) as refused:
        alerts.put(scope, ENDPOINT, [Alert.model_validate({"on": "failed", **each}) for each in wanted])
    assert refused.value.where == where


@pytest.mark.parametrize("address", ["nobody", "a@b\r\nBcc: c@d", "a b@c.d", "@c.d", "a@", "a@b>", "a@-b.c", "<a@b.c>"])
def test_what_is_no_mail_address_is_refused(lite: Stage, address: str):
    lite.studio.settings.smtp_url = "smtp://localhost"
    opened(lite, blue=100)
    with lite.scope() as scope, pytest.raises(Invalid, match="not a mail address"):
        alerts.put(scope, ENDPOINT, [Alert(name="a", on="failed", mail=[address])])


def test_a_host_inside_of_the_network_is_refused_when_it_is_saved(lite: Stage):
    with pytest.raises(Invalid, match="inside of the network") as refused:
        alerts.checked(lite.studio, [Alert(name="a", on="failed", webhook="http://127.0.0.1:9/x")])
    assert (refused.value.where, "ATELIER_ALLOWED_URL_HOSTS" in (refused.value.hint or "")) == (
        "alerts[0].webhook",
        True,
    )
    lite.studio.settings.allowed_url_hosts = "127.0.0.1:9"
    alerts.checked(lite.studio, [Alert(name="a", on="failed", webhook="http://127.0.0.1:9/x")])


def test_readers_see_alerts_and_set_none(stage: Stage):
    opened(stage, blue=100)
    with stage.scope(stage.cleo) as scope:
        assert alerts.listed(scope, ENDPOINT) == []
        with pytest.raises(Denied):
            alerts.put(scope, ENDPOINT, [])


def test_a_lost_master_key_is_told_and_stops_no_other_alert(lite: Stage, kept: Hook):
    worker = watched(lite, {"name": "broken", "on": "failed", "webhook": kept.url})
    with lite.scope() as scope:
        secrets.purge(scope, f"endpoint/{endpoint_of(lite).id}/alert/broken")
    fail(lite, "blue")
    looked(worker)
    assert told(lite)[-1].startswith("Alert 'broken' could not be sent to its webhook")
