"""Deployments as the gateway knows them: instances, who works at how many requests, who waits, which one is next."""

import hashlib
import math
from collections import deque
from collections.abc import Container, Iterable
from time import perf_counter
from typing import TYPE_CHECKING

from app.gateway.numbers import Numbers
from services.core.names import folded
from services.engines.routes import Backend, Route, Target

if TYPE_CHECKING:
    from app.gateway.exchange import Exchange
    from app.gateway.line import Line

DOWN_SECONDS = 1.0
"""How long an instance that refused a connection is passed over."""
BREAK_AFTER = 5
BREAK_SECONDS = (1.0, 30.0)


class Instance:
    """A replica: its idle connections, and the requests and copies that it works at. It finishes what it has when
    it has left the table."""

    __slots__ = ("address", "backend", "copies", "down_until", "idle", "in_flight", "is_gone")

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        host = f"[{backend.host}]" if ":" in backend.host else backend.host
        self.address = f"{host}:{backend.port}".encode()
        self.in_flight = self.copies = 0
        self.idle: list[Line] = []
        self.down_until = 0.0
        self.is_gone = False

    def leave(self) -> None:
        self.is_gone = True
        for line in self.idle[:]:
            line.close()


class Breaker:
    """Opens after some failures in a row, for longer each time; one success shuts it."""

    __slots__ = ("failures", "until", "wait")

    def __init__(self) -> None:
        self.failures, self.until, self.wait = 0, 0.0, BREAK_SECONDS[0]

    def is_open(self, at: float) -> bool:
        return self.until > at

    def succeeded(self) -> None:
        self.failures, self.wait = 0, BREAK_SECONDS[0]

    def failed(self, at: float) -> None:
        self.failures += 1
        if self.failures >= BREAK_AFTER:
            self.until = at + self.wait
            self.wait = min(BREAK_SECONDS[1], self.wait * 2)


class Fleet:
    """The instances of one deployment. `waiting` are requests in the order in which they came."""

    __slots__ = (
        "breaker",
        "copies",
        "in_flight",
        "instances",
        "label",
        "numbers",
        "target",
        "turn",
        "waiting",
        "woken",
    )

    def __init__(self, target: Target) -> None:
        self.instances: list[Instance] = []
        self.waiting: deque[Exchange] = deque()
        self.in_flight = self.copies = self.turn = 0
        self.woken = 0.0
        self.numbers, self.breaker = Numbers(), Breaker()
        self.label = f"azureml-model-deployment: {target.name}\r\n".encode()
        self.target = target
        self.apply(target)

    def apply(self, target: Target) -> None:
        """Follows the table: keeps instances that stay, lets go of the others, gives new ones to who waits."""
        known = {each.backend: each for each in self.instances}
        self.target = target
        self.instances = [known.get(backend) or Instance(backend) for backend in target.backends]
        for backend in known.keys() - set(target.backends):
            known[backend].leave()
        self.next()

    def leave(self) -> None:
        for each in self.instances:
            each.leave()
        self.instances = []

    @property
    def room(self) -> int:
        """How many may wait: as many as are worked at."""
        return self.target.max_concurrent * max(1, len(self.instances))

    def free(self, passed_over: Container[Instance] = ()) -> Instance | None:
        """The one that works at least and may take one more; those that refused lately only when all did."""
        instances, most = self.instances, self.target.max_concurrent
        if len(instances) == 1:
            only = instances[0]
            return only if only.in_flight < most and only not in passed_over else None
        best = self._least(most, passed_over, perf_counter())
        return best if best is not None else self._least(most, passed_over, math.inf)

    def _least(self, most: int, passed_over: Container[Instance], at: float) -> Instance | None:
        best, count = None, len(self.instances)
        self.turn = (self.turn + 1) % count if count else 0
        for number in range(count):
            each = self.instances[self.turn - number]
            if each.in_flight < most and each.down_until <= at and each not in passed_over:
                best, most = each, each.in_flight
        return best

    def taken(self, instance: Instance) -> None:
        instance.in_flight += 1
        self.in_flight += 1

    def freed(self, instance: Instance) -> None:
        instance.in_flight -= 1
        self.in_flight -= 1
        if self.waiting:
            self.next()

    def next(self) -> None:
        """Gives free instances to who waits."""
        while self.waiting and (instance := self.free()) is not None:
            self.waiting.popleft().start(instance)


