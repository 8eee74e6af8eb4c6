"""One process, or WORKER_COUNT of them on one socket: started, started again when they die, and ended together."""

from __future__ import annotations

import argparse
import json
import logging
import logging.config
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

from . import failures, server

RESTART_SECONDS = 1.0  # a worker that dies sooner is started again only then
TIMEOUT_MS = 3_600_000
FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"


def main() -> int:
    """The exit status: 0 after SIGTERM, 3 when `init()` or the model failed."""
    parser = argparse.ArgumentParser(prog="serve")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 — the engine publishes it where it may be reached
    asked = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    prepare()
    bound = listener(asked.host, asked.port)
    count = max(1, int(os.environ.get("WORKER_COUNT") or 1))
    limit = int(os.environ.get("SCORING_TIMEOUT_MS") or TIMEOUT_MS) / 1000
    try:
        failures.check_model_path()
    except failures.Failure as failure:
        failures.tell(failure)
        return failures.EXIT
    return Crew(bound, count, limit).run() if count > 1 else server.serve(bound, limit)


def prepare() -> None:
    """Paths, working folder and logging, as scripts expect them."""
    root = os.environ.get("AML_APP_ROOT") or ""
    if root and Path(root).is_dir():
        os.chdir(root)
        sys.path.insert(0, root)
    sys.path.append(str(Path(__file__).resolve().parent / "shims"))
    own = Path(root or ".") / "logging.json"
    if own.is_file():
        logging.config.dictConfig(json.loads(own.read_text(encoding="utf-8")))
    else:
        logging.basicConfig(stream=sys.stdout, format=FORMAT)
        logging.Formatter.converter = time.gmtime
        logging.getLogger().setLevel(level())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def level() -> int:
    """AZUREML_LOG_LEVEL; INFO when it is not a level."""
    found = logging.getLevelName((os.environ.get("AZUREML_LOG_LEVEL") or "INFO").upper())
    return found if isinstance(found, int) else logging.INFO


def listener(host: str, port: int) -> socket.socket:
    """Bound, not listening: who asks before `init()` is over is refused, not kept waiting."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


class Crew:
    """Workers by process id, with the time when each began."""

    def __init__(self, bound: socket.socket, count: int, limit: float) -> None:
        self._bound = bound
        self._count = count
        self._limit = limit
        self._began: dict[int, float] = {}
        self._is_ending = False
        self._watched, self._held = os.pipe()  # closes with this process, and so ends the workers

    def run(self) -> int:
        """Until SIGTERM, or until a worker cannot start."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._end)
        for _ in range(self._count):
            self._start()
        status = 0
        while self._began:
            pid, code = os.wait()
            began = self._began.pop(pid, 0.0)
            if os.WIFEXITED(code) and os.WEXITSTATUS(code) == failures.EXIT:
                status = failures.EXIT
                self._end()
            elif not self._is_ending:
                logging.getLogger("azmlinfsrv").error("Worker %d died (%s); another one starts", pid, ended(code))
                time.sleep(max(0.0, began + RESTART_SECONDS - time.monotonic()))
                self._start()
        return status

    def _start(self) -> None:
        if self._is_ending:
            return
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(self._held)
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.signal(each, signal.SIG_DFL)
            os._exit(server.serve(self._bound, self._limit, parent=self._watched))
        self._began[pid] = time.monotonic()
        if self._is_ending:  # told to end in between
            os.kill(pid, signal.SIGTERM)

    def _end(self, number: int = 0, frame: FrameType | None = None) -> None:
        self._is_ending = True
        for pid in list(self._began):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass


def ended(code: int) -> str:
    if os.WIFSIGNALED(code):
        return signal.Signals(os.WTERMSIG(code)).name
    return f"exit {os.WEXITSTATUS(code)}"
