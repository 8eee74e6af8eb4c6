"""Readers of other people's files run in a process of their own: bounded memory and time, no secrets, no network.

A parser that a crafted file makes run wild, or crash, takes that process down and not the studio. Files that lie
on this disk are opened there; of all others the process asks for ranges of bytes over a socket, so nothing is
downloaded that is not looked at.
"""

import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from services.core.errors import AtelierError, EngineError, Invalid, NotFound, Unavailable
from services.engines.tables.shapes import Source

ADDRESS_SPACE = 6 << 30
READERS = 4
MOST_BYTES = 8 << 20
FRAME = struct.Struct(">cQ")
READ, PROGRESS, DONE, FAILED, BYTES = b"R", b"P", b"D", b"F", b"B"
_ROOT = Path(__file__).resolve().parents[3]
_room = threading.BoundedSemaphore(READERS)
_log = logging.getLogger(__name__)


class Stream:
    """Frames of a kind and a length over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, kind: bytes, content: bytes) -> None:
        self._connection.sendall(FRAME.pack(kind, len(content)) + content)

    def receive(self) -> tuple[bytes, bytes]:
        """Raises EOFError when the other side is gone, TimeoutError as the socket's timeout says."""
        kind, length = FRAME.unpack(self._exactly(FRAME.size))
        return kind, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        held = bytearray()
        while len(held) < length:
            some = self._connection.recv(min(length - len(held), 1 << 20))
            if not some:
                raise EOFError
            held += some
        return bytes(held)


def ask(
    source: Source,
    verb: str,
    arguments: Mapping[str, Any],
    *,
    seconds: float,
    scratch: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """What the reader answers. Raises Invalid with its sentence, or saying that it needed too much or failed."""
    with ExitStack() as stack:
        _enter(stack, seconds)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atelier-tables-", dir=scratch)))
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        errors = stack.enter_context(tempfile.TemporaryFile())
        with theirs:
            process = _started(theirs, folder, errors)
        stack.callback(_ended, process)
        stream = Stream(ours)
        parts = [[each.path, each.size, str(each.local or "")] for each in source.parts]
        asked = {"verb": verb, "parts": parts, "scratch": str(folder), "seconds": seconds, "arguments": arguments}
        until = time.monotonic() + seconds
        try:
            stream.send(DONE, json.dumps(asked).encode())
            return _served(source, ours, stream, until, progress, stack)
        except TimeoutError as cause:
            raise Invalid(f"Reading took longer than the {seconds:g} seconds it is given.") from cause
        except (EOFError, ConnectionError) as cause:
            raise _failure(process, errors) from cause


def _enter(stack: ExitStack, seconds: float) -> None:
    """So many readers at once, for the sake of the machine's memory."""
    if not _room.acquire(timeout=seconds):
        raise Unavailable("Too many files are being read at the moment.", hint="Try it again in a minute.")
    stack.callback(_room.release)


def _started(theirs: socket.socket, folder: Path, errors: BinaryIO | Any) -> "subprocess.Popen[bytes]":
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(_ROOT),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "2",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "services.engines.tables.reader", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )


def _ended(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _served(
    source: Source,
    connection: socket.socket,
    stream: Stream,
    until: float,
    progress: Callable[[float], None] | None,
    stack: ExitStack,
) -> dict[str, Any]:
    opened: dict[int, BinaryIO] = {}
    while True:
        connection.settimeout(max(0.001, until - time.monotonic()))
        kind, content = stream.receive()
        found = json.loads(content)
        match kind:
            case b"R":
                stream.send(BYTES, _range(source, opened, stack, *found))
            case b"P":
                if progress is not None:
                    progress(float(found))
            case b"D":
                return dict(found)
            case _:
                raise Invalid(str(found["message"]), where=found["where"], hint=found["hint"])


def _range(
    source: Source, opened: dict[int, BinaryIO], stack: ExitStack, index: int, offset: int, length: int
) -> bytes:
    path = source.parts[index].path
    try:
        if index not in opened:
            opened[index] = stack.enter_context(source.open(path))
        opened[index].seek(offset)
        return opened[index].read(min(length, MOST_BYTES))
    except AtelierError:
        raise
    except FileNotFoundError as cause:
        raise NotFound(f"'{path}' is not there any more.") from cause
    except OSError as cause:
        raise Unavailable(f"'{path}' cannot be read: {cause.strerror or 'the store does not answer'}.") from cause


def _failure(process: "subprocess.Popen[bytes]", errors: BinaryIO | Any) -> AtelierError:
    code = process.wait()
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - 4000))
    said = errors.read().decode(errors="replace")
    if code in {-signal.SIGKILL, -signal.SIGABRT} or "MemoryError" in said or "bad_alloc" in said:
        return Invalid("Reading needed more memory than it is given.")
    if code == -signal.SIGXCPU:
        return Invalid("Reading took longer than the time it is given.")
    _log.warning("A reader of data ended with %s: %s", code, said)
    if "ModuleNotFoundError" in said:
        return EngineError("The reader of data did not start: a package is missing.")
    return Invalid("The file is damaged, or of a kind that is not understood.")
