"""Archives that others made, unpacked without trust: zip, tar, tar.gz and tar.bz2.

Only plain files and folders come out, below the target and nowhere else. Whatever is odd refuses the whole archive,
because half of one is worse than none: a name that leads out, a link, a device, a name given twice (also in another
case or Unicode form), a wrong checksum, a password, and more files or bytes than were allowed, counted as they are
written, whatever the archive says of itself. Nothing of a refused archive stays on the disk.
"""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from services.core.errors import Invalid, Unavailable
from services.engines.files import remove_tree

FILES = 50_000
BYTES = 64 << 30
DIRECTORY = 600  # bytes that a zip may say of each of its members
HEADERS = 1 << 20  # what a tar may say of one file before the file itself begins
PIECE = 1 << 20
LONGEST, LONGEST_NAME = 4000, 240  # bytes of a path, and of one name in it
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
    OverflowError,
    gzip.BadGzipFile,
)
_END, _LOCATOR = b"PK\x05\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Unpacked:
    """How many files, and how many bytes they have."""

    files: int
    size: int


@dataclass(frozen=True)
class _Member:
    path: str
    is_folder: bool
    executable: bool
    content: IO[bytes] | None


def is_archive(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def extract(archive: Path, target: Path, *, most_files: int = FILES, most_bytes: int = BYTES) -> Unpacked:
    """Unpacks into `target`, which must not exist. Raises Invalid naming the member, Unavailable on a full disk."""
    if target.exists():
        raise FileExistsError(target)
    part = target.with_name(f"{target.name}.part")
    remove_tree(part) if part.exists() else None
    part.mkdir(parents=True)
    try:
        done = _Extraction(part, most_files, most_bytes).run(archive)
        part.rename(target)
    except _BROKEN as cause:
        raise Invalid(f"The archive is damaged or not of a known kind: {_words(cause)}.", where=archive.name) from cause
    except OSError as cause:
        raise Unavailable(f"The archive cannot be unpacked: {cause.strerror or 'it cannot be read'}.") from cause
    finally:
        if part.exists():
            remove_tree(part)
    return done


class _Extraction:
    def __init__(self, root: Path, most_files: int, most_bytes: int) -> None:
        self.root, self.most_files, self.most_bytes = root, most_files, most_bytes
        self.files = self.size = self.entries = 0
        self.names: dict[str, str] = {}

    def run(self, archive: Path) -> Unpacked:
        with archive.open("rb") as file:
            for member in _members(file, self.most_files, self.most_bytes):
                self.entries += 1
                if self.entries > self.most_files:
                    raise Invalid(f"The archive has more than {self.most_files} entries.", where=archive.name)
                self._take(member)
        return Unpacked(self.files, self.size)

    def _take(self, member: _Member) -> None:
        path = _checked(member.path)
        if not path:
            return
        self._require_new(path, is_folder=member.is_folder)
        target = self.root / path
        if member.content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600 | 0o100 * member.executable
        )
        with os.fdopen(descriptor, "wb") as out:
            while piece := member.content.read(PIECE):
                self.size += len(piece)
                if self.size > self.most_bytes:
                    raise Invalid(f"The archive unpacks to more than {self.most_bytes} bytes.", where=member.path[:200])
                out.write(piece)
        self.files += 1

    def _require_new(self, path: str, *, is_folder: bool) -> None:
        """Each name once, in whatever case; a folder may be named again, a file is no folder of another."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            folded = unicodedata.normalize("NFC", here).casefold()
            kind = "folder" if depth < len(parts) or is_folder else "file"
            known = self.names.setdefault(folded, f"{kind}:{here}")
            is_again = depth == len(parts) and kind == "file" and known != f"{kind}:{here}"
            if (
                known != f"{kind}:{here}"
                or is_again
                or (depth == len(parts) and kind == "file" and self._is_there(here))
            ):
                raise Invalid(f"{path[:200]!r} is in the archive twice, or in two spellings.", where=path[:200])

    def _is_there(self, path: str) -> bool:
        return (self.root / path).exists()


def _members(file: BinaryIO, most_files: int, most_bytes: int) -> Iterator[_Member]:
    start = file.read(262)
    file.seek(0)
    if start.startswith((b"PK\x03\x04", _END)):
        yield from _zipped(file, most_files)
    elif start.startswith(b"\x1f\x8b"):
        yield from _tarred(cast("IO[bytes]", gzip.GzipFile(fileobj=file)), most_bytes)
    elif start.startswith(b"BZh"):
        yield from _tarred(bz2.BZ2File(file), most_bytes)
    elif start[257:262] == b"ustar":
        yield from _tarred(file, most_bytes)
    else:
        raise Invalid(f"This is no archive that can be unpacked. It may end in {', '.join(ENDINGS)}.", where="path")


def _zipped(file: BinaryIO, most_files: int) -> Iterator[_Member]:
    _require_modest_directory(file, most_files)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = mode & 0o170000
            if kind not in {0, 0o100000, 0o040000}:
                raise Invalid(f"{info.filename[:200]!r} is a link or a special file.", where=info.filename[:200])
            if info.flag_bits & 1:
                raise Invalid("The archive is encrypted. Unpack it and send its files.", where=info.filename[:200])
            if info.is_dir():
                yield _Member(info.orig_filename, True, False, None)
                continue
            with archive.open(info) as content:
                yield _Member(info.orig_filename, False, bool(mode & 0o100), content)


def _require_modest_directory(file: BinaryIO, most_files: int) -> None:
    """Reading the list of members costs memory before any can be counted: its size is looked at first."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(0, end - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("it has no end")
    count, size = struct.unpack("<HL", tail[at + 10 : at + 16])
    if tail[at - 20 : at - 16] == _LOCATOR and at >= 20:
        file.seek(struct.unpack("<Q", tail[at - 12 : at - 4])[0])
        count, size = struct.unpack("<QQ", file.read(56)[32:48])
    file.seek(0)
    if count > most_files or size > most_files * DIRECTORY:
        raise Invalid(f"The archive has more than {most_files} entries.", where="path")


