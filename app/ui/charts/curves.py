"""Lines of runs as a figure: the smoothed over the raw, bands of groups, one dash a metric."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.ui.charts.arrays import Array, faint, safe, typed
from app.ui.charts.layouts import MOST_NAMES, axis, layout
from services.specs.tiles import Line, Resource
from services.tiles.readings import Curve, Curves, Mark

Trace = dict[str, Any]
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
# Seconds in what stands at the axis of relative time, from how many on.
UNITS = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
OUTER, FAR = 5.0, 1.5


def lines(tile: Line, found: Curves) -> tuple[dict[str, Any], str]:
    """The figure, and what is to be said below it."""
    scale, unit = _unit(found)
    dashes = _dashes(tile.metrics)
    traces = [trace for curve in found.lines for trace in _traces(curve, scale, dashes, is_one=len(dashes) == 1)]
    traces += [_mark(mark, scale) for mark in found.marks]
    notes = list(found.notes)
    shape = layout(x=unit, y=found.y, legend=1 < len(found.lines) <= MOST_NAMES)
    shape["xaxis"] |= _x_axis(tile)
    if tile.log_y:
        shape["yaxis"] = axis(found.y, log=True)
        if any(np.any(curve.y <= 0) for curve in found.lines):
            notes.append("Values of 0 and below have no place on a logarithmic axis.")
    if tile.ignore_outliers and (span := _inner(found, is_log=tile.log_y)) is not None:
        shape["yaxis"] |= {"range": list(span[:2])}
        notes.append(f"Points far out lie beyond the axis: {span[2]:,}.")
    return {"data": traces, "layout": shape}, " ".join(notes)


def resources(tile: Resource, found: Curves) -> tuple[dict[str, Any], str]:
    """From nought, because the whole of a machine is what counts."""
    scale, unit = _unit(found)
    dashes = {
        name: DASHES[at % len(DASHES)] for at, name in enumerate(dict.fromkeys(each.metric for each in found.lines))
    }
    traces = [trace for curve in found.lines for trace in _traces(curve, scale, dashes, is_one=True)]
    shape = layout(x=unit, y=found.y, legend=1 < len(found.lines) <= MOST_NAMES)
    shape["yaxis"] |= {"rangemode": "tozero"}
    return {"data": traces, "layout": shape}, " ".join(found.notes)


def _dashes(metrics: Sequence[str]) -> dict[str, str]:
    return {metric: DASHES[at % len(DASHES)] for at, metric in enumerate(dict.fromkeys(metrics))}


def _traces(curve: Curve, scale: float, dashes: Mapping[str, str], *, is_one: bool) -> list[Trace]:
    """A band, the raw line and the line itself, as far as there are any."""
    name = safe(curve.name if is_one else f"{curve.name} · {curve.metric}")
    base: Trace = {"type": "scatter", "name": name, "legendgroup": name}
    if curve.run:
        base["meta"] = {"run": curve.run}
    line = {"width": 1.6, "color": curve.color, "dash": dashes[curve.metric]}
    quiet = {"mode": "lines", "showlegend": False, "hoverinfo": "skip"}
    found = []
    if curve.low is not None and curve.high is not None:
        found.append(base | quiet | _band(curve, scale))
    if curve.raw is not None:
        found.append(base | quiet | _points(*curve.raw, scale) | {"opacity": 0.25, "line": line | {"width": 1}})
    shown = {
        "mode": "lines+markers" if len(curve.y) == 1 else "lines",
        "marker": {"size": 6, "color": curve.color},
        "hovertemplate": "%{y:.6g}<extra>%{fullData.name}</extra>",
    }
    return [*found, base | shown | _points(curve.x, curve.y, scale) | {"line": line}]


def _points(x: Array, y: Array, scale: float) -> Trace:
    return {"x": typed(x / scale if scale != 1 else x), "y": typed(y)}


def _band(curve: Curve, scale: float) -> Trace:
    """There along the upper edge, back along the lower."""
    assert curve.low is not None and curve.high is not None  # noqa: S101, PT018 (the caller asked)
    there = np.isfinite(curve.low) & np.isfinite(curve.high)
    x = np.concatenate([curve.x[there], curve.x[there][::-1]])
    y = np.concatenate([curve.high[there], curve.low[there][::-1]])
    return _points(x, y, scale) | {"fill": "toself", "fillcolor": faint(curve.color, 0.15), "line": {"width": 0}}


def _mark(mark: Mark, scale: float) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": safe(f"{mark.curve.name}: best"),
        "x": [mark.x / scale],
        "y": [mark.y],
        "showlegend": False,
        "marker": {"symbol": "star", "size": 11, "color": mark.curve.color, "line": {"width": 1, "color": "white"}},
        "hovertemplate": "best %{y:.6g}<extra>%{fullData.name}</extra>",
        **({"meta": {"run": mark.curve.run}} if mark.curve.run else {}),
    }


def _unit(found: Curves) -> tuple[float, str]:
    """What x is divided by, and what stands at the axis."""
    if found.x == "relative":
        longest = max((float(curve.x[-1]) for curve in found.lines if len(curve.x)), default=0.0)
        return next((scale, unit) for least, scale, unit in UNITS if longest >= least)
    return 1.0, "" if found.x == "time" else found.x


def _x_axis(tile: Line) -> dict[str, Any]:
    if tile.x == "time":
        return {"type": "date"}
    return {"type": "log"} if tile.log_x else {"type": "linear", **({"tickformat": "~s"} if tile.x == "step" else {})}


def _inner(found: Curves, *, is_log: bool) -> tuple[float, float, int] | None:
    """The range of what is not far out, in powers of ten on a log axis, and how many points are; None where none is.

    Far out is what lies farther from the middle nine tenths than these are wide, and half as much again.
    """
    parts = [curve.y[np.isfinite(curve.y)] for curve in found.lines]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = np.log10(values[values > 0]) if is_log else values
    if not len(values):
        return None
    low, high = np.percentile(values, [OUTER, 100 - OUTER])
    inside = values[(values >= low - FAR * (high - low)) & (values <= high + FAR * (high - low))]
    if len(inside) == len(values):
        return None
    room = np.ptp(inside) * 0.05 or max(abs(high), 1.0) * 0.05
    return float(inside.min() - room), float(inside.max() + room), len(values) - len(inside)
