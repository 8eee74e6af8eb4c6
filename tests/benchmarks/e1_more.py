"""E1 once more for one package more than an environment that is there; the classic builder installs its list again."""

from collections.abc import Iterator

from tests.benchmarks.e1 import PACKAGES, PEER, ROUNDS, UNIT, engine, ours, theirs
from tests.benchmarks.metering import Cost

__all__ = ["BAR", "PEER", "ROUNDS", "UNIT", "run"]
BAR = 0.1


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    for _ in range(rounds):
        with engine() as there:
            ours(there, PACKAGES)
            yield ours(there, (*PACKAGES, "pyjokes")), theirs(there, (*PACKAGES, "pyjokes"))
