"""Data assets over REST: made of uploads and URIs, their files by range and signed link, previews, profiles, diffs."""

import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.api.conftest import House, announced

LAB = "/api/v1/workspaces/lab"
DATA = f"{LAB}/data"
IRIS = b"length,species\n" + b"".join(f"{place / 10},{'ab'[place % 2]}\n".encode() for place in range(50))
HOSTILE = {
    "page.html": b"<script>alert(1)</script>",
    "picture.svg": b"<svg onload=alert(1)>",
    "a\"b'; x=1; \xc3\xa9.csv".encode("latin-1").decode("utf-8"): b"x\n1\n",
    "deep/iris.csv": IRIS,
}
CANARY = "canary-8d21"


def sent(client: httpx.Client, files: dict[str, bytes]) -> str:
    """The upload's id."""
    entries = [announced(path, content) for path, content in files.items()]
    state = client.post(f"{LAB}/uploads", json={"kind": "data", "entries": entries}).json()
    rest = b"".join(files[each["path"]][each["offset"] :] for each in state["missing"])
    if not state["complete"]:
        state = client.put(f"{LAB}/uploads/{state['id']}/content", content=rest).json()
    assert state["complete"]
    return str(state["id"])


def made(client: httpx.Client, files: dict[str, bytes], **spec: object) -> dict[str, Any]:
    body = {"spec": {"name": "iris", "path": "./x", **spec}, "upload": sent(client, files)}
    answer = client.post(DATA, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def waited(client: httpx.Client, address: str) -> dict[str, Any]:
    state = client.post(address)
    assert state.status_code == 202, state.text
    until = time.monotonic() + 60
    while (found := client.get(address).json())["status"] in {"Queued", "Running"}:
        assert time.monotonic() < until, "it was not made"
        time.sleep(0.05)
    answer: dict[str, Any] = found
    return answer


def test_versions_are_made_of_uploads_and_of_uris_and_listed(houses: House):
    client = houses.bearer("ben")
    first = made(client, {"iris.csv": IRIS}, description="Flowers", tags={"team": "a"})
    assert (first["version"], first["type"], first["size"], first["files"]) == ("1", "uri_folder", len(IRIS), 1)
    assert made(client, {"iris.csv": IRIS}, version="1")["id"] == first["id"]
    assert made(client, {"iris.csv": b"other"})["version"] == "2"
    far = client.post(DATA, json={"spec": {"name": "far", "type": "uri_file", "path": "https://example.com/x.csv"}})
    assert far.json()["path"] == "https://example.com/x.csv"
    assert client.post(DATA, json={"spec": {"name": "far", "path": "https://example.com/y"}}).status_code == 409
    assert [each["name"] for each in client.get(DATA).json()["value"]] == ["far", "iris"]
    assert [each["name"] for each in client.get(DATA, params={"search": "IRI"}).json()["value"]] == ["iris"]
    assert [each["name"] for each in client.get(DATA, params={"type": "uri_file"}).json()["value"]] == ["far"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"spec": {}},
        {"spec": {"name": "x"}},
        {"spec": {"name": "x", "path": "./here"}},
        {"spec": {"name": "x", "path": "file:///etc/passwd"}},
        {"spec": {"name": "../x", "path": "https://example.com/x"}},
        {"spec": {"name": "x", "path": "https://example.com/x", "type": "table"}},
        {"spec": {"name": "x", "path": "https://example.com/x", "colour": "red"}},
        {"spec": {"name": "x", "path": "azureml://datastores/a/paths/../b"}},
        {"spec": {"name": "x", "path": "https://example.com/x"}, "upload": 1},
    ],
)
def test_what_cannot_be_a_data_asset_is_refused(shared: House, body: dict[str, object]):
    answer = shared.bearer("ben").post(DATA, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "Invalid")


def test_an_upload_that_is_not_there_is_not_found(shared: House):
    for upload in ("ab" * 32, "../../x", "", "x"):
        body = {"spec": {"name": "x", "path": "./x"}, "upload": upload}
        assert shared.bearer("ben").post(DATA, json=body).status_code in {404, 422}


def test_files_come_page_by_page_and_by_range(house: House):
    client = house.bearer("ben")
    made(client, HOSTILE)
    at = f"{DATA}/iris/versions/latest/files"
    page = client.get(at, params={"limit": 3}).json()
    rest = client.get(at, params={"limit": 3, "cursor": page["next_cursor"]}).json()
    found = {each["path"]: each["size"] for each in [*page["value"], *rest["value"]]}
    assert found == {path: len(content) for path, content in HOSTILE.items()}
    assert rest["next_cursor"] == ""
    for path, content in HOSTILE.items():
        answer = client.get(f"{at}/{quote(path)}")
        assert answer.content == content
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    part = client.get(f"{at}/deep/iris.csv", headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.content) == (206, b"length")


