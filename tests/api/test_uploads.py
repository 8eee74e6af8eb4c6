"""Uploads over REST: announced, sent in one stream or file by file, cut and gone on with, never half in place."""

import fcntl
import hashlib
import io
import socket
import threading
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import receiving
from services import uploads
from services.core.errors import Conflict
from services.engines.files import Landing
from tests.api.conftest import House, announced, eventually, raw

CODE = "/api/v1/workspaces/lab/uploads"
FILES = "/files/uploads/lab"
HELLO, BIG = b"print('hello')\n", b"0123456789abcdef" * 200_000


def begun(client: httpx.Client, entries: list[dict[str, object]], kind: str = "code", at: str = CODE) -> dict[str, Any]:
    answer = client.post(at, json={"kind": kind, "entries": entries})
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def snapshot(house: House, upload: str) -> Path:
    return house.stage.studio.folders.snapshot(house.stage.lab.id, upload)


def test_code_is_sent_in_one_stream_and_once(house: House):
    client = house.bearer("ben")
    entries = [announced("main.py", HELLO), announced("lib/empty.py", b""), announced("big.bin", BIG, executable=True)]
    upload = begun(client, entries)
    assert [each["path"] for each in upload["missing"]] == ["main.py", "lib/empty.py", "big.bin"]
    sent = client.put(f"{CODE}/{upload['id']}/content", content=HELLO + BIG).json()
    assert sent == {"id": upload["id"], "complete": True, "missing": []}
    folder = snapshot(house, upload["id"])
    assert (folder / "big.bin").read_bytes() == BIG
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"main.py", "empty.py", "big.bin"}
    assert begun(client, entries) == sent


def test_a_cut_stream_goes_on_where_it_stopped(house: House):
    client = house.bearer("ben")
    entries = [announced("a.bin", HELLO), announced("b.bin", BIG), announced("c.bin", b"c")]
    upload = begun(client, entries)
    cut_off(house, f"PUT {CODE}/{upload['id']}/content", HELLO + BIG[:1_500_000], length=len(HELLO + BIG) + 1)
    eventually(lambda: offsets(client, entries).get("b.bin", 0) > 0, "nothing of the second file was kept")
    kept = offsets(client, entries)["b.bin"]
    assert "a.bin" not in offsets(client, entries)
    rest = client.put(f"{CODE}/{upload['id']}/content", content=BIG[kept:] + b"c")
    assert rest.json()["complete"]
    assert (snapshot(house, upload["id"]) / "b.bin").read_bytes() == BIG


def offsets(client: httpx.Client, entries: list[dict[str, object]]) -> dict[str, int]:
    return {each["path"]: each["offset"] for each in begun(client, entries)["missing"]}


def cut_off(house: House, line: str, body: bytes, *, length: int, who: str = "ben") -> None:
    """Says that more will come than does."""
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nAuthorization: Bearer {house.token(who)}\r\n"
    with socket.create_connection(("127.0.0.1", house.port)) as connection:
        connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)


def test_a_stream_that_ends_early_says_what_is_missing(house: House):
    client = house.bearer("ben")
    upload = begun(client, [announced("a.bin", HELLO), announced("b.bin", HELLO * 2)])
    answer = client.put(f"{CODE}/{upload['id']}/content", content=HELLO + b"pri").json()
    assert answer == {"id": upload["id"], "complete": False, "missing": [{"path": "b.bin", "offset": 3}]}
    assert not client.post(f"{CODE}/{upload['id']}/seal").json()["complete"]
    assert not snapshot(house, upload["id"]).exists()


def test_more_than_was_announced_is_refused(house: House):
    client = house.bearer("ben")
    upload = begun(client, [announced("a.bin", HELLO)])
    answer = client.put(f"{CODE}/{upload['id']}/content", content=HELLO + b"more")
    assert (answer.status_code, answer.json()["code"]) == (422, "Invalid")
    assert not snapshot(house, upload["id"]).exists()


def test_other_content_than_announced_is_thrown_away(house: House):
    client = house.bearer("ben")
    entries = [announced("a.bin", HELLO)]
    upload = begun(client, entries)
    answer = client.put(f"{CODE}/{upload['id']}/content", content=b"x" * len(HELLO))
    assert (answer.status_code, answer.json()["code"]) == (409, "Conflict")
    assert begun(client, entries)["missing"] == [{"path": "a.bin", "offset": 0}]
    assert client.put(f"{CODE}/{upload['id']}/content", content=HELLO).json()["complete"]


def test_a_sender_that_falls_silent_is_taken_for_gone(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receiving, "SILENT_SECONDS", 0.2)
    upload = begun(house.bearer("ben"), [announced("a.bin", HELLO)])
    head = (
        f"PUT {CODE}/{upload['id']}/content HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n"
        f"Authorization: Bearer {house.token('ben')}\r\nContent-Length: {len(HELLO)}\r\n\r\n"
    )
    assert raw(house, head, HELLO[:4]) == 200
    assert offsets(house.bearer("ben"), [announced("a.bin", HELLO)]) == {"a.bin": 4}


