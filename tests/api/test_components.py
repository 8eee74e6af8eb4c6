"""Components over REST: sent, shown so that they make equal ones, and used as jobs."""

from typing import Any

import pytest

from services import lineage
from tests.api.conftest import House

PATH = "/api/v1/workspaces/lab/components"


def spec(**changes: Any) -> dict[str, Any]:
    written = {
        "name": "train",
        "command": "python train.py $[[--epochs ${{inputs.epochs}}]] --kind ${{inputs.kind}}",
        "environment": {"image": "debian:12"},
        "inputs": {
            "epochs": {"type": "integer", "optional": True, "max": 9},
            "kind": {"type": "string", "default": "svc"},
        },
        "outputs": {"model": {"type": "uri_folder"}},
    }
    return {"spec": {**written, **changes}}


def test_versions_count_up_and_stay_what_they_are(houses: House):
    client = houses.bearer("ben")
    answers = [client.post(PATH, json=spec(command=f"echo {word}")) for word in ("a", "b")]
    assert [answer.json()["version"] for answer in answers] == ["1", "2"]
    assert client.post(PATH, json=spec(command="echo a", version="1")).status_code == 201
    assert client.post(PATH, json=spec(command="echo c", version="1")).status_code == 409
    assert client.get(f"{PATH}/train/versions/latest").json()["command"] == "echo b"


def test_what_is_shown_makes_an_equal_one(houses: House):
    houses.assets()
    client = houses.bearer("ben")
    client.post(PATH, json=spec())
    for name in ("train", "j1"):
        shown = client.get(f"{PATH}/{name}/versions/1").json()
        again = client.post(PATH, json={"spec": shown})
        assert (again.status_code, again.json()) == (201, shown)


def test_code_is_listed_and_read(house: House):
    house.assets()
    client = house.bearer("cleo")
    at = f"{PATH}/j1/versions/latest/code"
    assert client.get(at).json()["value"] == [{"path": "user_logs/std_log.txt", "size": 4}]
    assert client.get(f"{at}/user_logs/std_log.txt").content == b"one\n"
    assert client.get(f"{at}/user_logs/std_log.txt", headers={"Range": "bytes=1-"}).content == b"ne\n"
    assert client.get(f"{at}/%2e%2e/%2e%2e/etc/passwd").status_code in {404, 422}
    assert client.get(f"{at}/nothing").status_code == 404


def test_a_component_is_used_as_a_job_and_both_know_of_it(houses: House):
    client = houses.bearer("ben")
    client.post(PATH, json=spec())
    plain = client.post(f"{PATH}/train/versions/1/jobs", json={}).json()
    full = client.post(
        f"{PATH}/train/versions/latest/jobs",
        json={"inputs": {"epochs": "3"}, "job": {"display_name": "three", "experiment_name": "tries"}},
    ).json()
    assert plain["command"].split() == ["python", "train.py", "--kind", "${{inputs.kind}}"]
    assert full["command"].split()[2:4] == ["--epochs", "${{inputs.epochs}}"]
    assert (full["inputs"], full["display_name"]) == ({"epochs": 3, "kind": "svc"}, "three")
    uses = client.get(f"{PATH}/train/versions/1/uses").json()["value"]
    assert {use["name"] for use in uses} == {plain["name"], full["name"]}
    assert client.delete(f"{PATH}/train/versions/1").status_code == 409
    around = client.get(f"/api/v1/workspaces/lab/lineage/job/{full['name']}").json()
    assert {node["kind"] for node in around["nodes"]} == {"job", "component", "environment"}
    assert [edge["role"] for edge in around["edges"] if edge["source"].startswith("component/")] == ["component"]


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"inputs": {"epochs": 10}}, "inputs.epochs"),
        ({"inputs": {"other": 1}}, "inputs.other"),
        ({"outputs": {"other": {}}}, "outputs.other"),
        ({"job": {"comand": "x"}}, "comand"),
        ({"job": {"inputs": {}}}, "job.inputs"),
        ({"job": {"command": "rm"}}, "job.command"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_values_that_cannot_be_are_said(shared: House, sent: dict[str, Any], where: str):
    client = shared.bearer("ben")
    client.post(PATH, json=spec())
    answer = client.post(f"{PATH}/train/versions/1/jobs", json=sent)
    assert (answer.status_code, answer.json()["where"]) == (422, where)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"spec": {}},
        {"spec": []},
        spec(type="spark"),
        spec(inputs={"x": {"type": "integer", "min": 9, "max": 1}}),
        spec(command="echo ${{inputs.nobody}}"),
        spec(code="./src"),
        spec(name="Train It"),
    ],
)
def test_what_is_no_component_is_refused(shared: House, sent: dict[str, Any]):
    answer = shared.bearer("ben").post(PATH, json=sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "Invalid")


def test_one_without_a_name_is_kept_by_its_content(house: House):
    client = house.bearer("ben")
    body = spec(name=None)
    assert client.post(PATH, json=body).status_code == 422
    made = [client.post(PATH, json={**body, "is_anonymous": True}).json()["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert client.get(PATH).json()["value"] == []


def test_lineage_says_what_cannot_be_asked(house: House):
    house.job("j1")
    client = house.bearer("cleo")
    here = "/api/v1/workspaces/lab/lineage"
    assert client.get(f"{here}/banana/j1").json()["where"] == "kind"
    assert client.get(f"{here}/job/nobody").status_code == 404
    assert client.get(f"{here}/job/j1", params={"levels": 99}).json()["where"] == "levels"
    assert client.get(f"{here}/job/j1", params={"direction": "left"}).status_code == 422
    assert client.get(f"{here}/uri/https://host/a/b.csv").json()["nodes"][0]["label"] == "b.csv"
    assert lineage.LEVELS == 3


def test_two_jobs_are_compared(houses: House):
    client = houses.bearer("ben")
    for name, word in (("one", "a"), ("two", "b")):
        job = {"command": f"echo {word}", "environment": {"image": "debian:12"}, "name": name}
        assert client.post("/api/v1/workspaces/lab/jobs", json={"spec": job}).status_code == 201
    here = "/api/v1/workspaces/lab/lineage/jobs"
    changes = client.get(f"{here}/one/compare/two").json()["changes"]
    assert changes == {"command": [{"name": "command", "before": "echo a", "after": "echo b"}]}
    assert client.get(f"{here}/one/compare/one").json()["changes"] == {}
    assert client.get(f"{here}/one/compare/nobody").status_code == 404
