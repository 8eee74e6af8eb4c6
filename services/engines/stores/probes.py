"""What a store can do, found out by doing it: every verb once, with traces removed."""

import hashlib
import io
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from services.core.errors import AtelierError, EngineError, NotFound, Unavailable
from services.engines.stores.entries import Entry
from services.engines.stores.store import Store

LARGE = 64 << 20
SKEW = 300  # seconds: S3 refuses at 900, and a token that lives for an hour should not be born late
NAMES = ("write", "read", "range read", "list", "rename", "delete", "large file", "clock skew")

_PIECE = 8 << 20
_NEEDS_WRITING = ("rename", "delete", "large file", "clock skew")


@dataclass(frozen=True)
class Row:
    """One of `NAMES`, what came of it, a sentence, and how long it took."""

    name: str
    outcome: Literal["ok", "failed", "skipped"]
    detail: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """One row for each of `NAMES`, in that order."""

    rows: tuple[Row, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.outcome == "failed")

    @property
    def passed(self) -> bool:
        """Whether the store can be used for everything."""
        return all(row.outcome == "ok" for row in self.rows)

    @property
    def can_read_only(self) -> bool:
        """Whether files can at least be listed and read; an empty store that takes no file cannot prove it."""
        return all(row.outcome == "ok" for row in self.rows if row.name in {"read", "list"})


def probe(store: Store, *, large: int = LARGE) -> Report:
    """Tries everything and raises nothing; a server that does not answer is asked once. Takes as long as `large` does.

    Where nothing can be written, listing and reading are tried on a file that is there already.
    """
    return _Probe(store, large).report()


