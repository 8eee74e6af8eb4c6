"""One worker: the main thread loads the script or model and does the scoring, a second one speaks HTTP."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn

from . import failures
from .application import Application, Scorer
from .desk import Desk

KEEP_ALIVE = 3600  # seconds: the gateway decides when an idle connection ends, or it would race with us
LEAVING = 2.0  # seconds for threads of the script's own
log = logging.getLogger("azmlinfsrv")


def serve(bound: socket.socket, limit: float, *, parent: int | None = None) -> int:
    """Until SIGTERM, when what is in hand is finished first. The exit status.

    `limit`: the seconds that one `run()` may take. `parent`: a pipe that closes when the process that started this
    one is gone.
    """
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _leave)
    try:
        scorer = load()
    except failures.Failure as failure:
        failures.tell(failure)
        return _left(failures.EXIT)
    desk = Desk(limit)
    listening = Listening(bound, Application(scorer, desk, is_one_of_many=parent is not None), desk, parent)
    listening.start()
    log.info("Worker %d is ready; run() may take %g s", os.getpid(), limit)
    desk.work()
    listening.join(LEAVING)
    atexit._run_exitfuncs()
    return _left(0 if listening.error is None else 1)


def load() -> Scorer:
    """What the environment asks for. Raises Failure."""
    kind = "models" if os.environ.get("ATELIER_SERVE") == "mlflow" else "script"
    found: Scorer = importlib.import_module(f"{__package__}.{kind}").load()
    return found


class Listening(threading.Thread):
    """HTTP, until a signal comes or the parent goes; then it closes the desk."""

    def __init__(self, bound: socket.socket, application: Application, desk: Desk, parent: int | None) -> None:
        super().__init__(name="http", daemon=True)
        self.error: BaseException | None = None
        self._bound = bound
        self._desk = desk
        self._parent = parent
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http="httptools" if importlib.util.find_spec("httptools") else "h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
            )
        )
        self._signalled, wakes = socket.socketpair()
        wakes.setblocking(False)
        self._wakes = wakes
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, _noted)

    def run(self) -> None:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._serve(loop))
        except BaseException as error:  # noqa: BLE001 — the main thread must hear of it
            self.error = error
            log.critical("The HTTP side ended: %s", failures.words(error))
        finally:
            if self._desk.is_stuck:
                _left(0)
            self._desk.close()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._signalled, self._heard)
        if self._parent is not None:
            loop.add_reader(self._parent, self._end)
        await self._server.serve(sockets=[self._bound])

    def _heard(self) -> None:
        if {signal.SIGTERM, signal.SIGINT} & set(self._signalled.recv(4096)):
            self._end()

    def _end(self) -> None:
        if self._parent is not None:
            asyncio.get_running_loop().remove_reader(self._parent)
        self._server.should_exit = True


def new_loop() -> asyncio.AbstractEventLoop:
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    found: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
    return found


def _noted(number: int, frame: FrameType | None) -> None:
    """Nothing: the loop has read of it."""


def _leave(number: int, frame: FrameType | None) -> None:
    """Told to end while `init()` runs: nothing is in hand."""
    _left(0)


def _left(status: int) -> int:
    """Ends the process; threads that the script left behind do not hold it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
