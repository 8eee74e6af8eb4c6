"""Charts are functions: arrays in, a plain Plotly figure out, numbers as typed base64 arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.ui.charts.arrays import Array, faint, safe, typed
from services.tiles.smoothing import smoothed

Figure = dict[str, Any]
PALETTE = ("#5b5bd6", "#e5734a", "#1f9d8b", "#c2478f", "#3e8fd6", "#b08a1e", "#7c6bd9", "#5f9e3f", "#d1495b", "#5c6b7a")


@dataclass(frozen=True)
class Series:
    """One line: equally long `x` and `y`; `color` keeps a run's colour the same in all charts."""

    name: str
    x: Array
    y: Array
    color: str = ""


def lines(
    series: Sequence[Series], *, title: str = "", smoothing: float = 0.0, x: str = "step", height: int = 240
) -> Figure:
    """One line a series; smoothed ones show the raw line faintly behind. `x` is step, time or seconds."""
    traces: list[dict[str, Any]] = []
    for place, each in enumerate(series):
        color = each.color or PALETTE[place % len(PALETTE)]
        if smoothing > 0 and len(each.y) > 2:
            traces.append(_trace(each, each.y, color, opacity=0.25, hover=False))
            traces.append(_trace(each, smoothed(each.y, "ema", smoothing), color))
        else:
            traces.append(_trace(each, each.y, color))
    return {"data": traces, "layout": _layout(title, height, x, legend=len(series) > 1)}


def areas(series: Sequence[Series], *, title: str = "", height: int = 200, unit: str = "") -> Figure:
    """Filled lines over time, for what a machine did."""
    figure = lines(series, title=title, x="time", height=height)
    for trace in figure["data"]:
        trace |= {"fill": "tozeroy", "fillcolor": faint(trace["line"]["color"])}
    figure["layout"]["yaxis"] |= {"rangemode": "tozero", "ticksuffix": unit}
    figure["layout"]["legend"] |= {"y": 1.16, "x": 1, "xanchor": "right"}
    figure["layout"]["margin"] |= {"b": 36}
    return figure


def _trace(series: Series, y: Array, color: str, *, opacity: float = 1.0, hover: bool = True) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(y) == 1 else "lines",
        "name": safe(series.name),
        "x": typed(series.x),
        "y": typed(y),
        "line": {"width": 1.6, "color": color},
        "marker": {"size": 6},
        "opacity": opacity,
        "showlegend": hover,
        "hoverinfo": "all" if hover else "skip",
        "hovertemplate": "%{y:.6g}" if hover else None,
    }


def _layout(title: str, height: int, x: str, *, legend: bool) -> dict[str, Any]:
    grid = {"gridcolor": "rgba(128,128,140,0.16)", "zeroline": False, "linecolor": "rgba(128,128,140,0.3)", "ticks": ""}
    return {
        "title": {"text": safe(title), "font": {"size": 12.5}, "x": 0.01, "y": 0.97, "yanchor": "top"},
        "height": height,
        "margin": {"l": 44, "r": 10, "t": 34 if title else 10, "b": 30 if not legend else 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 11},
        "hovermode": "x unified",
        "showlegend": legend,
        "legend": {"orientation": "h", "y": -0.16, "yanchor": "top", "x": 0, "font": {"size": 11}},
        "xaxis": {
            **grid,
            "type": "date" if x == "time" else "linear",
            "showgrid": False,
            "tickformat": "" if x == "time" else "~s",
        },
        "yaxis": {**grid, "automargin": True, "nticks": 6},
        "uirevision": title or "chart",
    }
