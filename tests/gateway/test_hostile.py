"""Models and callers that mean harm: what they send without end is bounded, and nothing of it reaches the next one."""

import asyncio
import resource
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.gateway.__main__ import _open_many
from app.gateway.copies import Pair
from app.gateway.ledger import Ledger
from app.gateway.limits import Limits
from services.engines.captures import Captured, Captures
from services.engines.routes import Capture
from services.store.requests import Requests
from tests.gateway.rows import PRIMARY
from tests.gateway.stand import Asked, Model, Stand, a_target, ask, client, plain, until

Models = Callable[..., Model]
HEAD = b"HTTP/1.1 200 OK\r\n"


def endless(begin: bytes, more: bytes) -> Callable[..., object]:
    """Says `more` until nobody listens."""

    async def answering(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(more)
            await writer.drain()

    return answering


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (HEAD, b"X-Long: " + b"a" * 1000 + b"\r\n"),
        (HEAD + b"X-Long: ", b"a" * 65536),
        (b"HTTP/1.1 200 ", b"O" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100),
    ],
    ids=["headers", "one header", "reason", "100", "103"],
)
def test_a_head_without_end_is_no_answer(stand: Stand, model: Models, begin: bytes, more: bytes) -> None:
    """It is given up for its length: at five milliseconds less than a day its time would never be over."""
    stand.apply(a_target(model(answering=endless(begin, more)), timeout_ms=86_399_995))
    reply = ask(stand.port)
    assert (reply.code, reply.headers["ms-azureml-model-error-reason"]) == (424, "answer_malformed")
    assert ask(stand.port, b"", method="GET", path="/healthz").code == 200


@pytest.mark.parametrize("more", [b"X-Long: " + b"a" * 1000 + b"\r\n", b"a" * 65536], ids=["lines", "one line"])
def test_trailers_without_end_cut_the_answer(stand: Stand, model: Models, more: bytes) -> None:
    begin = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: "
    stand.apply(a_target(model(answering=endless(begin, more)), timeout_ms=86_399_995))
    with client(stand.port) as one:
        reply = one.ask()
    assert (reply.code, reply.is_cut) == (200, True)


def test_a_chunk_whose_size_never_ends_cuts_the_answer(stand: Stand, model: Models) -> None:
    begin = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n2;"
    stand.apply(a_target(model(answering=endless(begin, b"x" * 65536)), timeout_ms=86_399_995))
    with client(stand.port) as one:
        assert one.ask().is_cut


@pytest.mark.parametrize("status", ["000", "042", "099"])
def test_the_body_of_what_is_no_answer_is_no_part_of_the_next(stand: Stand, model: Models, status: str) -> None:
    """Bytes beyond the length that was said would be the caller's next answer."""

    async def answering(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 38\r\n\r\n".encode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + HEAD + b"Content-Length: 10\r\n\r\n01234")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"56789")

    stand.apply(a_target(model(answering=answering), timeout_ms=2000))
    with client(stand.port) as one:
        reply = one.ask()
        assert (reply.code, reply.rest) in {(200, b""), (424, b""), (408, b"")}
        assert reply.code != 200 or reply.body == b"0123456789"


def test_what_stands_between_the_pieces_of_a_body_is_bounded(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    head = b"POST /lab/iris/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer %b\r\n\r\n"
    for between in (b"2\r\nhi\r\n0\r\nX: ", b"2\r\nhi\r\n2;"):
        with client(stand.port) as one:
            one.send(head % PRIMARY.encode() + between)
            until(lambda: any(each.exchange is not None for each in list(stand.router.callers)), "it has begun")
            reply = one.send(b"a" * 65536).reply()
        assert (reply.code, reply.headers["connection"]) == (431, "close")


def test_a_long_body_in_chunks_whose_pieces_come_apart_passes(stand: Stand, model: Models) -> None:
    blue = model(answering=None)
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        one.send(
            b"POST /lab/iris/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % PRIMARY.encode() + b"%x\r\n" % 100_000 + b"a" * 100_000
        )
        for piece in (b"\r", b"\n", b"0", b"\r", b"\n", b"\r", b"\n"):
            one.send(piece)
        reply = one.reply()
    assert (reply.code, len(reply.document["body"])) == (200, 100_000)


def test_of_too_many_connections_silent_ones_make_room(stand_of: Callable[..., Stand], model: Models) -> None:
    stand = stand_of(limits=Limits(callers=20))
    stand.apply(a_target(model()))
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(client(stand.port))
        until(lambda: len(stand.router.callers) == 20, "no more than twenty are kept")
        assert ask(stand.port).code == 200
        assert len(stand.router.callers) <= 20


def test_callers_leave_descriptors_for_all_else() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert 0 < _open_many() <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_answer_is_the_one_to_its_request_after_a_hostile_one(stand: Stand, model: Models) -> None:
    """More than one answer to a request: the second one is nobody's."""

    async def answering(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(asked.body) + plain(b'"stolen"'))

    stand.apply(a_target(model(answering=answering)))
    with client(stand.port) as one:
        assert [one.ask(str(number).encode()).body for number in range(20)] == [b"%d" % number for number in range(20)]


def test_bodies_that_wait_for_a_slow_disk_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.ledger.HELD_BYTES", 1000)
    written, may_go = threading.Event(), threading.Event()

    class Slow(Requests):
        def write(self, *args: object, **fields: object) -> None:
            written.set()
            may_go.wait(30)

    loop = asyncio.new_event_loop()
    ledger = Ledger(Slow(tmp_path / "requests.db"), Captures(), loop, list)
    capture = Capture({"request": 1.0}, str(tmp_path / "store" / "modelDataCollector" / "iris" / "blue"))
    body = b'"' + b"x" * 298 + b'"'
    for _ in range(5):
        ledger.capture(capture, "request", Captured(1.0, "r", body))
    assert ledger.left_out == 2
    ledger.flush()
    assert written.wait(30)
    ledger.compare(Pair(1.0, "e", "blue", "green", body, body, body))
    assert ledger.left_out == 3, "what is being written counts still"
    may_go.set()
    until(lambda: len(list(tmp_path.rglob("*.jsonl"))) == 1 and not ledger.held, "they are written")
    ledger.compare(Pair(1.0, "e", "blue", "green", body, body, body))
    assert ledger.left_out == 3
    ledger.close()
    loop.close()


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0\r\n", b"POST /lab/iris/score HTTP/1.1\r\nX: a\0\r\n"])
def test_what_is_no_request_and_too_long_is_refused_once_and_fills_no_log(
    stand: Stand, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with client(stand.port) as one:
        reply = one.send(line + b"x" * 60_000).reply()
    assert reply.code in {400, 431}
    assert reply.rest == b""
    until(lambda: not stand.router.callers, "the connection has ended")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        (b"POST /lab/iris/score", b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
        (b"GET /lab/iris/score", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"),
        (b"CONNECT 127.0.0.1:22", b""),
        (b"CONNECT /lab/iris/score", b""),
    ],
)
def test_who_asks_for_another_protocol_is_answered_once(stand: Stand, line: bytes, headers: bytes) -> None:
    """A second answer would be taken for that to the next request, by a proxy in front of us."""
    with client(stand.port) as one:
        one.send(line + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        said = b""
        while piece := one.socket.recv(65536):
            said += piece
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 400 ") == 1
    assert b"connection: close" in said
