"""Server-sent events that follow a growing file: how one is written, resumed and answered."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

POLL_SECONDS = 0.25
LOOK_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 15.0
BEGINNING = b"retry: 1000\n\n"
STILL_HERE = b": still here\n\n"


def answered(events: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


def resumed(request: Request, otherwise: int) -> int:
    """Where a browser that comes back has stopped; else what was asked for."""
    seen = request.headers.get("last-event-id", "")
    return int(seen) if seen.isdecimal() and len(seen) < 19 else otherwise


def event(id: int, content: Any, *, kind: str = "") -> bytes:
    head = f"event: {kind}\n".encode() if kind else b""
    return head + f"id: {id}\n".encode() + b"data: " + orjson.dumps(content) + b"\n\n"


def grown(file: Path) -> tuple[int, int]:
    """Changes when somebody has written to it."""
    try:
        facts = file.stat()
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns
