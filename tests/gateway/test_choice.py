"""Which deployment and which instance a request goes to, how many at once, and what happens to the others."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.gateway.fleet import Entry
from app.gateway.keys import is_right
from services.engines.routes import Backend
from tests.conftest import free_port
from tests.gateway.stand import (
    Asked,
    Model,
    Reply,
    Stand,
    a_route,
    a_target,
    ask,
    client,
    codes,
    plain,
    request,
    until,
)

Models = Callable[..., Model]
NOBODY = Backend("nobody", "127.0.0.1", 1)


class Gate:
    """A model's answer that is held until it is opened."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.most = self.now = 0

    async def __call__(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        while not self.is_open.is_set():
            await asyncio.sleep(0.005)
        self.now -= 1
        writer.write(plain(b"1"))


def an_entry(traffic: dict[str, int], **fields: object) -> Entry:
    targets = [a_target(NOBODY, name=name) for name in traffic]
    return Entry(a_route(*targets, traffic=traffic, **fields))


def shares(entry: Entry, count: int, sticky: Callable[[int], bytes] = lambda _: b"") -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(count):
        fleet = entry.choose(sticky(number))
        assert fleet is not None
        found[fleet.target.name] += 1
    return found


@pytest.mark.parametrize("traffic", [{"blue": 90, "green": 10}, {"a": 1, "b": 99}, {"a": 33, "b": 33, "c": 34}])
def test_after_any_hundred_requests_the_split_is_exact(traffic: dict[str, int]) -> None:
    entry = an_entry(traffic)
    for _ in range(5):
        assert shares(entry, 100) == traffic


def test_the_turns_are_spread_out() -> None:
    entry = an_entry({"blue": 90, "green": 10})
    names = [getattr(entry.choose(), "target").name for _ in range(100)]  # noqa: B009
    assert all(Counter(names[at : at + 10])["green"] == 1 for at in range(0, 100, 10))


def test_weights_that_change_all_the_time_keep_their_share() -> None:
    entry, found, due = an_entry({"blue": 100, "green": 0}), Counter[str](), 0.0
    for percent in range(101):
        entry.apply(a_route(*entry.route.targets.values(), traffic={"blue": 100 - percent, "green": percent}))
        found += shares(entry, 37)
        due += 0.37 * percent
    assert abs(found["green"] - due) <= 101, "more than one request of a change went astray"


def test_a_caller_stays_with_a_deployment_and_few_move_with_the_weights() -> None:
    entry = an_entry({"blue": 90, "green": 10})
    callers = [f"caller-{number}".encode() for number in range(4000)]
    before = [entry.choose(caller) for caller in callers]
    assert before == [entry.choose(caller) for caller in callers]
    green = sum(1 for fleet in before if fleet is entry.fleets["green"])
    assert abs(green - 400) < 3 * math.sqrt(4000 * 0.1 * 0.9)
    entry.apply(a_route(*entry.route.targets.values(), traffic={"blue": 80, "green": 20}))
    moved = [(one, entry.choose(caller)) for one, caller in zip(before, callers, strict=True)]
    assert not any(one is entry.fleets["green"] and other is not one for one, other in moved), "green only gained"


def test_keys_are_compared_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever fits, and where none does: the time tells nothing."""
    compared: list[bytes] = []
    monkeypatch.setattr("app.gateway.keys.hmac.compare_digest", lambda one, other: compared.append(one) or one == other)
    hashes = [bytes([number]) * 32 for number in range(2)]
    for authorization in (b"Bearer x", b"", b"Basic x", b"Bearer " + b"x" * 5000):
        compared.clear()
        assert not is_right(hashes, {}, authorization, 0.0)
        assert compared == hashes
        compared.clear()
        assert not is_right((), {}, authorization, 0.0)
        assert len(compared) == 2


def test_the_split_is_kept_over_the_wire(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model("blue")), a_target(model("green")), traffic={"blue": 90, "green": 10})
    with client(stand.port) as one:
        found = Counter(one.ask().headers["azureml-model-deployment"] for _ in range(300))
    assert found == {"blue": 270, "green": 30}


def test_a_header_names_the_deployment_whatever_its_weight(stand: Stand, model: Models) -> None:
    blue, green = model("blue"), model("green")
    stand.apply(a_target(blue), a_target(green), traffic={"blue": 100, "green": 0})
    assert {ask(stand.port).document["model"] for _ in range(20)} == {"blue"}
    reply = ask(stand.port, headers={"azureml-model-deployment": "Green"})
    assert (reply.document["model"], reply.headers["azureml-model-deployment"]) == ("green", "green")
    assert "azureml-model-deployment" not in green.asked[0].headers


@pytest.mark.parametrize("traffic", [{}, {"blue": 0}, {"blue": 0, "green": 0}, {"gone": 100}])
def test_without_weight_there_is_nobody_to_ask(stand: Stand, model: Models, traffic: dict[str, int]) -> None:
    stand.apply(a_target(model()), traffic=traffic)
    reply = ask(stand.port)
    assert (reply.code, reply.message) == (404, "'iris' has no deployment with positive weight.")
    assert ask(stand.port, headers={"azureml-model-deployment": "blue"}).code == 200


def test_callers_with_a_header_stay_where_they_are(stand: Stand, model: Models) -> None:
    stand.apply(
        a_target(model("blue")), a_target(model("green")), traffic={"blue": 50, "green": 50}, sticky="X-Session"
    )
    for session in ("a", "b", "c", "d"):
        assert len({ask(stand.port, headers={"x-session": session}).document["model"] for _ in range(10)}) == 1
    assert len({ask(stand.port).document["model"] for _ in range(10)}) == 2, "callers without it take turns"


def test_instances_share_the_work(stand: Stand, model: Models) -> None:
    gate = Gate()
    models = [model(f"m{number}", gate) for number in range(3)]
    stand.apply(a_target(*models, name="blue", max_concurrent=2))
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, stand.port) for _ in range(6)]
        until(lambda: sum(len(each.asked) for each in models) == 6)
        assert [len(each.asked) for each in models] == [2, 2, 2]
        gate.is_open.set()
        assert codes([each.result() for each in asked]) == [200] * 6


def test_beyond_twice_what_is_worked_at_callers_are_told_to_come_back(stand: Stand, model: Models) -> None:
    gate = Gate()
    blue = model("blue", gate)
    stand.apply(a_target(blue, max_concurrent=3, queue_ms=20_000))
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, stand.port) for _ in range(20)]
        until(lambda: sum(each.done() for each in asked) == 14)
        early = [each.result() for each in asked if each.done()]
        assert {(each.code, each.headers["retry-after"]) for each in early} == {(429, "1")}
        gate.is_open.set()
        assert Counter(codes([each.result() for each in asked])) == {200: 6, 429: 14}
    assert gate.most == 3
    until(lambda: stand.requests.window("blue-id", 60).requests == 20)
    assert max(record.queued for record in stand.records(20)) == 3


def test_overload_leaves_the_latency_of_who_is_accepted_alone(stand: Stand, model: Models) -> None:
    """Ten times what it can: those who are let in wait for one other at most."""

    async def works(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(plain(b"1"))

    blue = model("blue", works)
    stand.apply(a_target(blue, max_concurrent=2, queue_ms=10_000))

    def asks(_: int) -> list[Reply]:
        with client(stand.port) as one:
            return [one.ask() for _ in range(10)]

    with ThreadPoolExecutor(20) as pool:
        replies = [reply for some in pool.map(asks, range(20)) for reply in some]
    counted = Counter(codes(replies))
    assert counted.keys() == {200, 429}
    records = [record for record in stand.records(200) if record.code == 200]
    assert max(record.queued for record in records) <= 2
    assert all(record.in_flight <= 2 for record in records)


def test_who_waits_too_long_is_told_so(stand: Stand, model: Models) -> None:
    gate = Gate()
    stand.apply(a_target(model("blue", gate), max_concurrent=1, queue_ms=150))
    with client(stand.port) as first:
        first.send(request())
        until(lambda: gate.now == 1)
        reply = ask(stand.port)
        assert (reply.code, reply.message) == (429, "'blue' was too busy for 150 ms.")
        gate.is_open.set()
        assert first.reply().code == 200
    waited = next(record for record in stand.records(2) if record.code == 429)
    assert waited.total_ms >= 150


def test_a_freed_place_goes_to_who_waits_longest(stand: Stand, model: Models) -> None:
    gate = Gate()
    blue = model("blue", gate)
    stand.apply(a_target(blue, max_concurrent=1, queue_ms=20_000))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, stand.port, b"first")
        until(lambda: gate.now == 1)
        second = pool.submit(ask, stand.port, b"second")
        time.sleep(0.05)
        gate.is_open.set()
        assert codes([first.result(), second.result()]) == [200, 200]
    assert [asked.body for asked in blue.asked] == [b"first", b"second"]
    assert stand.records(2)[1].throttle_ms > 0


def test_an_instance_that_refuses_is_passed_over(stand: Stand, model: Models) -> None:
    nobody = Backend("gone", "127.0.0.1", free_port())
    stand.apply(a_target(nobody, model(), name="blue"))
    assert codes([ask(stand.port) for _ in range(20)]) == [200] * 20


def test_a_deployment_without_an_instance_is_stood_in_for(stand: Stand, model: Models) -> None:
    """By another with weight, unless the caller asks for this one."""
    green = model("green")
    stand.apply(a_target(name="blue", queue_ms=50), a_target(green), traffic={"blue": 90, "green": 10})
    assert {ask(stand.port).document["model"] for _ in range(10)} == {"green"}
    reply = ask(stand.port, headers={"azureml-model-deployment": "blue"})
    assert (reply.code, reply.message) == (503, "'blue' has no instance that is ready.")
    reasons = Counter((record.code, record.reason) for record in stand.records(11))
    assert reasons[200, "'blue' has no instance"] == 9
    assert reasons[200, ""] == 1


def test_a_deployment_that_nobody_reaches_is_stood_in_for(stand: Stand, model: Models) -> None:
    nobody = Backend("gone", "127.0.0.1", free_port())
    stand.apply(a_target(nobody, name="blue"), a_target(model("green")), traffic={"blue": 90, "green": 10})
    assert {ask(stand.port).document["model"] for _ in range(10)} == {"green"}
    assert "'blue' cannot be reached" in {record.reason for record in stand.records(10)}
    reply = ask(stand.port, headers={"azureml-model-deployment": "blue"})
    assert (reply.code, reply.message) == (503, "No instance of 'blue' can be reached.")


def test_an_instance_that_leaves_finishes_what_it_has(stand: Stand, model: Models) -> None:
    gate = Gate()
    old, new = model("old", gate), model("new")
    stand.apply(a_target(old, name="blue"))
    with client(stand.port) as one:
        one.send(request())
        until(lambda: gate.now == 1)
        stand.apply(a_target(new, name="blue"))
        assert ask(stand.port).document["model"] == "new"
        gate.is_open.set()
        assert one.reply().code == 200
        until(lambda: old.open == 0, "its connection is kept")


def test_a_new_instance_takes_who_waits(stand: Stand, model: Models) -> None:
    stand.apply(a_target(name="blue", queue_ms=20_000))
    with client(stand.port) as one:
        one.send(request())
        until(lambda: stand.call(lambda: [caller.exchange for caller in stand.router.callers if caller.exchange]))
        stand.apply(a_target(model("blue"), queue_ms=20_000))
        assert one.reply().code == 200


def test_a_sleeping_deployment_is_woken_and_waited_for(stand: Stand, model: Models) -> None:
    stand.apply(a_target(name="blue", is_asleep=True, wake_ms=20_000, queue_ms=0))
    with client(stand.port) as one, client(stand.port) as other:
        one.send(request(b"one"))
        other.send(request(b"other"))
        until(lambda: len(stand.woken) >= 2, "it is not asked again")
        assert set(stand.woken) == {"blue-id"}
        stand.apply(a_target(model("blue"), max_concurrent=1, queue_ms=0))
        assert codes([one.reply(), other.reply()]) == [200, 200], "who has waited is let in one after the other"
    assert all(record.throttle_ms > 0 for record in stand.records(2))


def test_a_deployment_that_does_not_wake_says_so(stand: Stand, model: Models) -> None:
    stand.apply(a_target(name="blue", is_asleep=True, wake_ms=200))
    reply = ask(stand.port)
    assert (reply.code, reply.headers["retry-after"]) == (503, "1")
    assert reply.message == "'blue' is being woken, which takes longer than 0.2 s."
    assert stand.woken == ["blue-id"]
