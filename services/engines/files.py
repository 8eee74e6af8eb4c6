"""Files that others wrote: read without following links, collected without trust, received to disk."""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from services.core import failpoints
from services.core.errors import Conflict, Invalid, NotFound, Unavailable

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SYSTEM_FOLDERS = frozenset(
    place
    for path in (
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib64",
        "/proc",
        "/root/.ssh",
        "/run",
        "/sbin",
        "/sys",
        "/var/run",
        "/var/lib/docker",
    )
    for place in (Path(path), Path(path).resolve())  # /bin is /usr/bin on many systems
)


@dataclass(frozen=True)
class File:
    """A regular file below some folder: relative POSIX path, size in bytes, modification time."""

    path: str
    size: int
    modified: float


@dataclass
class Collected:
    """What was taken over, and what was left with the reason."""

    files: list[File] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def parts_of(path: str) -> list[str]:
    """A relative POSIX path in its segments. Raises Invalid when it could leave its folder."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not parts or path.startswith("/") or "\0" in path or any(part == ".." for part in parts):
        raise Invalid(f"{path[:200]!r} is not a relative path inside of the folder.", where="path")
    return parts


def of_no_system(path: Path) -> Path:
    """Where it really lies. Raises Invalid for what no job is ever shown, whatever an admin has opened."""
    resolved = path.resolve()
    if resolved == Path("/") or not {resolved, *resolved.parents}.isdisjoint(SYSTEM_FOLDERS):
        raise Invalid(f"'{path}' is a system folder and is never shown to a job.")
    return resolved


def open_inside(root: Path, path: str) -> BinaryIO:
    """Opens a regular file below `root`, never through a link. Raises NotFound, Invalid."""
    return os.fdopen(_descend(root, parts_of(path)), "rb")


def size_inside(root: Path, path: str) -> int:
    """Size in bytes of a regular file below `root`. Raises as `open_inside`."""
    descriptor = _descend(root, parts_of(path))
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def walk(root: Path, *, prefix: str = "") -> Iterator[File]:
    """Every regular file below `root`, in lexicographic order; links and special files are passed over."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from walk(Path(entry.path), prefix=f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                yield File(name, found.st_size, found.st_mtime)
        except OSError:
            continue


def inside(root: Path, path: str) -> Path:
    """Where `path` below `root` really is. Raises Invalid when a link leads out of `root` or round in circles."""
    real = root.resolve()
    try:
        found = (real / path).resolve()
    except (OSError, RuntimeError) as cause:
        raise Invalid(f"{path[:200]!r} cannot be followed.", where="path") from cause
    if found != real and real not in found.parents:
        raise Invalid(f"{path[:200]!r} leads out of its folder by a symbolic link.", where="path")
    return found


def collect(source: Path, target: Path, *, only: str | None = None) -> Collected:
    """Takes the regular files below `source` over into `target`, a path without links; safe to repeat after a crash.

    Moves when both lie on one file system and the file is ours alone, else copies. Links, devices, pipes, what a
    link in `target` would lead astray, what does not fit, and all but the file `only` are left and named.
    Raises Unavailable when the disk is full.
    """
    collected = Collected()
    blocked: list[OSError] = []
    for folder, folders, names in os.walk(source, followlinks=False, onerror=blocked.append):
        here = Path(folder)
        relative = here.relative_to(source)
        for name in list(folders):
            if (here / name).is_symlink() or only is not None:
                folders.remove(name)
                why = "is a symbolic link" if (here / name).is_symlink() else "is not the declared file"
                collected.refused.append(((relative / name).as_posix(), why))
        for name in sorted(names):
            path = (relative / name).as_posix()
            try:
                reason = _refusal(here / name, target, only)
                size = 0 if reason else _take(here / name, target / relative)
            except OSError as cause:
                reason = _refused_for(cause)
            if reason:
                collected.refused.append((path, reason))
            else:
                collected.files.append(File(path, size, 0.0))
                failpoints.reach("file_collected")
    collected.refused += [(os.path.relpath(error.filename, source), "cannot be read") for error in blocked]
    return collected


def remove_tree(path: Path) -> None:
    """Removes a folder that a container may have filled; no-op when it is gone."""

    def unlocked(function: object, name: str, error: BaseException) -> None:
        if isinstance(error, PermissionError):
            with suppress(OSError):
                os.chmod(Path(name).parent, 0o700)  # noqa: PTH101 (name is what rmtree hands us)
                os.unlink(name)  # noqa: PTH108

    if path.is_symlink():
        path.unlink()
        return
    shutil.rmtree(path, onerror=lambda function, name, info: unlocked(function, name, info[1]))


