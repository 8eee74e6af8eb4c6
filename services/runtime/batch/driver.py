"""Deals mini-batches out to worker processes, tries again what failed, and writes what they returned to one file.

(1) files are listed and cut, (2) workers start and run init(), (3) each idle one is given the next mini-batch, (4) one
that fails, hangs or dies gives its mini-batch back, up to the retries; a hung or dead worker is replaced, (5) past a
threshold everything stops, (6) the parts are joined in the order of the input, and only whole does the file appear.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence  # noqa: UP035 (Python 3.8 subscripts no other)

from . import listing, settings
from .progress import LOGS, Progress, Reporter
from .settings import IGNORED, Settings, Wrong

TICK_SECONDS = 0.5
GRACE_SECONDS = 60.0
MOST_BAD_STARTS = 3
PIECE = 1 << 20
FAILED, TERMINATED = 1, 143


@dataclass
class Batch:
    index: int
    paths: list[str]
    attempts: int = 0


class Worker:
    """A process and what it does: it starts until it says that it is ready, then has a `batch` or is idle."""

    def __init__(self, number: int, arguments: Sequence[str], deadline: float) -> None:
        orders, self.orders = os.pipe()
        self.answers, answers = os.pipe()
        os.set_blocking(self.answers, False)
        name = f"process{number:03d}"
        try:
            with _log("stdout", name) as out, _log("stderr", name) as err:
                self.process = subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("main.py")), "worker",
                     str(orders), str(answers), *arguments],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    pass_fds=(orders, answers),
                )  # fmt: skip
        finally:
            os.close(orders)
            os.close(answers)
        self.number, self.deadline = number, deadline
        self.is_ready = self.has_failed = False
        self.batch: Batch | None = None
        self.heard = b""

    def give(self, batch: Batch, part: Path, deadline: float) -> None:
        """A worker that is gone by now is found out by its silence."""
        self.batch, self.deadline = batch, deadline
        batch.attempts += 1
        order = {"index": batch.index, "paths": batch.paths, "part": str(part)}
        with suppress(BrokenPipeError):
            _all(self.orders, (json.dumps(order) + "\n").encode())

    def said(self) -> list[dict[str, Any]]:
        """The whole lines that have arrived."""
        while True:
            try:
                piece = os.read(self.answers, PIECE)
            except BlockingIOError:
                break
            if not piece:
                break
            self.heard += piece
        *lines, self.heard = self.heard.split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """With every process that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for descriptor in (self.orders, self.answers):
            with suppress(OSError):
                os.close(descriptor)

    def dismiss(self) -> None:
        """No more orders: it runs shutdown() and ends."""
        os.close(self.orders)
        self.orders = -1

    def left(self, deadline: float) -> None:
        """Waits for that."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        if self.process.returncode not in {0, None}:
            print(f"Worker {self.number}: shutdown() failed; its log is in logs/user/stderr.", flush=True)


class Driver:
    def __init__(self, chosen: Settings, arguments: Sequence[str], batches: Sequence[Sequence[str]], parts: Path):
        self.chosen, self.arguments, self.parts = chosen, list(arguments), parts
        self.waiting = deque(Batch(index, list(paths)) for index, paths in enumerate(batches))
        self.progress = Progress(len(self.waiting), sum(len(paths) for paths in batches))
        self.workers: list[Worker] = []
        self.selector = selectors.DefaultSelector()
        self.started = self.bad_starts = 0

    def run(self) -> None:
        """Raises Wrong when a threshold is passed, or no worker comes up."""
        try:
            while self.waiting or any(worker.batch for worker in self.workers):
                self._staff()
                for key, _ in self.selector.select(self._patience()):
                    self._listen(key.data)
                for worker in list(self.workers):
                    self._look_after(worker)
                self.progress.told()
            if self.progress.given_up == self.progress.total:
                raise Wrong("Every mini-batch failed; logs/user/error.txt says why.")
            self._dismiss()
        finally:
            for worker in self.workers:
                worker.kill()

    def _dismiss(self) -> None:
        ready = [worker for worker in self.workers if worker.is_ready]
        for worker in ready:
            worker.dismiss()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in ready:
            worker.left(deadline)

    def _staff(self) -> None:
        """Idle workers get work, and there are as many as the work needs."""
        now = time.monotonic()
        for worker in self.workers:
            if worker.is_ready and worker.batch is None and self.waiting:
                batch = self.waiting.popleft()
                worker.give(batch, self._part(batch.index), now + self.chosen.timeout)
        coming = sum(not worker.is_ready for worker in self.workers)
        while len(self.workers) < self.chosen.workers and coming < len(self.waiting):
            worker = Worker(self.started, self.arguments, now + self.chosen.init_timeout)
            self.started, coming = self.started + 1, coming + 1
            self.workers.append(worker)
            self.selector.register(worker.answers, selectors.EVENT_READ, worker)

    def _patience(self) -> float:
        now = time.monotonic()
        nearest = min((worker.deadline for worker in self.workers if self._is_busy(worker)), default=now + TICK_SECONDS)
        return min(TICK_SECONDS, max(0.0, nearest - now))

    def _is_busy(self, worker: Worker) -> bool:
        return not worker.is_ready or worker.batch is not None

    def _listen(self, worker: Worker) -> None:
        for answer in worker.said():
            if "init_failed" in answer:
                worker.has_failed = True
                self._bad_start(f"init() failed: {answer['init_failed']}", str(answer["trace"]))
            elif "is_ready" in answer:
                worker.is_ready, self.bad_starts = True, 0
            elif worker.batch is not None:
                batch, worker.batch = worker.batch, None
                if "failed" in answer:
                    self._failed(batch, str(answer["failed"]), str(answer["trace"]))
                else:
                    self._worked(batch, int(answer["returned"]))

    def _look_after(self, worker: Worker) -> None:
        """What is dead or late is taken away, and its mini-batch given back."""
        is_late = self._is_busy(worker) and time.monotonic() >= worker.deadline
        code = worker.process.poll()
        if code is None and not is_late:
            return
        if code is not None:
            self._listen(worker)  # its last words
        self.workers.remove(worker)
        self.selector.unregister(worker.answers)
        worker.kill()
        batch = worker.batch
        if code is None and batch is None:
            self._bad_start(f"init() took longer than {self.chosen.init_timeout:g} s", "")
        elif code is None and batch is not None:
            self._failed(batch, f"run() took longer than {self.chosen.timeout:g} s, and its process was killed", "")
        elif code is not None:
            self.progress.killed += code < 0
            why = _death(code)
            if batch is not None:
                self._failed(batch, why, "")
            elif not worker.is_ready and not worker.has_failed:
                self._bad_start(f"Before init() was done {why}; logs/user/stderr says more", "")

    def _bad_start(self, why: str, trace: str) -> None:
        self.bad_starts += 1
        if trace:
            print(trace, file=sys.stderr, flush=True)
        if self.bad_starts >= MOST_BAD_STARTS:
            raise Wrong(f"No worker comes up. {why}.")

    def _worked(self, batch: Batch, returned: int) -> None:
        """Fewer items than files: what is missing has failed, what is there is kept, and it is not tried again."""
        missing = max(0, len(batch.paths) - returned)
        self.progress.done += 1
        self.progress.items_done += len(batch.paths) - missing
        if missing:
            why = f"run() returned {returned} items for {len(batch.paths)} files"
            self.progress.failure(batch.index, batch.attempts, batch.attempts, batch.paths, why, "")
            self._counted(missing)

    def _failed(self, batch: Batch, why: str, trace: str) -> None:
        most = self.chosen.max_retries + 1
        self.progress.failure(batch.index, batch.attempts, most, batch.paths, why, trace)
        self._part(batch.index).unlink() if self._part(batch.index).exists() else None
        if batch.attempts < most:
            self.progress.retried += 1
            self.waiting.append(batch)
            return
        self.progress.done += 1
        self.progress.given_up += 1
        self._counted(len(batch.paths))

    def _counted(self, items: int) -> None:
        self.progress.failed += 1
        self.progress.items_failed += items
        for threshold, count, what in (
            (self.chosen.error_threshold, self.progress.items_failed, "items"),
            (self.chosen.mini_batch_error_threshold, self.progress.failed, "mini-batches"),
        ):
            if threshold != IGNORED and count > threshold:
                name = "error_threshold" if what == "items" else "mini_batch_error_threshold"
                raise Wrong(f"{count} {what} failed, which is more than the {name} of {threshold}.")

    def _part(self, index: int) -> Path:
        return self.parts / f"{index:09d}"

    def joined(self, target: Path) -> None:
        """All parts in the order of the input; the file is there whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        with unfinished.open("wb") as whole:
            for part in sorted(self.parts.iterdir()):
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole, PIECE)
            whole.flush()
            os.fsync(whole.fileno())
        unfinished.replace(target)


