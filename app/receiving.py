"""Uploads coming in: streamed to disk outside of any transaction, resumable, never more than was announced."""

import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import anyio
import anyio.to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from services import uploads
from services.core.errors import Conflict, Invalid, Unavailable
from services.engines.files import Landing
from services.store.rows import Principal
from services.studio import Studio

PIECE = 1 << 20
# A sender that falls silent for so long is taken for gone: what came is kept, and it can go on from there.
SILENT_SECONDS = 60.0


async def concatenated(
    request: Request, studio: Studio, principal: Principal, workspace: str, upload: str
) -> uploads.Upload:
    """The missing files one after the other. What arrived before a cut stays; announce again to go on."""
    landings = await anyio.to_thread.run_sync(_landings, studio, principal, workspace, upload)
    pieces = _Pieces(request.stream())
    for landing in landings:
        if not await _filled(landing, pieces, landing.offset):
            break
    else:
        if await pieces.upto(1):
            raise Invalid("More bytes were sent than were announced.", hint="Announce the files again.")
    return await anyio.to_thread.run_sync(_sealed, studio, principal, workspace, upload)


async def single(
    request: Request, studio: Studio, principal: Principal, workspace: str, upload: str, path: str, offset: int
) -> None:
    """One file from `offset` on; no-op when it is here already. Raises Conflict when the part ends elsewhere."""
    landing = await anyio.to_thread.run_sync(_landing, studio, principal, workspace, upload, path)
    if landing.complete:
        return
    if landing.offset != offset:
        raise Conflict(f"The part that is here ends at {landing.offset}, not at {offset}.", where="offset")
    pieces = _Pieces(request.stream())
    if not await _filled(landing, pieces, offset):
        raise Conflict(
            f"{path[:200]!r} ended at {landing.offset} of {landing.size} bytes.", hint="Send the rest from there."
        )
    if await pieces.upto(1):
        raise Invalid("More bytes were sent than were announced.", where=path[:200])


async def _filled(landing: Landing, pieces: "_Pieces", offset: int) -> bool:
    """Whether it is whole now; what came before the stream ended stays."""
    left = landing.size - offset
    with _disk(), await anyio.to_thread.run_sync(landing.open) as target:
        while left > 0:
            piece = await pieces.upto(min(PIECE, left))
            if not piece:
                return False
            await anyio.to_thread.run_sync(target.write, piece)
            left -= len(piece)
        await anyio.to_thread.run_sync(_finished, landing, target)
    return True


def _finished(landing: Landing, target: BinaryIO) -> None:
    """While it is still open, and so still locked."""
    target.flush()
    landing.finish()


@contextmanager
def _disk() -> Iterator[None]:
    """Raises Unavailable when the disk takes no more."""
    try:
        yield
    except OSError as cause:
        if cause.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise Unavailable("The studio's disk takes no more.", hint="Free some space, then go on.") from cause


class _Pieces:
    """A stream of whatever sizes, read in sizes of ours."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream, self._held = stream, b""

    async def upto(self, count: int) -> bytes:
        """At most so many bytes; empty when the stream has ended, was cut or fell silent."""
        while not self._held:
            with suppress(StopAsyncIteration, ClientDisconnect, TimeoutError), anyio.fail_after(SILENT_SECONDS):
                self._held = await anext(self._stream)
                continue
            return b""
        piece, self._held = self._held[:count], self._held[count:]
        return piece


def _landings(studio: Studio, principal: Principal, workspace: str, upload: str) -> list[Landing]:
    with studio.scope(principal, workspace) as scope:
        return uploads.landings(scope, upload)


def _landing(studio: Studio, principal: Principal, workspace: str, upload: str, path: str) -> Landing:
    with studio.scope(principal, workspace) as scope:
        return uploads.landing(scope, upload, path)


def _sealed(studio: Studio, principal: Principal, workspace: str, upload: str) -> uploads.Upload:
    with studio.scope(principal, workspace, write=True) as scope:
        return uploads.seal(scope, upload)
