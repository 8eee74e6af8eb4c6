"""Lines: metrics over the course of runs, smoothed before they are thinned, and what groups of runs have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from sqlmodel import col, func, select

from services.specs.tiles import Line
from services.store import downsampling
from services.store import metrics as store
from services.store.columns import ROLLED, Series
from services.store.metrics import Metric
from services.studio import Scope
from services.tiles.selection import Shown
from services.tiles.smoothing import smoothed

Values = npt.NDArray[np.float64]
MOST_POINTS = 2000
FEWEST_POINTS = 200
# Of a whole chart: what a browser draws without a pause.
POINTS = 120_000
# What is read at full length, to be smoothed or paired; longer histories are taken from their roll-ups.
WHOLE = 4_000_000


@dataclass(frozen=True)
class Curve:
    """One line: equally long `x` and `y`; `run` is empty for a group's mean, which may have a band.

    `raw` is the line before it was smoothed; `time` is in milliseconds, `relative` in seconds.
    """

    name: str
    metric: str
    color: str
    x: Values
    y: Values
    run: str = ""
    raw: tuple[Values, Values] | None = None
    low: Values | None = None
    high: Values | None = None


@dataclass(frozen=True)
class Curves:
    """All lines of a tile, and sentences about what is not seen."""

    lines: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def points(lines: int) -> int:
    """How many for each of so many lines."""
    return max(FEWEST_POINTS, min(MOST_POINTS, POINTS // max(1, lines)))


def curves(scope: Scope, tile: Line, runs: Sequence[Shown]) -> Curves:
    """A line for each run and metric that has points."""
    numbers = store.key_ids(scope.session, [*tile.metrics, *([tile.x_metric] if tile.x_metric else [])])
    metrics = [name for name in dict.fromkeys(tile.metrics) if name in numbers]
    held = _counted(scope, [numbers[name] for name in metrics], runs)
    most = points(len(metrics) * len(runs))
    is_whole = tile.smoothing == "none" and tile.x != "metric"
    budget = most if is_whole else (None if held <= WHOLE else ROLLED)
    along = _abscissa(scope, tile, runs, numbers, budget)
    found = Curves()
    if budget == ROLLED and held > WHOLE:
        found.notes.append(f"Long histories are smoothed over {ROLLED:,} points of each.")
    for metric in metrics:
        drawn = scope.studio.history.chart(numbers[metric], [run.run_id for run in runs], max_points=budget)
        for run in runs:
            x, y = _placed(tile, drawn[run.run_id], run, along.get(run.run_id), exact=budget is None)
            if len(y):
                found.lines.append(_thinned(tile, Curve(run.label, metric, run.color, x, y, run.id), most))
    return found


def _counted(scope: Scope, keys: Sequence[int], runs: Sequence[Shown]) -> int:
    if not keys or not runs:
        return 0
    total = select(func.sum(Metric.n)).where(
        col(Metric.key_id).in_(keys), col(Metric.run_id).in_([run.run_id for run in runs])
    )
    return int(scope.session.exec(total).one() or 0)


def _abscissa(
    scope: Scope, tile: Line, runs: Sequence[Shown], numbers: Mapping[str, int], budget: int | None
) -> dict[str, Series]:
    """The other metric that is the x axis."""
    if tile.x != "metric" or tile.x_metric not in numbers:
        return {}
    return scope.studio.history.chart(numbers[tile.x_metric], [run.run_id for run in runs], max_points=budget)


def _placed(tile: Line, series: Series, run: Shown, along: Series | None, *, exact: bool) -> tuple[Values, Values]:
    """x and y of a line, in the order of x where that is time."""
    match tile.x:
        case "step":
            return series.step.astype(np.float64), series.value
        case "metric":
            return _paired(series, along, exact=exact)
        case _:
            order = np.argsort(series.time, kind="stable")
            time = series.time[order].astype(np.float64)
            return (time if tile.x == "time" else _since(time, run)), series.value[order]


def _since(time: Values, run: Shown) -> Values:
    """Seconds after the run began; what was logged with earlier times says when that was."""
    if not len(time):
        return time
    began = min(time[0], run.run.start_time or time[0])
    return np.asarray((time - began) / 1000)


def _paired(series: Series, along: Series | None, *, exact: bool) -> tuple[Values, Values]:
    """Values of the same step, the latest of several; of thinned histories the latest before."""
    if along is None or not len(along) or not len(series):
        return np.empty(0), np.empty(0)
    at = np.searchsorted(along.step, series.step, side="right") - 1
    both = (at >= 0) & ((not exact) | (along.step[np.maximum(at, 0)] == series.step))
    return along.value[at[both]], series.value[both]


def _thinned(tile: Line, curve: Curve, most: int) -> Curve:
    """At most so many points; the smoothed line is thinned by its own extremes, the raw one by its own."""
    few = downsampling.kept(curve.y, most)
    raw = curve.x[few], curve.y[few]
    soft = smoothed(curve.y, tile.smoothing, tile.weight)
    if soft is curve.y:
        return replace(curve, x=raw[0], y=raw[1])
    few = downsampling.kept(soft, most)
    return replace(curve, x=curve.x[few], y=soft[few], raw=raw)
