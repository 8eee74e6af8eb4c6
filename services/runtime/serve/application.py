"""The ASGI application: who may ask what, ids, time-outs, and answers in parts."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

from . import answers
from .answers import Answer, message
from .desk import Desk, Gone, Stuck, TimedOut
from .rawhttp import Asked

if TYPE_CHECKING:  # these have no subscripts before Python 3.9
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

SERVER = (b"x-ms-server-version", b"atelier/1")
ID_LIMIT = 40
PART = 1 << 20  # bytes handed to the connection at once, so that a large answer is in memory once
UNPRINTABLE = bytes(range(0x21)) + bytes(range(0x7F, 0x100))
HEALTHY = Answer(200, b"Healthy", ((b"content-type", b"text/plain; charset=utf-8"),))
SCORED = ("GET", "POST", "OPTIONS")
log = logging.getLogger("azmlinfsrv")


class Scorer(Protocol):
    """A script or a model."""

    def score(self, asked: Asked) -> Answer: ...

    def swagger(self, version: str) -> bytes | None: ...


class Application:
    """`is_one_of_many`: other workers share the socket, and a connection is better off with one that is idle."""

    def __init__(self, scorer: Scorer, desk: Desk, *, is_one_of_many: bool) -> None:
        self._scorer = scorer
        self._desk = desk
        self._is_one_of_many = is_one_of_many
        self._is_logged = log.isEnabledFor(logging.DEBUG)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        ids, is_crowded = _ids(scope["headers"]), self._is_one_of_many and self._desk.waiting > 0
        if scope["path"] == "/score" and scope["method"] in SCORED:
            answer = await self._scored(scope, receive)
        else:
            answer = self._other(scope)
        headers = [*answer.headers, *ids]
        if is_crowded:
            headers.append((b"connection", b"close"))
        if answer.stream is None:
            await _sent(send, answer, headers)
        else:
            await self._streamed(receive, send, answer, headers)
        if self._is_logged:
            took = (time.perf_counter() - began) * 1000
            log.debug("%s %s %d %.3fms %d", scope["method"], scope["path"], answer.status, took, len(answer.body))

    def _other(self, scope: Any) -> Answer:
        path, method = scope["path"], scope["method"]
        if path not in ("/", "/swagger.json", "/score"):
            return message(404, f"There is no {path} here; there are /, /score and /swagger.json.")
        if path == "/score" or method not in ("GET", "HEAD"):
            return message(405, "Method not allowed")
        if path == "/":
            return message(503, "run() does not come back") if self._desk.is_stuck else HEALTHY
        version = parse_qs(scope["query_string"].decode("latin-1")).get("version", ["2"])[0]
        document = self._scorer.swagger(version)
        if document is None:
            return message(404, f"Swagger version [{version[:20]}] is not supported for the scoring script.")
        return Answer(200, document)

    async def _scored(self, scope: Any, receive: Receive) -> Answer:
        body = await _body(receive)
        if body is None:
            return message(400, "The request ended before its body was complete.")
        path, query = scope["path"], scope["query_string"]
        asked = Asked(scope["method"], path, query, scope["headers"], body)
        del body
        score = partial(self._scorer.score, asked)
        del asked
        try:
            return await self._desk.do(score, receive)  # type: ignore[no-any-return]
        except TimedOut:
            log.error("run() took longer than %g s", self._desk.limit)
            return message(408, f"Scoring timeout after {self._desk.limit * 1000:.0f} ms", failed=True)
        except Gone:
            return message(499, "The caller has gone.")
        except Stuck:
            return message(503, "An earlier request still holds run().")

    async def _streamed(self, receive: Receive, send: Send, answer: Answer, headers: list[tuple[bytes, bytes]]) -> None:
        """Each part is work of its own: a slow reader holds up nobody. A stream that breaks breaks the connection."""
        stream: Iterator[bytes] = answer.stream or iter(())
        try:
            part = await self._desk.do(partial(next, stream, None))
        except (Exception, TimedOut) as error:
            log.exception("The answer's first part failed")
            text = (
                str(error) if isinstance(error, answers.NotJson) else "An unexpected error occurred in scoring script."
            )
            failed = message(500, text, failed=True)
            await _sent(send, failed, [*failed.headers, *headers[len(tuple(answer.headers)) :]])
            return
        gone = asyncio.ensure_future(receive())
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            while part is not None and not gone.done():
                await send({"type": "http.response.body", "body": part, "more_body": True})
                part = await self._desk.do(partial(next, stream, None))
            if part is None:
                await send({"type": "http.response.body", "body": b""})
        except TimedOut:
            raise ConnectionAbortedError("a part of the answer took too long") from None
        finally:
            gone.cancel()
            if part is not None and hasattr(stream, "close"):
                await self._desk.do(stream.close)


async def _body(receive: Receive) -> bytes | bytearray | None:
    """None when the caller went away before the end. A large one is not copied together a second time."""
    event = await receive()
    if event["type"] == "http.request" and not event.get("more_body"):
        return event.get("body", b"")  # type: ignore[no-any-return]
    whole = bytearray()
    while event["type"] == "http.request":
        whole += event.get("body", b"")
        if not event.get("more_body"):
            return whole if len(whole) > PART else bytes(whole)
        event = await receive()
    return None


async def _sent(send: Send, answer: Answer, headers: list[tuple[bytes, bytes]]) -> None:
    body, size = answer.body, len(answer.body)
    headers.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    for at in range(0, size or 1, PART):
        part = body if size <= PART else body[at : at + PART]
        await send({"type": "http.response.body", "body": part, "more_body": at + PART < size})


def _ids(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The caller's, cleaned, or a new one."""
    asked, client = b"", b""
    for name, value in headers:
        if name == b"x-request-id":
            asked = value.translate(None, UNPRINTABLE)[:ID_LIMIT]
        elif name == b"x-ms-client-request-id" or (name == b"x-ms-request-id" and not client):
            client = value.translate(None, UNPRINTABLE)[:ID_LIMIT]
    found = [SERVER, (b"x-request-id", asked or b"%032x" % random.getrandbits(128))]
    return [*found, (b"x-ms-client-request-id", client), (b"x-ms-request-id", client)] if client else found