class _Counted(io.RawIOBase):
    """A stream that gives no more than it was allowed to since the last file began."""

    def __init__(self, inner: IO[bytes]) -> None:
        self.inner, self.left = inner, HEADERS

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self.inner.read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise Invalid("The archive says more of one file than any file needs.", where="path")
        return piece


def _tarred(stream: IO[bytes], most_bytes: int) -> Iterator[_Member]:
    counted = _Counted(stream)
    with tarfile.open(fileobj=counted, mode="r|", errors="strict", encoding="utf-8") as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it keeps all that it has seen
            if info.isdir():
                yield _Member(info.name, True, False, None)
            elif info.isreg() and not info.issparse():
                if info.size > most_bytes:
                    raise Invalid(f"The archive unpacks to more than {most_bytes} bytes.", where=info.name[:200])
                counted.left = info.size + HEADERS
                yield _Member(info.name, False, bool(info.mode & 0o100), archive.extractfile(info))
            else:
                raise Invalid(f"{info.name[:200]!r} is a link or a special file.", where=info.name[:200])
            counted.left = HEADERS


def _checked(path: str) -> str:
    """Relative, without anything that some system reads as a way out; empty for the archive's own root."""
    where = path[:200]
    if path.startswith("/") or "\\" in path or "\0" in path or path[1:2] == ":":
        raise Invalid(f"{where!r} is not a relative path.", where=where)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if any(part == ".." for part in parts):
        raise Invalid(f"{where!r} leads out of its folder.", where=where)
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        raise Invalid(f"{where!r} has a control character in its name.", where=where)
    encoded = [os.fsencode(part) for part in parts]
    if any(len(part) > LONGEST_NAME for part in encoded) or sum(len(part) + 1 for part in encoded) > LONGEST:
        raise Invalid(f"{where!r} has too long a name.", where=where)
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as cause:
        raise Invalid(f"{where!r} has a name that is no text.", where=where) from cause
    return "/".join(parts)


def _words(cause: Exception) -> str:
    return str(cause).strip().rstrip(".")[:200] or type(cause).__name__
