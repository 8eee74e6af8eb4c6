"""Parallel axes as numbers from 0 to 1; the component that draws them does its own lines and brushes."""

from typing import Any

import numpy as np

from app.ui.charts.columns import SCALE
from services.tiles.columns import Column, distinct_colors
from services.tiles.readings import Axes

NONE = "#7d8794"


def answer(found: Axes) -> dict[str, Any]:
    """Runs without a value on an axis have null there."""
    places = [_places(one) for one in found.columns]
    colors = _colors(found)
    lines = [
        {
            "run": run.id,
            "name": run.name,
            "color": colors[at],
            "values": [_value(axis[at]) for axis in places],
            "labels": [one.texts[at] for one in found.columns],
        }
        for at, run in enumerate(found.runs)
    ]
    return {"kind": "parallel", "axes": [_axis(one) for one in found.columns], "lines": lines, "note": found.note}


def _axis(one: Column) -> dict[str, Any]:
    low, high = _range(one)
    if one.kind == "category":
        spread = max(1, len(one.names) - 1)
        ticks = [[at / spread if len(one.names) > 1 else 0.5, name] for at, name in enumerate(one.names)]
        return {"label": one.label, "type": "category", "range": [0, len(one.names) - 1], "ticks": ticks}
    made: dict[str, Any] = {"label": one.label, "type": "log" if one.is_log else "number", "range": [low, high]}
    if one.kind == "time" and len(one.known):
        texts = dict(zip(one.values.tolist(), one.texts, strict=True))
        made["ticks"] = [[0, texts[low]], [1, texts[high]]] if low != high else [[0.5, texts[low]]]
    return made


def _range(one: Column) -> tuple[float, float]:
    return (float(one.known.min()), float(one.known.max())) if len(one.known) else (0.0, 1.0)


def _places(one: Column) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """What is the same everywhere lies in the middle."""
    values = one.scaled
    if not len(one.known):
        return values
    low, high = np.nanmin(values), np.nanmax(values)
    return np.where(np.isfinite(values), 0.5, np.nan) if low == high else (values - low) / (high - low)


def _value(place: float) -> float | None:
    return round(float(place), 6) if np.isfinite(place) else None


def _colors(found: Axes) -> list[str]:
    """Their own, or by the field."""
    by = found.color
    if by is None:
        return [run.color for run in found.runs]
    if by.kind == "category":
        known = dict(zip(by.names, distinct_colors(by.names), strict=True))
        return [known.get(said, NONE) for said in by.texts]
    return [painted(float(place)) if np.isfinite(place) else NONE for place in _places(by)]


def painted(place: float) -> str:
    """A colour of the scale, `place` from 0 to 1."""
    stops = [stop for stop, _ in SCALE]
    parts = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for _, color in SCALE])
    red, green, blue = (round(float(np.interp(place, stops, parts[:, at]))) for at in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}"
