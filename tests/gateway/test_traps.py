"""What has gone wrong in routers before: each trap of SERVING.md, by name."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest

from app.gateway.limits import Limits
from tests.gateway.stand import PATIENCE, Asked, Model, Stand, a_target, ask, client, plain, request, until

Models = Callable[..., Model]


def test_trap_1_connections_to_a_model_are_used_again(stand: Stand, model: Models) -> None:
    blue = model()
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        assert [one.ask().code for _ in range(50)] == [200] * 50
    assert blue.connections == 1


def test_trap_2_latency_is_measured_within_a_turn_of_the_loop(stand: Stand, model: Models) -> None:
    """The loop's clock stands still while a turn lasts: an answer in the same turn would have taken no time."""

    async def late(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(plain(b"1"))

    stand.apply(a_target(model(answering=late)))
    assert ask(stand.port).code == 200
    (record,) = stand.records()
    assert 50 <= record.total_ms < 5000
    assert record.request_ms < record.total_ms


@pytest.mark.parametrize("size", [40_000, 1 << 20])
def test_trap_3_headers_that_are_too_long_are_refused(stand: Stand, model: Models, size: int) -> None:
    blue = model()
    stand.apply(a_target(blue))
    reply = ask(stand.port, headers={"X-Long": "a" * size})
    assert (reply.code, blue.asked) == (431, [])
    assert ask(stand.port, headers={f"X-{number}": "a" for number in range(200)}).code == 431
    assert ask(stand.port, headers={"X-Long": "a" * 20_000}).code == 200


def test_trap_3_headers_that_come_too_slowly_end(stand_of: Callable[..., Stand], model: Models) -> None:
    stand = stand_of(limits=Limits(header_seconds=0.3, linger_seconds=0.1))
    stand.apply(a_target(model()))
    with client(stand.port) as one:
        for piece in (b"POST /lab/iris/score HTTP/1.1\r\n", b"Host: x\r\n"):
            one.send(piece)
        reply = one.reply()
    assert (reply.code, reply.headers["connection"]) == (408, "close")


def test_trap_3_a_connection_that_idles_is_closed(stand_of: Callable[..., Stand], model: Models) -> None:
    stand = stand_of(limits=Limits(idle_seconds=0.2))
    stand.apply(a_target(model()))
    with client(stand.port) as one:
        assert one.ask().code == 200
        assert one.is_ended()
    with client(stand.port) as silent:
        assert silent.is_ended()


def test_trap_4_a_connection_that_the_model_closed_just_then_is_no_failure(stand: Stand, model: Models) -> None:
    """Closed when the next request arrives, as a server does whose keep-alive is over."""
    counts: dict[asyncio.StreamWriter, int] = {}

    async def second_is_cut(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counts[writer] = counts.get(writer, 0) + 1
        if counts[writer] == 1:
            writer.write(plain(asked.body))
        else:
            writer.transport.abort()

    blue = model(answering=second_is_cut)
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        replies = [one.ask(str(number).encode()) for number in range(20)]
    assert [(reply.code, reply.body) for reply in replies] == [(200, str(number).encode()) for number in range(20)]
    assert len(blue.asked) == 39, "each but the first was sent twice: once in vain, once on a new connection"


def test_trap_4_a_model_that_always_cuts_is_asked_twice_at_most(stand: Stand, model: Models) -> None:
    served = []

    async def cut(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asked)
        if len(served) == 1:
            writer.write(plain(b"1"))
        else:
            writer.transport.abort()

    stand.apply(a_target(model(answering=cut)))
    with client(stand.port) as one:
        assert one.ask().code == 200
        reply = one.ask()
    assert (reply.code, reply.headers["ms-azureml-model-error-reason"]) == (424, "connection_broken")
    assert len(served) == 3


@pytest.mark.parametrize("framing", ["length", "chunks", "until the end"])
def test_trap_5_an_answer_that_is_cut_does_not_look_whole(stand: Stand, model: Models, framing: str) -> None:
    async def cut(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = {
            "length": b"Content-Length: 1000\r\n\r\nhalf",
            "chunks": b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "until the end": b"\r\nhalf",
        }
        writer.write(b"HTTP/1.1 200 OK\r\n" + head[framing])
        await writer.drain()
        await asyncio.sleep(0.05)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
        writer.transport.abort()

    stand.apply(a_target(model(answering=cut)))
    reply = ask(stand.port)
    assert (reply.code, reply.body, reply.is_cut) == (200, b"half", True)
    assert stand.records()[0].model_reason == "connection_broken"


def test_trap_5_an_answer_until_the_end_is_whole_when_it_ends_in_order(stand: Stand, model: Models) -> None:
    async def ended(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()
        writer.close()

    stand.apply(a_target(model(answering=ended)))
    reply = ask(stand.port)
    assert (reply.code, reply.body, reply.is_cut) == (200, b"all of it", False)


def test_trap_6_of_two_requests_at_once_the_first_is_answered_and_the_second_is_not(
    stand: Stand, model: Models
) -> None:
    async def late(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(plain(asked.body))

    blue = model(answering=late)
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        one.send(request(b"first") + request(b"second"))
        reply = one.reply()
        assert (reply.code, reply.body, reply.headers["connection"]) == (200, b"first", "close")
        assert one.is_ended()
    with client(stand.port) as one:
        one.send(request(b"first"))
        until(lambda: len(blue.asked) == 2)
        reply = one.send(request(b"second")).reply()
        assert (reply.body, reply.headers["connection"]) == (b"first", "close")
    assert [asked.body for asked in blue.asked] == [b"first", b"first"]


def test_trap_7_a_caller_that_does_not_read_holds_the_model_back(stand: Stand, model: Models) -> None:
    sent = [0]

    async def long(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(64):
            writer.write(bytes(1 << 20))
            await writer.drain()
            sent[0] += 1 << 20

    stand.apply(a_target(model(answering=long)))
    with client(stand.port) as one:
        one.send(request())
        until(lambda: sent[0] > 0)
        _settled(lambda: sent[0])
        assert sent[0] < 32 << 20, "it is all in memory"
        assert len(one.reply().body) == 64 << 20
    with client(stand.port) as one:  # and the connection to the model is of use again
        assert len(one.ask().body) == 64 << 20


def test_trap_7_a_model_that_does_not_read_holds_the_caller_back(stand: Stand, model: Models) -> None:
    go = threading.Event()

    class Slow(Model):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            transport: Any = writer.transport
            transport.pause_reading()
            while not go.is_set():
                await asyncio.sleep(0.01)
            transport.resume_reading()
            await super()._serve(reader, writer)

    slow = Slow(answering=_received)
    stand.apply(a_target(slow, max_body=256 << 20))
    body = bytes(32 << 20)
    with client(stand.port) as one:
        sender = threading.Thread(target=one.send, args=(request(body),))
        sender.start()
        sender.join(0.5)
        assert sender.is_alive(), "all of it was taken"
        go.set()
        reply = one.reply()
        sender.join(PATIENCE)
    slow.close()
    assert (reply.code, len(slow.asked[0].body)) == (200, len(body))


def test_trap_7_a_caller_that_has_gone_is_forgotten_and_its_place_is_free(stand: Stand, model: Models) -> None:
    async def never(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"hang":
            await reader.read()
            raise EOFError
        writer.write(plain(b"1"))

    blue = model(answering=never)
    stand.apply(a_target(blue, max_concurrent=1, queue_ms=0))
    with client(stand.port) as one:
        one.send(request(b"hang"))
        until(lambda: blue.asked)
        assert ask(stand.port).code == 429
    until(lambda: blue.open == 0, "the model still works for somebody who has gone")
    assert ask(stand.port).code == 200
    assert [record.code for record in stand.records(3)] == [499, 429, 200]


def test_trap_8_what_belongs_to_one_connection_or_to_the_gateway_stays_there(stand: Stand, model: Models) -> None:
    async def chatty(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers = "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nX-Model: yes\r\n"
        writer.write(plain(b"1", headers=headers + "X-Request-Id: other\r\nAzureml-Model-Deployment: other\r\n"))

    blue = model(answering=chatty)
    stand.apply(a_target(blue))
    hop = {"Connection": "keep-alive, X-Mine", "X-Mine": "1", "TE": "trailers", "Proxy-Authorization": "Basic abc"}
    reply = ask(stand.port, headers={**hop, "X-Theirs": "1", "traceparent": "00-1-2-01", "x-request-id": "abc"})
    (asked,) = blue.asked
    assert asked.headers.keys() == {
        *("host", "content-type", "content-length", "x-theirs", "traceparent", "x-request-id"),
    }
    assert asked.headers["host"] == f"127.0.0.1:{blue.port}"
    assert asked.headers["traceparent"] == "00-1-2-01"
    assert reply.headers["x-model"] == "yes"
    assert reply.headers["x-request-id"] == "abc"
    assert reply.headers["azureml-model-deployment"] == "blue"
    assert not reply.headers.keys() & {"keep-alive", "proxy-authenticate", "connection"}


def test_trap_8_one_framing_leaves(stand: Stand, model: Models) -> None:
    """Chunks that were held leave with their length; what is passed on as it comes leaves in chunks."""
    blue = model()
    stand.apply(a_target(blue))
    head = request(b"", {"Transfer-Encoding": "chunked"}, method="PUT").replace(b"PUT", b"POST", 1)
    with client(stand.port) as one:
        assert one.send(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: x\r\n\r\n").reply().code == 200
        piece = b"x" * 100_000
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for _ in range(10))
        assert one.send(head + chunks + b"0\r\n\r\n").reply().code == 200
    short, long = blue.asked
    assert (short.headers["content-length"], short.body) == ("5", b"abcde")
    assert "transfer-encoding" not in short.headers
    assert (long.headers["transfer-encoding"], len(long.body)) == ("chunked", 1_000_000)
    assert "content-length" not in long.headers


async def _received(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(plain(b"1"))


def _settled(value: Callable[[], int]) -> None:
    """Waits until it has not changed for a while."""
    seen, since, end = value(), perf_counter(), perf_counter() + PATIENCE
    while perf_counter() - since < 0.3:
        assert perf_counter() < end
        time.sleep(0.02)
        if value() != seen:
            seen, since = value(), perf_counter()