def main(arguments: Sequence[str]) -> int:
    """`arguments` are the script's. Answers 0, 1 for what failed, 143 when it was told to stop."""
    signal.signal(signal.SIGTERM, _told_to_stop)
    for stream in (sys.stdout, sys.stderr):  # names of files are not always text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        chosen = settings.read(arguments)
        output = Path(chosen.path(chosen.output))
        os.environ["AZUREML_BI_OUTPUT_PATH"] = str(output)
        if chosen.model:
            os.environ["AZUREML_MODEL_DIR"] = str(Path(chosen.path(chosen.model)).parent)
        batches = listing.mini_batches(listing.files(chosen), chosen.mini_batch_size)
    except Wrong as wrong:
        print(f"Error: {wrong}", file=sys.stderr, flush=True)
        return FAILED
    with tempfile.TemporaryDirectory(prefix=".mini-batches-", dir=".") as parts:  # /tmp may be memory
        return _run(Driver(chosen, arguments, batches, Path(parts).resolve()), output)


def _run(driver: Driver, output: Path) -> int:
    progress, chosen = driver.progress, driver.chosen
    workers = min(chosen.workers, progress.total)
    print(
        f"{progress.items} files in {progress.total} mini-batches of up to {chosen.mini_batch_size}, "
        f"{workers} worker {'process' if workers == 1 else 'processes'}",
        flush=True,
    )
    with Reporter(progress):
        try:
            driver.run()
        except Wrong as wrong:
            progress.told(now=True)
            progress.result("Failed", str(wrong))
            print(f"Error: {wrong}", file=sys.stderr, flush=True)
            return FAILED
        if chosen.appends:
            driver.joined(output / chosen.output_file_name)
        progress.told(now=True)
    message = f"{progress.retried} retries, {progress.killed} workers killed, {progress.items_failed} items failed"
    progress.result("Completed", message)
    took = time.monotonic() - progress.started
    print(f"Done in {took:.1f} s: {message}" + (f"; {chosen.output_file_name} is written" * chosen.appends), flush=True)
    return 0


def _told_to_stop(*_: object) -> None:
    raise SystemExit(TERMINATED)


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, probably because there was no memory left"
    if code < 0:
        return f"its process was ended by signal {-code}"
    return f"its process ended with exit code {code}"


def _log(stream: str, name: str) -> Any:
    folder = LOGS / "user" / stream
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{name}.{stream}.txt").open("ab")


def _all(descriptor: int, content: bytes) -> None:
    """A pipe takes an order in pieces."""
    while content:
        content = content[os.write(descriptor, content) :]
