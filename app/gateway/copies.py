"""Mirrored traffic: copies of requests to shadow deployments, whose answers are compared and never seen by callers."""

from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter, time
from typing import TYPE_CHECKING

from app.gateway.exchange import Exchange
from app.gateway.fleet import Fleet, Instance, Mirror
from app.gateway.line import Line
from services.store.requests import Record

if TYPE_CHECKING:
    from app.gateway.router import Router


@dataclass(slots=True)
class Pair:
    """Two answers to one request; None until they are there, and for good where there was none to compare."""

    at: float
    endpoint_id: str
    live_name: str
    shadow_name: str
    request: bytes
    live: bytes | None = None
    shadow: bytes | None = None

    @property
    def is_whole(self) -> bool:
        return self.live is not None and self.shadow is not None


class Copies:
    """All that are under way: `limits.copies` for one deployment at most, the others are left out."""

    def __init__(self, router: "Router") -> None:
        self.router = router
        self.active: set[Copy] = set()

    def of(self, exchange: Exchange, mirrors: Iterable[Mirror]) -> None:
        """Sends those that are due. What may go wrong with them is theirs alone."""
        for mirror in mirrors:
            fleet = mirror.fleet
            if fleet is exchange.fleet or not mirror.is_due():
                continue
            if not fleet.instances and fleet.target.is_asleep:
                self.router.wake(fleet)
            is_full = fleet.copies >= self.router.limits.copies
            if is_full or not fleet.instances or fleet.breaker.is_open(perf_counter()):
                fleet.numbers.mirrors_left_out += 1
                continue
            fleet.numbers.mirrored += 1
            Copy(self, exchange, fleet).start()

    def expire(self, at: float) -> None:
        for copy in [each for each in self.active if each.deadline <= at]:
            copy.expired()


class Copy:
    """One copy: like an exchange without a caller."""

    def __init__(self, copies: Copies, exchange: Exchange, fleet: Fleet) -> None:
        self.copies, self.exchange, self.fleet = copies, exchange, fleet
        self.instance = min(fleet.instances, key=lambda each: each.copies)
        self.at, self.began = time(), perf_counter()
        self.deadline = self.began + fleet.target.timeout_ms / 1000
        self.head_at = 0.0
        self.pieces, self.size = list(exchange.pieces), 0
        self.answer: list[bytes] | None = []
        self.line: Line | None = None
        self.is_over = self.is_retry = False
        route = exchange.entry.route if exchange.entry is not None else None
        live = exchange.fleet.target.name if exchange.fleet is not None else ""
        request = b"".join(self.pieces)
        self.pair = Pair(self.at, route.id if route else "", live, fleet.target.name, request)
        exchange.pairs = [*(exchange.pairs or ()), self.pair]
        exchange.kept = [] if exchange.kept is None else exchange.kept

    def start(self) -> None:
        self.copies.active.add(self)
        self.fleet.copies += 1
        self.instance.copies += 1
        while self.instance.idle and not self.is_retry:
            line = self.instance.idle.pop()
            if not line.transport.is_closing():
                self.connected(line)
                return
        self.copies.router.connect(self.instance, self)

    def connected(self, line: Line) -> None:
        if self.is_over:
            line.idle()
            return
        self.line = line
        size = sum(map(len, self.pieces))
        line.begin(self, [self.exchange.head(line.instance, self.fleet.target, size), *self.pieces])

    def unreachable(self, instance: Instance) -> None:
        instance.down_until = perf_counter() + 1.0
        self._failed(502, "connection_refused")

    def received(self, line: Line) -> None:
        pieces, line.pieces = line.pieces, []
        self.head_at = self.head_at or perf_counter()
        self.size += sum(map(len, pieces))
        if self.answer is not None:
            self.answer += pieces
            if self.size > self.copies.router.limits.held_bytes:
                self.answer = None
        if line.is_complete:
            self.line = None
            line.release()
            self.fleet.breaker.succeeded()
            self._over(
                line.status if line.status < 500 else 424, line.status, "model_error" if line.status >= 500 else ""
            )
            if self.answer is not None:
                self.pair.shadow = b"".join(self.answer)
                self.copies.router.ledger.compare(self.pair)
        elif self.size > self.copies.router.limits.answer_bytes:
            self.cut(line, "answer_too_long")

    def cut(self, line: Line, reason: str) -> None:
        if line.is_reused and not line.is_begun and not self.is_retry and not self.is_over:
            self.is_retry, self.line = True, None
            self.copies.router.connect(self.instance, self)
        else:
            self._failed(502, reason)

    def slow(self, is_slow: bool) -> None:
        """What is short enough to be copied waits in memory."""

    def expired(self) -> None:
        self._failed(504, "timeout", 408)

    def _failed(self, model_code: int, reason: str, code: int = 424) -> None:
        if self.is_over:
            return
        if self.line is not None and self.line.asker is self:
            self.line.abort()
        self.fleet.breaker.failed(perf_counter())
        self._over(code, model_code, reason)

    def _over(self, code: int, model_code: int, reason: str) -> None:
        self.is_over = True
        self.copies.active.discard(self)
        self.fleet.copies -= 1
        self.instance.copies -= 1
        exchange, end = self.exchange, perf_counter()
        route = exchange.entry.route if exchange.entry is not None else None
        self.copies.router.ledger.add(
            Record(
                at=self.at,
                workspace_id=route.workspace_id if route else "",
                endpoint_id=route.id if route else "",
                endpoint=route.name if route else "",
                deployment_id=self.fleet.target.id,
                deployment=self.fleet.target.name,
                replica_id=self.instance.backend.id,
                method=exchange.method,
                path=exchange.path.decode("latin-1"),
                code=code,
                model_code=model_code,
                model_reason=reason,
                request_size=len(self.pair.request),
                response_size=self.size,
                request_id=exchange.request_id.decode(),
                total_ms=(end - self.began) * 1000,
                response_ms=(end - self.head_at) * 1000 if self.head_at else 0.0,
                kind="mirror",
                in_flight=self.fleet.copies,
            )
        )
