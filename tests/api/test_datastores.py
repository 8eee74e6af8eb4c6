"""Datastores over REST: registered and tried, browsed and read, and never a word of what opens them."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import House

PATH = "/api/v1/workspaces/lab/datastores"
KEY = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"
BLOB: dict[str, Any] = {
    "name": "blob",
    "type": "azure_blob",
    "account_name": "mytestblobstore",
    "container_name": "data-container",
    "endpoint": "http://127.0.0.1:9/mytestblobstore",
    "credentials": {"account_key": KEY},
}


@pytest.fixture
def shelf(house: House, tmp_path: Path) -> dict[str, Any]:
    place = tmp_path / "open" / "shelf"
    (place / "sub").mkdir(parents=True)
    (place / "a.txt").write_text("hello")
    (place / "sub" / "b #1%.csv").write_text("x,y\n1,2\n")
    house.stage.studio.settings.data_roots = str(tmp_path / "open")
    return {"name": "shelf", "type": "folder", "path": str(place)}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A plain web server with a file."""
    root = tmp_path / "web"
    root.mkdir()
    (root / "a.txt").write_text("over the wire")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_a_folder_is_registered_tried_browsed_and_read(house: House, shelf: dict[str, Any]):
    client, reader = house.bearer("ben"), house.bearer("cleo")
    made = client.post(PATH, json={"spec": shelf})
    assert made.status_code == 201, made.text
    assert made.json()["report"]["passed"]
    assert len(made.json()["report"]["rows"]) == 8
    assert "shelf" in [row["name"] for row in reader.get(PATH).json()["value"]]
    found = reader.get(f"{PATH}/shelf/files").json()["value"]
    assert [(row["path"], row["type"], row["size"]) for row in found] == [("a.txt", "file", 5), ("sub", "folder", None)]
    inner = reader.get(f"{PATH}/shelf/files", params={"path": "sub"}).json()["value"]
    assert [row["path"] for row in inner] == ["sub/b #1%.csv"]
    assert reader.get(f"{PATH}/shelf/files/a.txt").text == "hello"
    part = reader.get(f"{PATH}/shelf/files/a.txt", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.text) == (206, "el")
    assert house.browser("cleo").get("/files/datastore/lab/shelf", params={"path": "a.txt"}).text == "hello"


def test_a_listing_goes_on_at_its_cursor(house: House, shelf: dict[str, Any]):
    client = house.bearer("ben")
    client.post(PATH, json={"spec": shelf})
    first = client.get(f"{PATH}/shelf/files", params={"limit": 1}).json()
    rest = client.get(f"{PATH}/shelf/files", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert ([row["path"] for row in first["value"]], [row["path"] for row in rest["value"]]) == (["a.txt"], ["sub"])
    assert rest["next_cursor"] == ""


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "%2e%2e/x",
        "..%2fx",
        "a/../../x",
        "%252e%252e/x",
        "a%00",
        "a%5cb",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "link",
    ],
)
def test_no_path_leaves_the_folder(house: House, shelf: dict[str, Any], tmp_path: Path, path: str):
    (tmp_path / "x").write_text("canary")
    (Path(shelf["path"]) / "link").symlink_to(tmp_path / "x")
    client = house.bearer("ben")
    client.post(PATH, json={"spec": shelf})
    for address in (f"{PATH}/shelf/files/{path}", f"{PATH}/shelf/files?path={path}"):
        answer = client.get(address)
        assert "canary" not in answer.text
        assert answer.status_code in {400, 404, 422} or answer.json()["value"] == []


def test_a_web_server_is_read_where_an_admin_allows_it(house: House, web: str):
    client = house.bearer("ben")
    spec = {"spec": {"name": "site", "type": "http", "url": web}}
    refused = client.post(PATH, json=spec)
    assert (refused.status_code, "inside of the network" in refused.json()["detail"]) == (422, True)
    house.stage.studio.settings.allowed_url_hosts = "127.0.0.1"
    made = client.post(PATH, json=spec)
    assert (made.status_code, made.json()["read_only"]) == (201, True)
    assert client.get(f"{PATH}/site/files/a.txt").text == "over the wire"
    assert [row["path"] for row in client.get(f"{PATH}/site/files").json()["value"]] == ["a.txt"]
    assert client.post(f"{PATH}/site/default").status_code == 409