def test_nothing_is_taken_that_was_not_announced(house: House):
    client, browser = house.bearer("ben"), house.browser("ben")
    assert client.put(f"{CODE}/{'ab' * 32}/content", content=b"x").status_code == 404
    assert client.post(f"{CODE}/{'ab' * 32}/seal").status_code == 404
    upload = begun(client, [announced("a.bin", HELLO), announced("x/files/b.bin", BIG)])
    for path in ("c.bin", "b.bin", "../a.bin", "/a.bin", "./a.bin", "x/../a.bin", "a.bin/", "", "a.bin\n"):
        answer = browser.put(f"{FILES}/{upload['id']}", params={"path": path}, content=b"x")
        assert answer.status_code == 404, path


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a\\..\\x",
        "a//b",
        "./a",
        "a/.",
        "",
        ".",
        "x" * 300,
        "é" * 200,
        "a%2e%2e/b",
        "a\nb",
    ],
)
def test_paths_that_could_lead_out_are_refused(shared: House, path: str):
    answer = shared.bearer("ben").post(CODE, json={"kind": "code", "entries": [announced(path)]})
    assert (answer.status_code, answer.json()["where"]) == (422, "entries"), path


@pytest.mark.parametrize(
    "entry",
    [
        announced("a", size=-1),
        announced("a", size=1 << 60),
        announced("a", size=1 << 45),
        announced("a", size=1.5),
        announced("a", size="9"),
        announced("a", sha256="x"),
        announced("a", sha256="Z" * 64),
        announced("a", sha256="AB" * 32),
        announced("a", mode=0o777),
        {"path": "a", "size": 1},
    ],
)
def test_what_cannot_be_is_refused_before_a_byte_is_sent(shared: House, entry: dict[str, object]):
    answer = shared.bearer("ben").post(CODE, json={"kind": "code", "entries": [entry]})
    assert answer.status_code == (201 if entry["size"] == "9" else 422), answer.json()


def test_an_upload_has_a_largest_number_of_files(shared: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "FILES", 2)
    answer = shared.bearer("ben").post(CODE, json={"kind": "code", "entries": [announced(name) for name in "abc"]})
    assert "3 files are more than the 2" in answer.json()["detail"]


def test_a_browser_sends_file_by_file(house: House):
    browser = house.browser("ben")
    upload = begun(browser, [announced("a.bin", HELLO), announced("b.bin", BIG)], at=FILES)
    address = f"{FILES}/{upload['id']}"
    first = browser.put(address, params={"path": "a.bin"}, content=HELLO)
    again = browser.put(address, params={"path": "a.bin"}, content=HELLO)
    assert (first.status_code, again.status_code) == (204, 204)
    early = browser.put(address, params={"path": "b.bin"}, content=BIG[:100])
    assert (early.status_code, "ended at 100 of" in early.json()["detail"]) == (409, True)
    elsewhere = browser.put(address, params={"path": "b.bin", "offset": 7}, content=BIG[7:])
    assert (elsewhere.status_code, elsewhere.json()["where"]) == (409, "offset")
    assert browser.put(address, params={"path": "b.bin", "offset": 100}, content=BIG[100:]).status_code == 204
    assert browser.post(f"{address}/seal").json()["complete"]
    assert (snapshot(house, upload["id"]) / "b.bin").read_bytes() == BIG


def test_files_named_like_parts_do_not_meet(house: House):
    """`a` while it is received must not lie where `a.part` will."""
    browser = house.browser("ben")
    contents = {"a": b"one", "a.part": b"two", "x" * 230 + "1": b"three", "x" * 230 + "2": b"four"}
    upload = begun(browser, [announced(path, content) for path, content in contents.items()], at=FILES)
    for path, content in contents.items():
        browser.put(f"{FILES}/{upload['id']}", params={"path": path}, content=content[:1])
    for path, content in contents.items():
        answer = browser.put(f"{FILES}/{upload['id']}", params={"path": path, "offset": 1}, content=content[1:])
        assert answer.status_code == 204, path
    assert browser.post(f"{FILES}/{upload['id']}/seal").json()["complete"]
    assert {path.name: path.read_bytes() for path in snapshot(house, upload["id"]).iterdir()} == contents