class Landing:
    """Where a file that is being received lies until it is whole: among `parts` beside `root`, then renamed.

    One sender at a time holds it: another that still had it open could write into what was already checked.
    """

    def __init__(self, root: Path, path: str, *, size: int, sha256: str, executable: bool = False) -> None:
        self.target = root.joinpath(*parts_of(path))
        self.part = root.with_name("parts") / hashlib.sha256(path.encode()).hexdigest()
        self.size, self.sha256, self.executable = size, sha256, executable

    @property
    def complete(self) -> bool:
        return self.target.is_file() and self.target.stat().st_size == self.size

    @property
    def offset(self) -> int:
        """How many bytes are there already."""
        with suppress(OSError):
            found = self.part.stat().st_size
            return found if found <= self.size else 0
        return 0

    def open(self) -> BinaryIO:
        """For appending from `offset`; a part longer than the file should be starts again. Raises Conflict."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        file = self.part.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(file.fileno()), self.part.stat())
        except OSError:  # held by another, or finished by it since
            is_ours = False
        if not is_ours:
            file.close()
            raise Conflict(f"'{self.target.name}' is being sent by another already.", hint="Try again in a moment.")
        if not self.offset:
            file.truncate(0)
        return file

    def finish(self) -> None:
        """Raises Conflict when what came is not what was announced; the part is then thrown away."""
        if _sha256(self.part) != self.sha256:
            self.part.unlink(missing_ok=True)
            raise Conflict(
                f"'{self.target.name}' arrived with another content than announced.",
                hint="It changed while it was being sent, or was damaged on the way. Send it again.",
            )
        self.part.chmod(0o755 if self.executable else 0o644)
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.part.replace(self.target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _descend(root: Path, parts: list[str]) -> int:
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as cause:
        raise NotFound(f"'{'/'.join(parts)}' was not found.") from cause
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_DIRECTORY | _OPEN, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(parts[-1], _OPEN, dir_fd=folder)
    except OSError as cause:
        if cause.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise Invalid(f"'{'/'.join(parts)}' is not a regular file.", where="path") from cause
        raise NotFound(f"'{'/'.join(parts)}' was not found.") from cause
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid(f"'{'/'.join(parts)}' is not a regular file.", where="path")
    return descriptor


def _refusal(path: Path, target: Path, only: str | None) -> str:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if only is not None and path.name != only:
        return "is not the declared file"
    if found.st_nlink > 1 and found.st_size > _free(target):
        return "is larger than the free space"
    return ""


def _refused_for(cause: OSError) -> str:
    if cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}:
        raise Unavailable(f"Files cannot be written: {cause.strerror}.") from cause
    if cause.errno in {errno.ELOOP, errno.ENOTDIR}:
        return "has a link or a file in the place of its folder"
    if cause.errno in {errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}:
        return "has a folder in its place"
    return f"cannot be taken: {cause.strerror}"


def _free(target: Path) -> int:
    there = next(path for path in (target, *target.parents) if path.exists())
    return shutil.disk_usage(there).free


def _take(source: Path, target: Path) -> int:
    found = source.lstat()
    mode = (found.st_mode & 0o755) | 0o600  # no setuid programs, and readable for us
    folder = made_below(Path("/"), target.parts[1:])
    try:
        if found.st_nlink == 1:
            if stat.S_IMODE(found.st_mode) != mode:
                source.chmod(mode)
            try:
                os.rename(source, source.name, dst_dir_fd=folder)
                return found.st_size
            except OSError as cause:
                if cause.errno != errno.EXDEV:
                    raise
        _copied(source, folder, mode)
    finally:
        os.close(folder)
    return found.st_size


def made_below(root: Path, parts: Sequence[str]) -> int:
    """A folder below `root`, opened, made where it was missing; no part of its path is followed if it is a link."""
    descriptor = os.open(root, _FOLDER)
    for part in parts:
        try:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=descriptor)
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _copied(source: Path, folder: int, mode: int) -> None:
    part = source.name[:200] + ".part"
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
    writer = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    with os.fdopen(os.open(source, _OPEN), "rb") as reading, os.fdopen(writer, "wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())
    os.rename(part, source.name, src_dir_fd=folder, dst_dir_fd=folder)
