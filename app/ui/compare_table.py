"""Runs as columns, the baseline first: numbers with their distance to it and their course, or texts that differ."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.ui import address, words
from app.ui.scripts import script
from app.ui.text import number, plain
from services.comparisons import Cell, MetricRow, RunComparison, RunHead, TextRow
from services.store.columns import Series

ASSETS = Path(__file__).parent / "assets"
WIDTH, HEIGHT, EDGE = 120, 30, 2

_table = st.components.v2.component(
    "atelier_compare",
    html='<div class="wrap">\n</div>',
    css=(ASSETS / "compare.css").read_text(encoding="utf-8"),
    js=script("nodes", "compare"),
)


def metrics(found: RunComparison, courses: Mapping[str, Mapping[str, Series]], hrefs: Mapping[str, str]) -> None:
    """`courses` are lines by metric and run, `hrefs` the runs' own pages."""
    order = [run.id for run in found.runs]
    rows = [
        {
            "key": plain(row.key, 200),
            "mark": "↑" if row.is_higher_better else "↓",
            "note": f"{plain(row.key, 200)}: {'more' if row.is_higher_better else 'less'} is better",
            "sparks": drawn(courses.get(row.key, {}), order),
            "cells": [_number(cell, row) for cell in row.cells],
        }
        for row in found.metrics
    ]
    _draw("num", f"Metric ({found.aggregate})", found, rows, hrefs, total=found.totals.get("metrics", 0), sparks=True)


def texts(label: str, found: RunComparison, rows: Sequence[TextRow], hrefs: Mapping[str, str], total: int) -> None:
    """Parameters or tags; what is another than the baseline's is marked."""
    lines = [
        {
            "key": plain(row.key, 200),
            "cells": [
                {"text": None if value is None else plain(value, 1000), "other": value != row.values[0]}
                for value in row.values
            ],
        }
        for row in rows
    ]
    _draw("text", label, found, lines, hrefs, total=total, sparks=False)


def drawn(courses: Mapping[str, Series], order: Sequence[str]) -> list[tuple[int, list[float]]]:
    """Of each run that has a line its place and its points as x, y, x, y …, all runs on one scale."""
    lines = {name: _finite(courses[name]) for name in order if name in courses}
    lines = {name: line for name, line in lines.items() if len(line[0])}
    if not lines:
        return []
    across = _scaled([x for x, _ in lines.values()], WIDTH)
    up = _scaled([y for _, y in lines.values()], HEIGHT)
    return [
        (order.index(name), [round(float(each), 1) for pair in zip(x, HEIGHT - y, strict=True) for each in pair])
        for name, x, y in zip(lines, across, up, strict=True)
    ]


def _finite(line: Series) -> tuple[Any, Any]:
    keep = np.isfinite(line.value)
    return line.step[keep].astype(np.float64), line.value[keep]


def _scaled(columns: Sequence[Any], length: int) -> list[Any]:
    low = min(float(column.min()) for column in columns)
    high = max(float(column.max()) for column in columns)
    inner = length - 2 * EDGE
    span = high / 2 - low / 2  # halves, because MLflow's largest number stands for infinity
    if not span or not math.isfinite(span):
        return [np.full(len(column), length / 2) for column in columns]
    return [EDGE + (column / 2 - low / 2) / span * inner for column in columns]


def _number(cell: Cell, row: MetricRow) -> dict[str, Any]:
    """The distance as a share where that says more; tone by the metric's direction."""
    if cell.value is None:
        return {"text": "NaN" if cell.is_nan else ""}
    said: dict[str, Any] = {"text": number(cell.value), "best": cell.is_best}
    if cell.delta:
        share = f" ({cell.relative:+.1%})" if cell.relative is not None and abs(cell.relative) < 100 else ""
        said["delta"] = f"{cell.delta:+.4g}{share}"
        said["tone"] = "good" if cell.is_better else "bad"
        said["title"] = f"{'Better' if cell.is_better else 'Worse'} than the baseline by {abs(cell.delta):.6g}"
    return said


def _draw(
    kind: str,
    label: str,
    found: RunComparison,
    rows: Sequence[Mapping[str, Any]],
    hrefs: Mapping[str, str],
    *,
    total: int,
    sparks: bool,
) -> None:
    foot = f"The first {len(rows)} of {total}: search for the others." if total > len(rows) else ""
    data = {
        "kind": kind,
        "label": label,
        "first": label,
        "sparks": sparks,
        "runs": [_head(run, found, hrefs) for run in found.runs],
        "rows": list(rows),
        "foot": foot,
    }
    _table(key=f"compare_{kind}", data=data)


def _head(run: RunHead, found: RunComparison, hrefs: Mapping[str, str]) -> dict[str, Any]:
    left = [each.id for each in found.runs if each.id != run.id]
    return {
        "id": run.id,
        "label": plain(run.label, 80),
        "title": plain(f"{run.label} · {run.id} · {run.experiment}", 300),
        "href": hrefs.get(run.id, ""),
        "color": run.color,
        "status": words.label(run.status),
        "is_baseline": run.id == found.baseline,
        "baseline": address.changed(baseline=run.id),
        "remove": removed(run.id, left, found.baseline) if len(left) > 1 else "",
    }


def removed(name: str, left: Sequence[str], baseline: str) -> str:
    """The address without that run."""
    gone: dict[str, Any] = {"runs": ",".join(left)}
    if name == baseline:
        gone["baseline"] = None
    if name == address.text("other"):
        gone["other"] = None
    return address.changed(**gone)
