"""Workspaces over REST: from the first name to the purge; outsiders cannot tell whether one is there."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from services import jobs
from tests.api.conftest import House

WORKSPACES = "/api/v1/workspaces"


def test_a_workspace_from_its_name_to_its_purge(houses: House):
    ada = houses.bearer("ada")
    made = ada.post(WORKSPACES, json={"name": "vision", "tags": {"team": "a"}})
    assert (made.status_code, made.json()["display_name"], made.json()["tags"]) == (201, "vision", {"team": "a"})
    assert [each["name"] for each in ada.get(WORKSPACES).json()["value"]] == ["lab", "vision"]
    assert ada.post(f"{WORKSPACES}/vision/purge").status_code == 409
    assert ada.post(f"{WORKSPACES}/vision/recover").status_code == 409
    assert ada.delete(f"{WORKSPACES}/vision").json()["provisioning_state"] == "Deleting"
    assert ada.get(f"{WORKSPACES}/vision").status_code == 404
    assert [each["name"] for each in ada.get(WORKSPACES, params={"deleted": True}).json()["value"]] == ["vision"]
    again = ada.post(WORKSPACES, json={"name": "Vision"})
    assert (again.status_code, "recover" in again.json()["hint"]) == (409, True)
    assert ada.post(f"{WORKSPACES}/vision/recover").json()["deleted_at"] is None
    ada.delete(f"{WORKSPACES}/vision")
    assert ada.post(f"{WORKSPACES}/vision/purge").status_code == 202
    assert ada.get(WORKSPACES, params={"deleted": True}).json()["value"] == []


def test_deleting_cancels_what_runs(house: House):
    house.job("j1", over=False)
    ada = house.bearer("ada")
    ada.delete(f"{WORKSPACES}/lab")
    ada.post(f"{WORKSPACES}/lab/recover")
    with house.stage.scope() as scope:
        assert jobs.get(scope, "j1").desired == "cancel"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "-ab",
        "_ab",
        "a b",
        "ab/",
        "../ab",
        "ab\n",
        "é" * 3,
        "ab.c",
        "x" * 64,
        "health",
        "API",
        "static",
        "Login",
    ],
)
def test_names_follow_one_rule(shared: House, name: str):
    answer = shared.bearer("ada").post(WORKSPACES, json={"name": name})
    assert (answer.status_code, answer.json()["where"]) == (422, "name")


@pytest.mark.parametrize("name", ["lab", "LAB", "Lab"])
def test_names_collide_whatever_their_case(shared: House, name: str):
    assert shared.bearer("ada").post(WORKSPACES, json={"name": name}).status_code == 409
    assert shared.bearer("ada").get(f"{WORKSPACES}/{name}").json()["name"] == "lab"


def test_of_ten_at_once_one_is_made(houses: House):
    clients = [houses.bearer("ada") for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda client: client.post(WORKSPACES, json={"name": "race"}).status_code, clients))
    assert sorted(answers) == [201] + [409] * 9


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": "other"}, "name"),
        ({"id": "x"}, "id"),
        ({"created_by": "dan"}, "created_by"),
        ({"provisioning_state": "Deleting"}, "provisioning_state"),
        ({"revision": 9}, "revision"),
        ({"display_name": "x" * 256}, "display_name"),
        ({"display_name": "a\u202eb"}, "display_name"),
        ({"description": "x" * 10_001}, "description"),
        ({"tags": []}, "tags"),
        ({"tags": {"a": None}}, "tags.a"),
    ],
)
def test_only_what_may_change_changes(shared: House, change: dict[str, object], where: str):
    answer = shared.bearer("ada").patch(f"{WORKSPACES}/lab", json=change)
    assert (answer.status_code, answer.json()["where"]) == (422, where)


def test_a_change_counts_only_for_who_has_seen_the_latest(houses: House):
    ada = houses.bearer("ada")
    seen = {"If-Match": ada.get(f"{WORKSPACES}/lab").headers["etag"]}
    first = ada.patch(f"{WORKSPACES}/lab", json={"description": "one"}, headers=seen)
    late = ada.patch(f"{WORKSPACES}/lab", json={"description": "two"}, headers=seen)
    assert (first.status_code, late.status_code) == (200, 412)
    assert first.headers["etag"] == ada.get(f"{WORKSPACES}/lab").headers["etag"]


def test_outsiders_cannot_tell_what_is_there(shared: House):
    dan = shared.bearer("dan")
    there, nowhere = (dan.get(f"{WORKSPACES}/{name}") for name in ("lab", "nowhere"))
    assert (there.status_code, nowhere.status_code) == (404, 404)
    words = ("code", "detail", "hint", "title")
    assert [there.json().get(word) for word in words] == [
        (nowhere.json().get(word) or "").replace("nowhere", "lab") or None for word in words
    ]


def test_everybody_sees_their_own(shared: House):
    ada = shared.bearer("ada")
    ada.post(WORKSPACES, json={"name": "secret"})
    assert "secret" not in shared.bearer("ben").get(WORKSPACES).text
    assert shared.bearer("ben").get("/api/v1/whoami").json() == {
        "name": "ben", "display_name": "Ben", "kind": "user", "roles": ["Member"]
    }  # fmt: skip


def test_metrics_for_prometheus_are_for_who_may_read_everything(house: House):
    house.job("j1")
    text = house.bearer("ada").get("/metrics").text
    assert 'atelier_jobs{workspace="lab",status="Completed"} 1' in text
    assert house.bearer("ben").get("/metrics").status_code == 403


def test_the_interface_describes_itself(shared: House):
    said = shared.bearer("cleo").get("/api/v1/openapi.json").json()
    assert "/api/v1/workspaces/{ws}/jobs/{name}" in said["paths"]
    assert all(path.startswith("/api/v1/") for path in said["paths"])
    body = said["paths"]["/api/v1/workspaces/{ws}/jobs"]["post"]["requestBody"]
    assert "spec" in body["content"]["application/json"]["schema"]["properties"]
