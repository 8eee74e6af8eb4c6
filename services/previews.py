"""Previews, profiles and differences of data: small ones at once, long ones in a thread, kept by content.

What was made lies in the workspace's cache as a file, and a lock beside it says that somebody is at it: so every
process sees the same, and what a process left unfinished when it ended can be asked for again.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from services import access, data
from services.core.errors import AtelierError, Invalid, NotFound, Unavailable
from services.core.times import iso, now
from services.engines import tables
from services.engines.contents import Contents, Listing
from services.engines.tables import mltables
from services.store.rows import Asset
from services.studio import Scope

AT_ONCE = 2
WAITING = 50
TOLD_SECONDS = 0.5
KEPT_PREVIEWS = 64
HASHED_BYTES = 2 << 30
PIECE = 1 << 20
_SHOWN_FIRST = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".xlsx", ".arrow", ".feather")
_log = logging.getLogger("atelier.studio")
_turns = threading.Semaphore(AT_ONCE)
_waiting: set[str] = set()
_seen: "OrderedDict[tuple[str, str, int], tables.Preview]" = OrderedDict()
_guard = threading.Lock()
Progress = Callable[[float], None]
Work = Callable[[Progress], dict[str, Any]]


@dataclass(frozen=True)
class View:
    """One version of a data asset, to be looked at after the transaction that allowed it.

    `is_kept`: its content never changes, so what was found out stays true. `cache` is where that is kept.
    """

    id: str
    name: str
    type: str
    key: str
    is_kept: bool
    contents: Contents
    cache: Path


@dataclass(frozen=True)
class State:
    """How far something is: NotAsked, Queued, Running, Ready or Failed; `progress` goes from 0 to 1, `at` is when."""

    status: str
    progress: float = 0.0
    error: str = ""
    at: str | None = None
    result: dict[str, Any] | None = None

    @property
    def is_under_way(self) -> bool:
        return self.status in {"Queued", "Running"}

    @property
    def made_at(self) -> datetime | None:
        return datetime.fromisoformat(self.at) if self.at else None


def view(scope: Scope, asset: Asset) -> View:
    """Raises as `data.contents`."""
    access.require(scope, "datasets/versions/read")
    return View(
        id=asset.id,
        name=f"{asset.name}:{asset.version}",
        type=asset.type,
        key=_key(asset.type, asset.hash),
        is_kept=data.is_kept(asset),
        contents=data.contents(scope, asset),
        cache=scope.studio.folders.workspace(asset.workspace_id) / "cache" / "profiles",
    )


def preview(view: View, path: str = "", *, rows: int = 50) -> tables.Preview:
    """The first look at one file; without a path at the table of an MLTable, or at the file that says most.

    Raises NotFound, Invalid for what is damaged, Unavailable where a store does not answer.
    """
    key = (view.id, path, rows)
    with _guard:
        if (known := _seen.get(key)) is not None:
            return known
    found = _previewed(view, path, rows)
    if view.is_kept and not isinstance(found, tables.ImagePreview):
        with _guard:
            _seen[key] = found
            while len(_seen) > KEPT_PREVIEWS:
                _seen.popitem(last=False)
    return found


def first(listing: Listing) -> str:
    """The path of the file that a reader wants to see first; empty when there is none."""
    ranked = sorted(
        listing.files,
        key=lambda file: (_rank(file.path), not file.size, file.path.count("/"), file.path),
    )
    return ranked[0].path if ranked else ""


def profile(view: View) -> State:
    """How far its profile is; `result` is a `tables.Profile` as plain values."""
    return _state(view.cache / f"{view.key}.json")


def ask_profile(view: View, *, anew: bool = False) -> State:
    """Has it made unless it is there; `anew` makes it again. Raises Unavailable when too many wait."""
    return _asked(view.cache / f"{view.key}.json", lambda progress: _profiled(view, progress), anew=anew)


def diff(old: View, new: View) -> State:
    """How far the comparison is; `result` is a `tables.Diff` as plain values."""
    return _state(_pair(old, new))


def ask_diff(old: View, new: View, *, anew: bool = False) -> State:
    """As `ask_profile`."""
    return _asked(_pair(old, new), lambda progress: _compared(old, new, progress), anew=anew)


def as_json(state: State, word: str) -> dict[str, Any]:
    """What was asked for stands under its `word`."""
    return {
        "status": state.status,
        "progress": round(state.progress, 3),
        "error": state.error,
        "at": state.at,
        word: state.result,
    }


def _rank(path: str) -> int:
    name = PurePosixPath(path)
    if name.name.startswith((".", "_")):
        return len(_SHOWN_FIRST) + 1
    return _SHOWN_FIRST.index(name.suffix.lower()) if name.suffix.lower() in _SHOWN_FIRST else len(_SHOWN_FIRST)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def _pair(old: View, new: View) -> Path:
    return new.cache / f"{_key('diff', old.key, new.key)}.json"


def _previewed(view: View, path: str, rows: int) -> tables.Preview:
    if not path and view.type == "mltable":
        return _table(_source(view)).preview(rows=rows)
    path = path or view.contents.single or first(view.contents.listing())
    if not path:
        raise NotFound(f"'{view.name}' holds no file.")
    file, size = view.contents.opened(path)
    file.close()
    return tables.preview(_of([tables.Part(path, size)], view), path, rows=rows)


def _source(view: View) -> tables.Source:
    """All files, as far as they are listed."""
    return _of([tables.Part(file.path, file.size) for file in view.contents.listing().files], view)


def _of(parts: list[tables.Part], view: View) -> tables.Source:
    return tables.Source(parts, lambda path: view.contents.opened(path)[0])


def _table(source: tables.Source) -> mltables.MLTableView:
    return mltables.mltable_table(source, mltables.read_mltable(source))


def _profiled(view: View, progress: Progress) -> dict[str, Any]:
    view.cache.mkdir(parents=True, exist_ok=True)
    source = _source(view)
    if view.type == "mltable":
        return _table(source).profile(progress=progress, scratch=view.cache).as_json()
    return tables.profile(source, progress=progress, scratch=view.cache).as_json()


def _compared(old: View, new: View, progress: Progress) -> dict[str, Any]:
    """Profiles that are there are taken, and those that are made are kept; what is no table is compared as files."""
    before, after = _source(old), _source(new)
    before, after = _with_hashes(before, after), _with_hashes(after, before)
    try:
        profiles = (
            _profile_of(old, lambda done: progress(done / 2)),
            _profile_of(new, lambda done: progress(0.5 + done / 2)),
        )
    except (Invalid, NotFound):
        return tables.diff(before, after, scratch=new.cache).as_json()
    return tables.diff(before, after, profiles=profiles).as_json()


def _profile_of(view: View, progress: Progress) -> tables.Profile:
    known = profile(view)
    if view.is_kept and known.status == "Ready" and known.result is not None:
        return tables.Profile.from_json(known.result)
    made = _profiled(view, progress)
    _write(view.cache / f"{view.key}.json", {"at": iso(now()), "result": made})
    return tables.Profile.from_json(made)


def _with_hashes(source: tables.Source, other: tables.Source) -> tables.Source:
    """Files of one size on both sides are told apart by their bytes, as long as that costs a sane time."""
    sizes, left = {part.path: part.size for part in other.parts}, HASHED_BYTES
    parts = []
    for part in source.parts:
        if sizes.get(part.path) == part.size and part.size <= left:
            left -= part.size
            part = replace(part, hash=_hash(source, part.path))
        parts.append(part)
    return tables.Source(parts, source.open)


def _hash(source: tables.Source, path: str) -> str:
    found = hashlib.sha256()
    with source.open(path) as file:
        while piece := file.read(PIECE):
            found.update(piece)
    return found.hexdigest()


def _state(place: Path) -> State:
    told = _read(place)
    if told is None and _is_held(place):
        progress = _read(_told(place))
        return State("Queued") if progress is None else State("Running", float(progress))
    told = told or _read(place)  # it may have come between the two questions
    if told is None:
        return State("NotAsked")
    if told.get("error"):
        return State("Failed", error=told["error"], at=told["at"])
    return State("Ready", 1.0, at=told["at"], result=told["result"])


def _asked(place: Path, work: Work, *, anew: bool) -> State:
    found = _state(place)
    if found.is_under_way or (found.status == "Ready" and not anew):
        return found
    place.parent.mkdir(parents=True, exist_ok=True)
    held = _held(place, patience=0.2)
    if held is None:  # another process was faster
        return _state(place)
    with _guard:
        if len(_waiting) >= WAITING:
            os.close(held)
            raise Unavailable(f"{WAITING} profiles are being made already.", hint="Ask again in a while.")
        _waiting.add(str(place))
    place.unlink(missing_ok=True)
    _told(place).unlink(missing_ok=True)
    threading.Thread(target=_made, args=(place, work, held), name="profile", daemon=True).start()
    return State("Queued")


def _made(place: Path, work: Work, held: int) -> None:
    """Runs in its own thread, at most so many at once; the lock is let go when the answer is written."""
    try:
        with _turns:
            _say(place, 0.0)
            _write(place, {"at": iso(now()), **_answer(place, work)})
    finally:
        with _guard:
            _waiting.discard(str(place))
        _told(place).unlink(missing_ok=True)
        os.close(held)


def _answer(place: Path, work: Work) -> dict[str, Any]:
    last = time.monotonic()

    def progress(done: float) -> None:
        nonlocal last
        if time.monotonic() - last > TOLD_SECONDS:
            last = time.monotonic()
            _say(place, done)

    try:
        return {"result": work(progress)}
    except AtelierError as error:
        return {"error": str(error)}
    except Exception as bug:  # noqa: BLE001 (the end of a thread)
        _log.error("A profile could not be made", exc_info=bug)
        return {"error": "This could not be computed. The fault is ours; the studio's log has the details."}


def _held(place: Path, *, patience: float = 0.0) -> int | None:
    """The lock, taken; None when somebody has it for longer than a look takes."""
    lock = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(lock)
                return None
            time.sleep(0.02)


def _is_held(place: Path) -> bool:
    if not place.with_suffix(".lock").exists():
        return False
    lock = _held(place)
    if lock is None:
        return True
    os.close(lock)
    return False


def _told(place: Path) -> Path:
    return place.with_suffix(".progress")


def _say(place: Path, done: float) -> None:
    _write(_told(place), done)


def _read(place: Path) -> Any:
    try:
        return orjson.loads(place.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None


def _write(place: Path, value: Any) -> None:
    part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    part.write_bytes(orjson.dumps(value))
    part.replace(place)