class Entry:
    """A route and its fleets. `choose` shares requests out by weight, evenly: after any hundred the split is exact."""

    __slots__ = ("current", "fleets", "max_body", "mirrors", "numbers", "route", "total", "weights")

    def __init__(self, route: Route) -> None:
        self.fleets: dict[str, Fleet] = {}
        self.current: dict[str, int] = {}
        self.numbers = Numbers()
        self.apply(route)

    def apply(self, route: Route) -> None:
        self.route = route
        before, self.fleets = {fleet.target.id: fleet for fleet in self.fleets.values()}, {}
        for target in route.targets.values():
            fleet = before.pop(target.id, None)
            if fleet is None:
                fleet = Fleet(target)
            else:
                fleet.apply(target)
            self.fleets[folded(target.name)] = fleet
        for gone in before.values():
            gone.leave()
        self.max_body = max((target.max_body for target in route.targets.values()), default=16 << 20)
        weights = {folded(name): weight for name, weight in route.traffic.items()}
        self.weights = [(name, weight) for name, weight in weights.items() if weight > 0 and name in self.fleets]
        self.total = sum(weight for _, weight in self.weights)
        self.current = {name: self.current.get(name, 0) for name, _ in self.weights}
        mirrors = {folded(name): percent for name, percent in route.mirror.items()}
        kept = {mirror.fleet.target.id: mirror.due for mirror in getattr(self, "mirrors", ())}
        self.mirrors = [
            Mirror(self.fleets[name], percent, kept.get(self.fleets[name].target.id, 0))
            for name, percent in mirrors.items()
            if percent > 0 and name in self.fleets
        ]

    def choose(self, sticky: bytes = b"") -> Fleet | None:
        """None when no deployment has weight."""
        if len(self.weights) == 1:
            return self.fleets[self.weights[0][0]]
        if not self.weights:
            return None
        return self.fleets[_by_caller(self.weights, sticky) if sticky else self._by_turn()]

    def instead(self) -> Fleet | None:
        """Of those with weight and instances, the one with most weight."""
        able = [(weight, name) for name, weight in self.weights if self.fleets[name].instances]
        return self.fleets[max(able)[1]] if able else None

    def _by_turn(self) -> str:
        """Smooth weighted turns: each gains its weight, the richest goes and pays for all."""
        current, best, most = self.current, "", -math.inf
        for name, weight in self.weights:
            current[name] = have = current[name] + weight
            if have > most:
                best, most = name, have
        current[best] -= self.total
        return best


class Mirror:
    """A fleet that is sent copies: of a hundred requests `percent`, evenly."""

    __slots__ = ("due", "fleet", "percent")

    def __init__(self, fleet: Fleet, percent: int, due: int) -> None:
        self.fleet, self.percent, self.due = fleet, percent, due

    def is_due(self) -> bool:
        self.due += self.percent
        if self.due < 100:
            return False
        self.due -= 100
        return True


def _by_caller(weights: Iterable[tuple[str, int]], value: bytes) -> str:
    """The same for the same value; a change of weights moves no more callers than it must (rendezvous hashing)."""

    def score(one: tuple[str, int]) -> float:
        name, weight = one
        digest = hashlib.blake2b(value, digest_size=8, key=hashlib.sha256(name.encode()).digest()).digest()
        return -weight / math.log((int.from_bytes(digest) + 1) / (2**64 + 2))

    return max(weights, key=score)[0]