class _Probe:
    def __init__(self, store: Store, large: int) -> None:
        self.store, self.large = store, large
        self.folder = f"atelier-probe-{secrets.token_hex(8)}"
        self.small, self.moved, self.big = (f"{self.folder}/{name}" for name in ("small", "renamed", "large"))
        self.content = secrets.token_bytes(4096)
        self.rows: dict[str, Row] = {}
        self.started = datetime.now(UTC)
        self.sample: Entry | None = None
        self.is_silent = False

    def report(self) -> Report:
        if self.store.read_only:
            for name in ("write", *_NEEDS_WRITING):
                self._skip(name, "this kind of store is for reading")
        else:
            self._try("write", self._write)
        try:
            if self.rows["write"].outcome == "ok":
                self._try("read", self._read)
                self._try("range read", self._read_range)
                self._try("list", self._list)
                self._try("clock skew", self._skew)
                self._try("rename", self._rename)
                self._try("delete", self._delete)
                self._try("large file", self._large)
            else:
                self._read_only()
        finally:
            if not self.store.read_only and not (self.is_silent and self.rows["write"].outcome == "failed"):
                self._clean()
        return Report(tuple(self.rows[name] for name in NAMES))

    def _read_only(self) -> None:
        self._try("list", self._find)
        for name, check in (("read", self._read_sample), ("range read", self._read_sample_range)):
            if self.sample is not None:
                self._try(name, check)
            elif self.rows["list"].outcome == "ok":
                self._skip(name, "there is no file in it to try this on")
            else:
                self._skip(name, "no file was found to try this on")
        for name in _NEEDS_WRITING:
            if name not in self.rows:
                self._skip(name, "nothing could be written")

    def _try(self, name: str, check: Callable[[], str]) -> None:
        if self.is_silent:
            self._skip(name, "the server does not answer")
            return
        begun = time.monotonic()
        try:
            detail = check()
        except AtelierError as cause:
            self.is_silent = isinstance(cause, Unavailable)
            self.rows[name] = Row(name, "failed", str(cause), time.monotonic() - begun)
        else:
            self.rows[name] = Row(name, "ok", detail, time.monotonic() - begun)

    def _skip(self, name: str, why: str) -> None:
        self.rows[name] = Row(name, "skipped", why, 0.0)

    def _write(self) -> str:
        self.started = datetime.now(UTC)
        self.store.write(self.small, io.BytesIO(self.content), len(self.content))
        return f"{len(self.content)} bytes"

    def _read(self) -> str:
        return _same(self.store.read(self.small), self.content)

    def _read_range(self) -> str:
        detail = _same(self.store.read(self.small, 1000, 500), self.content[1000:1500])
        return self._by_ranges(detail)

    def _by_ranges(self, detail: str) -> str:
        if not self.store.has_ranges:
            raise EngineError("The server sends whole files only; reading a part of one takes as long as all of it.")
        return detail

    def _list(self) -> str:
        found = [entry.path for entry in self.store.list(self.folder)]
        if found != [self.small]:
            raise EngineError(f"The file that was just written is not in the list ({len(found)} others are).")
        return "the file is listed"

    def _skew(self) -> str:
        entry = self.store.stat(self.small)
        if entry.modified is None:
            raise EngineError("The server does not tell when a file was written.")
        ahead = (entry.modified - self.started).total_seconds()
        if abs(ahead) > SKEW:
            raise EngineError(f"The server's clock and ours are {abs(ahead):.0f} s apart.", hint="Set both by NTP.")
        return "the clocks agree" if abs(ahead) < 3 else f"the server is {abs(ahead):.0f} s {_side(ahead)}"

    def _rename(self) -> str:
        self.store.rename(self.small, self.moved)
        _same(self.store.read(self.moved), self.content)
        self._is_gone(self.small)
        return "found under its new name only"

    def _delete(self) -> str:
        path = self.moved if self.rows["rename"].outcome == "ok" else self.small
        self.store.delete(path)
        self._is_gone(path)
        return "it is gone"

    def _is_gone(self, path: str) -> None:
        with suppress(NotFound):
            self.store.stat(path)
            raise EngineError("The file is still there under its old name.")

    def _large(self) -> str:
        begun = time.monotonic()
        stream = _Pattern(self.large)
        self.store.write(self.big, io.BufferedReader(stream, 1 << 20), self.large)
        sent = time.monotonic()
        back = hashlib.sha256()
        for offset in range(0, self.large, _PIECE):
            back.update(self.store.read(self.big, offset, _PIECE))
        if back.digest() != stream.digest.digest():
            raise EngineError("What came back is not what was written.")
        there, here = (self.large / 1e6 / max(1e-6, span) for span in (sent - begun, time.monotonic() - sent))
        return f"{self.large >> 20} MB at {there:.0f} MB/s there, {here:.0f} MB/s back"

    def _find(self) -> str:
        for entry in self.store.list(limit=1000):
            if entry.size:
                self.sample = entry
                return f"'{entry.path[:80]}' was found"
        return "no file with content is in it"

    def _read_sample(self) -> str:
        entry = self._sampled()
        piece = self.store.read(entry.path, 0, min(entry.size, 4096))
        return f"{len(piece)} bytes of '{entry.path[:80]}'"

    def _read_sample_range(self) -> str:
        entry = self._sampled()
        whole = self.store.read(entry.path, 0, min(entry.size, 4096))
        half = len(whole) // 2
        return self._by_ranges(_same(self.store.read(entry.path, half, len(whole) - half), whole[half:]))

    def _sampled(self) -> Entry:
        if self.sample is None:
            raise NotFound("There is no file to read.")
        return self.sample

    def _clean(self) -> None:
        for path in (self.small, self.moved, self.big):
            try:
                self.store.delete(path)
            except Unavailable:  # nor would it answer to the next
                return
            except AtelierError:
                continue
        with suppress(AtelierError):
            self.store.remove_folder(self.folder)


class _Pattern(io.RawIOBase):
    """So many bytes that no compression helps with, made as they are read."""

    def __init__(self, size: int) -> None:
        self._left, self._block = size, secrets.token_bytes(1 << 20)
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._block[: min(len(buffer), self._left)]
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        self.digest.update(piece)
        return len(piece)


def _same(found: bytes, written: bytes) -> str:
    if found != written:
        raise EngineError(f"What came back ({len(found)} bytes) is not what was written ({len(written)} bytes).")
    return f"{len(found)} bytes came back as they were"


def _side(ahead: float) -> str:
    return "ahead" if ahead > 0 else "behind"
