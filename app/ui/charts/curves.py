"""Lines of runs as a figure: the smoothed over the raw, bands of groups, one dash a metric."""

from typing import Any

import numpy as np

from app.ui.charts.arrays import Array, faint, safe, typed
from app.ui.charts.layouts import MOST_NAMES, axis, layout
from services.specs.tiles import Line
from services.tiles import Curve, Curves

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
# Seconds in what stands at the axis of relative time.
UNITS = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
OUTLIERS = 1.0


def figure(tile: Line, found: Curves) -> tuple[dict[str, Any], str]:
    """The figure, and what is to be said below it."""
    scale, unit = _unit(tile, found)
    dashes = {metric: DASHES[at % len(DASHES)] for at, metric in enumerate(dict.fromkeys(tile.metrics))}
    traces: list[dict[str, Any]] = []
    for curve in found.lines:
        traces += _traces(tile, curve, scale, dashes[curve.metric])
    notes = list(found.notes)
    legend = 1 < len(found.lines) <= MOST_NAMES
    shape = layout(x=unit, y=tile.metrics[0] if len(tile.metrics) == 1 else "", legend=legend)
    shape["xaxis"] |= _x_axis(tile)
    if tile.log_y:
        shape["yaxis"] = axis(shape["yaxis"]["title"]["text"], log=True)
    if tile.ignore_outliers and (span := _inner(tile, found)) is not None:
        shape["yaxis"] |= {"range": span}
        notes.append(f"The axis leaves out the {OUTLIERS:g} % of values at either end.")
    return {"data": traces, "layout": shape}, " ".join(notes)


def _traces(tile: Line, curve: Curve, scale: float, dash: str) -> list[dict[str, Any]]:
    name = curve.name if len(tile.metrics) == 1 else f"{curve.name} · {curve.metric}"
    base: dict[str, Any] = {"type": "scatter", "name": safe(name), "legendgroup": safe(name)}
    if curve.run:
        base["meta"] = {"run": curve.run}
    line = {"width": 1.6, "color": curve.color, "dash": dash}
    found = []
    if curve.low is not None and curve.high is not None:
        found.append(_band(base, curve, scale))
    if curve.raw is not None:
        quiet = {"mode": "lines", "opacity": 0.25, "showlegend": False, "hoverinfo": "skip"}
        found.append(base | quiet | _points(*curve.raw, scale) | {"line": line | {"width": 1}})
    shown = {
        "mode": "lines+markers" if len(curve.y) == 1 else "lines",
        "marker": {"size": 6, "color": curve.color},
        "hovertemplate": "%{y:.6g}<extra>%{fullData.name}</extra>",
    }
    found.append(base | shown | _points(curve.x, curve.y, scale) | {"line": line})
    return found


def _points(x: Array, y: Array, scale: float) -> dict[str, Any]:
    return {"x": typed(x / scale if scale != 1 else x), "y": typed(y)}


def _band(base: dict[str, Any], curve: Curve, scale: float) -> dict[str, Any]:
    """There along the upper edge, back along the lower."""
    assert curve.low is not None and curve.high is not None  # noqa: S101, PT018 (asked right before)
    there = np.isfinite(curve.low) & np.isfinite(curve.high)
    x = np.concatenate([curve.x[there], curve.x[there][::-1]])
    y = np.concatenate([curve.high[there], curve.low[there][::-1]])
    filled = {"mode": "lines", "fill": "toself", "fillcolor": faint(curve.color, 0.15), "line": {"width": 0}}
    return base | _points(x, y, scale) | filled | {"showlegend": False, "hoverinfo": "skip"}


def _unit(tile: Line, found: Curves) -> tuple[float, str]:
    """What x is divided by, and what stands at the axis."""
    if tile.x == "relative":
        longest = max((float(curve.x[-1]) for curve in found.lines), default=0.0)
        return next((scale, unit) for least, scale, unit in UNITS if longest >= least)
    return 1.0, {"step": "step", "time": "", "metric": tile.x_metric}[tile.x]


def _x_axis(tile: Line) -> dict[str, Any]:
    if tile.x == "time":
        return {"type": "date"}
    return {"type": "log"} if tile.log_x else {"type": "linear", "tickformat": "~s" if tile.x == "step" else ""}


def _inner(tile: Line, found: Curves) -> list[float] | None:
    """The range of what is not far out, with a little room; in powers of ten on a log axis."""
    parts = [curve.y[np.isfinite(curve.y)] for curve in found.lines]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[values > 0] if tile.log_y else values
    if not len(values):
        return None
    low, high = np.percentile(np.log10(values) if tile.log_y else values, [OUTLIERS, 100 - OUTLIERS])
    room = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    return [float(low - room), float(high + room)]
