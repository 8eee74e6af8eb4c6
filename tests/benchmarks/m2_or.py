"""M2_OR: the list of M2 with a rare filter: one metric is low or another high, in about 600 of 50,000 runs.

MLflow knows no OR: it is asked for the nearest that it can, both at once, which is less work.
"""

import dataclasses
from collections.abc import Iterator

from tests.benchmarks import m2
from tests.benchmarks.metering import Cost
from tests.benchmarks.ten_thousand import opened

PEER = "runs/search with AND, analysed database"
UNIT, ROUNDS = m2.UNIT, m2.ROUNDS
BAR = 1 / 50
QUERY = dataclasses.replace(m2.QUERY, filter="metrics.train/metric_10 < -2.5 or metrics.val/metric_11 > 2.5")
THEIRS = "metrics.`train/metric_10` < -2.5 and metrics.`val/metric_11` > 2.5"


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with opened(m2.SIZE) as full:
        yield from m2.compared(full, rounds, QUERY, THEIRS)
