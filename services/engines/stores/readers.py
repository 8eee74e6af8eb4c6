"""A far file that looks like a near one: read and sought in ranges, a little ahead."""

import io
from collections.abc import Callable
from typing import BinaryIO

AHEAD = 256 << 10

Ranges = Callable[[int, int], bytes]


class _Ranges(io.RawIOBase):
    def __init__(self, read: Ranges, size: int, name: str) -> None:
        self._read, self._size, self._at = read, size, 0
        self.name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"{start + offset} is before the file begins")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        piece = self._read(self._at, length)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def opened_by_ranges(read: Ranges, size: int, name: str) -> BinaryIO:
    """A file of `size` bytes whose bytes come from `read(offset, length)`."""
    return io.BufferedReader(_Ranges(read, size, name), AHEAD)
