"""Logs of servers: bounded while they are written, and taken from the engine where an image has a command of its own.

A container may put anything into its log's place, so nothing here follows a link or opens what is no plain file.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from services.core.errors import AtelierError
from services.engines import files
from services.reconcile.serving_launch import LOG

BYTES = 20 << 20
KEPT = "std_log.1.txt"
TAIL = 16 << 10
LINES = 1000
_SEEN = 4096


def bound(root: Path, *, limit: int = BYTES) -> bool:
    """Once the log is longer than `limit` bytes it is begun anew; one that was full is kept beside. Whether it was."""
    with suppress(OSError):
        descriptor = os.open(root / LOG, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "r+b") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size <= limit:
                return False
            part = root / f"{KEPT}.part"
            with part.open("wb") as copy:
                file.seek(facts.st_size - limit)
                copy.write(file.read(limit))
            part.replace(root / KEPT)
            file.truncate(0)
            return True
    return False


def append(root: Path, said: str) -> None:
    """What the engine has of the output; what the log holds of it already is not written twice."""
    path = root / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        size = os.fstat(descriptor).st_size
        file.seek(max(0, size - _SEEN))
        fresh = _after(said.encode(), file.read(_SEEN))
        if fresh:
            os.write(descriptor, fresh)


def note(path: Path, text: str) -> None:
    """Adds to what is told of a replica before it starts. One that was begun before may have put a link or a pipe
    there: then nothing is told."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags, 0o644), "ab") as file:
            file.write(text.encode("utf-8", "replace"))


def tail(root: Path, limit: int = TAIL) -> bytes:
    """The end of the log; empty where there is none."""
    with suppress(AtelierError, OSError), files.open_inside(root, LOG) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
        return file.read(limit)
    return b""


def _after(said: bytes, known: bytes) -> bytes:
    """The part of `said` behind what ends with `known`."""
    if not known:
        return said
    place = said.rfind(known)
    if place < 0 and known.endswith(said):
        return b""
    return said[place + len(known) :] if place >= 0 else said
