"""Figures of one value a run: bars, points, boxes, importances."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from app.ui.charts.arrays import safe, shortened, typed
from app.ui.charts.layouts import MOST_NAMES, axis, layout
from services.core.times import iso
from services.tiles.columns import Column, distinct_colors
from services.tiles.readings import Bars, Boxes, Points, Shares

Figure = dict[str, Any]
# Told apart in light and dark, and by those who see no red or green.
SCALE = ((0.0, "#4457c8"), (0.25, "#2f8fc4"), (0.5, "#21a98c"), (0.75, "#8cc04a"), (1.0, "#f0c13b"))
MOST_TICKS = 24
LONGEST = 24
LARGEST, SMALLEST, PLAIN = 20.0, 6.0, 8.0
MOST_SHARES = 20
ACCENT = "#5b5bd6"
RULE = "rgba(128,128,140,0.9)"


def bars(found: Bars) -> tuple[Figure, str]:
    """Places of runs are numbers: two may have one name."""
    names = [safe(bar.name) for bar in found.bars]
    trace: Figure = {
        "type": "bar",
        "x": list(range(len(names))),
        "y": typed(np.array([bar.value for bar in found.bars])),
        "text": names,
        "textposition": "none",
        "customdata": [bar.run or f"{bar.count} runs" for bar in found.bars],
        "marker": {"color": [bar.color for bar in found.bars]},
        "hovertemplate": "%{text}<br>%{y:.6g}<extra></extra>",
    }
    if any(bar.spread is not None for bar in found.bars):
        trace["error_y"] = {
            "type": "data",
            "array": [bar.spread or 0.0 for bar in found.bars],
            "thickness": 1.2,
            "width": 4,
        }
        trace["hovertemplate"] = "%{text}<br>%{y:.6g} of %{customdata}<extra></extra>"
    shape = layout(y=found.label, bargap=0.25)
    shape["xaxis"] |= named([bar.name for bar in found.bars])
    return {"data": [trace], "layout": shape}, found.note


def points(found: Points) -> tuple[Figure, str]:
    """One trace, or one for each category of the colour."""
    names = np.array([safe(run.name) for run in found.runs], dtype=object)
    ids = np.array([run.id for run in found.runs], dtype=object)
    sizes = _sizes(found.size, len(found.runs))
    traces = []
    for name, places, color in _colored(found):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": safe(name),
                "x": typed(found.x.values[places]),
                "y": typed(found.y.values[places]),
                "text": names[places].tolist(),
                "customdata": ids[places].tolist(),
                "marker": {"size": sizes[places].tolist(), "opacity": 0.85, **color},
                "hovertemplate": _hover(found),
            }
        )
    notes = [found.note] if found.note else []
    if found.fit is not None:
        traces.append(_fit(found))
        notes.append(f"Regression line: R² = {found.fit.r2:.3g} over {len(found.runs)} runs.")
    shape = layout(legend=1 < len(traces) <= MOST_NAMES)
    shape["xaxis"], shape["yaxis"] = axis_of(found.x), axis_of(found.y)
    return {"data": traces, "layout": shape}, " ".join(notes)


def boxes(found: Boxes) -> tuple[Figure, str]:
    traces = [
        {
            "type": "box",
            "name": safe(f"{box.name} ({len(box.values)})"),
            "y": typed(box.values),
            "text": [safe(run.name) for run in box.runs],
            "boxpoints": "all" if len(box.values) <= 60 else "outliers",
            "jitter": 0.4,
            "pointpos": 0,
            "line": {"color": box.color, "width": 1.4},
            "marker": {"color": box.color, "size": 5, "opacity": 0.6},
            "hovertemplate": "%{text}<br>%{y:.6g}<extra></extra>",
        }
        for box in found.boxes
    ]
    return {"data": traces, "layout": layout(y=found.label)}, found.note


def shares(found: Shares) -> tuple[Figure, str]:
    """The most important on top."""
    shown = found.shares[:MOST_SHARES][::-1]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": typed(np.array([max(0.0, share.mean) for share in shown])),
        "y": list(range(len(shown))),
        "text": [safe(share.name) for share in shown],
        "textposition": "none",
        "marker": {"color": ACCENT},
        "error_x": {
            "type": "data",
            "array": [share.spread for share in shown],
            "thickness": 1,
            "width": 3,
            "color": RULE,
        },
        "hovertemplate": "%{text}<br>%{x:.3f}<extra></extra>",
    }
    shape = layout(x=f"importance for {found.target}", bargap=0.3)
    shape["xaxis"] |= {"rangemode": "tozero", "showgrid": True}
    shape["yaxis"] |= named([share.name for share in shown]) | {"showgrid": False}
    return {"data": [trace], "layout": shape}, _said(found)


def axis_of(one: Column) -> dict[str, Any]:
    """Powers of ten where these say more, dates, or the names of categories."""
    if one.kind == "category":
        return axis(one.label, **named(one.names))
    return axis(one.label, type="date") if one.kind == "time" else axis(one.label, log=one.is_log)


def named(names: Sequence[str]) -> dict[str, Any]:
    """Names at the places 0, 1, …, as far as there is room for them."""
    if len(names) > MOST_TICKS:
        return {"showticklabels": False, "range": [-0.7, len(names) - 0.3]}
    short = [safe(shortened(name, LONGEST)) for name in names]
    return {"tickvals": list(range(len(names))), "ticktext": short, "range": [-0.7, len(names) - 0.3]}


def _colored(found: Points) -> list[tuple[str, "np.ndarray[Any, np.dtype[np.intp]]", dict[str, Any]]]:
    """Parts with their names and what their markers are painted with."""
    every, by = np.arange(len(found.runs)), found.color
    if by is None:
        return [("Runs", every, {"color": [run.color for run in found.runs]})]
    if by.kind == "category":
        named = zip(by.names, distinct_colors(by.names), strict=True)
        parts = [(name, every[by.values == at], {"color": color}) for at, (name, color) in enumerate(named)]
        rest = every[np.isnan(by.values)]
        return [*parts, *([("—", rest, {"color": "#7d8794"})] if len(rest) else [])]
    painted = {"color": typed(by.scaled), "colorscale": [list(stop) for stop in SCALE], "showscale": True}
    return [("Runs", every, {**painted, "colorbar": colorbar(by)})]


def colorbar(by: Column) -> dict[str, Any]:
    """With values, also where the colours follow their powers of ten."""
    bar: dict[str, Any] = {"title": {"text": safe(by.label), "side": "right"}, "thickness": 10, "outlinewidth": 0}
    if by.is_log:
        at = np.linspace(np.nanmin(by.scaled), np.nanmax(by.scaled), 5)
        bar |= {"tickvals": at.tolist(), "ticktext": [f"{10**each:.2g}" for each in at]}
    elif by.kind == "time":
        at = np.linspace(np.nanmin(by.values), np.nanmax(by.values), 3)
        said = [str(iso(datetime.fromtimestamp(each / 1000, UTC)))[:16].replace("T", " ") for each in at]
        bar |= {"tickvals": at.tolist(), "ticktext": said}
    return bar


def _sizes(size: Column | None, count: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """By area, from the least to the greatest; what has none is small."""
    if size is None or not len(size.known):
        return np.full(count, PLAIN)
    values = size.scaled
    low, high = np.nanmin(values), np.nanmax(values)
    if low == high:
        return np.where(np.isfinite(values), PLAIN, SMALLEST)
    part = np.nan_to_num((values - low) / (high - low), nan=0.0)
    return np.asarray(np.sqrt(SMALLEST**2 + part * (LARGEST**2 - SMALLEST**2)))


def _hover(found: Points) -> str:
    x = "%{x}" if found.x.kind != "number" else "%{x:.6g}"
    y = "%{y}" if found.y.kind != "number" else "%{y:.6g}"
    return f"%{{text}}<br>{_literal(found.x.label)}: {x}<br>{_literal(found.y.label)}: {y}<extra></extra>"


def _literal(text: str) -> str:
    """In a template, where a brace begins a value."""
    return safe(text).replace("%{", "% {")


def _fit(found: Points) -> Figure:
    assert found.fit is not None  # noqa: S101 (the caller asked)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Regression line",
        "x": list(found.fit.x),
        "y": list(found.fit.y),
        "line": {"color": RULE, "width": 1.4, "dash": "dash"},
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _said(found: Shares) -> str:
    trust = "" if found.r2 >= 0.3 else " That is little: do not rely on it."
    more = [f"The first {MOST_SHARES} of {len(found.shares)}."] if len(found.shares) > MOST_SHARES else []
    said = f"Permutation importance of a random forest over {found.count} runs; R² out of bag {found.r2:.2f}.{trust}"
    return " ".join([said, *found.notes, *more])
