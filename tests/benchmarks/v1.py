"""V1: processor time of a thousand scoring requests, against `mlflow models serve`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.metering import Cost
from tests.benchmarks.scoring_servers import in_turns, models

PEER = "mlflow models serve"
UNIT = "cpu"
ROUNDS = 5
BAR = 0.1


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-v1-") as folder, models(Path(folder)) as (ours, theirs):
        yield from in_turns(ours, theirs, rounds)
