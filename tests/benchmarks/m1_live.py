"""M1_LIVE: the chart of M1 while its runs are running: chunks and what came in since, no roll-up."""

from collections.abc import Iterator

from tests.benchmarks import m1
from tests.benchmarks.metering import Cost

PEER, UNIT, ROUNDS = m1.PEER, m1.UNIT, m1.ROUNDS
BAR = 1 / 120


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    yield from m1.compared(rounds, live=True)
