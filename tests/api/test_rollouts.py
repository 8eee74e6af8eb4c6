"""Rollouts and alerts over REST: started, moved, turned back; a webhook goes in and does not come out."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import House
from tests.rolling import endpoint_of, opened

HERE = "/api/v1/workspaces/lab/online-endpoints/shop"


@pytest.fixture
def ben(house: House) -> httpx.Client:
    opened(house.stage, blue=100, green=0)
    return house.bearer("ben")


def started(ben: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = ben.post(f"{HERE}/rollouts", json={"deployment": "green", **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_rollout_is_started_shown_and_promoted(house: House, ben: httpx.Client):
    row = started(ben, steps=[10, 100])
    assert endpoint_of(house.stage).traffic == {"blue": 90, "green": 10}
    assert ben.get(f"{HERE}/rollouts/{row['id']}").json() == row
    assert [each["id"] for each in ben.get(f"{HERE}/rollouts").json()["value"]] == [row["id"]]
    assert ben.post(f"{HERE}/rollouts/promote", json={}).json()["percent"] == 100
    assert ben.post(f"{HERE}/rollouts/promote", json={"full": True}).json()["state"] == "Succeeded"


def test_one_click_brings_it_back(house: House, ben: httpx.Client):
    started(ben)
    answer = ben.post(f"{HERE}/rollback")
    assert answer.json()["traffic"] == {"blue": 100, "green": 0}
    assert ben.get(f"{HERE}/rollouts").json()["value"][0]["state"] == "RolledBack"
    assert ben.post(f"{HERE}/rollback").status_code == 409


def test_canceling_leaves_the_traffic(house: House, ben: httpx.Client):
    started(ben)
    assert ben.post(f"{HERE}/rollouts/cancel").json()["state"] == "Canceled"
    assert endpoint_of(house.stage).traffic == {"blue": 90, "green": 10}
    assert ben.post(f"{HERE}/rollouts/cancel").status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"deployment": "nobody"}, 404),
        ({"deployment": "green", "steps": [50, 10, 100]}, 422),
        ({"deployment": "green", "percent": 0}, 422),
        ({"deployment": "green", "bake_seconds": 0}, 422),
        ({"deployment": "green", "alarms": {"window": -1}}, 422),
        ({"deployment": "green", "state": "Succeeded"}, 422),
        ({}, 422),
    ],
)
def test_what_cannot_be_is_refused(house: House, ben: httpx.Client, body: dict[str, Any], status: int):
    answer = ben.post(f"{HERE}/rollouts", json=body)
    assert answer.status_code == status, answer.text


def test_a_webhook_goes_in_and_does_not_come_out(house: House, ben: httpx.Client):
    house.stage.studio.settings.allowed_url_hosts = "hooks.example.com"
    sent = {"name": "x", "on": "failed", "webhook": "https://hooks.example.com/T0/s3cret"}
    answer = ben.put(f"{HERE}/alerts", json={"alerts": [sent]})
    assert answer.json()["value"][0]["webhook"] == "https://hooks.example.com/…"
    for who in ("ada", "ben", "cleo"):
        said = house.bearer(who).get(f"{HERE}/alerts")
        assert said.status_code == 200
        assert "s3cret" not in said.text
    assert ben.put(f"{HERE}/alerts", json={"alerts": answer.json()["value"]}).status_code == 200


def test_a_webhook_inside_of_the_network_is_refused(house: House, ben: httpx.Client):
    wanted = [{"name": "x", "on": "failed", "webhook": "http://169.254.169.254/latest"}]
    answer = ben.put(f"{HERE}/alerts", json={"alerts": wanted})
    assert (answer.status_code, answer.json()["where"]) == (422, "alerts[0].webhook")
    assert house.bearer("cleo").put(f"{HERE}/alerts", json={"alerts": wanted}).status_code == 403
    assert house.bearer("dan").put(f"{HERE}/alerts", json={"alerts": wanted}).status_code == 404


def test_mail_without_a_server_is_refused_with_a_hint(house: House, ben: httpx.Client):
    answer = ben.put(f"{HERE}/alerts", json={"alerts": [{"name": "x", "on": "failed", "mail": ["a@example.com"]}]})
    assert answer.status_code == 422
    assert "ATELIER_SMTP_URL" in answer.json()["hint"]
