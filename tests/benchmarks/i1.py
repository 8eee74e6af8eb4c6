"""I1: the first page after start, on an empty home; processor seconds of all processes until it is there.

The page is the studio itself, by the sign-in link that the start prints; MLflow's is its /health.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.benchmarks.metering import Cost, Meter, cpu_seconds
from tests.benchmarks.stack import UP, answers, mlflow_server, say, started, until
from tests.conftest import free_port

PEER = "mlflow server --workers 1 to its /health"
UNIT = "cpu"
ROUNDS = 5
BAR = 0.25
_LINK = re.compile(r"Sign in: (\S+)/auth/sign-in\?token=(\S+)")


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
            yield _ours(Path(folder)), _theirs(Path(folder) / "mlflow")


def _ours(folder: Path) -> Cost:
    home, port = folder / "home", free_port()
    with started([*UP, "--home", str(home), "--port", str(port)], folder / "studio") as process:
        meter = Meter(process.pid)
        until(lambda: _first_page((folder / "studio" / "log").read_text()))
        first = _since_birth(meter, process.pid)
        until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        ready = _since_birth(meter, process.pid)
        say(f"   ready for jobs after {ready.cpu:.2f} CPU-s, {ready.wall:.2f} s")
        return first


def _theirs(folder: Path) -> Cost:
    port = free_port()
    with started(mlflow_server(port), folder) as process:
        meter = Meter(process.pid)
        until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        return _since_birth(meter, process.pid)


def _first_page(said: str) -> bool:
    """Signs in as the printed link does; True once the studio's own page has come."""
    link = _LINK.search(said)
    if link is None:
        return False
    origin, token = link.groups()
    with httpx.Client(base_url=origin, trust_env=False, timeout=10, follow_redirects=True) as client:
        try:
            answer = client.post(
                "/auth/sign-in", data={"token": token}, headers={"Origin": origin, "Accept": "text/html"}
            )
        except httpx.HTTPError:
            return False
    return answer.status_code == 200 and answer.url.path == "/"


def _since_birth(meter: Meter, pid: int) -> Cost:
    """All that the tree has used, also before the meter ran."""
    return Cost(meter.read().wall, cpu_seconds(pid))
