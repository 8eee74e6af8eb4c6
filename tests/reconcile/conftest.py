"""A worker in this process: on an engine and a tracking server of memory, or on Docker's."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.worker import Worker, engine_for
from services import artifacts, datastores, jobs, logs, uploads
from services.core.states import TERMINAL
from services.engines.docker import DockerEngine
from services.engines.fake_containers import FakeEngine
from services.engines.fake_tracking import FakeTracking
from services.specs.code import Entry
from services.specs.jobs import CommandJob
from services.store.rows import Job
from tests.conftest import Stage, forget_install


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


class Bench(Site):
    """A site whose engine is Docker's."""

    def read(self, name: str, path: str) -> bytes:
        with self.stage.scope(write=False) as scope:
            file, _ = artifacts.opened(scope, name, path)
            with file:
                return file.read()

    def files(self, name: str) -> list[str]:
        with self.stage.scope(write=False) as scope:
            return [file.path for file in artifacts.listed(scope, name)]

    def log(self, name: str) -> str:
        with self.stage.scope(write=False) as scope:
            return logs.read(scope, name).data.decode()

    def store(self, path: str) -> Path:
        return self.stage.studio.folders.datastore(self.stage.lab.id, datastores.DEFAULT) / path

    def code(self, files: Mapping[str, bytes]) -> str:
        entries = [
            Entry(path=path, size=len(text), sha256=hashlib.sha256(text).hexdigest(), executable=text[:2] == b"#!")
            for path, text in files.items()
        ]
        with self.stage.scope() as scope:
            begun = uploads.begin(scope, "code", entries)
        with self.stage.scope() as scope:
            landings = uploads.landings(scope, begun.id)
        for landing in landings:
            with landing.open() as file:
                file.write(files[str(landing.target)[str(landing.target).rindex("/files/") + 7 :]])
            landing.finish()
        with self.stage.scope() as scope:
            assert uploads.seal(scope, begun.id).complete
        return begun.id

    def submit_with(self, snapshot: str | None, command: str, **fields: object) -> str:
        spec = CommandJob.model_validate({"command": command, "environment": {"image": "python:3.11"}, **fields})
        with self.stage.scope() as scope:
            return jobs.submit(scope, spec, snapshot=snapshot).name


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


@pytest.fixture
def bench(lite: Stage, python_image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    settings = lite.studio.settings
    settings.stop_grace, settings.engine, settings.allowed_url_hosts = 3, "docker", "127.0.0.1"
    engine, tracking = engine_for(lite.studio), FakeTracking()
    monkeypatch.setattr(Worker, "tracking", lambda self: tracking)
    lite.studio.say("gateway", {"url": "http://host.docker.internal:9"})
    made = Bench(lite, engine, tracking, Worker(lite.studio, engine))  # type: ignore[arg-type]
    thread = working(made.worker)
    yield made
    made.worker.stop()
    thread.join(timeout=30)
    assert isinstance(engine, DockerEngine)
    forget_install(engine)
