"""M1: 200 finished runs of 10,000 points compared in one chart, bytes ready to be sent.

Ours is all that the web process does for it but the sending: one transaction, permission, reading, down-sampling to
1,000 points a line, JSON. Theirs is the processor time of MLflow's server for the call that its own page makes for
such a chart (320 points a line, 100 runs a call), on a database that we have analysed, which MLflow never does. What
its client spends is not counted. Every round checks that our lines hold the true extremes of all runs.
"""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from services import metrics
from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import say
from tests.benchmarks.ten_thousand import Full, Size, charted, opened

PEER = "get-history-bulk-interval, analysed database"
UNIT = "cpu"
ROUNDS = 3
BAR = 1 / 200
AGAIN = 20
POINTS, THEIRS, A_CALL = 1000, 320, 100


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    yield from compared(rounds, live=False)


def compared(rounds: int, *, live: bool) -> Iterator[tuple[Cost, Cost]]:
    size = Size()
    runs = charted(size, live=live)
    with opened(size) as full:
        extremes = true_extremes(full, runs)
        ours(full, runs)
        for at in range(rounds):
            sides = [lambda: measured(full, runs), lambda: asked(full, runs)]
            costs = [sides[side]() for side in ((0, 1) if at % 2 else (1, 0))]
            mine, theirs = costs if at % 2 else reversed(costs)
            check(full, runs, extremes)
            yield mine, theirs


def measured(full: Full, runs: list[str]) -> Cost:
    """Of one chart; the clock of the processor is too coarse for a single one."""
    meter = Meter()
    for _ in range(AGAIN):
        ours(full, runs)
    return meter.read().per(AGAIN)


def ours(full: Full, runs: list[str]) -> bytes:
    with full.studio.scope(full.ada, full.lab.name) as scope:
        lines = metrics.compare(scope, runs, "loss", max_points=POINTS)
    return orjson.dumps(
        {name: {"x": typed(line.step, "<i4"), "y": typed(line.value, "<f8")} for name, line in lines.items()}
    )


def typed(column: np.ndarray[Any, Any], kind: str) -> dict[str, str]:
    """As Plotly takes arrays without reading numbers one by one."""
    return {"dtype": kind[1:], "bdata": base64.b64encode(column.astype(kind).tobytes()).decode()}


def asked(full: Full, runs: list[str]) -> Cost:
    meter = Meter(full.server)
    for start in range(0, len(runs), A_CALL):
        params = {"run_ids": runs[start : start + A_CALL], "metric_key": "loss", "max_results": THEIRS}
        path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
        full.client.get(path, params=params, headers=full.header).raise_for_status()
    return meter.read()


def true_extremes(full: Full, runs: list[str]) -> dict[str, tuple[float, float]]:
    """Of every point, read whole."""
    found = full.studio.history.chart(full.key("loss"), runs)
    return {run: (float(series.value.min()), float(series.value.max())) for run, series in found.items()}


def check(full: Full, runs: list[str], extremes: dict[str, tuple[float, float]]) -> None:
    told = orjson.loads(ours(full, runs))
    drawn = {run: np.frombuffer(base64.b64decode(line["y"]["bdata"]), "<f8") for run, line in told.items()}
    kept = sum((value.min(), value.max()) == extremes[run] for run, value in drawn.items())
    if kept < len(runs) or len(drawn) < len(runs):
        raise AssertionError(f"the extremes of {len(runs) - kept} of {len(runs)} lines are lost")
    most = max(len(value) for value in drawn.values())
    say(f"extremes kept in {kept} of {len(runs)} lines of at most {most} points")
