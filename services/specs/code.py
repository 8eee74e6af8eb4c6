"""Code to be sent: which files, by the ignore rules at its root, and the hash that names them."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

from services.core.errors import Invalid

FILES = 50_000
BYTES = 2 << 30
IGNORE_FILES = (".amlignore", ".gitignore")


@dataclass(frozen=True)
class Entry:
    """One file: relative POSIX path, size in bytes, SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str
    executable: bool = False


@dataclass(frozen=True)
class Manifest:
    """What is sent; `refused` are (path, reason), `sources` the files on this machine by path."""

    entries: tuple[Entry, ...]
    refused: tuple[tuple[str, str], ...] = ()
    sources: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(entry.size for entry in self.entries)

    @property
    def id(self) -> str:
        """SHA-256 over the sorted lines `<sha256> <x|-> <size> <path>`."""
        lines = sorted(
            f"{entry.sha256} {'x' if entry.executable else '-'} {entry.size} {entry.path}" for entry in self.entries
        )
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def manifest(root: Path, *, ignore: bool = True, files: int = FILES, size: int = BYTES) -> Manifest:
    """What to send of a folder, or of a single file.

    `.amlignore` wins over `.gitignore`; only the one at the root counts. Links are followed; loops, pipes,
    sockets and devices are refused and named, `.git` is never taken. Raises Invalid when it is too much,
    before anything is read.
    """
    if root.is_file():
        return Manifest((_entry(root, root.name),), sources={root.name: root})
    rules = _rules(root) if ignore else None
    refused: list[tuple[str, str]] = []
    found = sorted(_files(root, "", rules, refused, ()))
    if len(found) > files:
        raise Invalid(
            f"'{root}' holds {len(found)} files; at most {files} are sent.",
            hint="List what is not needed in .amlignore, or make the rest a data input.",
        )
    total = sum(path.stat().st_size for _, path in found)
    if total > size:
        raise Invalid(
            f"'{root}' holds {total / (1 << 20):.0f} MB; at most {size / (1 << 20):.0f} MB are sent.",
            hint="List what is not needed in .amlignore, or make the rest a data input.",
        )
    entries = tuple(_entry(path, name) for name, path in found)
    return Manifest(entries, tuple(refused), dict(found))


def whole(root: Path) -> Manifest:
    """Of every file of a folder that the studio itself has made: nothing is left out and no link is in it."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return Manifest(tuple(_entry(path, path.relative_to(root).as_posix()) for path in paths))


def _rules(root: Path) -> pathspec.GitIgnoreSpec | None:
    for name in IGNORE_FILES:
        path = root / name
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            return pathspec.GitIgnoreSpec.from_lines(lines)
    return None


def _files(
    folder: Path,
    prefix: str,
    rules: pathspec.GitIgnoreSpec | None,
    refused: list[tuple[str, str]],
    parents: tuple[tuple[int, int], ...],
) -> Iterator[tuple[str, Path]]:
    here = folder.stat()
    if (here.st_dev, here.st_ino) in parents:
        refused.append((prefix.rstrip("/"), "is a link to a folder around it"))
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as cause:
        refused.append((prefix.rstrip("/"), f"cannot be read: {cause.strerror}"))
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        reason = _unsuited(entry)
        if entry.name == ".git" or (entry.name == "__pycache__" and rules is None):
            continue
        if rules is not None and rules.match_file(name + ("/" if not reason and entry.is_dir() else "")):
            continue
        if reason:
            refused.append((name.encode("utf-8", "replace").decode(), reason))
        elif entry.is_dir():
            yield from _files(Path(entry.path), f"{name}/", rules, refused, (*parents, (here.st_dev, here.st_ino)))
        else:
            yield name, Path(entry.path)


def _unsuited(entry: os.DirEntry[str]) -> str:
    try:
        entry.name.encode("utf-8")
        kind = entry.stat(follow_symlinks=True).st_mode
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    except OSError as cause:
        return f"cannot be read: {cause.strerror}"
    if "\\" in entry.name or "%" in entry.name or any(ord(char) < 32 for char in entry.name):
        return "has a name that cannot be sent ('\\', '%' or a control character)"
    return "" if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else "is not a regular file"


def _entry(path: Path, name: str) -> Entry:
    """Raises Invalid when the file changes while it is read."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Invalid(f"'{path}' changed while it was being read.", hint="Submit again when it is finished.")
    return Entry(name, after.st_size, digest, bool(after.st_mode & 0o100))
