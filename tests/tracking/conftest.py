"""A web process on a real port, a real MLflow behind it, and a user's notebook in front; the test is the worker."""

import json
import os
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from services import experiments, jobs, metrics, runs, sessions, workspaces
from services.core.states import JobStatus
from services.engines.tracking import HttpTracking
from services.reconcile.recording import Recorder
from services.runs import RunLine, RunsQuery
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace as WorkspaceSpec
from services.store.rows import Job, Principal, RoleAssignment
from tests.conftest import Stage, free_port, make_stage
from tests.tracking.wire import Wire

ROOT = Path(__file__).parents[2]
PATIENCE = 200.0
LAB = {"X-MLFLOW-WORKSPACE": "lab"}


@dataclass
class Site:
    """The studio as its processes see it; `lab` is Ada's, Ben's and Cleo's, `clinic` is Ada's and Dan's."""

    stage: Stage
    url: str
    wire: Wire
    environment: Mapping[str, str]
    web: subprocess.Popen[bytes]
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"{self.url}/mlflow"

    @property
    def tracking(self) -> HttpTracking:
        """As the worker reaches it, past the proxy."""
        return HttpTracking(f"http://127.0.0.1:{self.wire.port}")

    def token(self, who: str) -> str:
        """A person's API token."""
        if who not in self.tokens:
            principal: Principal = getattr(self.stage, who)
            with self.stage.studio.database.session(write=True) as session:
                self.tokens[who] = sessions._issue(session, principal.id, "api")
        return self.tokens[who]

    def asked(self, method: str, path: str, *, token: str | None = "", **what: Any) -> httpx.Response:
        """One bare request below /mlflow; Ben's, unless said otherwise."""
        secret = self.token("ben") if token == "" else token
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        headers |= what.pop("headers", {})
        return httpx.request(method, f"{self.uri}{path}", headers=headers, timeout=60, trust_env=False, **what)

    def job(self, who: str = "ben", workspace: str = "lab", **fields: object) -> "Running":
        """A job whose run is made and whose container holds a token, as the worker leaves it when it runs."""
        spec = CommandJob.model_validate({"command": "train", "environment": {"image": "python:3.11"}, **fields})
        principal: Principal = getattr(self.stage, who)
        with self.stage.scope(principal, workspace) as scope:
            job = jobs.submit(scope, spec)
        with self.stage.studio.database.session(write=True) as session:
            row = session.get_one(Job, job.id)
            row.status, row.started_at = JobStatus.Running, row.created_at
            session.add(row)
            token = sessions.issue_job_token(
                session, principal_id=principal.id, workspace_id=job.workspace_id, job_id=job.id
            )
        running = Running(self, job.id, job.name, job.experiment_name, token)
        running.recorder.root(running.row)
        return running

    def summary(self, job: str) -> metrics.Recorded:
        with self.stage.scope(write=False) as scope:
            return metrics.summary(scope, job)

    def runs(self, experiment: str, *columns: str, workspace: str = "lab") -> list[RunLine]:
        with self.stage.scope(workspace=workspace, write=False) as scope:
            if experiment not in {each.experiment.name for each in experiments.listed(scope)}:
                return []
            return runs.listed(scope, RunsQuery((experiment,), columns=columns)).rows

    def restart(self, **settings: str) -> None:
        """Kills the web process where it stands and starts it again on the same port."""
        self.web.kill()
        self.web.wait(10)
        environment = {**self.environment, **settings}
        self.web = started(environment, int(environment["ATELIER_PORT"]))

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, f"it never came true: {what}"
            time.sleep(0.05)


def points(job: "Running", key: str) -> list[tuple[int, int, str]]:
    """What MLflow has of a metric, in the order of the studio's lines."""
    found = job.site.tracking.history(f"ws-{job.site.stage.lab.id}", job.run_id, key)
    return sorted((each.step, each.time, repr(each.value + 0.0)) for each in found)


def as_stored(line: metrics.Line) -> list[tuple[int, int, str]]:
    """The same of ours; MLflow keeps infinities as its largest number and no sign of zero."""
    value = np.where(np.isinf(line.value), np.sign(line.value) * np.finfo(float).max, line.value) + 0.0
    return sorted(zip(line.step.tolist(), line.time.tolist(), map(repr, value.tolist()), strict=True))


