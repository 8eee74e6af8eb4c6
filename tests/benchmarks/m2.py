"""M2: the runs list: 100 of 50,000 sorted by a metric, ten columns.

Ours is all that the web process does for it but the sending. Theirs is the processor time of MLflow's server for
runs/search with the same order, on a database that we have analysed; it answers with all columns, since it knows no
other way.
"""

import os
from collections.abc import Iterator

import orjson

from services import runs
from services.runs import RunsQuery
from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.ten_thousand import LISTED, Full, Size, opened

PEER = "runs/search, analysed database"
UNIT = "cpu"
ROUNDS = 5
BAR = 1 / 200
AGAIN = 50
# Fewer, where the machine has no hour for it: ATELIER_BENCH_RUNS.
SIZE = Size(runs=int(os.environ.get("ATELIER_BENCH_RUNS", "50000")))
SORTED = "val/metric_07"
COLUMNS = (
    *(f"metrics.{'val' if at % 2 else 'train'}/metric_{at:02d}" for at in range(7, 13)),
    *("params.param_00", "params.param_01", "params.param_02", "tags.team"),
)
QUERY = RunsQuery(experiments=(LISTED,), columns=COLUMNS, order_by=(f"-metrics.{SORTED}",), limit=100)
THEIR_ORDER = [f"metrics.`{SORTED}` DESC"]


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with opened(SIZE) as full:
        yield from compared(full, rounds, QUERY, "")


def compared(full: Full, rounds: int, query: RunsQuery, filter: str) -> Iterator[tuple[Cost, Cost]]:
    rows = ours(full, query)
    assert len(rows) == query.limit
    for at in range(rounds):
        sides = [lambda: measured(full, query), lambda: asked(full, filter)]
        costs = [sides[side]() for side in ((0, 1) if at % 2 else (1, 0))]
        mine, theirs = costs if at % 2 else reversed(costs)
        yield mine, theirs


def measured(full: Full, query: RunsQuery) -> Cost:
    meter = Meter()
    for _ in range(AGAIN):
        ours(full, query)
    return meter.read().per(AGAIN)


def ours(full: Full, query: RunsQuery) -> list[str]:
    """The ids of the page, once its bytes are ready."""
    with full.studio.scope(full.ada, full.lab.name) as scope:
        found = runs.listed(scope, query)
    orjson.dumps([vars(row) for row in found.rows])
    return [row.run_id for row in found.rows]


def asked(full: Full, filter: str) -> Cost:
    body = {"experiment_ids": [full.experiment(LISTED)], "max_results": 100, "order_by": THEIR_ORDER, "filter": filter}
    meter = Meter(full.server)
    full.client.post("/api/2.0/mlflow/runs/search", json=body, headers=full.header).raise_for_status()
    return meter.read()
