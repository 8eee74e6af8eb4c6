"""Tiles: what a dashboard's charts and tables show of runs, as arrays and records; the screens make figures of them."""

from collections.abc import Sequence

from services import access
from services.specs.tiles import Line
from services.studio import Scope
from services.tiles import lines as _lines
from services.tiles import selection as _selection
from services.tiles.lines import Curve, Curves
from services.tiles.selection import Shown

__all__ = ["Curve", "Curves", "Shown", "curves", "shown"]


def shown(scope: Scope, names: Sequence[str]) -> list[Shown]:
    """The runs of these names that are here, at most 200, each once."""
    access.require(scope, "experiments/runs/read")
    return _selection.shown(scope, names)


def curves(scope: Scope, tile: Line, runs: Sequence[Shown]) -> Curves:
    """Metrics over the course of runs."""
    access.require(scope, "experiments/runs/read")
    return _lines.curves(scope, tile, runs)
