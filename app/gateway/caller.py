"""A caller's connection: reads requests one after the other, refuses what is no HTTP, and keeps the deadlines."""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

import httptools

from app.gateway import answers
from app.gateway.exchange import SWAGGER, Exchange
from services.store.requests import Kind

if TYPE_CHECKING:
    from app.gateway.router import Router

log = logging.getLogger("atelier.gateway")
# Of requests: what belongs to this connection alone, what is for the gateway, and what it says anew.
_OWN = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"upgrade", b"content-length", b"transfer-encoding", b"expect", b"host"),
        *(b"authorization", b"azureml-model-deployment", b"x-atelier-test"),
        *(b"x-request-id", b"x-ms-client-request-id", b"user-agent"),
    )
)
_ONCE = frozenset((b"authorization", b"host", b"azureml-model-deployment", b"transfer-encoding", b"expect"))
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}\Z")
_NOT_ID = re.compile(rb"[^A-Za-z0-9._:+/=-]")
CLIENT_ID_LENGTH = 40
Reply = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True)
class Known:
    """What a request's head came to. The same bytes come to the same: they are compared, and not read again."""

    head: bytes
    size: int
    length: int
    method: str
    path: bytes
    suffix: bytes
    host: bytes
    authorization: bytes
    headers: list[bytes]
    request_id: bytes
    client_id: bytes
    agent: bytes
    wanted: bytes
    kind: Kind


