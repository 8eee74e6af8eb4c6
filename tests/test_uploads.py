"""Uploads: announced, received in pieces, found by content; nothing half-made, nothing outside."""

import hashlib

import pytest

from services import uploads
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.specs.code import Entry
from tests.conftest import Stage


def entry(path: str, content: bytes = b"print(1)\n", **changes: object) -> Entry:
    facts = {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "executable": False}
    return Entry(**{**facts, **changes})  # type: ignore[arg-type]


def send(stage: Stage, upload_id: str, contents: list[bytes]) -> None:
    with stage.scope() as s:
        places = uploads.landings(s, upload_id)
    for place, content in zip(places, contents, strict=True):
        with place.open() as file:
            file.write(content[place.offset :])
        place.finish()


def test_code_becomes_a_snapshot_found_by_its_content(stage: Stage):
    files = [entry("main.py"), entry("lib/tool.sh", b"#!/bin/sh\n", executable=True)]
    with stage.scope(stage.ben) as s:
        begun = uploads.begin(s, "code", files)
    assert [path for path, _ in begun.missing] == ["main.py", "lib/tool.sh"]
    send(stage, begun.id, [b"print(1)\n", b"#!/bin/sh\n"])
    with stage.scope(stage.ben) as s:
        assert uploads.seal(s, begun.id).complete
        folder = uploads.require_snapshot(s, begun.id)
    assert (folder / "lib" / "tool.sh").stat().st_mode & 0o111
    with stage.scope(stage.ben) as s:
        assert uploads.begin(s, "code", files) == uploads.Upload(begun.id, complete=True, missing=())


def test_an_interrupted_upload_goes_on_where_it_stopped(lite: Stage):
    content = b"0123456789" * 100
    with lite.scope() as s:
        begun = uploads.begin(s, "data", [entry("a.bin", content), entry("b.bin", b"b")])
        [first, _] = uploads.landings(s, begun.id)
    with first.open() as file:
        file.write(content[:400])
    with lite.scope() as s:
        again = uploads.begin(s, "data", [entry("a.bin", content), entry("b.bin", b"b")])
        assert again.missing == (("a.bin", 400), ("b.bin", 0))
        assert not uploads.seal(s, begun.id).complete
    send(lite, begun.id, [content, b"b"])
    with lite.scope() as s:
        assert uploads.seal(s, begun.id).complete
        uri = uploads.data_uri(s, f"azureml://uploads/{begun.id}/a.bin", field="inputs.a.path")
    assert uri == f"azureml://datastores/workspaceblobstore/paths/LocalUpload/{begun.id}/a.bin"


def test_other_content_than_announced_is_thrown_away(lite: Stage):
    with lite.scope() as s:
        begun = uploads.begin(s, "code", [entry("main.py")])
        [place] = uploads.landings(s, begun.id)
    with place.open() as file:
        file.write(b"print(2)\n")
    with pytest.raises(Conflict, match="another content"):
        place.finish()
    assert place.offset == 0


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "a//b", "./a", "", "a\0b", "x" * 300, "a%2e%2e/b"]
)
def test_paths_that_could_leave_the_folder_are_refused(lite: Stage, path: str):
    with lite.scope() as s, pytest.raises(Invalid):
        uploads.begin(s, "code", [entry(path)])


def test_lists_that_contradict_themselves_are_refused(lite: Stage):
    for files in (
        [],
        [entry("a"), entry("a")],
        [entry("a"), entry("a/b")],
        [entry("a", sha256="zz")],
        [entry("a", size=-1)],
    ):
        with lite.scope() as s, pytest.raises(Invalid):
            uploads.begin(s, "code", files)


def test_readers_upload_nothing_and_other_workspaces_see_nothing(stage: Stage):
    with stage.scope(stage.cleo) as s, pytest.raises(Denied):
        uploads.begin(s, "code", [entry("main.py")])
    with stage.scope() as s, pytest.raises(NotFound):
        uploads.require_snapshot(s, "ab" * 32)
    with stage.scope() as s, pytest.raises(NotFound):
        uploads.landings(s, "../../etc")
