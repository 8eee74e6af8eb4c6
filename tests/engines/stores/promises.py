"""The promises of `services/engines/stores`, as tests that every store runs.

`ReadPromises` are kept by all; `Promises` by those that can be written to.
"""

import io
import secrets
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.core.errors import AtelierError, Conflict, EngineError, Invalid, NotFound
from services.engines.stores import Entry, Store, probe

MANY = ("a.txt", "a/1", "a/2", "a/deep/er/3", "ab/4", "b")
NAMES = (
    "with blank.txt",
    "two  blanks/and one more",
    "gr\u00fc\u00df \u6f22\u5b57 \U0001f600.txt",
    "e\u0301 decomposed",
    "100%",
    "100%25",
    "a%20b",
    "hash#tag",
    "why?not=1&x=2",
    "semi;colon,comma",
    "plus+and=equals",
    "-rf",
    "--help/-x",
    "'quote' \"quotes\"",
    "brackets[0]{1}(2)",
    "tilde~caret^grave`pipe|star*<>",
    "at@colon:dollar$bang!",
    ".hidden",
    "dots...",
    "x" * 200,
)
TRAVERSALS = (
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "/etc/passwd",
    "//x",
    "..\\x",
    "a\\..\\..\\x",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "a%2f..%2fx",
    "%252e%252e%252fx",
    "%25252e%25252e/x",
    "..%2fx",
    "..%5cx",
    "%5c..%5cx",
    "a%00b",
    "a\0b",
    "%c0%ae%c0%ae/x",
    "..%c0%afx",
    "%c0%afx",
    "a\nb",
    "a%0ab",
    "\ud800",
    "a/" * 600 + "x",
)


@dataclass
class Place:
    """A store, and how a file gets into it when not by the store itself."""

    store: Store
    put: Callable[[str, bytes], object]

    def has(self, *paths: str) -> None:
        for path in paths:
            self.put(path, path.encode())


def written_by(store: Store) -> Place:
    return Place(store, lambda path, content: store.write(path, io.BytesIO(content), len(content)))


def paths(entries: Iterable[Entry]) -> list[str]:
    return [entry.path for entry in entries]


