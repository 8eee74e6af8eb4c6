"""V1_BARE: processor time of a thousand scoring requests, against a bare ASGI function that calls run()."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.metering import Cost
from tests.benchmarks.scoring_servers import in_turns, scripts

PEER = "a bare ASGI function that calls run()"
UNIT = "cpu"
ROUNDS = 5
BAR = 1.15


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-v1-") as folder, scripts(Path(folder)) as served:
        yield from in_turns(served.ours(), served.bare(), rounds)
