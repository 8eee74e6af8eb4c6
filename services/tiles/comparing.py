"""Bars, points, boxes, axes and scalars: one value a run and field, from what the runs came to."""

import math
from collections.abc import Sequence

import numpy as np

from services import runs as nouns
from services.runs import RunLine
from services.specs import tiles as specs
from services.specs.run_fields import Field, field
from services.studio import Scope
from services.tiles.columns import Column, column, groups, text
from services.tiles.readings import Axes, Bar, Bars, Box, Boxes, Fit, Nothing, Points, Scalars

FEWEST_FIT = 3


def bars(tile: specs.Bar, runs: Sequence[RunLine]) -> Bars | Nothing:
    """A bar a run in the order of the list, or a mean for each group."""
    value = column(field(tile.value), runs)
    if (said := _unfit(value)) is not None:
        return said
    if not tile.group_by:
        there = [at for at in range(len(runs)) if math.isfinite(value.values[at])]
        found = [
            Bar(runs[at].name, runs[at].color, float(value.values[at]), value.texts[at], runs[at].id) for at in there
        ]
        return Bars(value.label, found, _left_out(len(runs) - len(there), value))
    found = []
    for group in groups([column(field(each), runs) for each in tile.group_by], len(runs)):
        own = value.values[list(group.places)]
        own = own[np.isfinite(own)]
        if len(own):
            spread = float(own.std()) if len(own) > 1 else None
            mean = float(own.mean())
            found.append(Bar(group.name, group.color, mean, f"{mean:.6g}", spread=spread, count=len(own)))
    note = "Bars are means, whiskers standard deviations." if any(bar.spread is not None for bar in found) else ""
    return Bars(value.label, found, note)


def points(tile: specs.Scatter, runs: Sequence[RunLine]) -> Points | Nothing:
    """Runs that have both x and y."""
    x, y = column(field(tile.x), runs), column(field(tile.y), runs)
    both = np.isfinite(x.values) & np.isfinite(y.values)
    if not both.any():
        return Nothing(f"No shown run has both '{x.label}' and '{y.label}'.")
    kept = [run for run, is_there in zip(runs, both, strict=True) if is_there]
    x, y = column(x.field, kept), column(y.field, kept)
    color = column(field(tile.color), kept) if tile.color else None
    size = column(field(tile.size), kept) if tile.size else None
    note = _left_out(len(runs) - len(kept), x, y)
    if size is not None and size.kind == "category":
        note = f"{note} '{size.label}' is not a number and gives no sizes.".strip()
        size = None
    return Points(kept, x, y, color, size, _fit(x, y) if tile.regression else None, note)


def axes(tile: specs.Parallel, runs: Sequence[RunLine]) -> Axes | Nothing:
    """Runs that have at least two of the fields."""
    every = [column(field(each), runs) for each in dict.fromkeys(tile.fields)]
    there = np.sum([np.isfinite(each.values) for each in every], axis=0) >= min(2, len(every))
    kept = [run for run, is_there in zip(runs, there, strict=True) if is_there]
    if not kept:
        return Nothing("No shown run has two of these fields.")
    found = [column(each.field, kept) for each in every]
    color = column(field(tile.color), kept) if tile.color else None
    return Axes(kept, found, color, _left_out(len(runs) - len(kept), *found))


def boxes(tile: specs.Box, runs: Sequence[RunLine]) -> Boxes | Nothing:
    """A box a group, or one of all runs."""
    value = column(field(tile.value), runs)
    if (said := _unfit(value)) is not None:
        return said
    found = []
    for group in groups([column(field(each), runs) for each in tile.group_by], len(runs)):
        places = [at for at in group.places if math.isfinite(value.values[at])]
        if places:
            own = [runs[at] for at in places]
            found.append(Box(group.name or "All shown runs", group.color, value.values[places], own))
    return Boxes(value.label, found)


def scalars(scope: Scope, tile: specs.Scalar, runs: Sequence[RunLine]) -> Scalars | Nothing:
    """One value a run; of a metric the latest, or the best by its direction."""
    asked = field(tile.value)
    if tile.pick == "best" and asked.kind == "metrics" and asked.aggregate == "last" and asked.step is None:
        is_higher = nouns.directions(scope, [asked.name])[asked.name]
        asked = Field("metrics", asked.name, "max" if is_higher else "min")
        runs = nouns.lines(scope, [run.run_id for run in runs], [str(asked)])
    items = []
    for run in runs:
        cell = run.cells.get(str(asked))
        if cell is not None:
            value = float(cell) if isinstance(cell, int | float) and math.isfinite(cell) else None
            items.append((run, value, text(cell)))
    return Scalars(items) if items else Nothing(f"No shown run has '{asked.label}'.")


def fields_of(tile: specs.Tile) -> list[str]:
    """What has to be known of each run before the tile is read."""
    match tile:
        case specs.Line():
            return list(tile.group_by)
        case specs.Bar() | specs.Box():
            return [tile.value, *tile.group_by]
        case specs.Scatter():
            return [each for each in (tile.x, tile.y, tile.color, tile.size) if each]
        case specs.Parallel():
            return [*tile.fields, *([tile.color] if tile.color else [])]
        case specs.Contour():
            return [tile.x, tile.y, tile.z]
        case specs.Scalar():
            return [tile.value]
        case specs.Table():
            return list(tile.fields)
        case _:
            return []


def _unfit(value: Column) -> Nothing | None:
    if value.kind == "category":
        return Nothing(f"'{value.label}' is text, not a number.")
    return None if len(value.known) else Nothing(f"No shown run has a value of '{value.label}'.")


def _left_out(count: int, *columns: Column) -> str:
    if not count:
        return ""
    named = " or ".join(f"'{each.label}'" for each in columns[:2]) if len(columns) < 3 else "more than one field"
    return f"{count} {'run has' if count == 1 else 'runs have'} no value of {named}."


def _fit(x: Column, y: Column) -> Fit | None:
    """Least squares; None for text, for too few points and where x does not vary."""
    if "category" in {x.kind, y.kind} or len(x.values) < FEWEST_FIT or np.ptp(x.scaled) == 0:
        return None
    along, up = x.scaled - x.scaled.mean(), y.scaled - y.scaled.mean()
    slope = float(along @ up / (along @ along))
    total = float(up @ up)
    r2 = 1.0 if total == 0 else float(slope * (along @ up) / total)
    ends = float(x.scaled.min()), float(x.scaled.max())
    at = [float(y.scaled.mean() + slope * (end - x.scaled.mean())) for end in ends]
    return Fit(
        tuple(10**end for end in ends) if x.is_log else ends,  # type: ignore[arg-type]
        (10 ** at[0], 10 ** at[1]) if y.is_log else (at[0], at[1]),
        r2,
    )