def test_what_was_checked_cannot_be_written_to_by_a_second_sender(house: House):
    """The first still has the part open while the second would finish it."""
    client = house.bearer("ben")
    upload = begun(client, [announced("a.bin", HELLO)])
    with house.stage.scope(house.stage.ben, write=False) as scope:
        landing = uploads.landing(scope, upload["id"], "a.bin")
    with landing.open() as slow:
        answer = client.put(f"{CODE}/{upload['id']}/content", content=HELLO)
        assert (answer.status_code, "by another" in answer.json()["detail"]) == (409, True)
        slow.write(HELLO)
        slow.flush()
        landing.finish()
    assert client.post(f"{CODE}/{upload['id']}/seal").json()["complete"]


def test_who_locks_a_part_after_it_was_put_in_place_has_come_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    landing = Landing(tmp_path / "files", "a.bin", size=len(HELLO), sha256=hashlib.sha256(HELLO).hexdigest())
    landing.part.parent.mkdir()
    landing.part.write_bytes(HELLO)
    monkeypatch.setattr(fcntl, "flock", lambda *_: landing.finish())
    with pytest.raises(Conflict, match="by another"):
        landing.open()
    assert landing.complete


def test_ten_senders_of_the_same_leave_one_whole(house: House):
    upload = begun(house.bearer("ben"), [announced("a.bin", BIG)])
    clients = [house.bearer("ben") for _ in range(10)]
    answers: list[int] = []
    threads = [threading.Thread(target=lambda c=c: answers.append(sent(c, upload["id"]))) for c in clients]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 404, 409}
    assert (snapshot(house, upload["id"]) / "a.bin").read_bytes() == BIG


def sent(client: httpx.Client, upload: str) -> int:
    return client.put(f"{CODE}/{upload}/content", content=BIG).status_code


def test_a_full_disk_is_said_and_what_came_is_kept(house: House, monkeypatch: pytest.MonkeyPatch):
    entries = [announced("a.bin", HELLO)]
    upload = begun(house.bearer("ben"), entries)
    monkeypatch.setattr(Landing, "open", lambda _: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    answer = house.bearer("ben").put(f"{CODE}/{upload['id']}/content", content=HELLO)
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")
    assert "disk takes no more" in answer.json()["detail"]
    assert not snapshot(house, upload["id"]).exists()


def test_another_workspace_knows_nothing_of_an_upload(house: House):
    client = house.bearer("ada")
    assert client.post("/api/v1/workspaces", json={"name": "other"}).status_code == 201
    upload = begun(client, [announced("a.bin", HELLO)])
    assert client.put(f"{CODE.replace('lab', 'other')}/{upload['id']}/content", content=HELLO).status_code == 404
    assert client.put(f"{CODE}/{upload['id']}/content", content=HELLO).json()["complete"]
    submitted = {"spec": {"command": "true", "environment": {"image": "a"}}, "snapshot": upload["id"]}
    assert client.post("/api/v1/workspaces/other/jobs", json=submitted).status_code == 404
    assert client.post("/api/v1/workspaces/lab/jobs", json=submitted).status_code == 201


def archive(name: str, **files: bytes) -> tuple[str, bytes]:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for path, content in files.items():
            packed.writestr(path.replace("__", "/").replace("_", "."), content)
    return name, made.getvalue()


def arrived(client: httpx.Client, name: str, content: bytes) -> str:
    upload = begun(client, [announced(name, content)], "data")
    return str(client.put(f"{CODE}/{upload['id']}/content", content=content).json()["id"])


@pytest.mark.parametrize("kind", ["data", "code"])
def test_an_archive_becomes_the_upload_of_its_files(house: House, kind: str):
    client = house.bearer("ben")
    id_ = arrived(client, *archive("flowers.zip", iris_csv=b"1\n", deep__a_txt=b"2"))
    done = client.post(f"{CODE}/{id_}/unpack", params={"kind": kind}).json()
    entries = [announced("deep/a.txt", b"2"), announced("iris.csv", b"1\n")]
    assert done == begun(client, entries, kind)
    assert done["complete"]
    assert client.post(f"{CODE}/{id_}/unpack", params={"kind": kind}).json() == done
    assert [path.name for path in house.stage.studio.folders.uploads(house.stage.lab.id).iterdir()] == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.zip", b"<html>", "no archive"),
        ("a.csv", b"1\n", "single archive"),
        (*archive("b.zip", **{"..__x": b"1"}), "leads out"),
        (*archive("c.zip", **{"a%41": b"1"}), "not a path"),
    ],
)
def test_what_cannot_be_unpacked_is_said_and_leaves_nothing(house: House, name: str, content: bytes, says: str):
    client = house.bearer("ben")
    answer = client.post(f"{CODE}/{arrived(client, name, content)}/unpack")
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert list(house.stage.studio.folders.uploads(house.stage.lab.id).iterdir()) == []


def test_nothing_is_unpacked_that_was_not_sent(house: House):
    assert house.bearer("ben").post(f"{CODE}/{'0' * 64}/unpack").status_code == 404
    assert house.bearer("ben").post(f"{CODE}/..%2F..%2Fx/unpack").status_code == 404
