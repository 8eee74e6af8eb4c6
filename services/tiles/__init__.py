"""Tiles: what a dashboard's charts and tables show of runs, as arrays and records; the screens make figures of them."""

from collections.abc import Sequence

from services import access
from services import runs as nouns
from services.runs import RunLine
from services.specs import tiles as specs
from services.studio import Scope
from services.tiles import (
    boards,
    comparing,
    densities,
    grids,
    importances,
    lines,
    pictures,
    resources,
    surfaces,
)
from services.tiles.readings import Nothing, Reading, Text

__all__ = ["default_board", "read"]
NO_RUNS = "No runs are shown. Open the eye of some in the list."


def read(scope: Scope, tile: specs.Tile, names: Sequence[str]) -> Reading:
    """What a tile shows of these runs, at most 200; those that are not here are left out.

    Raises Invalid for more runs, Unavailable and EngineError where an importance cannot be computed.
    """
    access.require(scope, "experiments/runs/read")
    if isinstance(tile, specs.Markdown):
        return Text(tile.text)
    runs = nouns.lines(scope, names, list(dict.fromkeys(comparing.fields_of(tile))))
    return _read(scope, tile, runs) if runs else Nothing(NO_RUNS)


def default_board(scope: Scope, experiments: Sequence[str] = ()) -> specs.Board:
    """A section a prefix of metrics, the parameters of a sweep, and what the machine did; none is the whole workspace.

    Raises NotFound for an experiment that is not here.
    """
    access.require(scope, "experiments/runs/read")
    return boards.default_board(scope, experiments)


def _read(scope: Scope, tile: specs.Tile, runs: Sequence[RunLine]) -> Reading:
    match tile:
        case specs.Line():
            return lines.curves(scope, tile, runs)
        case specs.Bar():
            return comparing.bars(tile, runs)
        case specs.Scatter():
            return comparing.points(tile, runs)
        case specs.Parallel():
            return comparing.axes(tile, runs)
        case specs.Importance():
            return importances.shares(scope, tile, runs)
        case specs.Contour():
            return surfaces.surface(tile, runs)
        case specs.Box():
            return comparing.boxes(tile, runs)
        case specs.Histogram():
            return densities.density(scope, tile, runs)
        case specs.Images():
            return pictures.pictures(scope, tile, runs)
        case specs.Table():
            return grids.logged(scope, tile, runs) if tile.path else grids.of_fields(tile, runs)
        case specs.Scalar():
            return comparing.scalars(scope, tile, runs)
        case specs.Resource():
            return resources.curves(scope, tile, runs)
        case specs.Compare():
            return grids.compared(scope, tile, runs)
        case specs.Markdown():
            return Text(tile.text)