@pytest.mark.parametrize(
    "path", ["../../../token", "%2e%2e/%2e%2e/token", "deep/../../x", "deep", "no.csv", "/etc/passwd", "deep%5c..%5cx"]
)
def test_no_file_outside_of_the_asset_is_given(shared: House, path: str):
    client = shared.bearer("ben")
    made(client, HOSTILE, name="walled")
    at = f"{DATA}/walled/versions/1"
    assert client.get(f"{at}/files/{path}").status_code in {404, 422}
    assert client.get(f"{at}/preview", params={"path": path}).status_code in {404, 422}
    assert client.post(f"{at}/links", json={"path": path}).status_code in {404, 422}
    query = {"path": path, "version": "1"}
    assert shared.browser("ben").get("/files/data/lab/walled", params=query).status_code in {404, 422}


def test_a_signed_link_gives_one_file_without_signing_in_as_long_as_its_maker_may(house: House):
    client = house.bearer("ben")
    made(client, HOSTILE)
    link = client.post(f"{DATA}/iris/versions/1/links", json={"path": "deep/iris.csv"}).json()["url"]
    anyone = house.anonymous()
    assert anyone.get(link).content == IRIS
    assert anyone.get(link.replace("iris.csv", "irit.csv")).status_code == 403
    assert anyone.get(link.replace("asset=", "job=")).status_code == 403
    house.grant("ben", "")
    assert anyone.get(link).status_code in {403, 404}


def test_the_browser_downloads_a_file(house: House):
    made(house.bearer("ben"), HOSTILE)
    answer = house.browser("cleo").get("/files/data/lab/iris", params={"path": "page.html"})
    assert answer.content == HOSTILE["page.html"]
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert house.browser("dan").get("/files/data/lab/iris", params={"path": "page.html"}).status_code == 404


def test_a_preview_shows_the_first_rows(house: House):
    client = house.bearer("cleo")
    made(house.bearer("ben"), HOSTILE)
    found = client.get(f"{DATA}/iris/versions/1/preview", params={"rows": 2, "path": "deep/iris.csv"}).json()
    assert (found["kind"], found["rows"], found["more"]) == ("table", [[0.0, "a"], [0.1, "b"]], True)
    page = client.get(f"{DATA}/iris/versions/1/preview", params={"path": "page.html"}).json()
    assert (page["kind"], page["text"]) == ("text", "<script>alert(1)</script>")
    assert client.get(f"{DATA}/iris/versions/1/preview", params={"rows": 0}).status_code == 422


def test_a_profile_is_asked_for_and_then_there(house: House):
    made(house.bearer("ben"), {"iris.csv": IRIS})
    client = house.bearer("cleo")
    assert client.get(f"{DATA}/iris/versions/1/profile").json()["status"] == "NotAsked"
    state = waited(client, f"{DATA}/iris/versions/1/profile")
    assert (state["status"], state["profile"]["rows"]) == ("Ready", 50)


def test_two_versions_are_compared(house: House):
    client = house.bearer("ben")
    made(client, {"iris.csv": IRIS})
    made(client, {"iris.csv": b"length\n1\n", "new.txt": b"x"})
    state = waited(client, f"{DATA}/iris/versions/2/diff?with=1")
    assert state["diff"]["files_added"] == ["new.txt"]
    assert [each["name"] for each in state["diff"]["columns_removed"]] == ["species"]
    assert client.post(f"{DATA}/iris/versions/2/diff?with=9").status_code == 404
    assert client.post(f"{DATA}/iris/versions/2/diff").status_code == 422


@pytest.mark.parametrize(
    "uri",
    [f"https://ada:{CANARY}@example.com/x.csv", f"https://example.com/x.csv?sig={CANARY}", f"s3://k:{CANARY}@b/x"],
)
def test_no_secret_of_a_uri_is_in_what_is_said_about_it(house: House, uri: str, caplog: pytest.LogCaptureFixture):
    client = house.bearer("ben")
    client.post(DATA, json={"spec": {"name": "far", "type": "uri_file", "path": uri}})
    at = f"{DATA}/far/versions/1"
    answers = [client.get(f"{at}/{what}") for what in ("files", "files/x.csv", "preview", "profile", "diff?with=1")]
    answers += [client.post(f"{at}/profile"), client.post(f"{at}/links", json={"path": "x.csv"})]
    assert all(400 <= answer.status_code < 500 for answer in answers)
    assert CANARY not in "".join(answer.text for answer in answers)
    assert CANARY not in caplog.text


def test_a_change_may_say_what_it_has_seen(house: House):
    house.assets("lab")
    client = house.bearer("ben")
    at = "/api/v1/workspaces/lab/data/j1/versions/1"
    seen = client.get(at).headers["etag"]
    changed = client.patch(at, json={"description": "mine"}, headers={"If-Match": seen})
    assert changed.status_code == 200
    late = client.patch(at, json={"description": "yours"}, headers={"If-Match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "PreconditionFailed")
    assert client.get(at).json()["description"] == "mine"
    assert client.delete(at, headers={"If-Match": seen}).status_code == 412
    assert client.patch(at, json={"tags": {"a": "b"}}, headers={"If-Match": changed.headers["etag"]}).status_code == 200
