"""Uploads coming in: streamed to disk outside of any transaction, resumable, never more than was announced."""

from collections.abc import AsyncIterator
from typing import BinaryIO

import anyio.to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from services import uploads
from services.core.errors import Conflict, Invalid, NotFound
from services.engines.files import Landing
from services.store.rows import Principal
from services.studio import Studio

PIECE = 1 << 20


async def concatenated(
    request: Request, studio: Studio, principal: Principal, workspace: str, upload: str
) -> uploads.Upload:
    """The missing files one after the other. What arrived before a cut stays; announce again to go on."""
    landings = await anyio.to_thread.run_sync(_landings, studio, principal, workspace, upload)
    pieces = _Pieces(request.stream())
    try:
        for landing in landings:
            await _filled(landing, pieces, landing.offset)
        if await pieces.upto(1):
            raise Invalid("More bytes were sent than were announced.", hint="Announce the files again.")
    except ClientDisconnect:
        pass
    return await anyio.to_thread.run_sync(_sealed, studio, principal, workspace, upload)


async def single(
    request: Request, studio: Studio, principal: Principal, workspace: str, upload: str, path: str, offset: int
) -> None:
    """One file from `offset` on. Raises Conflict when the part here is of another length."""
    landings = await anyio.to_thread.run_sync(_landings, studio, principal, workspace, upload, path)
    if not landings:
        return
    if landings[0].offset != offset:
        raise Conflict(f"The part that is here ends at {landings[0].offset}, not at {offset}.", where="offset")
    pieces = _Pieces(request.stream())
    await _filled(landings[0], pieces, offset)
    if await pieces.upto(1):
        raise Invalid("More bytes were sent than were announced.", where=path[:200])


async def _filled(landing: Landing, pieces: "_Pieces", offset: int) -> None:
    left = landing.size - offset
    target: BinaryIO = await anyio.to_thread.run_sync(landing.open)
    with target:
        while left > 0:
            piece = await pieces.upto(min(PIECE, left))
            if not piece:
                raise ClientDisconnect
            await anyio.to_thread.run_sync(target.write, piece)
            left -= len(piece)
    await anyio.to_thread.run_sync(landing.finish)


class _Pieces:
    """A stream of whatever sizes, read in sizes of ours."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream, self._held = stream, b""

    async def upto(self, count: int) -> bytes:
        """At most so many bytes; empty at the end."""
        while not self._held:
            try:
                self._held = await anext(self._stream)
            except StopAsyncIteration:
                return b""
        piece, self._held = self._held[:count], self._held[count:]
        return piece


def _landings(studio: Studio, principal: Principal, workspace: str, upload: str, path: str = "") -> list[Landing]:
    with studio.scope(principal, workspace) as scope:
        found = uploads.landings(scope, upload)
    if not path:
        return found
    mine = [landing for landing in found if landing.target.as_posix().endswith(f"/files/{path}")]
    if not mine and any(part in {"", ".."} for part in path.split("/")):
        raise NotFound(f"{path[:200]!r} was not announced.")
    return mine


def _sealed(studio: Studio, principal: Principal, workspace: str, upload: str) -> uploads.Upload:
    with studio.scope(principal, workspace, write=True) as scope:
        return uploads.seal(scope, upload)
