"""Copies to shadow deployments: as many as asked for, never felt by callers, their answers compared."""

import asyncio
import threading
from collections.abc import Callable

import orjson

from app.gateway.limits import Limits
from services.engines.routes import Backend
from tests.conftest import free_port
from tests.gateway.stand import Asked, Model, Stand, a_target, ask, client, plain, until

Models = Callable[..., Model]


async def same(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(plain(b"[1, 2]"))


def test_each_shadow_gets_its_share_of_whole_copies(stand: Stand, model: Models) -> None:
    blue, green, red = model("blue"), model("green"), model("red")
    stand.apply(a_target(blue), a_target(green), a_target(red), mirror={"green": 30, "red": 100})
    with client(stand.port) as one:
        for number in range(20):
            assert one.ask(str(number).encode(), {"x-request-id": f"id-{number}"}).document["model"] == "blue"
    until(lambda: (len(green.asked), len(red.asked)) == (6, 20))
    assert sorted(asked.body for asked in red.asked) == sorted(asked.body for asked in blue.asked)
    assert {asked.headers["x-request-id"] for asked in red.asked} == {f"id-{number}" for number in range(20)}
    assert not any("authorization" in asked.headers for asked in red.asked)
    copies = stand.records(26, "mirror")
    assert {(record.deployment, record.code) for record in copies} == {("green", 200), ("red", 200)}
    assert {record.deployment for record in stand.records(20)} == {"blue"}


def test_a_deployment_is_no_shadow_of_itself(stand: Stand, model: Models) -> None:
    blue = model("blue")
    stand.apply(a_target(blue), mirror={"blue": 100})
    assert ask(stand.port).code == 200
    assert len(stand.records()) == len(blue.asked) == 1


def test_answers_that_differ_are_found(stand: Stand, model: Models) -> None:
    async def differs(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"[1, 3]" if asked.body == b"7" else b"[1,2.0]"))

    stand.apply(a_target(model("blue", same)), a_target(model("green", differs)), mirror={"green": 100})
    with client(stand.port) as one:
        for number in range(10):
            assert one.ask(str(number).encode()).body == b"[1, 2]"
    until(lambda: stand.requests.diffs("iris-id", "blue", "green").total == 10)
    agreement = stand.requests.diffs("iris-id", "blue", "green")
    assert (agreement.equal, agreement.percent) == (9, 90.0)
    worst = agreement.worst[0]
    assert (worst.request, worst.live, worst.shadow) == (b"7", b"[1, 2]", b"[1, 3]")
    assert 0 < worst.distance < 1


def test_a_shadow_that_hangs_is_not_felt(stand: Stand, model: Models) -> None:
    """And no more than a few copies wait for it."""

    async def never(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        raise EOFError

    green = model("green", never)
    stand.apply(a_target(model("blue")), a_target(green, timeout_ms=20_000), mirror={"green": 100})
    with client(stand.port) as one:
        assert [one.ask().code for _ in range(60)] == [200] * 60
    until(lambda: green.open == 16)
    assert stand.call(lambda: len(stand.router.copies.active)) == 16
    assert max(record.total_ms for record in stand.records(60)) < 20_000


def test_a_shadow_that_crashes_is_not_felt_and_left_alone_for_a_while(stand: Stand, model: Models) -> None:
    async def crashes(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    green = model("green", crashes)
    gone = a_target(Backend("gone", "127.0.0.1", free_port()), name="red")
    stand.apply(a_target(model("blue")), a_target(green), gone, mirror={"green": 100, "red": 100})
    with client(stand.port) as one:
        assert [one.ask().code for _ in range(100)] == [200] * 100
    assert len(green.asked) < 60
    copies = stand.records(10, "mirror")
    assert {(record.deployment, record.code, record.model_reason) for record in copies} == {
        ("green", 424, "connection_broken"),
        ("red", 424, "connection_refused"),
    }
    assert stand.requests.diffs("iris-id", "blue", "green").total == 0


def test_a_shadow_that_fails_is_compared_and_one_that_is_late_is_not(stand: Stand, model: Models) -> None:
    async def fails(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"late":
            await reader.read()
            raise EOFError
        writer.write(plain(b'{"message": "no"}', status="500 Internal Server Error"))

    stand.apply(a_target(model("blue")), a_target(model("green", fails), timeout_ms=200), mirror={"green": 100})
    assert ask(stand.port, b"late").code == ask(stand.port, b"now").code == 200
    copies = stand.records(2, "mirror")
    assert {(record.code, record.model_code) for record in copies} == {(408, 504), (424, 500)}
    until(lambda: stand.requests.diffs("iris-id", "blue", "green").total == 1)


def test_long_bodies_are_not_copied(stand_of: Callable[..., Stand], model: Models) -> None:
    stand = stand_of(limits=Limits(held_bytes=1000))
    green = model("green")
    stand.apply(a_target(model("blue")), a_target(green), mirror={"green": 100})
    assert ask(stand.port, bytes(5000)).code == 200
    assert ask(stand.port, b"short").code == 200
    until(lambda: [asked.body for asked in green.asked] == [b"short"])


def test_a_long_answer_is_passed_on_and_not_compared(stand_of: Callable[..., Stand], model: Models) -> None:
    async def long(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(bytes(200_000)))

    stand = stand_of(limits=Limits(held_bytes=1000))
    green = model("green", long)
    stand.apply(a_target(model("blue", long)), a_target(green), mirror={"green": 100})
    assert len(ask(stand.port).body) == 200_000
    assert stand.records(1, "mirror")[0].response_size == 200_000
    assert stand.requests.diffs("iris-id", "blue", "green").total == 0


def test_a_caller_who_leaves_does_not_stop_a_copy(stand: Stand, model: Models) -> None:
    go = threading.Event()

    async def waits(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not go.is_set():
            await asyncio.sleep(0.005)
        writer.write(plain(orjson.dumps(1)))

    green = model("green", waits)
    stand.apply(a_target(model("blue", waits)), a_target(green), mirror={"green": 100})
    with client(stand.port) as one:
        one.send(b"POST /lab/iris/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer primary-key-of-a-test\r\n\r\n")
        until(lambda: green.asked)
    until(lambda: not stand.call(lambda: len(stand.router.callers)))
    go.set()
    assert stand.records(1, "mirror")[0].code == 200
    assert stand.records()[0].code == 499


def test_a_sleeping_shadow_is_woken_and_nobody_waits_for_it(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model("blue")), a_target(name="green", is_asleep=True), mirror={"green": 100})
    assert ask(stand.port).code == 200
    until(lambda: stand.woken == ["green-id"])
