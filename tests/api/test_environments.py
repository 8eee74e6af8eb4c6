"""Environments over REST: versions that never change, builds and their logs."""

import pytest

from services import environments
from services.store.rows import Build
from tests.api.conftest import House

PATH = "/api/v1/workspaces/lab/environments"


def spec(image: str = "debian:12", **changes: object) -> dict[str, object]:
    return {"spec": {"name": "env", "image": image, **changes}}


def built(house: House, status: str, log: bytes) -> None:
    """As if the worker had built version 1."""
    with house.stage.scope() as scope:
        row = environments.get(scope, "env", "1")
        build = Build(workspace_id=house.stage.lab.id, engine="docker", hash=row.hash, status=status)
        scope.session.add(build)
    path = house.stage.studio.folders.build_log(build.workspace_id, build.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(log)


def test_versions_count_up_and_stay_what_they_are(houses: House):
    client = houses.bearer("ben")
    assert [client.post(PATH, json=spec(image)).json()["version"] for image in ("a", "b")] == ["1", "2"]
    same = client.post(PATH, json=spec("a", version="1"))
    other = client.post(PATH, json=spec("c", version="1"))
    assert (same.status_code, other.status_code) == (201, 409)
    assert [each["version"] for each in client.get(f"{PATH}/env/versions").json()["value"]] == ["2", "1"]
    assert client.get(f"{PATH}/env/versions/latest").json()["image"] == "b"
    assert client.get(f"{PATH}/env/versions/3").status_code == 404
    assert [each["version"] for each in client.get(PATH).json()["value"]] == ["2"]


def test_an_archived_one_is_hidden_and_comes_back(house: House):
    client = house.bearer("ben")
    client.post(PATH, json=spec())
    assert client.post(f"{PATH}/env/versions/1/archive").json()["archived"]
    assert client.get(PATH).json()["value"] == []
    assert len(client.get(PATH, params={"include_archived": True}).json()["value"]) == 1
    assert not client.post(f"{PATH}/env/versions/1/restore").json()["archived"]
    assert [each["name"] for each in client.get(PATH, params={"search": "EN"}).json()["value"]] == ["env"]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"spec": {}},
        {"spec": {"name": "env"}},
        {"spec": {"image": "debian:12"}},
        spec("; rm -rf /"),
        spec("Debian:12"),
        spec("a:" + "x" * 300),
        spec(name="../env"),
        spec(name="env\n"),
        spec(conda_file="conda.yml"),
        spec(colour="red"),
        {**spec(), "context": 1},
    ],
)
def test_what_cannot_be_an_environment_is_refused(shared: House, sent: dict[str, object]):
    answer = shared.bearer("ben").post(PATH, json=sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "Invalid")


def test_a_build_is_asked_for_again_when_it_is_over(house: House):
    client = house.bearer("ben")
    client.post(PATH, json=spec())
    assert client.post(f"{PATH}/env/versions/1/build").status_code == 409
    built(house, "Failed", b"no such package\n")
    assert client.post(f"{PATH}/env/versions/1/build").json()["build_status"] == "Queued"
    assert client.post(f"{PATH}/env/versions/1/build").status_code == 409


def test_a_build_log_is_read_by_offset(house: House):
    client = house.bearer("cleo")
    house.bearer("ben").post(PATH, json=spec())
    address = f"{PATH}/env/versions/1/build-log"
    assert client.get(address).status_code == 404
    built(house, "Succeeded", b"one\ntwo\n")
    whole, rest = client.get(address), client.get(address, params={"offset": 4})
    assert (whole.content, whole.headers["x-log-offset"], whole.headers["x-log-end"]) == (b"one\ntwo\n", "8", "true")
    assert (rest.content, rest.headers["x-log-offset"]) == (b"two\n", "8")
    for offset in (9, 1 << 62, 1 << 70, -1, "x"):
        answer = client.get(address, params={"offset": offset})
        assert (answer.status_code, answer.json()["where"]) == (422, "offset")
