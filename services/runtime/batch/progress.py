"""How far a run is: a line now and then, the files that the cloud writes, and metrics of the job's run."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence  # noqa: UP035 (Python 3.8 subscripts no other)

LOGS = Path("logs")
LINE_SECONDS, METRIC_SECONDS, PATIENCE_SECONDS = 5.0, 2.0, 5.0
SHOWN_FILES = 5


@dataclass
class Progress:
    """Counts; `failed` are mini-batches, of which those `given_up` returned nothing; `retried` are attempts."""

    total: int
    items: int
    done: int = 0
    failed: int = 0
    given_up: int = 0
    retried: int = 0
    items_done: int = 0
    items_failed: int = 0
    killed: int = 0
    started: float = field(default_factory=time.monotonic)
    _told: float = 0.0

    def told(self, *, now: bool = False) -> None:
        """Says it on standard output and in logs/job_progress_overview.txt, at most every few seconds."""
        if not now and time.monotonic() - self._told < LINE_SECONDS:
            return
        self._told = time.monotonic()
        print(self.line(), flush=True)
        _replaced(LOGS / "job_progress_overview.txt", self.line() + "\n")

    def line(self) -> str:
        said = f"{self.done} of {self.total} mini-batches, {self.items_done} of {self.items} items"
        return said + (f", {self.items_failed} items failed" if self.items_failed else "")

    def metrics(self) -> dict[str, int]:
        return {
            "mini_batches_total": self.total,
            "mini_batches_done": self.done,
            "mini_batches_failed": self.failed,
            "items_failed": self.items_failed,
        }

    def failure(self, index: int, attempt: int, most: int, paths: Sequence[str], why: str, trace: str) -> None:
        """One line in the log, everything in logs/user/error.txt."""
        names = ", ".join(Path(path).name for path in paths[:SHOWN_FILES])
        names += f" and {len(paths) - SHOWN_FILES} more" if len(paths) > SHOWN_FILES else ""
        attempts = f"attempt {attempt} of {most}"
        print(f"Mini-batch {index} failed ({attempts}): {why} (files: {names})", flush=True)
        path = LOGS / "user" / "error.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        listed = "".join(f"  {each}\n" for each in paths)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{at} mini-batch {index}, {attempts}: {why}\n{listed}{trace}\n")

    def result(self, status: str, message: str) -> None:
        """The end, for programs: logs/job_result.txt."""
        seconds = round(time.monotonic() - self.started, 3)
        said = {
            "status": status,
            "message": message,
            **self.metrics(),
            "mini_batches_retried": self.retried,
            "items_total": self.items,
            "items_done": self.items_done,
            "workers_killed": self.killed,
            "seconds": seconds,
        }
        _replaced(LOGS / "job_result.txt", json.dumps(said, indent=2) + "\n")


class Reporter:
    """Sends the metrics from a thread of its own, where MLflow's variables say to whom; what fails is said once."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.sent: dict[str, int] = {}
        self.is_silent = False
        self.url, self.run = os.environ.get("MLFLOW_TRACKING_URI", ""), os.environ.get("MLFLOW_RUN_ID", "")
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> Reporter:
        if self.url.startswith("http") and self.run:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join(2 * PATIENCE_SECONDS)

    def _report(self) -> None:
        while not self.over.wait(METRIC_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        known = self.progress.metrics()
        changed = {key: value for key, value in known.items() if self.sent.get(key) != value}
        if not changed:
            return
        at = int(time.time() * 1000)
        metrics = [
            {"key": key, "value": value, "timestamp": at, "step": self.progress.done} for key, value in changed.items()
        ]
        request = urllib.request.Request(  # noqa: S310 (the studio's own address)
            f"{self.url.rstrip('/')}/api/2.0/mlflow/runs/log-batch",
            json.dumps({"run_id": self.run, "metrics": metrics}).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {os.environ.get('MLFLOW_TRACKING_TOKEN', '')}",
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE_SECONDS):
                self.sent = known
        except (OSError, ValueError) as cause:
            if not self.is_silent:
                print(f"Progress could not be sent to the studio: {cause}", flush=True)
            self.is_silent = True


def _replaced(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
