"""Columns: what some runs have of one field, as numbers to draw and as text to read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from services.core import colors
from services.core.times import iso
from services.runs import Cell, RunLine
from services.specs.run_fields import Field
from services.store.metrics import number
from services.tiles.smoothing import drawable

Values = npt.NDArray[np.float64]
MISSING = "—"
# From one decade to the next but one: what spans more is read by its powers of ten.
LOG_FROM = 100.0


@dataclass(frozen=True)
class Column:
    """`values` are NaN where nothing is; times in milliseconds, categories as places in `names`."""

    field: Field
    kind: Literal["number", "time", "category"]
    values: Values
    texts: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.field.label

    @property
    def known(self) -> Values:
        return self.values[np.isfinite(self.values)]

    @property
    def is_log(self) -> bool:
        """Whether its powers of ten say more than its values."""
        known = self.known
        return bool(
            self.kind == "number"
            and len(known) > 2
            and known.min() > 0
            and known.max() / known.min() >= LOG_FROM
            and len(np.unique(known)) > 2
        )

    @property
    def scaled(self) -> Values:
        """As it lies along an axis."""
        return np.log10(self.values) if self.is_log else self.values


def column(field: Field, runs: Sequence[RunLine]) -> Column:
    """Texts that are numbers in all runs that have them are numbers."""
    cells = [run.cells.get(str(field)) for run in runs]
    texts = tuple(map(text, cells))
    if field.type == "time":
        return Column(field, "time", np.array([_milliseconds(cell) for cell in cells], dtype=np.float64), texts)
    found = [_number(cell) for cell in cells]
    if all(value is not None or cell is None for value, cell in zip(found, cells, strict=True)):
        return Column(field, "number", drawable(_array(found)), texts)
    names = tuple(sorted({name for name, cell in zip(texts, cells, strict=True) if cell is not None}))
    places = {name: float(at) for at, name in enumerate(names)}
    found = [None if cell is None else places[name] for name, cell in zip(texts, cells, strict=True)]
    return Column(field, "category", _array(found), texts, names)


def text(cell: Cell) -> str:
    match cell:
        case None:
            return MISSING
        case bool():
            return "yes" if cell else "no"
        case float() | int():
            return f"{cell:.6g}"
        case datetime():
            return str(iso(cell))[:19].replace("T", " ")
        case _:
            return str(cell)


@dataclass(frozen=True)
class Group:
    """Runs that have the same values in all columns that they are grouped by; `places` are theirs in the list."""

    name: str
    color: str
    places: tuple[int, ...]


def groups(by: Sequence[Column], count: int) -> list[Group]:
    """In order of the values. Each has a colour of its own, as long as there are any."""
    members: dict[tuple[str, ...], list[int]] = {}
    for at in range(count):
        members.setdefault(tuple(each.texts[at] for each in by), []).append(at)
    ordered = sorted(members, key=lambda key: [_sortable(each) for each in key])
    names = [", ".join(f"{each.label} = {value}" for each, value in zip(by, key, strict=True)) for key in ordered]
    return [
        Group(name, color, tuple(members[key]))
        for key, name, color in zip(ordered, names, distinct_colors(names), strict=True)
    ]


def distinct_colors(names: Sequence[str]) -> list[str]:
    """The same name has the same colour everywhere, unless another name of the list took it."""
    found: list[str] = []
    for name in names:
        wanted = colors.of(name)
        at = colors.PALETTE.index(wanted)
        free = (each for each in (*colors.PALETTE[at:], *colors.PALETTE[:at]) if each not in found)
        found.append(next(free, wanted))
    return found


def _array(found: Sequence[float | None]) -> Values:
    return np.array([math.nan if value is None else value for value in found], dtype=np.float64)


def _number(cell: Cell) -> float | None:
    if isinstance(cell, bool) or cell is None or isinstance(cell, datetime):
        return None
    return number(cell) if isinstance(cell, str) else float(cell)


def _milliseconds(cell: Cell) -> float:
    return cell.timestamp() * 1000 if isinstance(cell, datetime) else math.nan


def _sortable(value: str) -> tuple[int, float, str]:
    found = number(value)
    return (0, found, "") if found is not None else (1, 0.0, value)
