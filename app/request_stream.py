"""The request log as it grows, as server-sent events."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.responses import Response

from app import sse
from app.api.caller import Caller
from services import requests
from services.core.errors import AtelierError
from services.store.requests import Record

MOST = 200
"""Records of one event: of more that came since the last look, the newest are told."""


def follow(asking: Caller, workspace: str, endpoint: str, after: int) -> Response:
    """`id` is of the newest record told, `data` `{"rows": [...], "is_cut": false}`, oldest first, in the log's columns.

    Goes on at `Last-Event-ID` when the browser comes back; ends with an event `gone` when who asked is signed out or
    the endpoint is deleted.
    """
    start = sse.resumed(asking.request, after)
    return sse.answered(_events(asking, workspace, endpoint, start))


async def _events(asking: Caller, workspace: str, endpoint: str, after: int) -> AsyncIterator[bytes]:
    """A look costs one `stat`; the log is asked when it has grown, the database then and now and then."""
    log = Path(f"{asking.studio.folders.requests}-wal")
    seen, looked, told = (-1, -1), 0.0, anyio.current_time()
    yield sse.BEGINNING
    while True:
        at = anyio.current_time()
        grown = await anyio.to_thread.run_sync(sse.grown, log)
        if grown != seen or at - looked > sse.LOOK_SECONDS:
            seen, looked = grown, at
            if not await asking.alive():
                yield sse.event(after, "You are not signed in any more.", kind="gone")
                return
            try:
                found = await anyio.to_thread.run_sync(_fresh, asking, workspace, endpoint, after)
            except AtelierError as error:
                yield sse.event(after, error.message, kind="gone")
                return
            if found:
                told, after = at, found[-1].id
                rows = [requests.as_json(each) for each in found[-MOST:]]
                yield sse.event(after, {"rows": rows, "is_cut": len(found) > MOST})
        if at - told > sse.KEEP_ALIVE_SECONDS:
            told = at
            yield sse.STILL_HERE
        await anyio.sleep(sse.POLL_SECONDS)


def _fresh(asking: Caller, workspace: str, endpoint: str, after: int) -> list[Record]:
    with asking.scope(workspace) as scope:
        return requests.fresh(scope, endpoint, after, limit=MOST + 1)
