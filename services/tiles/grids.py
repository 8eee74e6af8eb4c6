"""Grids: fields of runs side by side, what differs from a baseline, and tables that runs logged."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from services import run_files
from services import runs as nouns
from services.core.errors import Invalid, NotFound
from services.runs import RunLine
from services.specs.run_fields import Field, field
from services.specs.tiles import Compare, Table
from services.store import metrics as store
from services.studio import Scope
from services.tiles.columns import text
from services.tiles.readings import Cell, Grid, Nothing

MOST_RUNS = 50
MOST_FIELDS = 100
MOST_TABLES = 10
MOST_ROWS = 500
SYSTEM = "system/"


def of_fields(tile: Table, runs: Sequence[RunLine]) -> Grid:
    """A row a run."""
    asked = [field(each) for each in tile.fields]
    rows = [[Cell(run.name, run.name), *(_cell(run, each) for each in asked)] for run in runs]
    return Grid(["Run", *(each.label for each in asked)], rows, row_runs=runs)


def logged(scope: Scope, tile: Table, runs: Sequence[RunLine]) -> Grid | Nothing:
    """What `mlflow.log_table` wrote at the path, of the first runs that have it, below each other."""
    found: list[tuple[RunLine, run_files.Table]] = []
    notes: list[str] = []
    for run in runs:
        try:
            found.append((run, run_files.table(scope, run.id, tile.path, limit=MOST_ROWS)))
        except NotFound:
            continue
        except Invalid as cause:
            notes.append(str(cause))
        if len(found) == MOST_TABLES:
            notes.append(f"The tables of the first {MOST_TABLES} runs that have one.")
            break
    if not found:
        return Nothing(" ".join(notes) or f"None of the shown runs logged a table at '{tile.path}'.")
    columns = list(dict.fromkeys(name for _, table in found for name in table.columns))
    rows, owners = _stacked(found, columns)
    if sum(table.total for _, table in found) > len(rows):
        notes.append(f"The first {len(rows)} rows.")
    return Grid(["Run", *columns], rows, row_runs=owners, note=" ".join(notes))


def compared(scope: Scope, tile: Compare, runs: Sequence[RunLine]) -> Grid | Nothing:
    """A row a field and a column a run, the baseline first; numbers say how far they are from it."""
    asked = [field(each) for each in dict.fromkeys(tile.fields)] or _varying(scope, runs)
    if not asked:
        return Nothing("The shown runs logged neither metrics nor parameters.")
    names = [run.id for run in runs[:MOST_RUNS]]
    if tile.baseline:
        names = [tile.baseline, *names]
    shown = nouns.lines(scope, names, [str(each) for each in asked[:MOST_FIELDS]])
    has_baseline = bool(tile.baseline and shown and tile.baseline in {shown[0].id, shown[0].run_id})
    baseline = shown[0] if has_baseline else None
    higher = nouns.directions(scope, [each.name for each in asked if each.kind == "metrics"])
    rows = [
        [Cell(each.label, each.label), *(_against(run, baseline, each, higher) for run in shown)]
        for each in asked[:MOST_FIELDS]
    ]
    notes = [f"The first {MOST_RUNS} runs."] if len(runs) > MOST_RUNS else []
    notes += [f"The first {MOST_FIELDS} of {len(asked)} fields."] if len(asked) > MOST_FIELDS else []
    notes += [f"Baseline '{tile.baseline}' is not here."] if tile.baseline and not has_baseline else []
    names = [f"{run.name} (baseline)" if run is baseline else run.name for run in shown]
    return Grid(["", *names], rows, {at + 1: run for at, run in enumerate(shown)}, note=" ".join(notes))


def _varying(scope: Scope, runs: Sequence[RunLine]) -> list[Field]:
    """All metrics but the machine's, then the parameters that are not the same in all of the runs."""
    ids = [run.run_id for run in runs[:MOST_RUNS]]
    measured = {row.key_id for row in store.metrics_of(scope.session, ids)}
    given: dict[int, set[str]] = {}
    counts: dict[int, int] = {}
    for row in store.params_of(scope.session, ids):
        given.setdefault(row.key_id, set()).add(row.value)
        counts[row.key_id] = counts.get(row.key_id, 0) + 1
    differing = {key for key, values in given.items() if len(values) > 1 or counts[key] < len(ids)}
    names = store.key_names(scope.session, [*measured, *differing])
    metrics = sorted(names[key] for key in measured if not names[key].startswith(SYSTEM))
    params = sorted(names[key] for key in differing)
    return [*(Field("metrics", name) for name in metrics), *(Field("params", name) for name in params)]


def _cell(run: RunLine, asked: Field) -> Cell:
    cell = run.cells.get(str(asked))
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)
    return Cell(float(cell) if is_number else None if cell is None else text(cell), text(cell))  # type: ignore[arg-type]


def _against(run: RunLine, baseline: RunLine | None, asked: Field, higher: Mapping[str, bool]) -> Cell:
    mine = _cell(run, asked)
    if baseline is None or run is baseline:
        return mine
    theirs = _cell(baseline, asked).value
    own = store.number(mine.value) if isinstance(mine.value, str) else mine.value
    known = store.number(theirs) if isinstance(theirs, str) else theirs
    if own is None or known is None or own == known:
        return mine
    is_measured = asked.kind == "metrics" and asked.aggregate in {"last", "min", "max", "first"}
    tone = ("good" if (own > known) == higher[asked.name] else "bad") if is_measured else ""
    return Cell(mine.value, mine.text, own - known, tone)


def _stacked(
    found: Sequence[tuple[RunLine, run_files.Table]], columns: Sequence[str]
) -> tuple[list[list[Cell]], list[RunLine]]:
    rows: list[list[Cell]] = []
    owners: list[RunLine] = []
    each = max(1, MOST_ROWS // len(found))
    for run, table in found:
        for row in table.rows[:each]:
            held = dict(zip(table.columns, row, strict=False))
            rows.append([Cell(run.name, run.name), *(_said(held.get(name)) for name in columns)])
            owners.append(run)
    return rows, owners


def _said(value: Any) -> Cell:
    match value:
        case None:
            return Cell(None, "")
        case bool():
            return Cell(None, "yes" if value else "no")
        case int() | float():
            return Cell(float(value), f"{value:.6g}")
        case run_files.Picture(path):
            return Cell(path, path)
        case _:
            return Cell(str(value), str(value))
