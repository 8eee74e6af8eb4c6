"""Whole folders between a store and a local disk: file by file, each whole, what broke off goes on."""

import errno
import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol

from services.core import failpoints
from services.core.errors import Conflict, EngineError, NotFound, Unavailable
from services.engines import files
from services.engines.stores import paths
from services.engines.stores.entries import Entry, Moved, Progress
from services.engines.stores.places import descended

PIECE = 8 << 20
AT_ONCE = 4  # files: waiting for an answer is most of what small ones cost
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class Source(Protocol):
    """What `fetch` asks of a store."""

    name: str

    def everything(self, prefix: str = "") -> Iterator[Entry]: ...
    def stat(self, path: str) -> Entry: ...
    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes: ...


class Sink(Protocol):
    """What `push` asks of a store."""

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry: ...


def fetch(
    source: Source,
    prefix: str,
    folder: Path,
    *,
    progress: Progress | None = None,
    wanted: Callable[[Entry], bool] | None = None,
) -> Moved:
    """See `Store.fetch`."""
    moved = Moved()
    found = False
    with _landing(folder) as landing, ThreadPoolExecutor(AT_ONCE) as pool:
        under_way: deque[tuple[Entry, str, Future[bool]]] = deque()
        try:
            for entry, local in _named(source, paths.folder_of(prefix)):
                found = True
                if entry.is_folder or not paths.is_tidy(local):
                    moved.refused.append((entry.path, "has a name that no path can be"))
                elif wanted is None or wanted(entry):
                    under_way.append((entry, local, pool.submit(landing.receive, source, entry, local)))
                while len(under_way) > AT_ONCE * 4:
                    _settle(moved, *under_way.popleft(), progress)
            while under_way:
                _settle(moved, *under_way.popleft(), progress)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not found:
        raise NotFound(f"Datastore '{source.name}' has nothing at '{prefix[:200]}'.")
    return moved


def _settle(moved: Moved, entry: Entry, local: str, received: "Future[bool]", progress: Progress | None) -> None:
    try:
        has_travelled = received.result()
    except OSError as cause:
        moved.refused.append((entry.path, _refused_for(cause)))
        return
    if has_travelled:
        moved.files.append(local)
        moved.bytes += entry.size
    else:
        moved.kept.append(local)
    if progress is not None:
        progress(local, entry.size)


def push(sink: Sink, folder: Path, prefix: str, *, progress: Progress | None = None) -> Moved:
    """See `Store.push`."""
    moved = Moved()
    below = paths.folder_of(prefix)
    for here, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        relative = Path(here).relative_to(folder)
        for name in sorted([*names, *(one for one in folders if (Path(here) / one).is_symlink())]):
            local = (relative / name).as_posix()
            path = f"{below}/{local}" if below else local
            if (Path(here) / name).is_symlink():
                moved.refused.append((local, "is a symbolic link"))
            elif not (Path(here) / name).is_file():
                moved.refused.append((local, "is not a regular file"))
            elif not paths.is_tidy(path):
                moved.refused.append((local, "has a name that no path can be"))
            else:
                with files.open_inside(folder, local) as stream:
                    size = os.fstat(stream.fileno()).st_size
                    sink.write(path, stream, size)
                moved.files.append(local)
                moved.bytes += size
                if progress is not None:
                    progress(local, size)
    return moved


class _Landing:
    """A folder that is being filled, and beside it what has arrived so far: a journal and the unfinished files."""

    def __init__(self, root: Path, beside: Path) -> None:
        self.root, self.beside = root, beside
        self._journal, self._writing = beside / "journal", Lock()
        self._seen = dict(self._remembered())

    def _has(self, local: str, entry: Entry) -> bool:
        if local not in self._seen:
            return False
        try:
            found = (self.root / local).lstat()
        except OSError:
            return False
        return self._seen[local] == [entry.size, entry.etag, found.st_mtime_ns] and found.st_size == entry.size

    def receive(self, source: Source, entry: Entry, local: str) -> bool:
        """False when it was there already."""
        if self._has(local, entry):
            return False
        key = json.dumps([entry.path, entry.size, entry.etag])
        part = self.beside / f"{hashlib.sha256(key.encode()).hexdigest()}.part"
        with part.open("ab") as file:
            if file.tell() > entry.size or not entry.etag:
                file.truncate(0)
            while (offset := file.seek(0, os.SEEK_END)) < entry.size:
                piece = source.read(entry.path, offset, min(PIECE, entry.size - offset), etag=entry.etag)
                if not piece:
                    raise EngineError(f"'{entry.path}' of datastore '{source.name}' ended after {offset} bytes.")
                file.write(piece)
                failpoints.reach("piece_fetched")
            file.flush()
            os.fsync(file.fileno())
        self._place(part, local)
        failpoints.reach("file_fetched")
        modified = (self.root / local).lstat().st_mtime_ns
        with self._writing, self._journal.open("a") as journal:
            journal.write(json.dumps([local, entry.size, entry.etag, modified]) + "\n")
        return True

    def _place(self, part: Path, local: str) -> None:
        *folders, name = local.split("/")
        with descended(self.root, folders, make=True) as folder:
            os.replace(part, name, dst_dir_fd=folder)

    def _remembered(self) -> Iterator[tuple[str, list[object]]]:
        try:
            lines = self._journal.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                local, *facts = json.loads(line)
            except ValueError:  # the line that a crash has torn
                continue
            yield local, facts


@contextmanager
def _landing(folder: Path) -> Iterator[_Landing]:
    beside = folder.with_name(f".{folder.name}.fetched")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.mkdir(exist_ok=True)
        lock = (beside / "lock").open("ab")
    except OSError as cause:
        raise Unavailable(f"'{folder.name}' cannot be written: {cause.strerror}.") from cause
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            raise Conflict(f"'{folder.name}' is being filled by another already.", hint="Try again later.") from cause
        yield _Landing(folder, beside)


def _named(source: Source, prefix: str) -> Iterator[tuple[Entry, str]]:
    """Each file with its name below the local folder."""
    is_folder = False
    for entry in source.everything(prefix):
        is_folder = True
        yield entry, entry.path[len(prefix) + 1 :] if prefix else entry.path
    if not is_folder and prefix:
        yield source.stat(prefix), prefix.rpartition("/")[2]


def _refused_for(cause: OSError) -> str:
    if cause.errno in _FULL:
        raise Unavailable(f"Files cannot be written: {cause.strerror}.") from cause
    if cause.errno in {errno.ELOOP, errno.ENOTDIR, errno.EEXIST}:
        return "has a link or a file in the place of its folder"
    if cause.errno in {errno.EISDIR, errno.ENOTEMPTY}:
        return "has a folder in its place"
    return f"cannot be written: {cause.strerror}"
