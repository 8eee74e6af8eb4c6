"""Jobs over REST: submitted once, paged, changed by who has seen the latest, by role."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.conftest import HELLO, House

JOBS = "/api/v1/workspaces/lab/jobs"


def sent(name: str = "", **spec: Any) -> dict[str, Any]:
    return {"spec": {**HELLO, **({"name": name} if name else {}), **spec}}


def test_a_job_is_submitted_and_shown_as_the_cloud_shows_it(houses: House):
    client = houses.bearer("ben")
    answer = client.post(JOBS, json=sent("j1", tags={"a": "b"}, experiment_name="digits"))
    job = answer.json()
    assert answer.status_code == 201
    assert (job["name"], job["status"], job["experiment_name"], job["tags"]) == ("j1", "Queued", "digits", {"a": "b"})
    assert job["creation_context"]["created_by"] == "ben"
    assert job["services"]["Studio"]["endpoint"] == f"{houses.url}/job?ws=lab&job=j1"
    assert {**job, "warnings": []} == {**client.get(f"{JOBS}/j1").json(), "warnings": []}
    [event] = client.get(f"{JOBS}/j1/events").json()["value"]
    assert (event["by"], event["request_id"]) == ("ben", answer.headers["x-request-id"])


def test_values_of_secret_variables_are_masked(house: House):
    client = house.bearer("ben")
    job = client.post(JOBS, json=sent(environment_variables={"DB_PASSWORD": "hunter2", "EPOCHS": "3"})).json()
    assert job["environment_variables"] == {"DB_PASSWORD": "***", "EPOCHS": "3"}
    assert "hunter2" not in client.get(JOBS).text


def test_the_same_name_again_is_a_conflict(house: House):
    client = house.bearer("ben")
    assert client.post(JOBS, json=sent("j1")).status_code == 201
    answer = client.post(JOBS, json=sent("j1", command="echo else"))
    assert (answer.status_code, answer.json()["where"]) == (409, "name")


def test_a_request_sent_again_is_answered_again(houses: House):
    client = houses.bearer("ben")
    key = {"Idempotency-Key": "k1"}
    first, again = (client.post(JOBS, json=sent(), headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replay"] == "true"
    assert "idempotent-replay" not in first.headers
    assert len(client.get(JOBS).json()["value"]) == 1


def test_a_key_belongs_to_one_request_of_one_person_in_one_workspace(house: House):
    key = {"Idempotency-Key": "k1"}
    ben, ada = house.bearer("ben"), house.bearer("ada")
    ada.post("/api/v1/workspaces", json={"name": "other"})
    assert ben.post(JOBS, json=sent(), headers=key).status_code == 201
    other_body = ben.post(JOBS, json=sent(command="echo else"), headers=key)
    assert (other_body.status_code, other_body.json()["where"]) == (409, "Idempotency-Key")
    assert ada.post(JOBS, json=sent(), headers=key).status_code == 201
    assert ada.post(JOBS.replace("lab", "other"), json=sent(), headers=key).status_code == 409
    assert ben.post(JOBS, json=sent(), headers={"Idempotency-Key": "k" * 201}).status_code == 422


def test_who_may_not_submit_any_more_gets_no_old_answer(house: House):
    client = house.bearer("ben")
    key = {"Idempotency-Key": "k1"}
    assert client.post(JOBS, json=sent(), headers=key).status_code == 201
    house.grant("ben", "Reader")
    assert client.post(JOBS, json=sent(), headers=key).status_code == 403


@pytest.mark.parametrize("key", ["", "k1"])
def test_fifty_at_once_make_one_job(houses: House, key: str):
    """Of the same name, with a key or without: one is made, and nobody sees a fault of ours."""
    clients = [houses.bearer("ben") for _ in range(8)]
    headers = {"Idempotency-Key": key} if key else {}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: clients[n % 8].post(JOBS, json=sent("j1"), headers=headers), range(50)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {201, 409}
    assert statuses.count(201) == 1 or key
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert all(job == made[0] for job in made)
    assert [job["name"] for job in clients[0].get(JOBS).json()["value"]] == ["j1"]


def test_pages_hold_every_job_once(houses: House):
    names = [f"j{number}" for number in range(7)]
    for name in names:
        houses.job(name, over=False)
    client = houses.bearer("cleo")
    for order, expected in (("name", names), ("-created_at", names[::-1]), ("status", None)):
        found, cursor, pages = [], "", 0
        while cursor or not pages:
            page = client.get(JOBS, params={"limit": 3, "cursor": cursor, "order_by": order}).json()
            found += [job["name"] for job in page["value"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert pages == 3
        assert sorted(found) == names
        assert expected in (None, found)


def test_filters_say_which(house: House):
    for name, who, over in (("one", "ben", True), ("two", "ada", False), ("three", "ben", False)):
        house.job(name, who=who, over=over)
    client = house.bearer("cleo")
    client_finds = lambda **query: [job["name"] for job in client.get(JOBS, params=query).json()["value"]]  # noqa: E731
    assert client_finds(status="Completed") == ["one"]
    assert client_finds(status=["Completed", "Queued"], order_by="name") == ["one", "three", "two"]
    assert client_finds(created_by="ada") == ["two"]
    assert client_finds(search="THR") == ["three"]
    assert client_finds(experiment_name="none") == []


def test_a_change_counts_only_for_who_has_seen_the_latest(houses: House):
    houses.job("j1")
    client = houses.bearer("ben")
    seen = client.get(f"{JOBS}/j1").headers["etag"]
    first = client.patch(f"{JOBS}/j1", json={"display_name": "one"}, headers={"If-Match": seen})
    late = client.patch(f"{JOBS}/j1", json={"display_name": "two"}, headers={"If-Match": seen})
    assert (first.status_code, late.status_code, late.json()["code"]) == (200, 412, "PreconditionFailed")
    assert client.get(f"{JOBS}/j1").json()["display_name"] == "one"
    assert first.headers["etag"] == client.get(f"{JOBS}/j1").headers["etag"]
    assert client.delete(f"{JOBS}/j1", headers={"If-Match": seen}).status_code == 412
    for wanted in ("*", "W/{}", "{}"):
        headers = {"If-Match": wanted.format(client.get(f"{JOBS}/j1").headers["etag"])}
        assert client.patch(f"{JOBS}/j1", json={"starred": True}, headers=headers).status_code == 200
    assert client.patch(f"{JOBS}/j1", json={"starred": True}).status_code == 200


def test_of_two_at_once_who_have_seen_the_same_one_wins(houses: House):
    houses.job("j1")
    clients = [houses.bearer("ben") for _ in range(8)]
    seen = clients[0].get(f"{JOBS}/j1").headers["etag"]
    change = lambda n: clients[n].patch(f"{JOBS}/j1", json={"display_name": str(n)}, headers={"If-Match": seen})  # noqa: E731
    with ThreadPoolExecutor(8) as pool:
        answers = [answer.status_code for answer in pool.map(change, range(8))]
    assert sorted(answers) == [200] + [412] * 7


@pytest.mark.parametrize("field", ["status", "name", "created_by", "id", "revision", "command"])
def test_only_what_may_change_changes(house: House, field: str):
    house.job("j1")
    answer = house.bearer("ben").patch(f"{JOBS}/j1", json={field: "x"})
    assert (answer.status_code, answer.json()["where"]) == (422, field)


def test_null_leaves_a_field_alone_and_empty_clears_it(house: House):
    house.job("j1")
    client = house.bearer("ben")
    client.patch(f"{JOBS}/j1", json={"description": "x", "tags": {"a": "b"}})
    assert client.patch(f"{JOBS}/j1", json={"description": None}).json()["description"] == "x"
    changed = client.patch(f"{JOBS}/j1", json={"description": "", "tags": {}}).json()
    assert (changed["description"], changed["tags"]) == ("", {})


def test_a_job_lives_and_ends(house: House):
    client = house.bearer("ben")
    house.job("j1", over=False)
    assert client.delete(f"{JOBS}/j1").status_code == 409
    assert [client.post(f"{JOBS}/j1/cancel").status_code for _ in range(2)] == [202, 202]
    house.job("j2")
    assert client.post(f"{JOBS}/j2/cancel").status_code == 409
    assert client.post(f"{JOBS}/j2/archive").json()["archived"]
    assert [job["name"] for job in client.get(JOBS).json()["value"]] == ["j1"]
    assert not client.post(f"{JOBS}/j2/restore").json()["archived"]
    assert client.delete(f"{JOBS}/j2").status_code == 204
    assert client.get(f"{JOBS}/j2").status_code == 404


def test_a_job_of_another_workspace_is_not_found(house: House):
    client = house.bearer("ada")
    client.post("/api/v1/workspaces", json={"name": "other"})
    house.job("j1")
    for path in ("", "/log", "/files", "/events", "/metrics", "/files/user_logs/std_log.txt"):
        assert client.get(f"{JOBS}/j1{path}".replace("lab", "other")).status_code == 404, path
        assert client.get(f"{JOBS}/j1{path}").status_code == 200, path
    other = JOBS.replace("lab", "other")
    assert client.post(f"{other}/j1/cancel").status_code == 404
    assert client.delete(f"{other}/j1").status_code == 404
