"""S1: memory of the idle stack a minute after its start, what processes share counted once (PSS)."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.metering import memory, tree
from tests.benchmarks.stack import answers, atelier, mlflow_server, say, started, until
from tests.conftest import free_port

PEER = "mlflow server --workers 1"
UNIT = "MB"
ROUNDS = 1
BAR = 0.5
IDLE_SECONDS = 60


def run(rounds: int) -> Iterator[tuple[float, float]]:
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
            yield _side_by_side(Path(folder))


def _side_by_side(folder: Path) -> tuple[float, float]:
    """Both at the same time, so that both idle under the same load."""
    port = free_port()
    with atelier() as studio, started(mlflow_server(port), folder) as mlflow:
        # Our own MLflow too, through the studio: what is still starting would not count.
        until(lambda: answers(f"{studio.origin}/mlflow/version", studio.client.headers), pause=0.5)
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), pause=0.5)
        time.sleep(IDLE_SECONDS)
        for each in tree(studio.pid):
            say(f"   {each.memory_full_info().pss / 1e6:5.0f} MB {' '.join(each.cmdline())[:90]}")
        say(f"   processes: ours {len(tree(studio.pid))}, theirs {len(tree(mlflow.pid))}")
        return memory(studio.pid), memory(mlflow.pid)
