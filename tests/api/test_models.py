"""Models over REST: created, shown, read, approved, compared; and paths that want to get out of them."""

import hashlib
import io
import zipfile
from urllib.parse import quote

import httpx
import pytest

from tests.api.conftest import House, announced, raw

MODELS = "/api/v1/workspaces/lab/models"
MLMODEL = b"flavors:\n  sklearn:\n    sklearn_version: 1.5.0\n"
CANARY = b"canary-that-nobody-reads"
OUT = (
    "../canary", "../../canary", "../../../../canary", "..\\canary", "..\\..\\canary", "/etc/passwd", "//etc/passwd",
    "data/../../canary", "./../canary", "....//canary", "..;/canary", "..%00/canary", "MLmodel/../../canary",
    "C:\\canary", "away", "home/canary", "file:///etc/passwd", "\u2025/canary", "..%c0%afcanary", "link",
    "folder/canary", "MLmodel\0.txt",
)  # fmt: skip
INSIDE = {"link", "folder/canary"}  # of the same datastore: a model of its own may lie there


def sent(client: httpx.Client, contents: dict[str, bytes]) -> str:
    """Announced, streamed and sealed."""
    entries = [announced(path, content) for path, content in contents.items()]
    state = client.post("/api/v1/workspaces/lab/uploads", json={"kind": "data", "entries": entries}).json()
    if not state["complete"]:
        body = b"".join(contents[each["path"]] for each in state["missing"])
        client.put(f"/api/v1/workspaces/lab/uploads/{state['id']}/content", content=body)
        client.post(f"/api/v1/workspaces/lab/uploads/{state['id']}/seal")
    return f"azureml://uploads/{state['id']}/"


def created(client: httpx.Client, name: str = "iris", **fields: object) -> httpx.Response:
    path = fields.pop("path", None) or sent(client, {"MLmodel": MLMODEL, "data/model.pkl": b"x" * 100})
    return client.post(MODELS, json={"spec": {"name": name, "path": path, **fields}})


def test_a_model_is_made_shown_read_and_approved(houses: House):
    ben = houses.bearer("ben")
    answer = created(ben, description="petals", tags={"team": "x"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["version"], made["type"], made["facts"]["size"]) == ("1", "mlflow_model", len(MLMODEL) + 100)
    assert ben.get(f"{MODELS}/iris/versions/1").json() == made
    files = ben.get(f"{MODELS}/iris/versions/latest/files").json()["value"]
    assert [each["path"] for each in files] == ["MLmodel", "data/model.pkl"]
    got = ben.get(f"{MODELS}/iris/versions/1/files/data/model.pkl", headers={"Range": "bytes=0-9"})
    assert (got.status_code, got.content) == (206, b"x" * 10)
    approved = ben.post(f"{MODELS}/iris/versions/1/approve", json={"note": "tried"}).json()
    assert (approved["facts"]["approval"]["by"], approved["facts"]["approval"]["note"]) == ("ben", "tried")
    assert houses.bearer("cleo").post(f"{MODELS}/iris/versions/1/approve", json={}).status_code == 403


def test_what_is_shown_may_be_sent_again(house: House):
    ben = house.bearer("ben")
    made = created(ben, stage="Production").json()
    again = ben.post(MODELS, json={"spec": made})
    assert (again.status_code, again.json()["id"]) == (201, made["id"])
    other = ben.post(MODELS, json={"spec": {**made, "name": "elsewhere"}}).json()
    assert {key: other[key] for key in ("type", "path", "stage", "tags")} == {
        key: made[key] for key in ("type", "path", "stage", "tags")
    }
    assert ben.post(MODELS, json={"spec": {**made, "colour": "red"}}).status_code == 422


def test_versions_are_compared(house: House):
    ben = house.bearer("ben")
    created(ben)
    created(ben, path=sent(ben, {"MLmodel": MLMODEL}))
    one, two = ben.get(f"{MODELS}/iris/compare", params={"versions": "1,2"}).json()["value"]
    assert set(one["files"]) - set(two["files"]) == {"data/model.pkl"}
    assert ben.get(f"{MODELS}/iris/compare", params={"versions": "1,9"}).status_code == 404
    assert ben.get(f"{MODELS}/iris/compare", params={"versions": ""}).status_code == 422


def test_all_of_it_comes_down_as_one_archive(house: House):
    created(house.bearer("ben"))
    answer = house.browser("cleo").get("/files/model-archive/lab/iris", params={"version": "1"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["MLmodel", "data/model.pkl"]
        assert archive.read("MLmodel") == MLMODEL


def test_no_path_leads_out_of_a_model(house: House):
    """Raw, and quoted once, twice and three times; by REST, by the browser's route, and where it is created."""
    ben, browser = house.bearer("ben"), house.browser("ben")
    folder = house.stage.studio.folders.datastore(house.stage.lab.id, "workspaceblobstore")
    (folder / "m" / "data").mkdir(parents=True)
    (folder / "m" / "MLmodel").write_bytes(MLMODEL)
    for place in (folder / "canary", folder.parent / "canary", house.stage.studio.settings.home / "canary"):
        place.write_bytes(CANARY)
    (folder / "m" / "link").symlink_to(folder / "canary")
    (folder / "m" / "folder").symlink_to(folder)
    (folder / "m" / "away").symlink_to(folder.parent / "canary")
    (folder / "m" / "home").symlink_to(house.stage.studio.settings.home)
    created(ben, "held", path="azureml://datastores/workspaceblobstore/paths/m")
    listed = [each["path"] for each in ben.get(f"{MODELS}/held/versions/1/files").json()["value"]]
    assert listed == ["MLmodel"]
    token = house.token("ben")
    for payload in OUT:
        asked = payload
        for _ in range(4):
            answer = browser.get("/files/model/lab/held", params={"path": asked})
            assert CANARY not in answer.content
            assert 400 <= answer.status_code < 500, (asked, answer.status_code)
            asked = quote(asked, safe="")
            answer = ben.get(f"{MODELS}/held/versions/1/files/{asked}")
            assert CANARY not in answer.content
            assert 400 <= answer.status_code < 500, (asked, answer.status_code)
            if payload in INSIDE:
                continue
            answer = created(ben, "odd", path=f"azureml://datastores/workspaceblobstore/paths/m/{asked}")
            assert 400 <= answer.status_code < 500, (asked, answer.text)
        head = f"GET {MODELS}/held/versions/1/files/{quote(payload, safe='/')} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        status = raw(house, f"{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n")
        assert status != 200, payload


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("file:///etc/passwd", 422),
        ("/etc/passwd", 422),
        ("../../x", 422),
        ("azureml://uploads/abc/../../x", 422),
        ("azureml://uploads/zz/x", 404),
        ("azureml://jobs/none/outputs/artifacts/paths/x", 404),
        ("azureml://datastores/none/paths/x", 404),
        ("mlflow-artifacts:/workspaces/ws-other/1/x", 404),
        ("mlflow-artifacts:/../x", 422),
        ("models:/other/1", 422),
        ("", 422),
    ],
)
def test_what_is_no_place_is_said(house: House, path: str, status: int):
    answer = created(house.bearer("ben"), path=path) if path else house.bearer("ben").post(
        MODELS, json={"spec": {"name": "x", "path": ""}}
    )  # fmt: skip
    assert answer.status_code == status, answer.text
    assert hashlib.sha256(b"").hexdigest() not in answer.text
