"""Lines: metrics over the course of runs, smoothed before they are thinned, and what groups of runs have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sqlmodel import col, func, select

from services import runs as nouns
from services.runs import RunLine
from services.specs.run_fields import field
from services.specs.tiles import Line
from services.store import downsampling
from services.store import metrics as store
from services.store.columns import ROLLED, Series
from services.store.metrics import Metric
from services.studio import Scope
from services.tiles.columns import Group, column, groups
from services.tiles.readings import Curve, Curves, Mark, Nothing
from services.tiles.smoothing import drawable, smoothed

Values = npt.NDArray[np.float64]
MOST_POINTS = 2000
FEWEST_POINTS = 200
# Of a whole chart: what a browser draws without a pause.
POINTS = 120_000
# What is read at full length, to be smoothed or paired; longer histories are taken from their roll-ups.
WHOLE = 4_000_000
GRID = 300
MOST_LINES = 400
# Where more lines are, only the best point of all is marked.
MARKED_EACH = 12


@dataclass(frozen=True)
class _Reader:
    """The histories of one tile: `most` points are drawn of each, `budget` read (None is all)."""

    scope: Scope
    tile: Line
    runs: Sequence[RunLine]
    numbers: Mapping[str, int]
    most: int
    budget: int | None


def curves(scope: Scope, tile: Line, runs: Sequence[RunLine]) -> Curves | Nothing:
    """A line for each run and metric that has points, or one for each group and metric."""
    numbers = store.key_ids(scope.session, [*tile.metrics, *([tile.x_metric] if tile.x_metric else [])])
    metrics = [name for name in dict.fromkeys(tile.metrics) if name in numbers]
    notes = []
    if len(metrics) * len(runs) > MOST_LINES and not tile.group_by:
        runs = runs[: max(1, MOST_LINES // len(metrics))]
        notes.append(f"The first {len(runs)} runs are drawn: {MOST_LINES} lines are the most.")
    held = counted(scope, [numbers[name] for name in metrics], runs)
    most = points(len(metrics) * len(runs))
    budget = most if tile.smoothing == "none" and tile.x != "metric" and not tile.group_by else None
    if budget is None and held > WHOLE:
        budget = ROLLED
        notes.append(f"Of long histories {ROLLED:,} points are taken, their extremes among them.")
    if thinned := scope.studio.history.thinned([run.run_id for run in runs]):
        notes.append(f"Archived runs keep {ROLLED:,} points of a long history; here there are {len(thinned)} such.")
    lines = _lines(_Reader(scope, tile, runs, numbers, most, budget), metrics)
    if not lines:
        return Nothing(_missing(tile))
    if tile.group_by:
        drawn = _grouped(tile, lines, _groups(tile, runs), [run.id for run in runs])
    else:
        drawn = [_thinned(tile, line, most) for line in lines]
    marks = _marks(drawn, nouns.directions(scope, metrics)) if tile.mark_best else []
    x = tile.x_metric if tile.x == "metric" else tile.x
    return Curves(drawn, x, metrics[0] if len(metrics) == 1 else "", marks, notes)


def points(lines: int) -> int:
    """How many for each of so many lines."""
    return max(FEWEST_POINTS, min(MOST_POINTS, POINTS // max(1, lines)))


def _missing(tile: Line) -> str:
    named = " or ".join(f"'{each}'" for each in tile.metrics)
    if tile.x == "metric":
        return f"None of the shown runs logged {named} at steps at which it logged '{tile.x_metric}'."
    return f"None of the shown runs logged {named}."


def counted(scope: Scope, keys: Sequence[int], runs: Sequence[RunLine]) -> int:
    """How many points of these keys the runs logged."""
    if not keys or not runs:
        return 0
    total = select(func.sum(Metric.n)).where(
        col(Metric.key_id).in_(keys), col(Metric.run_id).in_([run.run_id for run in runs])
    )
    return int(scope.session.exec(total).one() or 0)


def _lines(reader: _Reader, metrics: Sequence[str]) -> list[Curve]:
    """As they were logged, whatever is drawn of them."""
    ids = [run.run_id for run in reader.runs]
    along: dict[str, Series] = {}
    chart = reader.scope.studio.history.chart
    if reader.tile.x == "metric" and reader.tile.x_metric in reader.numbers:
        along = chart(reader.numbers[reader.tile.x_metric], ids, max_points=reader.budget)
    found = []
    for metric in metrics:
        series = chart(reader.numbers[metric], ids, max_points=reader.budget)
        for run in reader.runs:
            x, y = _placed(reader, series[run.run_id], run, along.get(run.run_id))
            if len(y):
                found.append(Curve(run.name, metric, run.color, drawable(x), drawable(y), run.id))
    return found


def _placed(reader: _Reader, series: Series, run: RunLine, along: Series | None) -> tuple[Values, Values]:
    """x and y of a line, in the order of x where that is time."""
    match reader.tile.x:
        case "step":
            return series.step.astype(np.float64), series.value
        case "metric":
            return _paired(series, along, exact=reader.budget is None)
        case _:
            order = np.argsort(series.time, kind="stable")
            time = series.time[order].astype(np.float64)
            return (time if reader.tile.x == "time" else since(time, run)), series.value[order]


def since(time: Values, run: RunLine) -> Values:
    """Seconds after the run began; what was logged with earlier times says when that was."""
    if not len(time):
        return time
    began = run.started or run.created
    return np.asarray((time - (min(time[0], began.timestamp() * 1000) if began else time[0])) / 1000)


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


def _groups(tile: Line, runs: Sequence[RunLine]) -> list[Group]:
    return groups([column(field(text), runs) for text in tile.group_by], len(runs))


def _grouped(tile: Line, lines: Sequence[Curve], found: Sequence[Group], ids: Sequence[str]) -> list[Curve]:
    means = []
    for metric in dict.fromkeys(line.metric for line in lines):
        for group in found:
            members = {ids[place] for place in group.places}
            own = [line for line in lines if line.metric == metric and line.run in members]
            if own:
                means.append(_mean(tile, metric, group, own))
    return means


def _mean(tile: Line, metric: str, group: Group, lines: Sequence[Curve]) -> Curve:
    """The mean over the runs that are there at each x; the range also knows what lies between two of its places."""
    grid = _grid([line.x for line in lines])
    smooth = [replace(line, y=smoothed(line.y, tile.smoothing, tile.weight)) for line in lines]
    every = np.stack([_along(grid, line.x, line.y) for line in smooth])
    there = np.isfinite(every)
    count = there.sum(axis=0)
    grid, every, there, count = grid[count > 0], every[:, count > 0], there[:, count > 0], count[count > 0]
    mean = np.where(there, every, 0).sum(axis=0) / count
    low = high = None
    if tile.band == "std":
        spread = np.sqrt(np.where(there, (every - mean) ** 2, 0).sum(axis=0) / count)
        low, high = mean - spread, mean + spread
    elif tile.band == "range":
        low, high = _range(grid, every, smooth)
    name = f"{group.name} ({len(lines)})"
    return Curve(name, metric, group.color, grid, mean, low=low, high=high)


def _grid(xs: Sequence[Values]) -> Values:
    """All places of x where these are few, else evenly spaced ones."""
    every = np.unique(np.concatenate([x[np.isfinite(x)] for x in xs]))
    return every if len(every) <= GRID else np.linspace(every[0], every[-1], GRID)


def _along(grid: Values, x: Values, y: Values) -> Values:
    """Between its first and its last point; gaps are bridged."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if not len(x):
        return np.full(len(grid), np.nan)
    order = np.argsort(x, kind="stable")
    return np.interp(grid, x[order], y[order], left=np.nan, right=np.nan)


