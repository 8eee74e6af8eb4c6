"""The process that reads: limits first, then one question, answered over the socket it was given."""

import contextlib
import io
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from services.core.errors import AtelierError, Invalid
from services.engines.tables import previews, profiles
from services.engines.tables.confine import ADDRESS_SPACE, BYTES, DONE, FAILED, MOST_BYTES, PROGRESS, READ, Stream
from services.engines.tables.shapes import Part, Plain, Source

BUFFER = 128 << 10


class RemoteFile(io.RawIOBase):
    """A file that only the other side can open: every read is a question."""

    def __init__(self, stream: Stream, index: int, size: int) -> None:
        super().__init__()
        self._stream, self._index, self._size, self._at = stream, index, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._at), MOST_BYTES)
        if wanted == 0:
            return 0
        self._stream.send(READ, json.dumps([self._index, self._at, wanted]).encode())
        kind, content = self._stream.receive()
        if kind != BYTES:
            raise OSError("The other side is gone.")
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def main() -> None:
    stream = Stream(socket.socket(fileno=int(sys.argv[1])))
    asked = json.loads(stream.receive()[1])
    _limit(asked["seconds"])
    source = _source(stream, asked["parts"])
    try:
        found = _answer(source, asked["verb"], asked["arguments"], Path(asked["scratch"]), _teller(stream))
        stream.send(DONE, json.dumps(found.as_json(), allow_nan=False).encode())
    except AtelierError as cause:
        _fail(stream, cause)
    except MemoryError:
        _fail(stream, Invalid("Reading needed more memory than it is given."))


def _answer(
    source: Source, verb: str, arguments: dict[str, Any], scratch: Path, progress: Callable[[float], None]
) -> Plain:
    match verb:
        case "preview":
            return previews.preview(source, **arguments)
        case "rows":
            return profiles.rows(source, scratch=scratch, **arguments)
        case _:
            return profiles.profile(source, scratch=scratch, progress=progress, **arguments)


def _limit(seconds: float) -> None:
    """Memory, processor time, no core files; and the kernel takes this process first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds * 2) + 2, int(seconds * 2) + 4))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _source(stream: Stream, parts: list[tuple[str, int, str]]) -> Source:
    known = [Part(path, size, local=Path(local) if local else None) for path, size, local in parts]
    places = {part.path: (index, part) for index, part in enumerate(known)}

    def opened(path: str) -> BinaryIO:
        index, part = places[path]
        if part.local is not None:
            return _local(part)
        return io.BufferedReader(RemoteFile(stream, index, part.size), BUFFER)

    return Source(known, opened)


def _local(part: Part) -> BinaryIO:
    assert part.local is not None  # noqa: S101 (asked right before)
    try:
        return part.local.open("rb")
    except OSError as cause:
        raise Invalid(f"'{part.path}' cannot be read: {cause.strerror}.") from cause


def _teller(stream: Stream) -> Callable[[float], None]:
    def tell(done: float) -> None:
        stream.send(PROGRESS, json.dumps(round(done, 3)).encode())

    return tell


def _fail(stream: Stream, cause: AtelierError) -> None:
    said = {"message": cause.message, "where": cause.where, "hint": cause.hint}
    stream.send(FAILED, json.dumps(said).encode())


if __name__ == "__main__":
    main()
