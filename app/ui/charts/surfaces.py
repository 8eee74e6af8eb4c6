"""Figures of a value over two others: contours, maps, and how a metric is spread as it goes."""

from typing import Any

import numpy as np

from app.ui.charts.arrays import Array, safe, typed
from app.ui.charts.columns import SCALE, axis_of, named
from app.ui.charts.layouts import axis, layout
from services.tiles.readings import Density, Surface

Figure = dict[str, Any]
_STOPS = [list(stop) for stop in SCALE]
# From nothing to much: what is empty is not painted.
_SHARES = [[0.0, "rgba(91,91,214,0)"], [0.02, "rgba(91,91,214,0.12)"], [1.0, "rgba(91,91,214,1)"]]


_THIN = {"width": 0.5, "color": "rgba(255,255,255,0.45)"}


def surface(found: Surface) -> tuple[Figure, str]:
    """Dots are runs."""
    base: Figure = {
        "x": typed(found.at_x),
        "y": typed(found.at_y),
        "z": matrix(found.values),
        "colorscale": _STOPS,
        "colorbar": {"title": {"text": safe(found.z.label), "side": "right"}, "thickness": 10, "outlinewidth": 0},
        "name": safe(found.z.label),
        "showlegend": False,
    }
    shape = layout()
    if found.is_map:
        cells = {"type": "heatmap", "hovertemplate": "%{z:.6g}<extra></extra>", "xgap": 2, "ygap": 2}
        pairs = ((found.x, found.x_names), (found.y, found.y_names))
        shape["xaxis"], shape["yaxis"] = (axis(one.label, **named(names), showgrid=False) for one, names in pairs)
        return {"data": [base | cells], "layout": shape}, found.note
    lines = {
        "type": "contour",
        "contours": {"coloring": "heatmap", "showlines": False},
        "hoverinfo": "skip",
        "connectgaps": False,
    }
    shape["xaxis"], shape["yaxis"] = axis_of(found.x), axis_of(found.y)
    return {"data": [base | lines, _runs(found)], "layout": shape}, found.note


def density(found: Density) -> tuple[Figure, str]:
    """Each column by its own share, so that those with few points are seen as well."""
    total = found.counts.sum(axis=0, keepdims=True)
    trace = {
        "type": "heatmap",
        "x": typed((found.steps[1:] + found.steps[:-1]) / 2),
        "y": typed((found.edges[1:] + found.edges[:-1]) / 2),
        "z": matrix(found.counts / np.maximum(total, 1)),
        "customdata": matrix(found.counts),
        "colorscale": _SHARES,
        "zmin": 0,
        "showscale": False,
        "name": safe(found.metric),
        "hovertemplate": "step %{x:.0f}<br>about %{y:.4g}: %{customdata:.0f} points<extra></extra>",
    }
    return {"data": [trace], "layout": layout(x="step", y=found.metric)}, found.note


def matrix(values: Array) -> dict[str, str]:
    """Row by row."""
    return {**typed(values.reshape(-1)), "shape": f"{values.shape[0]}, {values.shape[1]}"}


def _runs(found: Surface) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Runs",
        "x": typed(found.x.values),
        "y": typed(found.y.values),
        "text": [safe(f"{run.name}: {said}") for run, said in zip(found.runs, found.z.texts, strict=True)],
        "customdata": [run.id for run in found.runs],
        "marker": {"size": 6, "color": "white", "line": {"width": 1, "color": "#333"}},
        "showlegend": False,
        "hovertemplate": "%{text}<extra></extra>",
    }