class ReadPromises:
    """A subclass brings the fixture `place`."""

    @pytest.mark.parametrize("name", NAMES)
    def test_any_name_that_is_no_path_elsewhere_is_a_name(self, place: Place, name: str, tmp_path: Path) -> None:
        place.put(f"in/{name}", b"hello")
        [entry] = place.store.list("in")
        assert (entry.path, entry.size) == (f"in/{name}", 5)
        assert place.store.stat(f"in/{name}") == entry
        assert place.store.read(entry.path) == b"hello"
        assert place.store.fetch("in", tmp_path / "out").files == [name]
        assert (tmp_path / "out" / name).read_bytes() == b"hello"

    def test_a_range_is_read(self, place: Place) -> None:
        place.put("digits", b"0123456789")
        read = place.store.read
        assert (read("digits", 3), read("digits", 0, 2), read("digits", 4, 3)) == (b"3456789", b"01", b"456")

    def test_a_range_ends_where_the_file_does(self, place: Place) -> None:
        place.put("digits", b"0123456789")
        place.put("empty", b"")
        read = place.store.read
        assert (read("digits", 8, 100), read("digits", 10, 5), read("digits", 99), read("digits", 2, 0)) == (
            b"89",
            b"",
            b"",
            b"",
        )
        assert (read("empty"), read("empty", 0, 9), place.store.stat("empty").size) == (b"", b"", 0)

    def test_facts_are_the_files(self, place: Place) -> None:
        place.put("a/b", b"12345")
        facts = place.store.stat("a/b")
        assert (facts.path, facts.size, facts.is_folder) == ("a/b", 5, False)
        assert facts.etag
        assert facts.modified is not None
        assert facts.modified.utcoffset() == timedelta(0)
        assert abs(facts.modified - datetime.now(UTC)) < timedelta(hours=1)

    def test_what_is_not_there_is_not_found_by_name(self, place: Place, tmp_path: Path) -> None:
        place.has("a/b")
        for ask in (place.store.stat, place.store.read, place.store.open):
            for path in ("nobody", "a", "a/nobody", "nobody/b"):
                with pytest.raises(NotFound, match=f"'{path}' of datastore '{place.store.name}'"):
                    ask(path)
        with pytest.raises(NotFound):
            place.store.fetch("nobody", tmp_path / "out")

    def test_a_list_is_sorted_by_path(self, place: Place) -> None:
        place.has(*MANY)
        assert paths(place.store.list()) == sorted(MANY)

    def test_a_list_begins_at_a_folder_and_not_at_letters(self, place: Place) -> None:
        place.has(*MANY)
        assert paths(place.store.list("a")) == paths(place.store.list("a/")) == ["a/1", "a/2", "a/deep/er/3"]
        assert paths(place.store.list("a/deep")) == ["a/deep/er/3"]
        assert paths(place.store.list("nobody")) == paths(place.store.list("nobody", recursive=False)) == []

    def test_a_folder_is_looked_into_without_what_is_below(self, place: Place) -> None:
        place.has(*MANY)
        assert paths(place.store.list(recursive=False)) == ["a.txt", "a/", "ab/", "b"]
        assert paths(place.store.list("a", recursive=False)) == ["a/1", "a/2", "a/deep/"]
        assert [entry.is_folder for entry in place.store.list("a", recursive=False)] == [False, False, True]

    @pytest.mark.parametrize("recursive", [True, False])
    def test_pages_follow_each_other_without_a_gap(self, place: Place, recursive: bool) -> None:
        place.has(*MANY)
        everything, found, after = paths(place.store.list(recursive=recursive)), [], ""
        while page := paths(place.store.list(recursive=recursive, limit=2, after=after)):
            assert len(page) <= 2
            found += page
            after = page[-1]
        assert found == everything

    def test_an_open_file_is_read_where_one_seeks(self, place: Place) -> None:
        content = secrets.token_bytes(600_000)
        place.put("big", content)
        with place.store.open("big") as file:
            assert file.read(10) == content[:10]
            file.seek(-8, io.SEEK_END)
            assert file.read() == content[-8:]
            file.seek(300_000)
            assert file.read(5) == content[300_000:300_005]
            assert file.tell() == 300_005
            file.seek(0)
            assert file.read() == content

    def test_archives_and_tables_open_without_being_fetched(self, place: Place) -> None:
        archive, table = io.BytesIO(), io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("large", secrets.token_bytes(3 << 20))
            made.writestr("small", b"hello")
        pq.write_table(pa.table({"x": range(100), "y": ["a"] * 100}), table)
        place.put("a.zip", archive.getvalue())
        place.put("t.parquet", table.getvalue())
        travelled: list[int] = []
        asked = place.store.read

        def counted(path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
            piece = asked(path, offset, length, etag=etag)
            travelled.append(len(piece))
            return piece

        place.store.read = counted  # type: ignore[method-assign]
        with place.store.open("a.zip") as file, zipfile.ZipFile(file) as opened:
            assert opened.read("small") == b"hello"
        assert sum(travelled) < 1 << 20
        with place.store.open("t.parquet") as file:
            assert pq.read_table(file, columns=["x"]).column("x").to_pylist() == list(range(100))

    @pytest.mark.parametrize("path", TRAVERSALS)
    def test_no_path_leads_out(self, place: Place, path: str, tmp_path: Path) -> None:
        store, out = place.store, tmp_path / "out"
        nothing = io.BytesIO(b"x")
        asked: list[Callable[[], object]] = [
            lambda: store.stat(path),
            lambda: store.read(path),
            lambda: store.open(path),
            lambda: store.write(path, nothing),
            lambda: store.rename(path, "x"),
            lambda: store.rename("x", path),
            lambda: store.delete(path),
            lambda: list(store.list(path)),
            lambda: list(store.list(path, recursive=False)),
            lambda: store.fetch(path, out),
        ]
        for ask in asked:
            with pytest.raises(Invalid):
                ask()
        assert not list(out.rglob("*"))

    def test_a_tree_is_fetched_once(self, place: Place, tmp_path: Path) -> None:
        place.has(*MANY)
        out, told = tmp_path / "out", []
        first = place.store.fetch("a", out, progress=lambda path, size: told.append((path, size)))
        assert (first.files, first.kept, first.refused) == (["1", "2", "deep/er/3"], [], [])
        assert {file.relative_to(out).as_posix(): file.read_text() for file in out.rglob("*") if file.is_file()} == {
            "1": "a/1",
            "2": "a/2",
            "deep/er/3": "a/deep/er/3",
        }
        assert told == [("1", 3), ("2", 3), ("deep/er/3", 11)]
        (out / "2").write_text("else")
        again = place.store.fetch("a", out)
        assert (again.files, again.kept) == (["2"], ["1", "deep/er/3"])
        assert (out / "2").read_text() == "a/2"

    def test_one_file_is_fetched_under_its_own_name(self, place: Place, tmp_path: Path) -> None:
        place.has(*MANY)
        assert place.store.fetch("a/deep/er/3", tmp_path / "out").files == ["3"]
        assert (tmp_path / "out" / "3").read_text() == "a/deep/er/3"

    def test_what_broke_off_goes_on_where_it_stopped(self, place: Place, tmp_path: Path) -> None:
        content = secrets.token_bytes(9 << 20)
        place.put("big", content)
        asked, offsets = place.store.read, []

        def torn(path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
            offsets.append(offset)
            if len(offsets) == 2:
                raise EngineError("the line was cut")
            return asked(path, offset, length, etag=etag)

        place.store.read = torn  # type: ignore[method-assign]
        with pytest.raises(EngineError):
            place.store.fetch("big", tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []
        place.store.fetch("big", tmp_path / "out")
        assert offsets == [0, 8 << 20, 8 << 20]
        assert (tmp_path / "out" / "big").read_bytes() == content


class Promises(ReadPromises):
    def test_what_is_written_replaces_what_was_there(self, place: Place) -> None:
        first = place.store.write("a/b", io.BytesIO(b"one"), 3)
        second = place.store.write("a/b", io.BytesIO(b"three"))
        assert (first.size, second.size, second.path) == (3, 5, "a/b")
        assert first.etag != second.etag
        assert place.store.stat("a/b") == second
        assert place.store.read("a/b") == b"three"

    def test_a_file_that_changed_under_its_reader_is_not_mixed(self, place: Place) -> None:
        seen = place.store.write("a", io.BytesIO(b"one"), 3)
        place.store.write("a", io.BytesIO(b"three"), 5)
        with pytest.raises(Conflict, match="has changed"):
            place.store.read("a", 1, 1, etag=seen.etag)

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_a_stream_that_breaks_leaves_nothing(self, place: Place, size: int) -> None:
        place.has("old")
        for path in ("old", "new/file"):
            with pytest.raises(ZeroDivisionError):
                place.store.write(path, io.BufferedReader(Broken(size)), size * 2)
        assert paths(place.store.list()) == ["old"]
        assert place.store.read("old") == b"old"

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_a_stream_of_another_size_leaves_nothing(self, place: Place, size: int) -> None:
        place.has("old")
        for announced in (size - 1, size + 1):
            with pytest.raises(EngineError, match="announced"):
                place.store.write("old", io.BytesIO(bytes(size)), announced)
        assert place.store.read("old") == b"old"

    def test_a_file_is_renamed(self, place: Place) -> None:
        place.has("from #1%.txt", "taken")
        place.store.rename("from #1%.txt", "new folder/to ?2%20.txt")
        assert paths(place.store.list()) == ["new folder/to ?2%20.txt", "taken"]
        place.store.rename("new folder/to ?2%20.txt", "taken")
        assert (paths(place.store.list()), place.store.read("taken")) == (["taken"], b"from #1%.txt")

    def test_a_file_that_is_renamed_to_itself_stays(self, place: Place) -> None:
        place.has("a/b")
        place.store.rename("a/b", "a/./b")
        assert place.store.read("a/b") == b"a/b"

    def test_only_what_is_there_is_renamed(self, place: Place) -> None:
        place.has("there")
        with pytest.raises(NotFound):
            place.store.rename("nobody", "there")
        assert place.store.read("there") == b"there"

    def test_what_is_deleted_is_gone_and_may_be_deleted_again(self, place: Place) -> None:
        place.has("a/b", "a/c")
        place.store.delete("a/b")
        place.store.delete("a/b")
        place.store.delete("nobody/there")
        assert paths(place.store.list()) == ["a/c"]

    def test_64_megabytes_pass_through_little_memory(self, place: Place, tmp_path: Path) -> None:
        stream = Measured(64 << 20)
        before = psutil.Process().memory_info().rss
        entry = place.store.write("large", io.BufferedReader(stream), 64 << 20)
        assert entry.size == 64 << 20
        assert stream.peak - before < 48 << 20
        assert place.store.read("large", 40 << 20, 4) == stream.block[:4]
        place.store.fetch("large", tmp_path / "out")
        assert (tmp_path / "out" / "large").stat().st_size == 64 << 20
        assert psutil.Process().memory_info().rss - before < 64 << 20

    def test_a_folder_is_pushed_and_fetched_back(self, place: Place, tmp_path: Path) -> None:
        source = tmp_path / "source"
        for path in (*MANY, *NAMES[:6]):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(path)
        (source / "link").symlink_to("/etc/passwd")
        (source / "away").symlink_to("/etc")
        moved = place.store.push(source, "in/here")
        assert sorted(moved.files) == sorted((*MANY, *NAMES[:6]))
        assert moved.refused == [("away", "is a symbolic link"), ("link", "is a symbolic link")]
        place.store.fetch("in/here", tmp_path / "back")
        for path in moved.files:
            assert (tmp_path / "back" / path).read_text() == path

    def test_a_probe_finds_everything_working_and_leaves_nothing(self, place: Place) -> None:
        place.has("there")
        report = probe(place.store)
        assert [(row.name, row.outcome, row.detail) for row in report.rows if row.outcome != "ok"] == []
        assert len(report.rows) == 8
        assert report.passed
        assert report.can_read_only
        assert paths(place.store.list(recursive=False)) == ["there"]


class Broken(io.RawIOBase):
    """Gives so many bytes, then breaks."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._left:
            raise ZeroDivisionError
        count = min(len(buffer), self._left)
        buffer[:count] = bytes(count)
        self._left -= count
        return count


class Measured(io.RawIOBase):
    """Gives so many bytes, and looks how large this process is while they are taken."""

    def __init__(self, size: int) -> None:
        self._left, self.peak, self.block = size, 0, secrets.token_bytes(1 << 20)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.peak = max(self.peak, psutil.Process().memory_info().rss)
        at = -self._left % len(self.block)
        piece = self.block[at : at + min(len(buffer), self._left)]
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        return len(piece)


def silent(ask: Callable[[], object]) -> str:
    """What is said when something fails, whatever it is."""
    with pytest.raises(AtelierError) as caught:
        ask()
    return str(caught.value)