def _range(grid: Values, every: Values, lines: Sequence[Curve]) -> tuple[Values, Values]:
    low, high = np.nanmin(every, axis=0), np.nanmax(every, axis=0)
    for line in lines:
        finite = np.isfinite(line.x) & np.isfinite(line.y)
        nearest = np.clip(np.searchsorted(grid, line.x[finite]), 0, len(grid) - 1)
        np.minimum.at(low, nearest, line.y[finite])
        np.maximum.at(high, nearest, line.y[finite])
    return low, high


def _marks(lines: Sequence[Curve], higher: Mapping[str, bool]) -> list[Mark]:
    """The best point of each line, or of each metric where lines are many."""
    found = [mark for line in lines if (mark := _best(line, higher[line.metric])) is not None]
    if len(found) <= MARKED_EACH:
        return found
    return [
        max(mine, key=lambda mark: mark.y if higher[metric] else -mark.y)
        for metric in dict.fromkeys(mark.curve.metric for mark in found)
        if (mine := [mark for mark in found if mark.curve.metric == metric])
    ]


def _best(line: Curve, is_higher_better: bool) -> Mark | None:
    x, y = line.raw or (line.x, line.y)
    finite = np.isfinite(y)
    if not finite.any():
        return None
    worst = -np.inf if is_higher_better else np.inf
    at = int((np.argmax if is_higher_better else np.argmin)(np.where(finite, y, worst)))
    return Mark(line, float(x[at]), float(y[at]))
