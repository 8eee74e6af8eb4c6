"""What goes out by plain HTTP: files by range, logs as server-sent events, archives made on the way."""

import re
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse

from app import sse
from app.api.caller import Caller
from services import artifacts, jobs, logs
from services.core.errors import AtelierError
from services.store.rows import Principal
from services.studio import Studio

PIECE = 1 << 20
_RANGE = re.compile(r"\Abytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)
# What comes from jobs is never run in the studio's origin.
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
}


def file(opened: BinaryIO, size: int, path: str, wanted: str | None) -> Response:
    """The file, or the one range of it that was asked for, as a download."""
    name = PurePosixPath(path).name
    headers = {**SAFE, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    span = _span(wanted, size)
    if span is None:
        opened.close()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    start, end = span
    headers["Content-Length"] = str(end - start)
    if wanted and (start, end) != (0, size):
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if "Content-Range" in headers else 200
    return StreamingResponse(_pieces(opened, start, end), status, headers, "application/octet-stream")


def log(asking: Caller, workspace: str, name: str, path: str, offset: int) -> Response:
    """Server-sent events: `id` is the offset after the data, `data` a JSON string; `end` when there is no more.

    Goes on at `Last-Event-ID` when the browser comes back; ends when who asked is signed out.
    """
    start = sse.resumed(asking.request, offset)
    return sse.answered(_events(asking, workspace, name, path, start))


def archive(studio: Studio, principal: Principal, workspace: str, name: str) -> Response:
    """All files of a job's run as a zip that is made while it is sent."""
    with studio.scope(principal, workspace) as scope:
        listed = artifacts.listed(scope, name)
        openers = {each.path: _opener(studio, principal, workspace, name, each.path) for each in listed}
    return packed(name, openers)


def packed(name: str, openers: Mapping[str, Callable[[], BinaryIO]]) -> Response:
    """Files by the path that they get, as a zip that is made while it is sent."""
    headers = {**SAFE, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.zip"}
    return StreamingResponse(_zipped(openers), headers=headers, media_type="application/zip")


async def _events(asking: Caller, workspace: str, name: str, path: str, offset: int) -> AsyncIterator[bytes]:
    """A look costs one `stat`; the database is asked when the file has grown, and now and then."""
    studio, principal = asking.studio, asking.principal
    live = await anyio.to_thread.run_sync(_live, studio, principal, workspace, name, path)
    seen, looked, told = (-1, -1), 0.0, anyio.current_time()
    yield sse.BEGINNING
    while True:
        at = anyio.current_time()
        grown = await anyio.to_thread.run_sync(sse.grown, live)
        if grown != seen or at - looked > sse.LOOK_SECONDS:
            seen, looked = grown, at
            if not await asking.alive():
                yield sse.event(offset, "You are not signed in any more.", kind="gone")
                return
            try:
                chunk = await anyio.to_thread.run_sync(_read, studio, principal, workspace, name, path, offset)
            except AtelierError as error:
                yield sse.event(offset, error.message, kind="gone")
                return
            if chunk.data:
                told = at
                yield sse.event(chunk.offset, chunk.data.decode("utf-8", "replace"))
            is_behind = chunk.offset - offset > logs.CHUNK // 2
            offset = chunk.offset
            if chunk.ended:
                yield sse.event(offset, "", kind="end")
                return
            if is_behind:  # what has just been written is left to the next look, or there would be one a line
                looked = 0.0
                continue
        if at - told > sse.KEEP_ALIVE_SECONDS:
            told = at
            yield sse.STILL_HERE
        await anyio.sleep(sse.POLL_SECONDS)


def _live(studio: Studio, principal: Principal, workspace: str, name: str, path: str) -> Path:
    with studio.scope(principal, workspace) as scope:
        return studio.folders.run(jobs.get(scope, name).id) / path


def _read(studio: Studio, principal: Principal, workspace: str, name: str, path: str, offset: int) -> logs.Chunk:
    with studio.scope(principal, workspace) as scope:
        return logs.read(scope, name, file=path, offset=offset)


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Start and end of what to send; None when the range lies outside. Several ranges mean the whole file."""
    found = _RANGE.match(wanted.strip()) if wanted else None
    if found is None or (not found[1] and not found[2]):
        return 0, size
    if not found[1]:
        return (max(0, size - int(found[2])), size) if int(found[2]) and size else None
    start = int(found[1])
    end = min(size, int(found[2]) + 1) if found[2] else size
    return (start, end) if start < size and start < end else None


def _pieces(opened: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with opened:
        opened.seek(start)
        left = end - start
        while left > 0 and (piece := opened.read(min(PIECE, left))):
            left -= len(piece)
            yield piece


def _opener(studio: Studio, principal: Principal, workspace: str, name: str, path: str) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        with studio.scope(principal, workspace) as scope:
            return artifacts.opened(scope, name, path)[0]

    return opened


class _Sink:
    """Where a zip is written to piece by piece; it cannot go back."""

    def __init__(self) -> None:
        self.held = bytearray()

    def write(self, data: bytes) -> int:
        self.held += data
        return len(data)

    def flush(self) -> None:
        """Nothing is kept below."""

    def taken(self) -> bytes:
        data, self.held = bytes(self.held), bytearray()
        return data


def _zipped(openers: Mapping[str, Callable[[], BinaryIO]]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1) as archive_:  # type: ignore[call-overload]
        for path, opened in openers.items():
            try:
                source = opened()
            except AtelierError:  # it was removed meanwhile
                continue
            with source, archive_.open(path, "w", force_zip64=True) as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    if sink.held:
                        yield sink.taken()
    yield sink.taken()
