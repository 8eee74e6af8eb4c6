"""V1_CLOUD: processor time of a thousand scoring requests, against azureml-inference-server-http."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.metering import Cost
from tests.benchmarks.scoring_servers import in_turns, scripts

PEER = "azureml-inference-server-http"
UNIT = "cpu"
ROUNDS = 5
BAR = 0.4


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-v1-") as folder, scripts(Path(folder)) as served:
        theirs = served.cloud()
        if theirs is not None:
            yield from in_turns(served.ours(), theirs, rounds)
