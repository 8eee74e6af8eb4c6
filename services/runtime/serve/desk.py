"""Work is laid on the desk by the event loop and done by the main thread, one thing at a time.

The main thread does the work because it alone gets signals: that is how a `run()` that takes too long is interrupted,
even in a sleep. The loop stays free for probes, time-outs and the end. Waking the other thread costs more than all the
rest: what comes in one turn of the loop is laid down together, and what is done meanwhile is taken back together.
"""

from __future__ import annotations

import asyncio
import collections
import queue
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # these have no subscripts before Python 3.9
    Receive = Callable[[], Awaitable[Any]]

GRACE = 0.5  # seconds until the loop gives up waiting for an interrupted run()
PATIENCE = 0.1  # seconds after which it is worth looking whether the caller is still there


class TimedOut(BaseException):
    """Raised inside `run()` when its time is over; no Exception, so that `except Exception` does not swallow it."""


class Stuck(Exception):
    """An earlier `run()` that could not be interrupted still holds the thread."""


class Gone(Exception):
    """The caller left before its turn."""


class _Task:
    __slots__ = ("act", "began", "future", "is_abandoned", "is_interrupted", "watch")

    def __init__(self, act: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.act = act
        self.future = future
        self.began = 0.0
        self.is_abandoned = False
        self.is_interrupted = False
        self.watch: asyncio.Task[None] | None = None


class Desk:
    """`limit` is the seconds that one thing may take."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.waiting = 0
        self.is_stuck = False
        self._laid: list[_Task] = []
        self._tasks: queue.SimpleQueue[list[_Task] | None] = queue.SimpleQueue()
        self._done: collections.deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = collections.deque()
        self._is_told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: _Task | None = None
        self._overdue: _Task | None = None

    async def do(self, act: Callable[[], Any], receive: Receive | None = None) -> Any:
        """On the loop: what `act` returns. Raises what it raises, TimedOut, and Stuck.

        With `receive`, Gone is raised when the caller leaves before its turn; then it is not done at all.
        """
        loop = self._loop = asyncio.get_running_loop()
        task = _Task(act, loop.create_future())
        timer = loop.call_later(min(PATIENCE, self.limit), self._patient, task, receive)
        self.waiting += 1
        self._laid.append(task)
        if len(self._laid) == 1:
            loop.call_soon(self._lay)
        try:
            return await task.future
        finally:
            timer.cancel()
            task.is_abandoned = True
            self.waiting -= 1
            if task.watch is not None:
                task.watch.cancel()

    def close(self) -> None:
        """On the loop, when nothing more will come."""
        self._tasks.put(None)

    def work(self) -> None:
        """In the main thread, until the desk is closed."""
        signal.signal(signal.SIGALRM, self._alarm)
        while self._worked_through(self._tasks.get()):
            pass

    def _worked_through(self, tasks: list[_Task] | None) -> bool:
        """A function of its own, so that no large body is held while nothing is to do."""
        for task in tasks or ():
            if not task.is_abandoned:
                task.began = time.monotonic()
                self._done.append((task.future, *self._tried(task)))
                self.is_stuck = False
                self._tell()
        return tasks is not None

    def _lay(self) -> None:
        laid, self._laid = self._laid, []
        self._tasks.put(laid)

    def _tried(self, task: _Task) -> tuple[Any, BaseException | None]:
        try:
            self._current = task
            try:
                return task.act(), None
            finally:
                self._current = None
        except BaseException as error:  # noqa: BLE001 — whatever it is, it is the waiter's
            return None, error

    def _tell(self) -> None:
        """Wakes the loop, unless it has been told and has not come yet: then it finds this one too."""
        if self._is_told or self._loop is None:
            return
        self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._take)
        except RuntimeError:
            pass  # the loop has ended: nobody waits any more

    def _take(self) -> None:
        self._is_told = False  # before looking: what is done from now on is told again
        while self._done:
            _settle(*self._done.popleft())

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._current is not None and self._current is self._overdue:
            raise TimedOut

    def _patient(self, task: _Task, receive: Receive | None) -> None:
        if receive is not None:
            task.watch = asyncio.get_running_loop().create_task(_watch(task, receive))
        self._look(task)

    def _look(self, task: _Task) -> None:
        """On the loop, at what takes its time: interrupts it at the limit, and gives it up a little later."""
        if task.future.done():
            return
        loop, left = asyncio.get_running_loop(), task.began + self.limit - time.monotonic()
        if not task.began and self.is_stuck:
            task.future.set_exception(Stuck())
        elif not task.began:
            loop.call_later(PATIENCE, self._look, task)
        elif left > 0:
            loop.call_later(left, self._look, task)
        elif not task.is_interrupted:
            task.is_interrupted, self._overdue = True, task
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
            loop.call_later(GRACE, self._look, task)
        else:
            self.is_stuck = True
            task.future.set_exception(TimedOut())


async def _watch(task: _Task, receive: Receive) -> None:
    event = await receive()
    if event["type"] == "http.disconnect" and not task.began and not task.future.done():
        task.future.set_exception(Gone())


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
