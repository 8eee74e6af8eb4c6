"""What all connections share: the routes, the counters, the timer, and the way out to instances."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from random import random
from time import perf_counter, time
from typing import Protocol

from app.gateway import answers, keys, numbers
from app.gateway.caller import Caller, Reply
from app.gateway.copies import Copies
from app.gateway.exchange import SCORE, SWAGGER, Exchange
from app.gateway.fleet import Entry, Fleet, Instance
from app.gateway.ledger import Ledger
from app.gateway.limits import Limits
from app.gateway.line import Asker, Line
from services.core.names import folded
from services.engines.captures import SIDES, Captured, Captures
from services.engines.routes import Table
from services.store.requests import Gauge, Requests

log = logging.getLogger("atelier.gateway")
SWEEP_SECONDS = 0.05
WAKE_SECONDS = 1.0
SAMPLE = 64
LOOPBACK = ("127.", "::1")
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Connecting(Asker, Protocol):
    """Who waits for a new connection to an instance."""

    def connected(self, line: Line) -> None: ...

    def unreachable(self, instance: Instance) -> None: ...


class Router:
    """Belongs to one loop; `apply` may be called from any thread.

    `wake` is told the id of a sleeping deployment that is asked for, at most once a second, and must not wait.
    `may_read_metrics` says whether a bearer of this token may, for callers that are not of this machine.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        requests: Requests,
        *,
        limits: Limits | None = None,
        wake: Callable[[str], None] = lambda _: None,
        may_read_metrics: Callable[[str], Awaitable[bool]] | None = None,
        trusts_loopback: bool = True,
    ) -> None:
        self.loop, self.limits = loop, limits or Limits()
        self.ledger = Ledger(requests, Captures(), loop, self._gauges)
        self.copies = Copies(self)
        self.callers: set[Caller] = set()
        self.malformed = 0
        self.is_draining = False
        self._wake, self._may_read_metrics, self._trusts_loopback = wake, may_read_metrics, trusts_loopback
        self._entries: dict[tuple[str, str], Entry] = {}
        self._paths: dict[bytes, tuple[Entry, bytes]] = {}
        self._hosts: dict[str, list[Entry]] = {}
        self._asleep: set[Fleet] = set()
        self._gauged: dict[str, tuple[Entry, Fleet]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._prefix, self._number = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}".encode(), 0
        self._own: dict[bytes, Reply] = {b"/healthz": self._health, b"/metrics": self._metrics}

    def apply(self, table: Table) -> None:
        """Requests that come from now on follow `table`."""
        done: Future[None] = Future()

        def swap() -> None:
            try:
                self._apply(table)
            except BaseException as cause:
                done.set_exception(cause)
                raise
            done.set_result(None)

        self.loop.call_soon_threadsafe(swap)
        done.result(10)

    def _apply(self, table: Table) -> None:
        before = {entry.route.id: entry for entry in self._entries.values()}
        self._entries, self._paths, self._hosts = {}, {}, {}
        for key, route in table.routes.items():
            entry = before.pop(route.id, None)
            if entry is None:
                entry = Entry(route)
            else:
                entry.apply(route)
            self._entries[key] = entry
            self._hosts.setdefault(key[1], []).append(entry)
            for kind in (SCORE, SWAGGER):
                self._paths[f"/{key[0]}/{key[1]}/".encode() + kind] = entry, kind
        for gone in before.values():
            for fleet in gone.fleets.values():
                fleet.leave()

    def caller(self) -> Caller:
        return Caller(self)

    def came(self, caller: Caller) -> None:
        """Where there are too many, one on which nothing is answered makes room, or the new one goes."""
        if len(self.callers) >= self.limits.callers:
            some = islice(self.callers, SAMPLE)
            gone = next((each for each in some if each.exchange is None), caller)
            self.callers.discard(gone)
            gone.transport.abort()
            if gone is caller:
                return
        self.callers.add(caller)
        caller.closes = self.is_draining
        if self._timer is None:
            self._timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def new_id(self) -> bytes:
        self._number += 1
        return b"%b-%016x" % (self._prefix, self._number)

    def own(self, path: bytes) -> Reply | None:
        """What the gateway answers by itself."""
        return self._own.get(path)

    def found(self, path: bytes, host: bytes) -> tuple[Sequence[Entry], bytes]:
        """Whose address it may be, and which of its two; no kind: of no endpoint, there or not."""
        known = self._paths.get(path.lower())
        if known is not None:
            return (known[0],), known[1]
        parts = path.split(b"/")
        if len(parts) == 4 and parts[3] in {SCORE, SWAGGER}:
            return (), parts[3]
        if len(parts) == 2 and parts[1] in {SCORE, SWAGGER}:
            label, dot, _ = host.decode("latin-1").partition(".")
            return (self._hosts.get(folded(label), ()) if dot else ()), parts[1]
        return (), b""

    def opened(self, entries: Sequence[Entry], authorization: bytes) -> Entry | None:
        """The one that the key opens; it takes as long where there is none."""
        right, at = None, time()
        for entry in entries:
            if keys.is_right(entry.route.key_hashes, entry.route.tokens, authorization, at):
                right = entry
        if not entries:
            keys.is_right(keys.NOBODY, {}, authorization, at)
        return right

    def connect(self, instance: Instance, asker: Connecting) -> None:
        task = self.loop.create_task(self._connect(instance, asker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, instance: Instance, asker: Connecting) -> None:
        backend = instance.backend
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                _, line = await self.loop.create_connection(lambda: Line(instance), backend.host, backend.port)
        except OSError:  # refused, unreachable, too late
            asker.unreachable(instance)
        else:
            asker.connected(line)

    def wake(self, fleet: Fleet) -> None:
        """Asked again as long as somebody waits."""
        self._asleep.add(fleet)
        at = perf_counter()
        if at - fleet.woken >= WAKE_SECONDS:
            fleet.woken = at
            self._wake(fleet.target.id)

    def note(self, exchange: Exchange, entry: Entry) -> None:
        """An exchange is over."""
        end = perf_counter()
        fleet = exchange.fleet
        counted = fleet.numbers if fleet is not None else entry.numbers
        counted.add(exchange.code, (end - exchange.began) * 1000, exchange.size, exchange.answer_size)
        self.ledger.add(exchange.record(end))
        if exchange.kept is not None and fleet is not None and exchange.model_code and not exchange.reason:
            self._kept(exchange, fleet, b"".join(exchange.kept))

    def _kept(self, exchange: Exchange, fleet: Fleet, answer: bytes) -> None:
        """For comparing with shadows, and for capturing."""
        for pair in exchange.pairs or ():
            if exchange.code < 400:
                pair.live = answer
                self.ledger.compare(pair)
        capture = fleet.target.capture
        if capture is None or exchange.suffix.partition(b"?")[0] != SCORE:
            return
        chance = random()
        names = [name for name, share in capture.collections.items() if chance < share and name in SIDES]
        if names:
            captured = Captured(
                exchange.at,
                exchange.request_id.decode(),
                b"".join(exchange.pieces),
                answer,
                exchange.client_id.decode(),
                exchange.method,
                exchange.path.decode("latin-1"),
                _type_of(exchange.headers),
            )
            for name in names:
                self.ledger.capture(capture, name, captured)

    def drain(self) -> None:
        """No new connections come: what is under way is answered, and what comes on open ones is the last there."""
        if self.is_draining:
            return
        self.is_draining = True
        for caller in self.callers:
            caller.closes = True
        self.loop.call_later(self.limits.grace_seconds, self._let_go)

    def _let_go(self) -> None:
        """Connections on which nothing is under way; the others close when they have been answered."""
        for caller in list(self.callers):
            if caller.exchange is None and not caller.is_begun:
                caller.transport.close()

    async def drained(self) -> None:
        until = perf_counter() + self.limits.drain_seconds
        while self.callers and perf_counter() < until:
            await asyncio.sleep(0.02)
        for caller in list(self.callers):
            caller.transport.abort()
        await asyncio.sleep(0)  # connections that were aborted are told so

    def _sweep(self) -> None:
        """Deadlines, within twenty looks a second; none while nobody is connected."""
        at = perf_counter()
        for caller in [each for each in self.callers if each.deadline <= at]:
            caller.expire()
        self.copies.expire(at)
        self.ledger.due()  # who is busy is told while nothing is answered, too
        for fleet in list(self._asleep):
            if fleet.waiting and fleet.target.is_asleep:
                self.wake(fleet)
            else:
                self._asleep.discard(fleet)
        is_needed = self.callers or self.copies.active
        self._timer = self.loop.call_later(SWEEP_SECONDS, self._sweep) if is_needed else None

    def _gauges(self) -> list[Gauge]:
        """Of whoever is busy, and once more of who was."""
        at, before = time(), self._gauged
        self._gauged = {
            fleet.target.id: (entry, fleet)
            for entry in self._entries.values()
            for fleet in entry.fleets.values()
            if fleet.in_flight or fleet.waiting
        }
        return [
            Gauge(
                at,
                entry.route.workspace_id,
                entry.route.id,
                entry.route.name,
                fleet.target.id,
                fleet.target.name,
                fleet.in_flight,
                len(fleet.waiting),
            )
            for entry, fleet in (before | self._gauged).values()
        ]

    def _health(self, exchange: Exchange) -> None:
        self._said(exchange, b'{"status":"ok"}', b"application/json")

    def _metrics(self, exchange: Exchange) -> None:
        if self._is_local(exchange.caller):
            self._said(exchange, self._numbers(), b"text/plain; version=0.0.4")
            return
        bearer = exchange.caller.special.get(b"authorization", b"").decode("latin-1").partition(" ")[2].strip()

        async def asked() -> None:
            may = bool(bearer) and self._may_read_metrics is not None and await self._may_read_metrics(bearer)
            if exchange.is_over:
                return
            if may:
                self._said(exchange, self._numbers(), b"text/plain; version=0.0.4")
            else:
                exchange.refuse(401, "Only who may read all endpoints may read this.", b"www-authenticate: Bearer\r\n")

        task = self.loop.create_task(asked())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_local(self, caller: Caller) -> bool:
        """A program of this machine; by a local name, or a page on any site could have its own name resolve here."""
        peer = caller.transport.get_extra_info("peername") or ("",)
        host = caller.special.get(b"host", b"").decode("latin-1")
        name = host[: host.rfind(":")] if host.rpartition(":")[2].isdecimal() else host
        return self._trusts_loopback and str(peer[0]).startswith(LOOPBACK) and name.lower() in LOCAL_NAMES

    def _said(self, exchange: Exchange, body: bytes, kind: bytes) -> None:
        caller, is_head = exchange.caller, exchange.method == "HEAD"
        lines = b"cache-control: no-store\r\n" + exchange.ids() + caller.ending(exchange.is_whole)
        answer = answers.written(200, body, lines, kind=kind)
        exchange.is_over = True
        caller.say(answer[: -len(body)] if is_head else answer)
        caller.answered(exchange.is_whole)

    def _numbers(self) -> bytes:
        rows = []
        for entry in self._entries.values():
            route = entry.route
            rows.append(numbers.Labelled(route.workspace, route.name, "", entry.numbers))
            rows += [
                numbers.Labelled(
                    route.workspace,
                    route.name,
                    fleet.target.name,
                    fleet.numbers,
                    fleet.in_flight,
                    len(fleet.waiting),
                    fleet.copies,
                    len(fleet.instances),
                )
                for fleet in entry.fleets.values()
            ]
        return numbers.text(rows, len(self.callers), self.malformed).encode()


def _type_of(headers: Sequence[bytes]) -> str:
    for line in headers:
        name, _, value = line.partition(b": ")
        if name.lower() == b"content-type":
            return value[:-2].decode("latin-1")
    return "application/json"
