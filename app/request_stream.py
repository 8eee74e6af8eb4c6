"""The request log as it grows, as server-sent events."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import orjson
from starlette.responses import Response, StreamingResponse

from app.api.caller import Caller
from services import requests
from services.core.errors import AtelierError
from services.store.requests import Record

POLL_SECONDS = 0.25
LOOK_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 15.0
MOST = 200
"""Records of one event: of more that came since the last look, the newest are told."""


def follow(asking: Caller, workspace: str, endpoint: str, after: int) -> Response:
    """`id` is of the newest record told, `data` `{"rows": [...], "is_cut": false}`, oldest first, in the log's columns.

    Goes on at `Last-Event-ID` when the browser comes back; ends with an event `gone` when who asked is signed out or
    the endpoint is deleted.
    """
    seen = asking.request.headers.get("last-event-id", "")
    start = int(seen) if seen.isdecimal() and len(seen) < 19 else after
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = _events(asking, workspace, endpoint, start)
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


async def _events(asking: Caller, workspace: str, endpoint: str, after: int) -> AsyncIterator[bytes]:
    """A look costs one `stat`; the log is asked when it has grown, the database then and now and then."""
    log = Path(f"{asking.studio.folders.requests}-wal")
    seen, looked, told = (-1, -1), 0.0, anyio.current_time()
    yield b"retry: 1000\n\n"
    while True:
        at = anyio.current_time()
        grown = await anyio.to_thread.run_sync(_grown, log)
        if grown != seen or at - looked > LOOK_SECONDS:
            seen, looked = grown, at
            if not await asking.alive():
                yield _event(after, "You are not signed in any more.", kind="gone")
                return
            try:
                found = await anyio.to_thread.run_sync(_fresh, asking, workspace, endpoint, after)
            except AtelierError as error:
                yield _event(after, error.message, kind="gone")
                return
            if found:
                told, after = at, found[-1].id
                rows = [requests.as_json(each) for each in found[-MOST:]]
                yield _event(after, {"rows": rows, "is_cut": len(found) > MOST})
        if at - told > KEEP_ALIVE_SECONDS:
            told = at
            yield b": still here\n\n"
        await anyio.sleep(POLL_SECONDS)


def _fresh(asking: Caller, workspace: str, endpoint: str, after: int) -> list[Record]:
    with asking.scope(workspace) as scope:
        return requests.fresh(scope, endpoint, after, limit=MOST + 1)


def _grown(log: Path) -> tuple[int, int]:
    """Changes when somebody has written to it."""
    try:
        facts = log.stat()
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns


def _event(id: int, content: Any, *, kind: str = "") -> bytes:
    head = f"event: {kind}\n".encode() if kind else b""
    return head + f"id: {id}\n".encode() + b"data: " + orjson.dumps(content) + b"\n\n"
