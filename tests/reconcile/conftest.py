"""A worker in this process, on an engine and a tracking server of memory."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from app.worker import Worker
from services import jobs
from services.core.states import TERMINAL
from services.engines.fake_containers import FakeEngine
from services.engines.tracking import FakeTracking
from services.specs.jobs import CommandJob
from services.store.rows import Job
from tests.conftest import Stage


@dataclass
class Site:
    """A stage with a worker at work."""

    stage: Stage
    engine: FakeEngine
    tracking: FakeTracking
    worker: Worker

    def submit(self, command: str = "exit 0", **fields: object) -> str:
        spec = CommandJob.model_validate({"command": command, "environment": {"image": "python:3.11"}, **fields})
        with self.stage.scope() as scope:
            return jobs.submit(scope, spec).name

    def job(self, name: str) -> Job:
        with self.stage.scope(write=False) as scope:
            return jobs.get(scope, name)

    def until(self, name: str, *statuses: str, seconds: float = 20) -> Job:
        """The job once it has one of these statuses (any final one by default)."""
        wanted = statuses or tuple(TERMINAL)
        deadline = time.monotonic() + seconds
        while True:
            row = self.job(name)
            if str(row.status) in wanted and (row.status not in TERMINAL or row.collected_at):
                return row
            assert time.monotonic() < deadline, f"{name} is {row.status}: {row.reason} {row.message}"
            time.sleep(0.02)


def eventually(condition: Callable[[], bool], what: str = "", seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it never came true: {what}"
        time.sleep(0.02)


def working(worker: Worker) -> threading.Thread:
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def site(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = make_site(lite, monkeypatch)
    thread = working(made.worker)
    yield made
    made.worker.stop()
    thread.join(timeout=30)


def make_site(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Site:
    stage.studio.settings.stop_grace = 1
    engine, tracking = FakeEngine(install=stage.studio.install), FakeTracking()
    monkeypatch.setattr(Worker, "tracking", lambda self: tracking)
    stage.studio.say("gateway", {"url": "http://host.docker.internal:9"})
    return Site(stage, engine, tracking, Worker(stage.studio, engine))
