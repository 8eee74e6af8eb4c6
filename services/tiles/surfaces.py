"""Surfaces: a third value over two others, cell by cell where few values meet, else between the runs that there are."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.runs import RunLine
from services.specs.run_fields import field
from services.specs.tiles import Contour
from services.tiles.columns import Column, column
from services.tiles.readings import Nothing, Surface

Values = npt.NDArray[np.float64]
FEW = 12
SIDE = 48
FEWEST = 4
# Of the width of an axis: what is farther from any run is left blank.
REACH = 0.22


def surface(tile: Contour, runs: Sequence[RunLine]) -> Surface | Nothing:
    """Of runs that have all three."""
    there = np.all([np.isfinite(column(field(each), runs).values) for each in (tile.x, tile.y, tile.z)], axis=0)
    kept = [run for run, is_there in zip(runs, there, strict=True) if is_there]
    x, y, z = (column(field(each), kept) for each in (tile.x, tile.y, tile.z))
    if not kept:
        return Nothing(f"No shown run has all of '{x.label}', '{y.label}' and '{z.label}'.")
    if z.kind == "category":
        return Nothing(f"'{z.label}' is text, not a number.")
    if _is_few(x) and _is_few(y):
        return _map(kept, x, y, z)
    if "category" in {x.kind, y.kind}:
        return Nothing(f"'{x.label}' and '{y.label}' have too many values for a map, and not both are numbers.")
    if len(kept) < FEWEST or np.ptp(x.scaled) == 0 or np.ptp(y.scaled) == 0:
        return Nothing(f"Fewer than {FEWEST} runs, or runs that all have the same value: nothing lies between them.")
    return _contour(kept, x, y, z)


def _is_few(one: Column) -> bool:
    return len(np.unique(one.values)) <= FEW


def _map(runs: Sequence[RunLine], x: Column, y: Column, z: Column) -> Surface:
    """The mean of the runs in each cell."""
    across, x_names, at_x = _places(x)
    up, y_names, at_y = _places(y)
    shape = (len(y_names), len(x_names))
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (up, across), z.values)
    np.add.at(count, (up, across), 1)
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
    note = f"Each cell is the mean of its runs, {int(count.max())} at most." if count.max() > 1 else ""
    return Surface(runs, x, y, z, at_x, at_y, mean, x_names, y_names, is_map=True, note=note)


def _places(one: Column) -> tuple[npt.NDArray[np.intp], list[str], Values]:
    known, places = np.unique(one.values, return_inverse=True)
    texts = dict(zip(one.values.tolist(), one.texts, strict=True))
    return places, [texts[value] for value in known.tolist()], np.arange(len(known), dtype=np.float64)


def _contour(runs: Sequence[RunLine], x: Column, y: Column, z: Column) -> Surface:
    """Between runs by the inverse of their squared distance, which bears points in a row and points twice."""
    at_x, at_y = (np.linspace(one.scaled.min(), one.scaled.max(), SIDE) for one in (x, y))
    wide, high = np.meshgrid(_unit(at_x, x), _unit(at_y, y))
    apart = (wide[..., None] - _unit(x.scaled, x)) ** 2 + (high[..., None] - _unit(y.scaled, y)) ** 2
    weight = 1 / np.maximum(apart, 1e-9)
    values = (weight * z.values).sum(axis=-1) / weight.sum(axis=-1)
    values[apart.min(axis=-1) > REACH**2] = np.nan
    if x.is_log:
        at_x = 10**at_x
    if y.is_log:
        at_y = 10**at_y
    return Surface(runs, x, y, z, at_x, at_y, values, note=f"Between {len(runs)} runs, shown as dots, it is a guess.")


def _unit(values: Values, axis: Column) -> Values:
    low, high = axis.scaled.min(), axis.scaled.max()
    return np.asarray((values - low) / (high - low))
