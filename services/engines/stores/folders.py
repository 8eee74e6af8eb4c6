"""A folder on this machine, or a share that is mounted into it, as a store. Links are never followed."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from services.core.errors import Conflict, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines.stores import paths
from services.engines.stores.entries import Entry
from services.engines.stores.places import descended
from services.engines.stores.specs import Folder
from services.engines.stores.store import Store

UNFINISHED = ".atelier-unfinished-"
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


class FolderStore(Store):
    def __init__(self, spec: Folder) -> None:
        self.name, self._root = spec.name, Path(spec.root)

    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        below = paths.folder_of(prefix)
        with self._translated(prefix):
            self._root.stat()
            found = self._walk(below, recursive=recursive, after=after)
            yield from islice((entry for entry in found if paths.is_tidy(entry.path)), limit)

    def everything(self, prefix: str = "") -> Iterator[Entry]:
        with self._translated(prefix):
            self._root.stat()
            yield from self._walk(paths.folder_of(prefix), recursive=True, after="")

    def stat(self, path: str) -> Entry:
        with self._opened(path) as file:
            return _entry(paths.confined(path), os.fstat(file))

    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        with self._opened(path) as file, self._translated(path):
            found = os.fstat(file)
            if etag and etag != _etag(found):
                raise Conflict(f"'{path}' of datastore '{self.name}' has changed.", hint="Read it again.")
            end = found.st_size if length is None else min(found.st_size, offset + length)
            pieces = []
            while offset < end and (piece := os.pread(file, min(end - offset, 64 << 20), offset)):
                pieces.append(piece)
                offset += len(piece)
            return b"".join(pieces)

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        *folders, name = paths.confined(path).split("/")
        part = f"{UNFINISHED}{secrets.token_hex(8)}"
        with self._translated(path), descended(self._root, folders, make=True) as folder:
            try:
                with os.fdopen(os.open(part, _NEW, 0o666, dir_fd=folder), "wb") as file:
                    written = 0
                    while piece := stream.read(_PIECE):
                        written += file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                    found = os.fstat(file.fileno())
                if size is not None and written != size:
                    raise EngineError(f"'{path}' was announced with {size} bytes and came with {written}.")
                os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise
        return _entry(path, found)

    def rename(self, path: str, target: str) -> None:
        *folders, name = paths.confined(path).split("/")
        *target_folders, target_name = paths.confined(target).split("/")
        self.stat(path)
        with (
            self._translated(path),
            descended(self._root, folders) as source,
            descended(self._root, target_folders, make=True) as goal,
        ):
            os.rename(name, target_name, src_dir_fd=source, dst_dir_fd=goal)

    def delete(self, path: str) -> None:
        *folders, name = paths.confined(path).split("/")
        with suppress(NotFound), self._translated(path), descended(self._root, folders) as folder:
            os.unlink(name, dir_fd=folder)

    def remove_folder(self, path: str) -> None:
        *folders, name = paths.confined(path).split("/")
        with suppress(NotFound), self._translated(path), descended(self._root, folders) as folder:
            os.rmdir(name, dir_fd=folder)

    def _walk(self, below: str, *, recursive: bool, after: str) -> Iterator[Entry]:
        """By path, not by name: `a.txt` comes before `a/b`, as every object store has it."""
        try:
            parts = [part for part in below.split("/") if part]
            with descended(self._root, parts) as folder, os.scandir(folder) as found:
                entries = [(_path(below, one), one.stat(follow_symlinks=False)) for one in found if _is_shown(one)]
        except (FileNotFoundError, NotADirectoryError):
            return
        for path, facts in sorted(entries, key=lambda entry: entry[0]):
            if not path.endswith("/"):
                if path > after:
                    yield _entry(path, facts)
            elif recursive and paths.is_tidy(path) and (path > after or after.startswith(path)):
                yield from self._walk(path[:-1], recursive=True, after=after)
            elif path > after and not (recursive and paths.is_tidy(path)):
                yield Entry(path, 0, datetime.fromtimestamp(facts.st_mtime, UTC))

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        *folders, name = paths.confined(path).split("/")
        with self._translated(path), descended(self._root, folders) as folder:
            file = os.open(name, _FILE, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise NotFound(f"'{path}' of datastore '{self.name}' is not a file.")
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as cause:
            raise self._meaning(cause, path) from cause

    def _meaning(self, cause: OSError, path: str) -> Exception:
        place = f"'{path[:200]}' of datastore '{self.name}'"
        if not self._root.is_dir():
            return Unavailable(f"The folder of datastore '{self.name}' is not there.", hint="Is its share mounted?")
        match cause.errno:
            case errno.ENOENT:
                return NotFound(f"{place} was not found.")
            case errno.ELOOP | errno.ENXIO | errno.ENOTDIR:
                return Invalid(
                    f"{place} is not a regular file: a link, or a file in the place of a folder.", where="path"
                )
            case errno.EISDIR | errno.ENOTEMPTY | errno.EEXIST:
                return Conflict(f"{place} has a folder in its way.")
            case errno.ENAMETOOLONG:
                return Invalid(f"{place} is longer than a folder can hold.", where="path")
            case errno.EACCES | errno.EPERM | errno.EROFS:
                return Denied(f"{place} is refused: {cause.strerror}.")
            case errno.ENOSPC | errno.EDQUOT | errno.EIO | errno.ESTALE:
                return Unavailable(f"{place} cannot be used now: {cause.strerror}.")
        return EngineError(f"{place}: {cause.strerror}.")


def _is_shown(entry: "os.DirEntry[str]") -> bool:
    """Files and folders; links, unfinished files and a disk's `lost+found` are not."""
    if entry.name.startswith(UNFINISHED) or entry.name == "lost+found":
        return False
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def _path(below: str, entry: "os.DirEntry[str]") -> str:
    """Bytes that are no letters are written out, with a backslash that makes it a path that nobody can ask for."""
    name = entry.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    path = f"{below}/{name}" if below else name
    return f"{path}/" if entry.is_dir(follow_symlinks=False) else path


def _entry(path: str, found: os.stat_result) -> Entry:
    return Entry(path, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), _etag(found))


def _etag(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
