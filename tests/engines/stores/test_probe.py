"""A probe says which verb fails, tries reading where writing fails, and takes its traces with it."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.core.errors import Denied, EngineError, Unavailable
from services.engines.stores import Entry, Folder, Report, Store, Web, opened, probe
from services.engines.stores.folders import FolderStore
from services.engines.stores.probes import NAMES
from tests.engines.stores import servers
from tests.engines.stores.promises import paths

SMALL = 1 << 20
ALL = ("write", "read", "range read", "list", "rename", "delete", "large file", "clock skew")


def outcomes(report: Report) -> dict[str, str]:
    assert tuple(row.name for row in report.rows) == NAMES == ALL
    assert all(row.detail for row in report.rows)
    return {row.name: row.outcome for row in report.rows}


def refusing(folder: Path, **verbs: Callable[..., object]) -> Store:
    """A folder whose server refuses some verbs: what it says is what a real one said elsewhere in these tests."""
    store = FolderStore(Folder("mine", str(folder)))
    for name, verb in verbs.items():
        setattr(store, name, verb)
    return store


def denied(*_: object, **__: object) -> object:
    raise Denied("'x' of datastore 'mine' is refused: AccessDenied.")


def silent(*_: object, **__: object) -> object:
    raise Unavailable("Datastore 'mine' does not answer: timed out.")


def test_what_cannot_be_written_to_may_still_be_read(folder: Path) -> None:
    (folder / "empty").write_text("")
    (folder / "there").write_text("hello")
    report = probe(refusing(folder, write=denied, delete=denied))
    assert outcomes(report) == {
        "write": "failed",
        "read": "ok",
        "range read": "ok",
        "list": "ok",
        "rename": "skipped",
        "delete": "skipped",
        "large file": "skipped",
        "clock skew": "skipped",
    }
    assert (report.passed, report.can_read_only) == (False, True)
    assert [(row.name, row.detail) for row in report.failed] == [
        ("write", "'x' of datastore 'mine' is refused: AccessDenied.")
    ]
    assert "'there'" in report.rows[1].detail


def test_an_empty_store_cannot_show_that_it_can_be_read(folder: Path) -> None:
    report = probe(refusing(folder, write=denied))
    assert (outcomes(report)["list"], outcomes(report)["read"]) == ("ok", "skipped")
    assert report.rows[1].detail == "there is no file in it to try this on"
    assert not report.can_read_only


@pytest.mark.parametrize("verb", ["rename", "delete"])
def test_a_refused_verb_is_the_one_that_failed(folder: Path, verb: str) -> None:
    report = probe(refusing(folder, **{verb: denied}), large=SMALL)
    assert [row.name for row in report.failed] == [verb]
    assert report.can_read_only
    assert not report.passed
    assert list(folder.rglob("*")) == [] or verb == "delete"


def test_a_listing_that_is_refused_is_told_and_nothing_stays(folder: Path) -> None:
    report = probe(refusing(folder, list=denied), large=SMALL)
    assert [row.name for row in report.failed] == ["list"]
    assert not report.can_read_only
    assert list(folder.rglob("*")) == []


def test_a_large_file_that_is_cut_short_is_noticed_and_removed(folder: Path) -> None:
    store = FolderStore(Folder("mine", str(folder)))

    def cut(path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        return FolderStore.read(store, path, offset, length)[:100_000]

    store.read = cut  # type: ignore[method-assign]
    report = probe(store, large=SMALL)
    assert [(row.name, row.detail) for row in report.failed] == [
        ("large file", "What came back is not what was written.")
    ]
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize(("ahead", "words"), [(3600, "3600 s apart"), (-3600, "3600 s apart")])
def test_clocks_that_differ_are_told(folder: Path, ahead: int, words: str) -> None:
    store = FolderStore(Folder("mine", str(folder)))

    def stat(path: str) -> Entry:
        entry = FolderStore.stat(store, path)
        assert entry.modified is not None
        return replace(entry, modified=entry.modified + timedelta(seconds=ahead))

    store.stat = stat  # type: ignore[method-assign]
    [failed] = probe(store, large=SMALL).failed
    assert (failed.name, words in failed.detail) == ("clock skew", True)


def test_a_server_that_is_silent_is_asked_once(folder: Path) -> None:
    asked: list[str] = []

    def counted(*_: object, **__: object) -> object:
        asked.append("once")
        return silent()

    report = probe(refusing(folder, write=counted, list=counted, read=counted, delete=counted))
    assert (outcomes(report)["write"], asked) == ("failed", ["once"])
    assert {row.detail for row in report.rows[1:4]} <= {
        "the server does not answer",
        "no file was found to try this on",
    }


def test_a_server_that_falls_silent_is_cleaned_when_it_answers_again(folder: Path) -> None:
    report = probe(refusing(folder, rename=silent))
    found = outcomes(report)
    assert [found[name] for name in ("write", "read", "rename", "delete", "large file")] == [
        "ok",
        "ok",
        "failed",
        "skipped",
        "skipped",
    ]
    assert list(folder.rglob("*")) == []


def test_a_site_is_probed_for_reading(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a b.txt").write_text("hello")
    with servers.web(folder, servers.Ranges) as url:
        report = probe(opened(Web("site", url), allowed_hosts=["127.0.0.1"]))
    assert (report.failed, report.can_read_only, report.passed) == ((), True, False)
    assert outcomes(report)["write"] == "skipped"


def test_a_site_that_sends_whole_files_is_told_from_one_with_ranges(folder: Path) -> None:
    (folder / "a").write_text("hello")
    with servers.web(folder, servers.WholeFiles) as url:
        report = probe(opened(Web("site", url), allowed_hosts=["127.0.0.1"]))
    assert [(row.name, "whole files only" in row.detail) for row in report.failed] == [("range read", True)]
    assert report.can_read_only


def test_what_lay_there_is_not_touched(folder: Path) -> None:
    store = opened(Folder("mine", str(folder)))
    store.write("a/b", io.BytesIO(b"x"))
    assert probe(store, large=SMALL).passed
    assert paths(store.list()) == ["a/b"]
    assert [one.name for one in folder.iterdir()] == ["a"]


def test_a_broken_engine_is_a_failed_row_and_not_an_error(folder: Path) -> None:
    def broken(*_: object, **__: object) -> object:
        raise EngineError("It is broken.")

    report = probe(refusing(folder, write=broken, list=broken))
    assert [row.name for row in report.failed] == ["write", "list"]
    assert not report.can_read_only