@dataclass(frozen=True)
class Running:
    """A job that runs, for all that tracking can tell."""

    site: Site
    id: str
    name: str
    experiment: str
    token: str

    @property
    def recorder(self) -> Recorder:
        return Recorder(self.site.stage.studio, lambda: self.site.tracking, ThreadPoolExecutor(1))

    @property
    def row(self) -> Job:
        with self.site.stage.studio.database.session(write=False) as session:
            row = session.get_one(Job, self.id)
            session.expunge(row)
            return row

    @property
    def run_id(self) -> str:
        return self.row.run_id or ""

    @property
    def variables(self) -> dict[str, str]:
        """What its container is given."""
        return {
            "MLFLOW_TRACKING_URI": self.site.uri,
            "MLFLOW_TRACKING_TOKEN": self.token,
            "MLFLOW_RUN_ID": self.name,
            "MLFLOW_EXPERIMENT_NAME": self.experiment,
        }

    def ended(self, status: str = "Completed") -> None:
        """As the worker ends it: the token dies, the run ends, its history is compared."""
        with self.site.stage.studio.database.session(write=True) as session:
            sessions.revoke_job_tokens(session, self.id)
        self.recorder.end(self.row, status)

    def line(self, key: str, **asked: Any) -> metrics.Line:
        with self.site.stage.scope(write=False) as scope:
            return metrics.history(scope, self.name, [key], **asked)[0]


class Notebook:
    """Runs cells with an unmodified MLflow client, each in a process of its own."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "notebook.py")],
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("wb"),
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", (folder / "log").read_text()[-2000:]

    def start(self, cell: str, variables: Mapping[str, str]) -> Callable[[], dict[str, Any]]:
        """Begins a cell; the function that comes back waits for its end."""
        path = self.folder / f"{uuid.uuid4().hex}.json"
        asked = {"cell": textwrap.dedent(cell), "variables": dict(variables), "answer": str(path)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

        def ended() -> dict[str, Any]:
            self.site.eventually(path.exists, "a cell ends")
            found: dict[str, Any] = json.loads(path.read_text())
            return found

        return ended

    def run(self, cell: str, variables: Mapping[str, str]) -> Any:
        """The answer of a cell that must not fail."""
        said = self.start(cell, variables)()
        assert "error" not in said, said["where"]
        return said["answer"]

    def refused(self, cell: str, variables: Mapping[str, str]) -> str:
        """What a cell fails with."""
        said = self.start(cell, variables)()
        assert "error" in said, said
        return str(said["message"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def make_site(stage: Stage, mlflow_url: str, **settings: str) -> Site:
    """Starts the web process; the caller ends it with `close_site`."""
    target = urlsplit(mlflow_url)
    wire = Wire((str(target.hostname), int(target.port or 0)))
    stage.studio.say("tracking", {"url": f"http://127.0.0.1:{wire.port}", "pid": 0})
    port = free_port()
    environment = {
        **os.environ,
        "ATELIER_HOME": str(stage.studio.settings.home),
        "ATELIER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    return Site(stage, f"http://127.0.0.1:{port}", wire, environment, started(environment, port))


def started(environment: Mapping[str, str], port: int) -> subprocess.Popen[bytes]:
    """A web process that answers."""
    log = Path(environment["ATELIER_HOME"]) / "web.log"
    with log.open("ab") as file:
        web = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "web.py")], env=environment, stdout=file, stderr=file
        )
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2, trust_env=False).status_code == 200:
                return web
        except httpx.HTTPError:
            pass
        assert web.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, "the web process did not start"
        time.sleep(0.1)


def close_site(site: Site) -> None:
    site.web.terminate()
    site.web.wait(15)
    site.wire.close()
    site.stage.studio.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, mlflow_server: str) -> Iterator[Site]:
    """One for all tests of a process: they use experiments and jobs of their own."""
    stage = make_stage(tmp_path_factory.mktemp("tracking") / "home")
    with stage.scope(workspace=None) as scope:
        clinic = workspaces.create(scope, WorkspaceSpec(name="clinic"))
        scope.session.add(RoleAssignment(principal_id=stage.dan.id, role="AzureML Data Scientist", scope=clinic.id))
    made = make_site(stage, mlflow_server)
    yield made
    close_site(made)


@pytest.fixture(scope="session")
def notebook(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    made = Notebook(site, tmp_path_factory.mktemp("notebook"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def ben(site: Site) -> dict[str, str]:
    """What Ben sets on his own machine."""
    return {"MLFLOW_TRACKING_URI": site.uri, "MLFLOW_TRACKING_TOKEN": site.token("ben"), "MLFLOW_WORKSPACE": "lab"}


@pytest.fixture(scope="session")
def dan(site: Site) -> dict[str, str]:
    """Dan's, in a workspace that Ben cannot see."""
    return {"MLFLOW_TRACKING_URI": site.uri, "MLFLOW_TRACKING_TOKEN": site.token("dan"), "MLFLOW_WORKSPACE": "clinic"}


@pytest.fixture(autouse=True)
def _mended(site: Site) -> Iterator[None]:
    yield
    site.wire.mend()
