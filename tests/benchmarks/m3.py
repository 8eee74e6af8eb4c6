"""M3: what the tee costs on top of forwarding the same batches to MLflow, in processor seconds of all processes.

Two web processes in front of one MLflow take turns; one of them copies nothing. Ours is the whole of forwarding
with the copy, theirs the same without: MLflow's own share swings by more than the tee costs, so both sides are
given its mean over the two, and what differs is the web processes, measured apart.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from services import jobs, sessions
from services.core.states import JobStatus
from services.engines import tracking
from services.reconcile.recording import Recorder
from services.specs.jobs import CommandJob
from services.store.rows import Job
from tests.benchmarks.metering import Cost, Meter
from tests.conftest import Stage, free_port, make_stage

PEER = "forwarding alone"
UNIT = "cpu"
ROUNDS = 7
BAR = 1.03
BATCHES, POINTS = 40, 200
TICK_SECONDS = 1.5
WEB = """
import sys, uvicorn
from app import server
from services.studio import Settings, Studio

class Nothing:
    def __init__(self, studio): pass
    def __getattr__(self, name): return lambda *given: None

if sys.argv[1] == "without":
    server.Tee = Nothing
settings = Settings()
uvicorn.run(server.application(Studio(settings)), port=settings.port, log_config=None, access_log=False)
"""


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-m3-") as folder:
        bench = Bench(Path(folder))
        try:
            yield from bench.rounds(rounds)
        finally:
            bench.close()


class Bench:
    """MLflow, the two web processes, and a job's run to log to."""

    def __init__(self, folder: Path) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log = (folder / "log").open("ab")
        self.stage = make_stage(folder / "home")
        mlflow_home, port = folder / "mlflow", free_port()
        mlflow_home.mkdir()
        arguments, settings = tracking.command(mlflow_home, port)
        self.mlflow = self._started(arguments, settings)
        self.tracking = tracking.HttpTracking(f"http://127.0.0.1:{port}")
        self.stage.studio.say("tracking", {"url": self.tracking.url, "pid": 0})
        self.webs = {each: self._web(each) for each in ("with", "without")}
        _wait(self.tracking.answers)
        for _, url in self.webs.values():
            _wait(lambda url=url: _answers(url))  # type: ignore[misc]
        self.run_id, token = _job(self.stage, self.tracking)
        self.client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)
        self.step = 0

    def rounds(self, count: int) -> Iterator[tuple[Cost, Cost]]:
        for side in self.webs:  # the first calls import and compile
            self._logged(side)
        for at in range(count):
            order = ("with", "without") if at % 2 else ("without", "with")
            webs, behind = {}, {}
            for side in order:
                webs[side], behind[side] = self._logged(side)
            shared = (behind["with"].cpu + behind["without"].cpu) / 2
            ours, theirs = webs["with"], webs["without"]
            yield Cost(ours.wall, ours.cpu + shared), Cost(theirs.wall, theirs.cpu + shared)

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)
        self.stage.studio.close()
        self.log.close()

    def _logged(self, side: str) -> tuple[Cost, Cost]:
        """What the web process and MLflow spent on some batches, the last tick included."""
        process, url = self.webs[side]
        web, behind = Meter(process.pid), Meter(self.mlflow.pid)
        for _ in range(BATCHES):
            self.step += 1
            points = [
                {"key": f"m{key}", "value": key * 0.37, "timestamp": 1_700_000_000_000 + self.step, "step": self.step}
                for key in range(POINTS)
            ]
            answer = self.client.post(
                f"{url}/mlflow/api/2.0/mlflow/runs/log-batch", json={"run_id": self.run_id, "metrics": points}
            )
            answer.raise_for_status()
        time.sleep(TICK_SECONDS)
        return web.read(), behind.read()

    def _web(self, side: str) -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        home = str(self.stage.studio.settings.home)
        settings = {"ATELIER_HOME": home, "ATELIER_PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[2])}
        return self._started([sys.executable, "-c", WEB, side], settings), f"http://127.0.0.1:{port}"

    def _started(self, arguments: list[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(arguments, env={**os.environ, **settings}, stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process


def _job(stage: Stage, server: tracking.HttpTracking) -> tuple[str, str]:
    """A job that runs: its run and its token."""
    with stage.scope() as scope:
        spec = CommandJob.model_validate({"command": "train", "environment": {"image": "python:3.11"}})
        job = jobs.submit(scope, spec)
    with stage.studio.database.session(write=True) as session:
        row = session.get_one(Job, job.id)
        row.status = JobStatus.Running
        token = sessions.issue_job_token(
            session, principal_id=stage.ada.id, workspace_id=job.workspace_id, job_id=job.id
        )
    Recorder(stage.studio, lambda: server, ThreadPoolExecutor(1)).root(job)
    with stage.studio.database.session(write=False) as session:
        return str(session.get_one(Job, job.id).run_id), token


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("a process did not start")
        time.sleep(0.2)
