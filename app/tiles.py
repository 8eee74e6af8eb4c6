"""A tile as it is sent: what the runs have of it, made into a figure, a table or a sentence. Needs no Streamlit."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from app.ui.charts import curves
from services import tiles
from services.specs.tiles import Drawing, Line, Markdown, Tile
from services.studio import Scope

NO_RUNS = "No runs are shown. Open the eye of some in the list."


def answer(scope: Scope, asked: Drawing) -> bytes:
    """JSON of what is drawn."""
    return orjson.dumps(drawn(scope, asked.tile, asked.runs), option=orjson.OPT_SERIALIZE_NUMPY)


def drawn(scope: Scope, tile: Tile, runs: Sequence[str]) -> dict[str, Any]:
    """A figure, parallel axes, images, a table, Markdown, scalars or nothing; runs that are not here are left out."""
    shown = tiles.shown(scope, runs)
    if isinstance(tile, Markdown):
        return {"kind": "markdown", "text": tile.text}
    if not shown:
        return empty(NO_RUNS)
    match tile:
        case Line():
            return _line(scope, tile, shown)
        case _:
            return empty("This tile is not drawn yet.")


@cache
def bundle() -> Path:
    """Plotly's program for browsers, found without importing the rest of it."""
    found = find_spec("plotly")
    assert found is not None and found.origin is not None  # noqa: S101, PT018 (a dependency)
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


def empty(note: str) -> dict[str, Any]:
    return {"kind": "empty", "note": note}


def _line(scope: Scope, tile: Line, runs: Sequence[tiles.Shown]) -> dict[str, Any]:
    found = tiles.curves(scope, tile, runs)
    if not found.lines:
        return empty(f"None of the shown runs logged {_named(tile.metrics)}.")
    figure, note = curves.figure(tile, found)
    return {"kind": "figure", "figure": figure, "note": note}


def _named(metrics: Sequence[str]) -> str:
    return " or ".join(f"'{each}'" for each in metrics)
