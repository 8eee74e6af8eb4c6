"""A tile as it is sent: what the runs have of it, made into a figure, a table or a sentence. Needs no Streamlit."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from app.ui.charts import columns, curves, parallel, surfaces
from services import tiles
from services.runs import RunLine
from services.specs.tiles import Drawing, Line, Resource, Tile
from services.studio import Scope
from services.tiles import readings

Answer = dict[str, Any]


def answer(scope: Scope, asked: Drawing) -> bytes:
    """JSON of what is drawn."""
    return orjson.dumps(drawn(scope, asked.tile, asked.runs))


def drawn(scope: Scope, tile: Tile, runs: Sequence[str]) -> Answer:
    """A figure, parallel axes, images, a table, Markdown, scalars or nothing; runs that are not here are left out."""
    match tiles.read(scope, tile, runs):
        case readings.Nothing(note):
            return {"kind": "empty", "note": note}
        case readings.Text(text):
            return {"kind": "markdown", "text": text}
        case readings.Curves() as found if isinstance(tile, Line):
            return _figure(*curves.lines(tile, found))
        case readings.Curves() as found if isinstance(tile, Resource):
            return _figure(*curves.resources(tile, found))
        case readings.Bars() as found:
            return _figure(*columns.bars(found))
        case readings.Points() as found:
            return _figure(*columns.points(found))
        case readings.Boxes() as found:
            return _figure(*columns.boxes(found))
        case readings.Shares() as found:
            return _figure(*columns.shares(found))
        case readings.Surface() as found:
            return _figure(*surfaces.surface(found))
        case readings.Density() as found:
            return _figure(*surfaces.density(found))
        case readings.Axes() as found:
            return parallel.answer(found)
        case readings.Grid() as found:
            return _table(found)
        case readings.Scalars() as found:
            return {"kind": "scalar", "items": [_scalar(*item) for item in found.items], "note": found.note}
        case readings.Pictures() as found:
            return _images(scope, found)
        case unknown:
            raise TypeError(f"nothing draws {type(unknown).__name__}")


@cache
def bundle() -> Path:
    """Plotly's program for browsers, found without importing the rest of it."""
    found = find_spec("plotly")
    assert found is not None and found.origin is not None  # noqa: S101, PT018 (a dependency)
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


def _figure(figure: Answer, note: str) -> Answer:
    return {"kind": "figure", "figure": figure, "note": note}


def _table(found: readings.Grid) -> Answer:
    heads: list[Any] = [
        {"label": label, "run": run.id, "color": run.color} if (run := found.runs.get(at)) else label
        for at, label in enumerate(found.columns)
    ]
    owners = found.row_runs or [None] * len(found.rows)
    rows = [[_first(row[0], run), *map(_cell, row[1:])] for row, run in zip(found.rows, owners, strict=True)]
    return {"kind": "table", "columns": heads, "rows": rows, "note": found.note}


def _first(cell: readings.Cell, run: RunLine | None) -> Any:
    return {"value": cell.value, "text": cell.text, "run": run.id, "color": run.color} if run else cell.text


def _cell(cell: readings.Cell) -> Any:
    made = {"value": cell.value, "text": cell.text}
    return made if cell.delta is None else {**made, "delta": cell.delta, "tone": cell.tone}


def _scalar(run: RunLine, value: float | None, text: str) -> Answer:
    return {"run": run.id, "name": run.name, "color": run.color, "value": value, "text": text}


def _images(scope: Scope, found: readings.Pictures) -> Answer:
    assert scope.workspace is not None  # noqa: S101 (runs were found in it)
    door = f"/files/run-artifact/{quote(scope.workspace.name, safe='')}"
    runs = [
        {
            "run": run.id,
            "name": run.name,
            "color": run.color,
            "items": [
                {"key": each.key, "step": each.step, "src": f"{door}/{quote(run.id, safe='')}?path={quote(each.path)}"}
                for each in some
            ],
        }
        for run, some in found.runs
    ]
    return {"kind": "images", "keys": list(found.keys), "steps": list(found.steps), "runs": runs, "note": found.note}
