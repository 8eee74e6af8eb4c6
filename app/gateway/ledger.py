"""What was answered goes to the request log from a thread of its own; scoring never waits for it."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from app.gateway.copies import Pair
from services.core import answers
from services.engines.captures import Captured, Captures
from services.engines.routes import Capture
from services.store.requests import Compared, Diff, Gauge, Record, Requests

log = logging.getLogger("atelier.gateway")
FLUSH_SECONDS = 0.25
WAITING = 200
"""Batches that may wait for a slow disk; later ones are dropped and counted."""
HELD_BYTES = 256 << 20
"""Of bodies that wait to be compared or captured; those that come on top of them are dropped and counted."""


@dataclass(slots=True)
class Batch:
    records: list[Record] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    captured: list[tuple[Capture, str, Captured]] = field(default_factory=list)
    gauges: Sequence[Gauge] = ()

    @property
    def held(self) -> int:
        """Bytes of bodies."""
        return sum(map(_size_of_pair, self.pairs)) + sum(_size_of_captured(each) for _, _, each in self.captured)

    @property
    def is_empty(self) -> bool:
        return not (self.records or self.pairs or self.captured or self.gauges)


class Ledger:
    """`add` and what is like it belong to the loop; batches go to the thread four times a second while there are any.

    `gauges` says who is busy; it is asked with every batch, and goes on being asked until nobody is.
    """

    def __init__(
        self, requests: Requests, captures: Captures, loop: asyncio.AbstractEventLoop, gauges: Callable[[], list[Gauge]]
    ) -> None:
        self.dropped = self.left_out = 0
        self._requests, self._captures, self._loop, self._gauges = requests, captures, loop, gauges
        self._batch = Batch()
        self._taken = self._done = 0  # bytes of bodies; each counts up in a thread of its own
        self._is_due = False
        self._batches: queue.Queue[Batch | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write, daemon=True, name="ledger")
        self._thread.start()

    def add(self, record: Record) -> None:
        self._batch.records.append(record)
        if not self._is_due:
            self.due()

    def compare(self, pair: Pair) -> None:
        """When both answers are there."""
        if pair.is_whole and self._may_hold(_size_of_pair(pair)):
            self._batch.pairs.append(pair)
            self.due()

    def capture(self, capture: Capture, collection: str, captured: Captured) -> None:
        if self._may_hold(_size_of_captured(captured)):
            self._batch.captured.append((capture, collection, captured))
            self.due()

    @property
    def held(self) -> int:
        """Bytes of bodies that wait."""
        return self._taken - self._done

    def _may_hold(self, size: int) -> bool:
        if self.held + size > HELD_BYTES:
            self.left_out += 1
            return False
        self._taken += size
        return True

    def due(self) -> None:
        """There is something to write."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        self._is_due = False
        batch, self._batch = self._batch, Batch()
        batch.gauges = self._gauges()
        if batch.is_empty:
            return
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            self.dropped += len(batch.records)
            self._taken -= batch.held
        if batch.gauges:
            self.due()

    def close(self, seconds: float = 3.0) -> None:
        """Writes what is left."""
        self.flush()
        self._batches.put(None)
        self._thread.join(seconds)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._requests.write(batch.records, [_compared(each) for each in batch.pairs], batch.gauges)
                for capture, collection, found in _gathered(batch.captured):
                    self._captures.write(capture, collection, found)
            except Exception:
                log.exception("Some requests are not in the log")
            self._done += batch.held
        self._requests.close()


def _size_of_pair(pair: Pair) -> int:
    return len(pair.request) + len(pair.live or b"") + len(pair.shadow or b"")


def _size_of_captured(captured: Captured) -> int:
    return len(captured.request or b"") + len(captured.answer or b"")


def _gathered(
    captured: Sequence[tuple[Capture, str, Captured]],
) -> Iterable[tuple[Capture, str, list[Captured]]]:
    """By file, so that each is opened once."""
    found: dict[tuple[str, str], tuple[Capture, str, list[Captured]]] = {}
    for capture, collection, each in captured:
        found.setdefault((capture.folder, collection), (capture, collection, []))[2].append(each)
    return found.values()


def _compared(pair: Pair) -> Compared:
    live, shadow = pair.live or b"", pair.shadow or b""
    diff = Diff(answers.distance(live, shadow), pair.request, live, shadow, pair.at)
    return Compared(pair.endpoint_id, pair.live_name, pair.shadow_name, diff)
