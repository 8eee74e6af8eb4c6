"""Logs: read by byte offset while they grow; secrets leave as ***."""

import re
from dataclasses import dataclass

from services import access, artifacts, jobs
from services.core.errors import Invalid, NotFound
from services.core.states import TERMINAL
from services.store.rows import Job
from services.studio import Scope

STANDARD = "user_logs/std_log.txt"
CHUNK = 1 << 20
# Longer than any token, so that a secret split by a chunk's edge is seen whole.
_MARGIN = 256
_TOKEN = re.compile(rb"atl_[0-9a-f]{16}_[A-Za-z0-9_-]{20,}")
_SECRET_NAME = re.compile(
    r"(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL|CONNECTION_STRING)", re.ASCII
)


@dataclass(frozen=True)
class Chunk:
    """Bytes as they may be shown, the file's offset after them, and whether there will be no more."""

    data: bytes
    offset: int
    ended: bool


def read(scope: Scope, name: str, *, file: str = STANDARD, offset: int = 0, limit: int = CHUNK) -> Chunk:
    """The next bytes of a log from `offset`; cut at the last line end while it grows.

    Raises NotFound for an unknown job or file, Invalid for an offset beyond the end.
    """
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    over = job.status in TERMINAL and job.collected_at is not None
    try:
        opened, size = artifacts.opened(scope, name, file)
    except NotFound:
        if file != STANDARD:
            raise
        return Chunk(b"", 0, over)
    with opened as log:
        if not 0 <= offset <= size:
            raise Invalid(f"Offset {offset} is outside of the log's {size} bytes.", where="offset")
        start = max(0, offset - _MARGIN)
        log.seek(start)
        raw = log.read(offset - start + limit + _MARGIN)
    end = _end(raw, offset - start, limit, over)
    shown = redacted(raw, secrets_of(job), offset - start, end)
    reached = start + end
    return Chunk(shown, reached, over and reached >= size)


def tail(scope: Scope, name: str, *, lines: int = 20) -> list[str]:
    """The last lines of the standard log, decoded, for error messages and cards."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    try:
        opened, size = artifacts.opened(scope, name, STANDARD)
    except NotFound:
        return []
    with opened as log:
        log.seek(max(0, size - (64 << 10)))
        raw = log.read()
    text = redacted(raw, secrets_of(job), 0, len(raw)).decode("utf-8", "replace")
    return text.splitlines()[-lines:]


def redacted(raw: bytes, secrets: list[bytes], start: int, end: int) -> bytes:
    """`raw[start:end]` with every secret replaced by ***, also those that cross the edges."""
    spans = [found.span() for found in _TOKEN.finditer(raw)]
    for secret in secrets:
        spans += [found.span() for found in re.finditer(re.escape(secret), raw)]
    shown, at = bytearray(), start
    for left, right in sorted(spans):
        if right <= at or left >= end:
            continue
        shown += raw[at : max(at, left)]
        shown += b"***" if left >= at or at == start else b""
        at = right
    if at < end:
        shown += raw[at:end]
    return bytes(shown)


def is_secret(name: str) -> bool:
    """Whether the name of a variable says that its value is for nobody to see."""
    return bool(_SECRET_NAME.search(name.upper()))


def secrets_of(job: Job) -> list[bytes]:
    """Values of the job's variables whose names say that they are secret."""
    variables = job.spec.get("environment_variables") or {}
    values = {str(value) for name, value in variables.items() if is_secret(name)}
    return sorted((value.encode() for value in values if len(value) >= 6), key=len, reverse=True)


def _end(raw: bytes, begin: int, limit: int, over: bool) -> int:
    """Where to cut: after the last whole line, unless the job is over or one line fills it all."""
    most = min(len(raw), begin + limit)
    if over and most == len(raw):
        return most
    newline = raw.rfind(b"\n", begin, most)
    if newline >= 0:
        return newline + 1
    return _between_characters(raw, begin, most) if most - begin >= limit else begin


def _between_characters(raw: bytes, begin: int, end: int) -> int:
    """At most three bytes before `end`, so that no UTF-8 character is halved."""
    for back in range(1, min(4, end - begin)):
        if raw[end - back] & 0xC0 != 0x80:
            length = 1 + sum(raw[end - back] >= first for first in (0xC0, 0xE0, 0xF0))
            return end - back if length > back else end
    return end
