"""A connection to an instance: sends one request after the other and reads the answers."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import httptools

if TYPE_CHECKING:
    from app.gateway.fleet import Instance

log = logging.getLogger("atelier.gateway")
# Of answers: what belongs to this connection alone, and what the gateway says itself.
_OWN = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer", b"upgrade"),
        *(b"content-length", b"transfer-encoding"),
        *(b"x-request-id", b"x-ms-client-request-id", b"azureml-model-deployment"),
        *(b"ms-azureml-model-error-statuscode", b"ms-azureml-model-error-reason"),
    )
)
UNREAD = 64 << 10
"""Bytes that may come in a row and are nothing of a body: a head, and what stands between and after chunks."""
SHORT = 16_384
"""Bytes that are copied into one piece rather than sent in several."""
_BODILESS = frozenset({204, 304})


class Asker(Protocol):
    """Whose request a line carries."""

    def received(self, line: "Line") -> None:
        """Something of the answer is here, or its end."""

    def cut(self, line: "Line", reason: str) -> None:
        """The connection is gone before the answer was whole, or what came is no HTTP."""

    def slow(self, is_slow: bool) -> None:
        """The instance takes no more of the body for now, or does again."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an answer's head came to. The same bytes come to the same: they are compared, and not read again."""

    head: bytes
    size: int
    status: int
    headers: list[bytes]
    length: int
    is_failed_run: bool


class Line(asyncio.Protocol):
    """`pieces` is what came of the body since it was last emptied. `length` None: by chunks, or until the end."""

    __slots__ = (
        "asker", "headers", "instance", "is_begun", "is_complete", "is_failed_run", "is_full", "is_head", "is_reused",
        "keeps", "known", "length", "parser", "pieces", "status", "transport", "unread", "until_end",
    )  # fmt: skip

    def __init__(self, instance: "Instance") -> None:
        self.instance = instance
        self.asker: Asker | None = None
        self.known: Known | None = None
        self.is_reused = self.is_full = False
        self.transport: asyncio.Transport
        self.parser = httptools.HttpResponseParser(self)

    def begin(self, asker: Asker, request: Sequence[bytes]) -> None:
        self.asker = asker
        self.status = self.unread = 0
        self.headers: list[bytes] = []
        self.pieces: list[bytes] = []
        self.is_begun = self.is_head = self.is_complete = self.keeps = self.until_end = self.is_failed_run = False
        self.length: int | None = None
        if sum(map(len, request)) < SHORT:
            self.transport.write(b"".join(request))
        else:
            self.transport.writelines(request)

    def release(self) -> None:
        """Back to the idle ones; only after a whole answer to a whole request."""
        self.asker = None
        if self.keeps and not self.instance.is_gone:
            self.is_reused = True
            self.instance.idle.append(self)
        else:
            self.transport.close()

    def idle(self) -> None:
        """One that was opened for a request that nobody waits for any more."""
        self.keeps = True
        self.release()

    def abort(self) -> None:
        """The instance sees that nobody wants its answer."""
        self.asker = None
        self.transport.abort()

    def close(self) -> None:
        if self in self.instance.idle:
            self.instance.idle.remove(self)
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:  # nobody asked: what is said now must not become the next one's answer
            self._unwanted()
            return
        known, is_first = self.known, not self.is_begun
        self.is_begun = True
        if is_first and known is not None and len(data) == known.size and data.startswith(known.head):
            self._same(known, data)
            asker.received(self)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            log.exception("An answer could not be carried")
            self.abort()
            asker.cut(self, "answer_malformed")
            return
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.is_complete:
                self.abort()
                asker.cut(self, "answer_malformed")
                return
            self.keeps = False
        self.unread = 0 if self.pieces or self.is_complete else self.unread + len(data)
        if self.unread > UNREAD:
            self.abort()
            asker.cut(self, "answer_malformed")
            return
        if is_first and self.is_complete and self.keeps:
            self._learn(data)
        asker.received(self)

    def _learn(self, data: bytes) -> None:
        """An answer that came in one piece: the next is likely to begin with the same head."""
        end = data.find(b"\r\n\r\n") + 4
        if self.length is not None and end + self.length == len(data):
            self.known = Known(data[:end], len(data), self.status, self.headers, self.length, self.is_failed_run)

    def _same(self, known: "Known", data: bytes) -> None:
        self.status, self.headers, self.length = known.status, known.headers, known.length
        self.is_failed_run = known.is_failed_run
        self.is_head = self.is_complete = self.keeps = True
        if known.length:
            self.pieces = [data[-known.length :]]

    def eof_received(self) -> bool:
        asker = self.asker
        if asker is not None and self.is_head and self.until_end:
            self.is_complete = True
            asker.received(self)
        return False

    def connection_lost(self, cause: Exception | None) -> None:
        if self in self.instance.idle:
            self.instance.idle.remove(self)
        asker, self.asker = self.asker, None
        if asker is not None:
            asker.cut(self, "connection_broken")

    def pause_writing(self) -> None:
        self.is_full = True
        if self.asker is not None:
            self.asker.slow(True)

    def resume_writing(self) -> None:
        self.is_full = False
        if self.asker is not None:
            self.asker.slow(False)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_head:  # trailers
            return
        lower = name.lower()
        if lower not in _OWN:
            if lower == b"x-ms-run-function-failed":
                self.is_failed_run = True
            self.headers.append(b"%b: %b\r\n" % (name, value))
        elif lower == b"content-length":
            self.length = int(value)
        elif lower == b"transfer-encoding":
            self.length = -1

    def on_headers_complete(self) -> None:
        if self.is_complete:
            return
        self.status = self.parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
            self.length = None
            return
        if self.length is None:
            self.until_end = self.status not in _BODILESS
        elif self.length < 0:
            self.length = None
        self.is_head = True

    def on_body(self, body: bytes) -> None:
        if self.is_head and not self.is_complete:  # what comes before the head is no interim answer's to say
            self.pieces.append(body)

    def on_message_complete(self) -> None:
        if self.is_complete:
            self.keeps = False
        elif self.status >= 200:
            self.is_complete = True
            self.keeps = self.parser.should_keep_alive()  # asked later it says no (SERVING.md)

    def _unwanted(self) -> None:
        if self in self.instance.idle:
            self.instance.idle.remove(self)
        self.transport.abort()
