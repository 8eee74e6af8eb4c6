"""Text files made ready for DuckDB: by a link where they can be read as they lie, else copied as UTF-8, whole or in
evenly spread pieces of whole lines."""

import gzip
import io
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.core.errors import Invalid
from services.engines.tables.detect import HEAD
from services.engines.tables.shapes import Part, Source

PIECE = 64 << 10
MOST_PIECES = 256
MOST_UNPACKED = 4 << 30
_COPY = 1 << 20
_PLAIN = frozenset({"utf-8", "utf-8-sig"})
_BY_BYTES = _PLAIN | {"cp1252", "latin-1", "iso-8859-1", "ascii"}


@dataclass(frozen=True)
class Spool:
    """Where the copies go, how the files are written, which are gzip, and whether a wrong byte becomes U+FFFD."""

    source: Source
    folder: Path
    encoding: str
    packed: frozenset[str] = frozenset()
    forgiving: bool = False

    def whole(self, part: Part, index: int) -> Path:
        """The file as UTF-8. Raises Invalid for wrong bytes (unless forgiving) and for gzip bombs."""
        place = self._place(index)
        if part.local is not None and self.encoding in _PLAIN and part.path not in self.packed and not self.forgiving:
            place.symlink_to(part.local.resolve())
            return place
        with self._opened(part) as file:
            self._write(place, _limited(file))
        return place

    def start(self, part: Part, index: int, most: int) -> Path:
        """Whole lines of the first `most` bytes, or all of a shorter file."""
        with self._opened(part) as file:
            taken = file.read(most)
            if file.read(1):
                taken = _to_last_line(taken, self.encoding)
        place = self._place(index)
        self._write(place, iter([taken]))
        return place

    def spread(self, part: Part, index: int, most: int) -> Path:
        """Whole lines of pieces all over the file, its first lines among them."""
        if part.size <= most:
            return self.whole(part, index)
        if part.path in self.packed or self.encoding not in _BY_BYTES:
            return self.start(part, index, most)
        count = max(2, min(most // PIECE, MOST_PIECES))
        length = most // count
        step = (part.size - length) // (count - 1)
        place = self._place(index)
        with self._opened(part) as file:
            self._write(place, (_lines(file, at * step, length, part.size) for at in range(count)))
        return place

    def _place(self, index: int) -> Path:
        place = self.folder / f"part-{index}.txt"
        place.unlink(missing_ok=True)
        return place

    def _opened(self, part: Part) -> BinaryIO:
        file = self.source.open(part.path)
        return io.BufferedReader(gzip.GzipFile(fileobj=file)) if part.path in self.packed else file

    def _write(self, place: Path, pieces: Iterator[bytes]) -> None:
        errors = "replace" if self.forgiving else "strict"
        decoder = getincrementaldecoder(self.encoding)(errors)
        try:
            with place.open("wb") as out:
                for piece in pieces:
                    out.write(_utf8(decoder.decode(piece)))
                out.write(_utf8(decoder.decode(b"", final=True)))
        except UnicodeDecodeError as cause:
            raise Invalid(f"The text is not {self.encoding}.") from cause
        except (zlib.error, EOFError, gzip.BadGzipFile) as cause:
            raise Invalid("The gzip file is damaged.") from cause


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _limited(file: BinaryIO) -> Iterator[bytes]:
    held = 0
    while piece := file.read(_COPY):
        held += len(piece)
        if held > MOST_UNPACKED:
            raise Invalid(f"The file unpacks to more than {MOST_UNPACKED >> 30} GiB.")
        yield piece


def _lines(file: BinaryIO, start: int, length: int, size: int) -> bytes:
    """From the line that begins after `start` to the last that ends in the piece."""
    file.seek(start)
    taken = file.read(length)
    if start:
        taken = taken[taken.find(b"\n") + 1 :] if b"\n" in taken else b""
    return taken if start + length >= size else taken[: taken.rfind(b"\n") + 1]


def _to_last_line(taken: bytes, encoding: str) -> bytes:
    newline = "\n".encode(encoding.removesuffix("-sig") if encoding != "utf-16" else _utf16(taken))
    at = taken.rfind(newline)
    while at > 0 and at % len(newline):
        at = taken.rfind(newline, 0, at + len(newline) - 1)
    if at < 0:
        raise Invalid(f"The first line is longer than {len(taken):,} bytes.")
    return taken[: at + len(newline)]


def _utf16(taken: bytes) -> str:
    return "utf-16-be" if taken.startswith(b"\xfe\xff") else "utf-16-le"


def head_of(source: Source, part: Part, most: int = HEAD) -> bytes:
    with source.open(part.path) as file:
        return file.read(min(most, max(part.size, 1)))