def test_a_placeholder_registers_untried_and_fails_on_use_by_name(house: House):
    client = house.bearer("ben")
    made = client.post(PATH, json={"spec": BLOB})
    assert (made.status_code, made.json()["report"]) == (201, None)
    for answer in (client.get(f"{PATH}/blob/files"), client.get(f"{PATH}/blob/files/a.txt")):
        assert (answer.status_code, "'blob'" in answer.json()["detail"]) == (503, True)


def test_a_trial_on_demand_keeps_its_report(house: House):
    client = house.bearer("ben")
    made = client.post(PATH, json={"spec": BLOB, "validate": True})
    assert (made.status_code, made.json()["report"]["passed"]) == (201, False)
    again = client.post(f"{PATH}/blob/test").json()["report"]
    assert [row["name"] for row in again["rows"] if row["outcome"] == "failed"] == ["write"]
    assert client.get(f"{PATH}/blob").json()["report"]["at"] == again["at"]


def test_one_of_ours_that_does_not_answer_is_refused_saying_what_failed(house: House):
    spec = {"name": "lake", "type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:9"}
    answer = house.bearer("ben").post(PATH, json={"spec": spec})
    assert (answer.status_code, "write: " in answer.json()["detail"]) == (409, True)
    assert house.bearer("ben").get(f"{PATH}/lake").status_code == 404


def test_no_answer_tells_what_opens_it(houses: House):
    client = houses.bearer("ben")
    answers = [
        client.post(PATH, json={"spec": BLOB}),
        client.post(PATH, json={"spec": BLOB}),
        client.post(PATH, json={"spec": {**BLOB, "container_name": "other"}}),
        client.post(PATH, json={"spec": {**BLOB, "name": "x", "credentials": {"account_kei": KEY}}}),
        client.post(PATH, json={"spec": {**BLOB, "name": "x", "credentials": KEY}}),
        client.post(PATH, json={"spec": {**BLOB, "name": "x", "credentials": {"account_key": {"a": KEY}}}}),
        client.post(PATH, json={"spec": [BLOB]}),
        client.post(PATH, json={"spec": BLOB, "validate": "perhaps"}),
        client.put(f"{PATH}/blob/authentication", json={"credentials": {"sas_token": f"sv=1&sig={KEY}"}}),
        client.put(f"{PATH}/blob/authentication", json={"credentials": [KEY]}),
        client.put(f"{PATH}/blob/authentication", json={"credentials": {"password": KEY}}),
        client.put(f"{PATH}/nope/authentication", json={"credentials": {"sas_token": KEY}}),
        client.get(PATH),
        client.get(f"{PATH}/blob"),
        client.get(f"{PATH}/blob/files"),
        client.post(f"{PATH}/blob/test"),
        client.patch(f"{PATH}/blob", json={"description": "x"}),
        client.get(f"{PATH}/blob/uses"),
        client.post(f"{PATH}/blob/default"),
    ]
    codes = [201, 201, 409, 422, 422, 422, 422, 422, 200, 422, 422, 404, 200, 200, 503, 200, 200, 200, 200]
    assert [answer.status_code for answer in answers] == codes
    assert [answer.text for answer in answers if KEY in answer.text] == []


def test_it_is_forgotten_when_nothing_uses_it(house: House):
    client = house.bearer("ben")
    client.post(PATH, json={"spec": BLOB})
    assert client.delete(f"{PATH}/blob").status_code == 204
    assert client.get(f"{PATH}/blob").status_code == 404
    assert client.delete(f"{PATH}/workspaceblobstore").status_code == 409


def test_a_reader_changes_nothing(house: House):
    house.bearer("ben").post(PATH, json={"spec": BLOB})
    client = house.bearer("cleo")
    answers = [
        client.post(PATH, json={"spec": {**BLOB, "name": "mine"}}),
        client.patch(f"{PATH}/blob", json={"description": "x"}),
        client.put(f"{PATH}/blob/authentication", json={"credentials": None}),
        client.post(f"{PATH}/blob/test"),
        client.post(f"{PATH}/blob/default"),
        client.delete(f"{PATH}/blob"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 6
