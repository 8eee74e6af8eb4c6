"""Runs that a run holds, as a tree: a sweep's trials, what is nested in a script, and what is nested in that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app import context
from app.ui import parts, run_parts
from app.ui.text import Markup, join, number, plain, tag
from services import runs
from services.runs import RunLine
from services.specs.run_fields import Field

MOST, DEEPEST, COLUMNS = 500, 6, 5
MACHINE = "system/"
Tree = list[tuple[RunLine, int]]


@dataclass(frozen=True)
class Branch:
    """What is below one run: each with how deep it lies; `is_whole` when nothing was left out."""

    lines: Tree
    metrics: list[str]
    is_whole: bool = True


def of(name: str) -> list[RunLine]:
    """Those right below one run."""
    with context.scope() as s:
        return runs.get(s, name).children


def below(children: Sequence[RunLine]) -> Branch:
    """The tree below a run, and the metrics that its runs have in common."""
    found: Tree = []
    with context.scope() as s:
        pending = [(each, 0) for each in reversed(children)]
        while pending and len(found) < MOST:
            line, depth = pending.pop()
            found.append((line, depth))
            if line.has_children and depth < DEEPEST:
                pending += [(each, depth + 1) for each in reversed(runs.get(s, line.id).children)]
        keys = _shared([{each.key for each in runs.get(s, line.id).metrics} for line, _ in found[:3]])
    return Branch(found, keys, not pending)


def show(name: str, children: Sequence[RunLine]) -> None:
    branch = below(children)
    fields = [Field("metrics", key) for key in branch.metrics]
    with context.scope() as s:
        is_higher = runs.directions(s, branch.metrics)
        cells = {
            each.run_id: each.cells
            for some in _batches([line.id for line, _ in branch.lines])
            for each in runs.lines(s, some, [str(field) for field in fields])
        }
    best = {str(field): _best(cells, field, is_higher=is_higher[field.name]) for field in fields}
    heads = ["Run", "Status", "Duration", *(plain(key, 60) for key in branch.metrics)]
    rows = [_row(line, depth, fields, cells.get(line.run_id, {}), best) for line, depth in branch.lines]
    head = tag("tr", *(tag("th", text, cls="at-num" if place > 2 else None) for place, text in enumerate(heads)))
    table = tag("table", tag("thead", head), tag("tbody", *rows), cls="at-data")
    note = f"{len(rows):,}" if branch.is_whole else f"the first {len(rows):,}"
    st.html(parts.panel("Children", tag("div", table, cls="at-nested"), note))


def _row(
    line: RunLine,
    depth: int,
    fields: Sequence[Field],
    cells: Mapping[str, object],
    best: Mapping[str, str],
) -> Markup:
    mark = tag("span", "↳", cls="at-faint", aria_hidden="true") if depth else None
    name = tag("span", mark, " " if depth else None, run_parts.link(line), style=f"padding-left:{1.1 * depth:.1f}rem")
    shown = [
        tag("td", _value(cells.get(str(field)), is_best=best.get(str(field)) == line.run_id), cls="at-num")
        for field in fields
    ]
    lasted = parts.duration(line.started, line.ended)
    return tag("tr", tag("td", name), tag("td", parts.chip(line.status)), tag("td", lasted), *shown)


def _value(value: object, *, is_best: bool) -> Markup:
    text = number(value) if isinstance(value, int | float) else ""
    if not is_best:
        return join((text,))
    return join((tag("span", "Best", cls="at-best"), " ", tag("b", text)))


def _best(cells: Mapping[str, Mapping[str, object]], field: Field, *, is_higher: bool) -> str:
    """Whose value is the best, when there is something to choose from."""
    numbers = {
        run: float(value)
        for run, some in cells.items()
        if isinstance(value := some.get(str(field)), int | float) and value == value
    }
    if len(set(numbers.values())) < 2:
        return ""
    return (max if is_higher else min)(numbers, key=numbers.__getitem__)


def _shared(some: Sequence[set[str]]) -> list[str]:
    known: dict[str, int] = {}
    for keys in some:
        for key in keys:
            known[key] = known.get(key, 0) + (not key.startswith(MACHINE))
    return sorted((key for key, count in known.items() if count), key=lambda key: (-known[key], key))[:COLUMNS]


def _batches(ids: Sequence[str], size: int = 200) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
