"""J1 once more for every job after a person's first one in a workspace: their holder runs already."""

from collections.abc import Iterator

from tests.benchmarks.j1 import PEER, ROUNDS, UNIT, ours, theirs
from tests.benchmarks.metering import Cost
from tests.benchmarks.stack import atelier

__all__ = ["BAR", "PEER", "ROUNDS", "UNIT", "run"]
BAR = 0.6


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with atelier() as studio:
        image = studio.warm()
        for _ in range(rounds):
            yield ours(studio), theirs(image)
