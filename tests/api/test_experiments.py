"""Experiments over REST: the newest first, their runs by page, nothing of other workspaces."""

import pytest

from services import jobs
from services.specs.jobs import CommandJob
from tests.api.conftest import HELLO, House

PATH = "/api/v1/workspaces/lab/experiments"


def submitted(house: House, name: str, experiment: str, workspace: str = "lab") -> None:
    with house.stage.scope(workspace=workspace) as scope:
        spec = {**HELLO, "name": name, "experiment_name": experiment}
        jobs.submit(scope, CommandJob.model_validate(spec))


def test_the_one_used_last_comes_first(houses: House):
    for name, experiment in (("j1", "digits"), ("j2", "wine"), ("j3", "digits")):
        submitted(houses, name, experiment)
    client = houses.bearer("cleo")
    found = client.get(PATH).json()["value"]
    assert [(each["name"], each["jobs"], each["latest_job"]) for each in found] == [
        ("digits", 2, "j3"),
        ("wine", 1, "j2"),
    ]
    assert [each["name"] for each in client.get(PATH, params={"search": "IN"}).json()["value"]] == ["wine"]
    assert client.get(f"{PATH}/wine").json()["jobs"] == 1


def test_names_are_free_text_but_for_slashes(house: House):
    for number, name in enumerate(("two words", "é 漢 🦊", "50%", "a?b#c", "..", ".")):
        submitted(house, f"j{number}", name)
    client = house.bearer("cleo")
    names = {each["name"] for each in client.get(PATH).json()["value"]}
    assert names == {"two words", "é 漢 🦊", "50%", "a?b#c", "..", "."}
    assert client.get(f"{PATH}/50%25").json()["name"] == "50%"
    assert client.get(f"{PATH}/a%3Fb%23c").json()["name"] == "a?b#c"


@pytest.mark.parametrize("path", ["nothing", "nothing/runs", "Digits", "digits%20", "digits/jobs"])
def test_what_is_not_there_is_not_found(house: House, path: str):
    submitted(house, "j1", "digits")
    assert house.bearer("cleo").get(f"{PATH}/{path}").status_code == 404


def test_another_workspaces_experiments_are_not_here(house: House):
    house.bearer("ada").post("/api/v1/workspaces", json={"name": "other"})
    submitted(house, "j1", "hidden", "other")
    client = house.bearer("cleo")
    assert client.get(PATH).json()["value"] == []
    assert client.get(f"{PATH}/hidden").status_code == 404
    assert client.get(f"{PATH}/hidden/runs").status_code == 404
    assert client.get("/api/v1/workspaces/other/experiments").status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "offset=x", "descending=perhaps"])
def test_numbers_out_of_range_are_refused(shared: House, query: str):
    answer = shared.bearer("cleo").get(f"{PATH}/Default/runs?{query}")
    assert (answer.status_code, answer.json()["where"]) == (422, query.partition("=")[0])
