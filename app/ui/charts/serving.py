"""How an endpoint is used, over time: requests, latencies, errors, load, bodies, and what its replicas use."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.ui.charts.arrays import Array, faint, safe, typed
from app.ui.charts.layouts import axis, layout
from services.store.request_rolls import Series
from services.store.requests import Sample

Figure = dict[str, Any]
TONES = {
    "blue": "#3b82d6",
    "green": "#2f9e68",
    "orange": "#dd7d2a",
    "violet": "#8570dc",
    "teal": "#1a9ba5",
    "pink": "#c9508f",
    "gray": "#85858f",
}
PERCENTILES = {"p50": "#9db8dd", "p90": "#5c93d6", "p95": "#2f6fd0", "p99": "#7a4fc4"}
ERRORS = {"5xx": "#d63d42", "424": "#e07b39", "408": "#c9a227", "429": "#8570dc"}
WHOLE = "#5c5ccf"


def rates(of: Mapping[str, Series], colors: Mapping[str, str]) -> Figure:
    """Requests a minute, a line each."""
    lines = [
        _line(name, each, each.requests * (60 / each.step), colors[name], filled=True) for name, each in of.items()
    ]
    return _figure(lines, y="requests / min")


def percentiles(of: Series) -> Figure:
    """How long answers took, in milliseconds."""
    lines = [_line(name.upper(), of, getattr(of, name), color) for name, color in PERCENTILES.items()]
    return _figure(lines, y="ms")


def slow(of: Mapping[str, Series], colors: Mapping[str, str]) -> Figure:
    """The P95 of each, beside each other."""
    return _figure([_line(name, each, each.p95, colors[name]) for name, each in of.items()], y="ms")


def errors(of: Series) -> Figure:
    """How many of each kind, on top of each other."""
    bars = [
        _base(kind, of)
        | {
            "type": "bar",
            "y": typed(of.classes[kind].astype(float)),
            "width": of.step * 1000,
            "marker": {"color": color, "line": {"width": 0}},
            "hovertemplate": "%{y} answers<extra>%{fullData.name}</extra>",
        }
        for kind, color in ERRORS.items()
    ]
    return _figure(bars, y="answers", barmode="stack")


def load(of: Mapping[str, Series], colors: Mapping[str, str]) -> Figure:
    """The most that was in flight and that waited, at any moment of a step."""
    lines = []
    for name, each in of.items():
        lines.append(_line(name, each, each.max_in_flight, colors[name]))
        lines.append(_line(f"{name} queued", each, each.max_queued, colors[name], dash="dot"))
    return _figure(lines, y="requests")


def payload(of: Series) -> Figure:
    """Bytes of bodies a second, there and back."""
    there = _line("Requests", of, of.bytes_in / of.step, TONES["teal"], filled=True)
    back = _line("Answers", of, of.bytes_out / of.step, TONES["violet"], filled=True)
    figure = _figure([there, back], y="bytes / s")
    figure["layout"]["yaxis"] |= {"tickformat": "~s"}
    return figure


def processors(replicas: Iterable[tuple[str, str, Sequence[Sample]]], cpus: float) -> Figure:
    """Percent of the `cpus` that an instance has. `replicas` are names, colours and what each used."""
    figure = _figure(
        [_used(name, color, found, [each.cpu / cpus for each in found]) for name, color, found in replicas], y="%"
    )
    figure["layout"]["yaxis"] |= {"ticksuffix": " %"}
    return figure


def memory(replicas: Iterable[tuple[str, str, Sequence[Sample]]], most: int) -> Figure:
    """Percent of what an instance may use; `most` bytes where a sample names no limit."""
    figure = _figure(
        [
            _used(name, color, found, [100 * each.memory / (each.limit or most) for each in found])
            for name, color, found in replicas
        ],
        y="%",
    )
    figure["layout"]["yaxis"] |= {"ticksuffix": " %"}
    return figure


def _figure(traces: Sequence[Figure], *, y: str, **more: Any) -> Figure:
    shape = layout(hovermode="x unified", margin={"l": 46, "r": 12, "t": 8, "b": 18}, **more)
    shape["xaxis"] |= {"type": "date"}
    shape["yaxis"] = axis(y, nticks=5, rangemode="tozero")
    return {"data": list(traces), "layout": shape}


def _base(name: str, of: Series) -> Figure:
    """Its steps follow each other without a gap, so that the first one and their length say all of them."""
    first = int(of.at[0]) * 1000 if len(of.at) else 0
    return {"name": safe(name), "x0": first, "dx": of.step * 1000}


def _line(name: str, of: Series, values: Any, color: str, *, dash: str = "solid", filled: bool = False) -> Figure:
    """Between answers the line goes on: nothing was measured, not nothing took time."""
    y: Array = np.asarray(values, dtype=np.float64)
    alone = np.isfinite(y).sum() == 1
    return _base(name, of) | {
        "type": "scatter",
        "mode": "lines+markers" if alone else "lines",
        "connectgaps": True,
        "y": typed(y),
        "line": {"width": 1.6, "color": color, "dash": dash},
        "marker": {"size": 5, "color": color},
        "hovertemplate": "%{y:.4~s}<extra>%{fullData.name}</extra>",
        **({"fill": "tozeroy", "fillcolor": faint(color, 0.06)} if filled else {}),
    }


def _used(name: str, color: str, found: Sequence[Sample], values: Sequence[float]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines" if len(found) > 1 else "markers",
        "name": safe(name),
        "x": typed(np.array([round(each.at * 1000) for each in found], dtype=np.float64)),
        "y": typed(np.array(values, dtype=np.float64)),
        "line": {"width": 1.6, "color": color},
        "marker": {"size": 5, "color": color},
        "hovertemplate": "%{y:.3~g} %<extra>%{fullData.name}</extra>",
    }
