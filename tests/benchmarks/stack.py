"""What the benchmarks put side by side: a studio with a home and a port of its own, and MLflow's own server."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.engines.docker import DockerEngine
from services.studio import Settings, Studio
from tests.benchmarks.metering import tree
from tests.conftest import forget_install, free_port

IMAGE = "atelier/python:3.11"
WORKSPACE = "bench"
PATIENCE = 600.0
ROOT = Path(__file__).parents[2]
UP = [sys.executable, "-c", "from app.cli import main; main()", "up", "--no-browser"]


@dataclass(frozen=True)
class Running:
    """A studio that is ready; `client` is its owner's, in one workspace."""

    home: Path
    pid: int
    engine: DockerEngine
    client: httpx.Client

    @property
    def origin(self) -> str:
        return str(self.client.base_url).partition("/api/")[0]

    def inside(self, workspace: str) -> "Running":
        """The same studio in another workspace, made now."""
        spaces = f"{self.origin}/api/v1/workspaces"
        self.client.post(spaces, json={"name": workspace}).raise_for_status()
        client = httpx.Client(
            base_url=f"{spaces}/{workspace}", headers=self.client.headers, timeout=120, trust_env=False
        )
        return Running(self.home, self.pid, self.engine, client)

    def submit(self, command: str, **fields: Any) -> str:
        """The job's name."""
        spec = {"type": "command", "command": command, "environment": {"image": IMAGE}, **fields}
        return str(self.client.post("/jobs", json={"spec": spec}).raise_for_status().json()["name"])

    def log(self, name: str) -> bytes:
        return self.client.get(f"/jobs/{name}/log").raise_for_status().content

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/jobs/{name}").raise_for_status().json()
        return found

    def ended(self, name: str) -> dict[str, Any]:
        """The job, once it is over."""
        until(lambda: self.job(name)["status"] in {"Completed", "Failed", "Canceled"}, pause=0.1)
        return self.job(name)

    def warm(self) -> str:
        """Runs one job, so that image, holder and experiment are there; what the engine calls the image."""
        job = self.ended(self.submit("true"))
        assert job["status"] == "Completed", f"{job['status']}: {job['reason']} {job['message']}"
        return str(job["image"])


@contextmanager
def atelier(**settings: str) -> Iterator[Running]:
    """Up and ready, with a workspace; gone afterwards, on the engine too."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        home, port = Path(folder) / "home", free_port()
        environment = {**os.environ, "ATELIER_HOME": str(home), **settings}
        _run([*UP, "--detach", "--home", str(home), "--port", str(port)], environment)
        studio = Studio(Settings(home=home))
        engine = DockerEngine(install=studio.install, home=home)
        studio.close()
        pid = json.loads((home / "studio.json").read_text())["pid"]
        base = f"http://127.0.0.1:{port}/api/v1"
        headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
        try:
            with httpx.Client(base_url=base, headers=headers, timeout=120, trust_env=False) as client:
                yield Running(home, pid, engine, client).inside(WORKSPACE)
        finally:
            _run([*UP[:-2], "down", "--home", str(home)], environment)
            forget_install(engine)


@contextmanager
def started(arguments: list[str], folder: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a folder of its own, with its log there; ended with all that it has started."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        below = tree(process.pid)
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        for each in below:
            if each.is_running():
                each.kill()
        process.wait()


def mlflow_server(port: int) -> list[str]:
    """As its documentation says, with one worker instead of four."""
    return [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]


def until(condition: Callable[[], bool], *, pause: float = 0.02, seconds: float = PATIENCE) -> float:
    """Seconds until it holds."""
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > seconds:
            raise TimeoutError(f"not so within {seconds:.0f} s")
        time.sleep(pause)
    return time.perf_counter() - start


def answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """With 200."""
    try:
        return httpx.get(url, headers=headers, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    subprocess.run(arguments, check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=180)