class Caller(asyncio.Protocol):
    """`exchange` is the request that is read or answered now. `deadline` is when `expire` is to be called, by
    `perf_counter`: the loop's own clock stands still within a turn."""

    __slots__ = (
        "began", "closes", "deadline", "exchange", "head_size", "headers", "is_begun", "is_held", "is_lingering",
        "is_old", "is_skipping", "is_stalled", "known", "parser", "reply",
        "router", "segment", "special", "transport", "twice", "url",
    )  # fmt: skip

    def __init__(self, router: "Router") -> None:
        self.router = router
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport
        self.exchange: Exchange | None = None
        self.reply: Reply | None = None
        self.head_size, self.began, self.deadline = 0, 0.0, inf
        self.closes = self.is_begun = self.is_old = self.is_skipping = False
        self.is_held = self.is_stalled = self.is_lingering = self.twice = False
        self.url = self.segment = b""
        self.known: Known | None = None
        self.special: dict[bytes, bytes] = {}
        self.headers: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.deadline = perf_counter() + self.router.limits.idle_seconds
        self.router.came(self)

    def connection_lost(self, cause: Exception | None) -> None:
        self.router.callers.discard(self)
        if self.exchange is not None:
            self.exchange.abandoned()
            self.exchange = None

    def data_received(self, data: bytes) -> None:
        if self.is_lingering:
            return
        if self.exchange is not None:
            if self.exchange.is_whole:  # the next request before the answer: it is not read, and this is the last one
                self.closes = self.closes or bool(data.strip(b"\r\n"))
            else:
                self._feed_body(self.exchange, data)
            return
        known = self.known
        is_known = known is not None and len(data) == known.size and data.startswith(known.head)
        if is_known and not self.is_begun and known is not None and self._again(known, data):
            return
        room = self.router.limits.header_bytes - self.head_size
        self.head_size += len(data)
        self.segment = b"" if self.is_begun else data
        if len(data) > room:
            self._feed(data[:room])
            if self.is_lingering:
                return
            if self.exchange is None and self.is_begun:
                self._refused(431, "The headers are too long.")
                return
            data = data[room:]
        self._feed(data)

    def _feed_body(self, exchange: Exchange, data: bytes) -> None:
        """What stands between and after chunks is bounded as the head is."""
        size = exchange.size
        self._feed(data)
        self.head_size = self.head_size + len(data) if exchange.size == size else 0
        if self.head_size > self.router.limits.header_bytes and self.exchange is exchange and not exchange.is_whole:
            exchange.refuse(431, "What stands between the pieces of the body is too long.")

    def _learn(self, exchange: Exchange) -> None:
        """A request that came in one piece: the next is likely to begin with the same head."""
        data, special, length = self.segment, self.special, exchange.length or 0
        end = data.find(b"\r\n\r\n") + 4
        if end + length != len(data) or len(data) > self.router.limits.header_bytes or b"expect" in special:
            return
        self.known = Known(
            head=data[:end],
            size=len(data),
            length=length,
            method=exchange.method,
            path=exchange.path,
            suffix=exchange.suffix,
            host=special.get(b"host", b""),
            authorization=special.get(b"authorization", b""),
            headers=exchange.headers,
            request_id=exchange.request_id if exchange.request_id == special.get(b"x-request-id") else b"",
            client_id=exchange.client_id,
            agent=exchange.agent,
            wanted=exchange.wanted,
            kind=exchange.kind,
        )

    def _again(self, known: "Known", data: bytes) -> bool:
        """Only the key is looked at anew, and who has the address: both may have changed."""
        router = self.router
        entry = router.opened(router.found(known.path, known.host)[0], known.authorization)
        if entry is None or entry.route.sticky or known.length > entry.max_body:
            return False
        self.began = perf_counter()
        self.exchange = exchange = Exchange(self, known.method, known.path, known.suffix, self.began)
        exchange.request_id = known.request_id or router.new_id()
        exchange.client_id, exchange.agent, exchange.headers = known.client_id, known.agent, known.headers
        exchange.wanted, exchange.kind, exchange.length = known.wanted, known.kind, known.length
        exchange.entry = entry
        if known.length:
            exchange.size = known.length
            exchange.pieces = [data[-known.length :]]
        exchange.ended()
        return True

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            log.exception("A request could not be carried")
            self.abort()
        except httptools.HttpParserUpgrade:
            self._malformed("Upgrading is not possible here.")
        except httptools.HttpParserError as cause:
            self._malformed(f"This is no HTTP request: {cause}.")

    def _malformed(self, message: str) -> None:
        if self.is_lingering or self.transport.is_closing():
            return
        if self.exchange is not None and self.exchange.is_whole:
            self.closes = True
            return
        self.router.malformed += 1
        if self.exchange is not None:
            self.exchange.refuse(400, message)
        else:
            self._refused(400, message)

    def _refused(self, code: int, message: str) -> None:
        """Where the head of a request was not even whole."""
        self.say(answers.written(code, answers.error(code, message), b"connection: close\r\n"))
        self._linger()

    def pause_writing(self) -> None:
        self.is_stalled = True
        self.deadline = perf_counter() + self.router.limits.stall_seconds
        if self.exchange is not None and self.exchange.line is not None:
            self.exchange.line.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_stalled = False
        exchange, at = self.exchange, perf_counter()
        if exchange is None:
            self.deadline = at + self.router.limits.idle_seconds
        elif exchange.line is not None and exchange.fleet is not None:
            exchange.line.transport.resume_reading()
            self.deadline = at + exchange.fleet.target.timeout_ms / 1000

    def on_message_begin(self) -> None:
        if self.exchange is not None:
            self.closes = self.is_skipping = True
            return
        self.is_begun, self.twice = True, False
        self.began = perf_counter()
        self.deadline = self.began + self.router.limits.header_seconds
        self.url, self.special, self.headers = b"", {}, []

    def on_url(self, url: bytes) -> None:
        if not self.is_skipping:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.exchange is not None:  # of the next request, or trailers
            return
        lower = name.lower()
        if lower in _OWN:
            self.twice = self.twice or (lower in self.special and lower in _ONCE)
            self.special[lower] = value
        else:
            self.headers.append(b"%b: %b\r\n" % (name, value))

    def on_headers_complete(self) -> None:
        if self.is_skipping:
            return
        special, parser, url = self.special, self.parser, self.url
        self.head_size = 0
        if url[:1] != b"/":
            url = _ABSOLUTE.sub(b"", url, count=1) or b"/"
        path, _, query = url.partition(b"?")
        version = parser.get_http_version()
        self.is_old = version == "1.0"
        exchange = Exchange(self, parser.get_method().decode(), path, b"", self.began)
        exchange.request_id = special.get(b"x-request-id", b"")
        if not exchange.request_id or not _ID.match(exchange.request_id):
            exchange.request_id = self.router.new_id()
        if b"x-ms-client-request-id" in special:
            exchange.client_id = _NOT_ID.sub(b"", special[b"x-ms-client-request-id"])[:CLIENT_ID_LENGTH]
            if exchange.client_id:
                self.headers.append(b"x-ms-client-request-id: %b\r\n" % exchange.client_id)
        if b"content-length" in special:
            exchange.length = int(special[b"content-length"])
        elif b"transfer-encoding" not in special:
            exchange.length = 0
        agent = special.get(b"user-agent")
        if agent is not None:
            exchange.agent = agent
            self.headers.append(b"user-agent: %b\r\n" % agent)
        exchange.headers = self.headers
        self.exchange = exchange
        self.reply = self._wrong(version, url) or self._asked(exchange, path, query)
        self.deadline = self.began + self.router.limits.body_seconds
        if self.reply is not None or b"expect" in special:
            self._head_ended(exchange)

    def _wrong(self, version: str, url: bytes) -> Reply | None:
        """What is HTTP to the parser, and is not taken here."""
        special = self.special
        coding = special.get(b"transfer-encoding", b"")
        if version not in {"1.0", "1.1"}:
            return _no(400, "This is not HTTP/1.1.")
        if (
            url[:1] != b"/"
            or self.twice
            or (b"host" not in special and not self.is_old)
            or self.parser.should_upgrade()
        ):
            self.router.malformed += 1
            self.closes = True  # what asks for another protocol is an error of the parser's, too: one answer is enough
            return _no(
                400, "This is no request that can be answered: its address, or a header that stands once, is wrong."
            )
        if coding and (coding.lower() != b"chunked" or self.is_old):
            return _no(501, "The only transfer encoding is 'chunked', in HTTP/1.1.")
        if len(self.headers) + len(special) > self.router.limits.header_count:
            return _no(431, "There are too many headers.")
        if special.get(b"expect", b"100-continue").lower() != b"100-continue":
            return _no(417, "Nothing but '100-continue' can be expected.")
        return None

    def _asked(self, exchange: Exchange, path: bytes, query: bytes) -> Reply | None:
        """Who may score goes on without a reply."""
        router, special = self.router, self.special
        own = router.own(path)
        if own is not None:
            return own if exchange.method in {"GET", "HEAD"} else _no(405, "Only GET is answered here.", _ALLOWED_GET)
        entries, kind = router.found(path, special.get(b"host", b""))
        if not kind:
            return _no(404, "There is nothing at this address.")
        if exchange.method != "POST" and exchange.method != "GET":
            return _no(405, "Only GET and POST are answered here.", _ALLOWED)
        entry = router.opened(entries, special.get(b"authorization", b""))
        if entry is None:
            exchange.entry = entries[0] if len(entries) == 1 else None  # for its log
            return _no(401, "The key or token is missing, wrong or has ended.", b"www-authenticate: Bearer\r\n")
        exchange.entry = entry
        exchange.suffix = kind + b"?" + query if query else kind
        if kind == SWAGGER and exchange.method != "GET":
            return _no(405, "Only GET is answered here.", _ALLOWED_GET)
        if exchange.length is not None and exchange.length > entry.max_body:
            return _no(413, f"The body is longer than {entry.max_body} bytes.")
        exchange.wanted = special.get(b"azureml-model-deployment", b"")
        if b"x-atelier-test" in special:
            exchange.kind = "test"
        connection = special.get(b"connection")
        if connection is not None and b"," in connection:
            self._without(connection)
        if entry.route.sticky:
            exchange.sticky = self._value(entry.route.sticky.lower().encode())
        return None

    def _value(self, wanted: bytes) -> bytes:
        """Of a header that passes on."""
        for line in self.headers:
            name, _, value = line.partition(b": ")
            if name.lower() == wanted:
                return value[:-2]
        return self.special.get(wanted, b"")

    def _without(self, connection: bytes) -> None:
        """Headers that the caller calls its own connection's."""
        named = {each.strip().lower() for each in connection.split(b",")}
        self.headers[:] = [line for line in self.headers if line.partition(b":")[0].lower() not in named]

    def _head_ended(self, exchange: Exchange) -> None:
        expects = b"expect" in self.special and not self.is_old
        is_long = exchange.length is None or exchange.length > self.router.limits.held_bytes
        if self.reply is not None and (expects or is_long):
            self.reply(exchange)
        elif expects and exchange.length != 0:
            self.transport.write(answers.CONTINUE)

    def on_body(self, body: bytes) -> None:
        exchange = self.exchange
        if exchange is None or self.is_skipping:
            return
        exchange.size += len(body)
        if self.reply is not None:
            return
        if not exchange.is_going:
            exchange.pieces.append(body)
            if exchange.size > self.router.limits.held_bytes:
                exchange.is_held = False
                exchange.go()
            elif exchange.size == exchange.length:
                return
        else:
            exchange.more(body)
        if not self.is_held:
            self.await_body()
        entry = exchange.entry
        if entry is not None and exchange.size > entry.max_body:
            exchange.refuse(413, f"The body is longer than {entry.max_body} bytes.")

    def on_message_complete(self) -> None:
        exchange = self.exchange
        if exchange is None or self.is_skipping:
            return
        if not self.parser.should_keep_alive():  # asked later it says no (SERVING.md)
            self.closes = True
        if self.reply is not None:
            exchange.is_whole = True
            self.reply(exchange)
            return
        if self.segment and not self.closes and exchange.length is not None and not self.is_old:
            self._learn(exchange)
        exchange.ended()

    def await_body(self) -> None:
        """The deadline while a body comes: some seconds, and more the longer it is."""
        limits, size = self.router.limits, self.exchange.size if self.exchange is not None else 0
        self.deadline = self.began + limits.body_seconds + size / limits.body_rate

    def hold(self, is_held: bool) -> None:
        """Takes no more of the body for now."""
        if is_held != self.is_held:
            self.is_held = is_held
            if is_held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def say(self, answer: bytes) -> None:
        self.transport.write(answer)

    def ending(self, is_whole: bool) -> bytes:
        """The line of an answer after which the connection ends."""
        self.closes = self.closes or not is_whole
        return b"connection: close\r\n" if self.closes else b""

    def answered(self, is_whole: bool) -> None:
        """The exchange is over: the next request may come, or this was the last."""
        self.exchange = self.reply = None
        self.is_begun = False
        self.head_size = 0
        if self.is_held and not self.transport.is_closing():
            self.hold(False)
        if not is_whole or self.is_skipping:
            self._linger()
        elif self.closes:
            self.deadline = perf_counter() + self.router.limits.stall_seconds
            self.transport.close()
        elif not self.is_stalled:
            self.deadline = perf_counter() + self.router.limits.idle_seconds

    def abort(self) -> None:
        """Ends so that the caller sees that the answer was not whole."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandoned()
        self.deadline = inf
        self.transport.abort()

    def expire(self) -> None:
        """`deadline` has passed."""
        self.deadline = inf
        if self.exchange is not None:
            self.exchange.expired()
        elif self.is_lingering or self.is_stalled or self.transport.is_closing():
            self.transport.abort()
        elif self.is_begun:
            self._refused(408, "The headers of the request came too slowly.")
        else:
            self.transport.close()

    def _linger(self) -> None:
        """What still comes is read and dropped for a while: closed at once, the answer could be lost on its way."""
        self.is_lingering = True
        self.deadline = perf_counter() + self.router.limits.linger_seconds
        if not self.transport.is_closing():
            self.transport.write_eof()


_ALLOWED, _ALLOWED_GET = b"allow: GET, POST\r\n", b"allow: GET\r\n"


def _no(code: int, message: str, headers: bytes = b"") -> Reply:
    return lambda exchange: exchange.refuse(code, message, headers)
