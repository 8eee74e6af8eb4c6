"""Work is laid on the desk by the event loop and done by the main thread, one thing at a time.

The main thread does the work because it alone gets signals: that is how a `run()` that takes too long is interrupted,
even in a sleep. The loop stays free for probes, time-outs and the end.
"""

from __future__ import annotations

import asyncio
import queue
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

GRACE = 0.5  # seconds until the loop gives up waiting for an interrupted run()


class TimedOut(BaseException):
    """Raised inside `run()` when its time is over; no Exception, so that `except Exception` does not swallow it."""


class Stuck(Exception):
    """An earlier `run()` that could not be interrupted still holds the thread."""


class _Task:
    __slots__ = ("act", "began", "future", "is_abandoned")

    def __init__(self, act: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.act = act
        self.future = future
        self.began = 0.0
        self.is_abandoned = False


class Desk:
    """`limit` is the seconds that one thing may take."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.waiting = 0
        self.is_stuck = False
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_armed = False

    async def do(self, act: Callable[[], Any]) -> Any:
        """On the loop: what `act` returns. Raises what it raises, TimedOut, and Stuck.

        A task whose waiter is gone before its turn is not done at all.
        """
        loop = self._loop = asyncio.get_running_loop()
        task = _Task(act, loop.create_future())
        timer = loop.call_later(self.limit + GRACE, self._late, task)
        self.waiting += 1
        self._tasks.put(task)
        try:
            return await task.future
        finally:
            timer.cancel()
            task.is_abandoned = True
            self.waiting -= 1

    def close(self) -> None:
        """On the loop, when nothing more will come."""
        self._tasks.put(None)

    def work(self) -> None:
        """In the main thread, until the desk is closed."""
        signal.signal(signal.SIGALRM, self._alarm)
        while True:
            task = self._tasks.get()
            if task is None:
                return
            if not task.is_abandoned:
                task.began = time.monotonic()
                value, error = self._done(task.act)
                self.is_stuck = False
                self._hand_over(task, value, error)

    def _done(self, act: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        try:
            self._is_armed = True
            signal.setitimer(signal.ITIMER_REAL, self.limit)
            try:
                return act(), None
            finally:
                self._is_armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
        except BaseException as error:  # noqa: BLE001 — whatever it is, it is the waiter's
            return None, error

    def _hand_over(self, task: _Task, value: Any, error: BaseException | None) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(_settle, task.future, value, error)
        except RuntimeError:
            pass  # the loop has ended: nobody waits any more

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._is_armed:
            raise TimedOut

    def _late(self, task: _Task) -> None:
        """The loop's own watch, for a `run()` that no signal interrupts."""
        if task.future.done():
            return
        over = task.began + self.limit - time.monotonic()
        if task.began and over <= 0:
            self.is_stuck = True
            task.future.set_exception(TimedOut())
        elif not task.began and self.is_stuck:
            task.future.set_exception(Stuck())
        else:
            asyncio.get_running_loop().call_later(max(over, GRACE) if task.began else GRACE, self._late, task)


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
