"""Environments over REST: versions that never change, builds and their logs."""

from typing import Any

import pytest

from services import environments
from services.store.rows import Build, Job
from tests.api.conftest import House

PATH = "/api/v1/workspaces/lab/environments"


def spec(image: str = "debian:12", **changes: object) -> dict[str, object]:
    return {"spec": {"name": "env", "image": image, **changes}}


def _desired(house: House) -> str:
    with house.stage.scope(write=False) as scope:
        found = environments.build_of(scope, environments.get(scope, "env", "1"))
        assert found is not None
        return found.desired


def built(house: House, status: str, log: bytes, **facts: Any) -> None:
    """As if the worker had built version 1."""
    with house.stage.scope() as scope:
        row = environments.get(scope, "env", "1")
        build = Build(workspace_id=house.stage.lab.id, engine="docker", hash=row.hash, status=status, **facts)
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


def test_a_build_is_asked_for_and_given_up(house: House):
    client = house.bearer("ben")
    client.post(PATH, json=spec())
    assert client.post(f"{PATH}/env/versions/1/build").status_code == 409, "no worker has said what it builds with"
    house.stage.studio.say("engine", {"kind": "docker"})
    assert client.post(f"{PATH}/env/versions/1/build/cancel").status_code == 409
    assert client.post(f"{PATH}/env/versions/latest/build").json()["build_status"] == "Queued"
    assert client.post(f"{PATH}/env/versions/1/build").status_code == 409
    assert client.post(f"{PATH}/env/versions/1/build/cancel").status_code == 202


def test_a_build_is_asked_for_again_when_it_is_over(house: House):
    client = house.bearer("ben")
    client.post(PATH, json=spec())
    built(house, "Failed", b"no such package\n")
    assert client.post(f"{PATH}/env/versions/1/build").json()["build_status"] == "Queued"
    assert client.post(f"{PATH}/env/versions/1/build").status_code == 409


def test_why_a_build_failed_is_said_with_its_line_and_a_remedy(house: House):
    client = house.bearer("cleo")
    house.bearer("ben").post(PATH, json=spec())
    address = f"{PATH}/env/versions/1/diagnosis"
    assert client.get(address).json() is None
    built(house, "Failed", b"a\nERROR: No matching distribution found for nope==1\nb\n")
    said = client.get(address).json()
    assert (said["code"], said["number"]) == ("NoVersion", 2)
    assert "nope==1" in said["line"]
    assert said["remedy"]


def test_what_is_installed_is_a_requirements_file(house: House):
    client = house.bearer("cleo")
    house.bearer("ben").post(PATH, json=spec())
    built(house, "Succeeded", b"", packages=["numpy==1.26.4", "six==1.16.0"], digest="sha256:abc")
    answer = client.get(f"{PATH}/env/versions/1/packages")
    assert answer.text == "numpy==1.26.4\nsix==1.16.0\n"
    assert client.get(f"{PATH}/env/versions/1").json()["packages"] == ["numpy==1.26.4", "six==1.16.0"]
    job = house.job()
    assert client.get(f"{PATH}/jobs/{job.name}/packages").status_code == 404
    with house.stage.scope() as scope:
        scope.session.get_one(Job, job.id).resolved = {"digest": "sha256:abc"}
    environments.write_lock(house.stage.studio, house.stage.lab.id, "sha256:abc", ["six==1.16.0"])
    assert client.get(f"{PATH}/jobs/{job.name}/packages").text == "six==1.16.0\n"


@pytest.mark.parametrize("digest", ["sha256:../../../token", "../token", "sha256:a/b", ""])
def test_a_digest_never_leads_out_of_the_folder_of_locks(shared: House, digest: str):
    job = shared.job(f"odd-{abs(hash(digest))}")
    with shared.stage.scope() as scope:
        scope.session.get_one(Job, job.id).resolved = {"digest": digest}
    assert shared.bearer("ben").get(f"{PATH}/jobs/{job.name}/packages").status_code == 404


def test_the_clouds_curated_ones_are_listed_by_their_names(shared: House):
    found = {each["name"]: each for each in shared.bearer("cleo").get(f"{PATH}/curated").json()["value"]}
    assert "azureml:AzureML-sklearn-1.5@latest" in found["sklearn-1.5"]["references"]
    assert found["sklearn-1.5"]["conda_file"]["dependencies"]


def test_room_is_made_after_a_look_at_what_would_go(house: House):
    ben, cleo = house.bearer("ben"), house.bearer("cleo")
    ben.post(PATH, json=spec())
    built(house, "Succeeded", b"", image="atelier/env-x:1", size=5_000_000)
    assert cleo.get(f"{PATH}/disk").json()["images"][0]["why"] == "'env:1' is not archived"
    assert (cleo.get(f"{PATH}/disk").json()["total"], cleo.get(f"{PATH}/disk").json()["reclaimable"]) == (5_000_000, 0)
    ben.post(f"{PATH}/env/versions/1/archive")
    assert cleo.get(f"{PATH}/disk").json()["reclaimable"] == 5_000_000
    assert cleo.post(f"{PATH}/prune", json={}).status_code == 403
    shown = ben.post(f"{PATH}/prune", json={}).json()
    assert (shown["total"], shown["dry_run"]) == (5_000_000, True)
    assert _desired(house) == "build"
    ben.post(f"{PATH}/prune", json={"dry_run": False})
    assert _desired(house) == "discard"


def test_a_build_context_is_read_file_by_file_and_never_outside(house: House):
    context = "a" * 64
    folder = house.stage.studio.folders.snapshot(house.stage.lab.id, context)
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM python:3.11\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "requirements.txt").write_text("six\n")
    (folder / "out").symlink_to("/etc/passwd")
    body = {"spec": {"name": "env", "build": {"path": "."}}, "context": context}
    assert house.bearer("ben").post(PATH, json=body).status_code == 201
    client, address = house.bearer("cleo"), f"{PATH}/env/versions/1/context"
    assert [each["path"] for each in client.get(address).json()["value"]] == ["Dockerfile", "sub/requirements.txt"]
    assert client.get(f"{address}/sub/requirements.txt").text == "six\n"
    for path in ("out", "..%2f..%2ftoken", "%2e%2e/%2e%2e/token", "/etc/passwd", "sub", "nothere", "sub%00"):
        answer = client.get(f"{address}/{path}")
        assert answer.status_code in {400, 404, 422}, path
        assert "root:" not in answer.text


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
