"""Whole folders on their way: what names can do, what a crash leaves, who else is at it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from services.core.errors import Conflict, EngineError, Unavailable
from services.engines.stores import S3, AccessKey, Folder, GoogleStorage, PrivateKey, Sftp, Store, opened
from services.engines.stores.folders import FolderStore
from tests.engines.stores import servers
from tests.engines.stores.promises import paths


@pytest.fixture
def store(folder: Path) -> Store:
    return opened(Folder("mine", str(folder)))


def put(store: Store, *names: str) -> None:
    for name in names:
        store.write(name, io.BytesIO(name.encode()))


def test_a_file_and_a_folder_of_one_name_cannot_both_arrive(s3_url: str, corner: str, tmp_path: Path) -> None:
    lake = opened(S3("lake", servers.BUCKET, prefix=corner, endpoint=s3_url), AccessKey("a", "b"))
    put(lake, "a", "a/b", "c")
    moved = lake.fetch("", tmp_path / "out")
    assert sorted([*moved.files, *(path for path, _ in moved.refused)]) == ["a", "a/b", "c"]
    assert len(moved.refused) == 1
    assert (tmp_path / "out" / "c").read_text() == "c"


def test_the_mark_of_a_folder_is_no_file(s3_url: str, corner: str, tmp_path: Path) -> None:
    for name in ("marked/", "marked/a", "empty/", "zero"):
        httpx.put(f"{s3_url}/{servers.BUCKET}/{corner}/{name}", content=b"a" if name.endswith("a") else b"")
    lake = opened(S3("lake", servers.BUCKET, prefix=corner, endpoint=s3_url), AccessKey("a", "b"))
    assert paths(lake.list()) == ["marked/a", "zero"]
    assert paths(lake.list("marked", recursive=False)) == ["marked/a"]
    assert lake.fetch("", tmp_path / "out").files == ["marked/a", "zero"]


@pytest.mark.parametrize("name", ["a//b", "/absolute", "back\\slash"])
def test_a_name_that_a_bucket_allows_is_named_and_left(google_url: str, corner: str, tmp_path: Path, name: str) -> None:
    for one in (name, "fine"):
        params = {"uploadType": "media", "name": f"{corner}/{one}"}
        httpx.post(f"{google_url}/upload/storage/v1/b/{servers.BUCKET}/o", params=params, content=b"x")
    store = opened(GoogleStorage("gs", servers.BUCKET, prefix=corner, endpoint=google_url))
    assert paths(store.list()) == ["fine"]
    moved = store.fetch("", tmp_path / "out")
    assert (moved.files, moved.refused) == (["fine"], [(name, "has a name that no path can be")])


@pytest.mark.parametrize("name", ["../../escaped", "a/../../escaped", "..", "%2e%2e/%2e%2e/escaped", "/etc/x", "..\\x"])
def test_a_name_that_a_server_makes_up_does_not_lead_out(tmp_path: Path, name: str) -> None:
    heard = servers.Heard(200, json.dumps({"items": [{"name": name, "size": "0"}, {"name": "fine", "size": "0"}]}))
    with heard.at() as url:
        store = opened(GoogleStorage("gs", "b", endpoint=url))
        assert paths(store.list()) == ["fine"]
        moved = store.fetch("", tmp_path / "deep" / "out")
    assert (moved.files, [path for path, _ in moved.refused]) == (["fine"], [name])
    assert [
        file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.name in {"fine", "escaped", "x"}
    ] == ["deep/out/fine"]


@pytest.mark.parametrize("name", ["../../escaped", "a//b", "a/../../escaped"])
def test_a_bucket_with_a_name_that_the_library_cannot_say_is_told_by_it(s3_url: str, corner: str, name: str) -> None:
    quoted = name.replace("..", "%2E%2E")
    httpx.put(f"{s3_url}/{servers.BUCKET}/{corner}/{quoted}", content=b"x").raise_for_status()
    lake = opened(S3("lake", servers.BUCKET, prefix=corner, endpoint=s3_url), AccessKey("a", "b"))
    with pytest.raises(EngineError, match="datastore 'lake' has an object whose name no path can be"):
        list(lake.list())


def test_names_that_are_no_letters_are_named_and_left(folder: Path, tmp_path: Path, store: Store) -> None:
    for name in (b"caf\xe9", b"line\nbreak", b"back\\slash", b"fine"):
        (folder / os.fsdecode(name)).write_text("x")
    (folder / "in\\side").mkdir()
    (folder / "in\\side" / "file").write_text("x")
    assert paths(store.list()) == paths(store.list(recursive=False)) == ["fine"]
    moved = store.fetch("", tmp_path / "out")
    assert moved.files == ["fine"]
    assert {path for path, _ in moved.refused} == {"caf\\xe9", "line\nbreak", "back\\slash", "in\\side/"}


def test_the_same_holds_on_an_ssh_server(ssh: servers.Ssh, corner: str, tmp_path: Path) -> None:
    root = ssh.folder / corner
    root.mkdir()
    for name in ("line\nbreak", "back\\slash", "fine"):
        (root / name).write_text("x")
    spec = Sftp("far", "127.0.0.1", ssh.user, root=str(root), port=ssh.port, fingerprint=ssh.fingerprint)
    with opened(spec, PrivateKey(ssh.private_key)) as store:
        assert paths(store.list()) == paths(store.list(recursive=False)) == ["fine"]
        moved = store.fetch("", tmp_path / "out")
        assert moved.files == ["fine"]
        assert len(moved.refused) == 2
        (root / os.fsdecode(b"caf\xe9")).write_text("x")
        with pytest.raises(EngineError, match="'far' has a file whose name is not UTF-8"):
            list(store.list())


def test_a_link_in_the_folder_that_is_filled_leads_nowhere(store: Store, tmp_path: Path) -> None:
    put(store, "a/b", "c")
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "a").symlink_to(outside)
    (outside / "kept").write_text("kept")
    (out / "c").symlink_to(outside / "kept")
    moved = store.fetch("", out)
    assert moved.refused == [("a/b", "has a link or a file in the place of its folder")]
    assert [(one.name, one.read_text()) for one in outside.iterdir()] == [("kept", "kept")]
    assert (out / "c").read_text() == "c"
    assert not (out / "c").is_symlink()


def test_only_what_is_wanted_is_fetched(store: Store, tmp_path: Path) -> None:
    put(store, "a.csv", "b.txt", "deep/c.csv")
    moved = store.fetch("", tmp_path / "out", wanted=lambda entry: entry.path.endswith(".csv"))
    assert moved.files == ["a.csv", "deep/c.csv"]


def test_many_files_arrive_in_their_order(store: Store, tmp_path: Path) -> None:
    names = [f"{number:04}" for number in range(300)]
    put(store, *names)
    told: list[str] = []
    assert store.fetch("", tmp_path / "out", progress=lambda path, _: told.append(path)).files == names == told


def test_one_at_a_time_fills_a_folder(store: Store, tmp_path: Path) -> None:
    put(store, "a", "b")
    out = tmp_path / "out"

    def again(path: str, size: int) -> None:
        with pytest.raises(Conflict, match="being filled"):
            store.fetch("", out)

    assert store.fetch("", out, progress=again).files == ["a", "b"]


def test_an_error_at_one_file_keeps_what_the_others_brought(store: Store, tmp_path: Path) -> None:
    put(store, *(f"{number:03}" for number in range(50)))
    asked = store.read

    def failing(path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        if path == "020":
            raise Unavailable("Datastore 'mine' does not answer.")
        return asked(path, offset, length, etag=etag)

    store.read = failing  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        store.fetch("", tmp_path / "out")
    store.read = asked  # type: ignore[method-assign]
    moved = store.fetch("", tmp_path / "out")
    assert len(moved.kept) >= 20
    assert len(moved.files) + len(moved.kept) == 50


CRASHING = """
import sys
from pathlib import Path
from services.engines.stores import Folder, opened
opened(Folder("mine", sys.argv[1])).fetch("", Path(sys.argv[2]))
"""


@pytest.mark.parametrize("at", ["piece_fetched:1", "piece_fetched:2", "file_fetched:1"])
def test_a_process_that_was_killed_is_gone_on_from(store: Store, folder: Path, tmp_path: Path, at: str) -> None:
    content, out = os.urandom(9 << 20), tmp_path / "out"
    store.write("big", io.BytesIO(content))
    argv = [sys.executable, "-c", CRASHING, str(folder), str(out)]
    killed = subprocess.run(argv, env={**os.environ, "ATELIER_CRASH_AT": at}, cwd=Path(__file__).parents[3])
    assert killed.returncode == -9
    assert all(file.read_bytes() == content for file in out.iterdir())
    offsets: list[int] = []
    asked = store.read

    def counted(path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        offsets.append(offset)
        return asked(path, offset, length, etag=etag)

    store.read = counted  # type: ignore[method-assign]
    store.fetch("", out)
    assert (out / "big").read_bytes() == content
    assert [one.name for one in out.iterdir()] == ["big"]
    if at == "piece_fetched:2":
        assert offsets in ([], [8 << 20])  # the last piece may still have been in a buffer


def test_a_store_may_be_used_by_several_threads(ssh: servers.Ssh, corner: str, tmp_path: Path) -> None:
    spec = Sftp("far", "127.0.0.1", ssh.user, root=str(ssh.folder), port=ssh.port, fingerprint=ssh.fingerprint)
    with opened(spec, PrivateKey(ssh.private_key)) as far:
        names = [f"{corner}/{number:02}" for number in range(40)]
        put(far, *names)
        moved = far.fetch(corner, tmp_path / "out")
    assert len(moved.files) == 40
    assert all((tmp_path / "out" / name.partition("/")[2]).read_text() == name for name in names)


def test_a_file_that_shrinks_while_it_is_fetched_is_not_taken_for_whole(folder: Path, tmp_path: Path) -> None:
    store = FolderStore(Folder("mine", str(folder)))
    put(store, "a")
    store.read = lambda *_, **__: b""  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="'a' of datastore 'mine' ended after 0 bytes"):
        store.fetch("", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
