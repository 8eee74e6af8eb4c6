"""Runs: found by a filter, sorted and shown with chosen columns, grouped, and taken out as CSV or Parquet.

A run is named by its job's name where a job's own run, else by MLflow's id; both are understood everywhere.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Literal, cast

import numpy as np
from sqlmodel import col, select

from services import access
from services.core import colors
from services.core import directions as guesses
from services.core.errors import Invalid, NotFound
from services.core.times import now, since_epoch
from services.engines import run_tables
from services.metrics import MetricSummary
from services.specs import filters
from services.specs.filters import And, Compare, Expression, IsNull, Not, Or
from services.specs.run_fields import Field, Type
from services.specs.run_fields import field as read_field
from services.store import metrics as summaries
from services.store import run_cells
from services.store import runs as store
from services.store.metrics import Direction, Run
from services.store.rows import Experiment, Job
from services.store.run_sql import STARRED, key_ids, milliseconds
from services.studio import Scope

MOST_ROWS = 1000
MOST_COLUMNS = 200
MOST_NAMED = 200
MOST_GROUPS = 200
COUNTED = 1000
_NAN = math.nan
_LAST = 2
_ALWAYS: dict[str, Type] = {
    "id": "text", "job": "text", "name": "text", "experiment": "text", "status": "text",
    "created": "time", "started": "time", "ended": "time", "creator": "text",
}  # fmt: skip
NOTE, COLOR = "mlflow.note.content", "atelier.color"
NEWEST = ("-created",)
Cell = float | str | bool | datetime | None


@dataclass(frozen=True)
class RunsQuery:
    """Which runs, which of their columns, in what order; fields as services.specs.run_fields spells them.

    `experiments` are names, none is the whole workspace. `search` are words of which each is in a run's name, its
    job's or its id. A field of `order_by` descends after "-". The total is counted up to `count_to`, because
    every thousand costs as much as the page itself; 0 counts nothing.
    """

    experiments: tuple[str, ...] = ()
    filter: str = ""
    search: str = ""
    columns: tuple[str, ...] = ()
    order_by: tuple[str, ...] = NEWEST
    limit: int = 50
    offset: int = 0
    count_to: int = COUNTED


@dataclass(frozen=True)
class RunLine:
    """One line of the table; `job` is empty for a run that is no job's own. `cells` are by canonical field.

    A missing value is None, and NaN is itself.
    """

    run_id: str
    job: str
    name: str
    experiment: str
    status: str
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    user: str
    color: str
    is_starred: bool
    parent_run_id: str
    has_children: bool
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.job or self.run_id


@dataclass(frozen=True)
class RunsPage:
    """`total` is exact, or how far was counted."""

    rows: list[RunLine]
    has_more: bool
    total: int
    is_total_exact: bool


@dataclass(frozen=True)
class Spread:
    """Of the numbers of a group, NaN left out: the mean, the sample's standard deviation, the best one."""

    n: int
    mean: float | None = None
    std: float | None = None
    best: float | None = None


@dataclass(frozen=True)
class GroupLine:
    """Runs that are alike; `filter` finds just these, so that a group is a question and no list of ids."""

    values: dict[str, Cell]
    count: int
    cells: dict[str, Spread]
    filter: str


@dataclass(frozen=True)
class Keys:
    """Names in order, the first of `total`; `prefixes` counts all of them by what is before the last "/" or "."."""

    names: list[str]
    total: int
    prefixes: dict[str, int]


@dataclass(frozen=True)
class RunDetail:
    """All that is known of one run."""

    line: RunLine
    metrics: list[MetricSummary]
    params: dict[str, str]
    tags: dict[str, str]
    note: str
    children: list[RunLine]
    parent: RunLine | None


def listed(scope: Scope, query: RunsQuery | None = None) -> RunsPage:
    """Raises Invalid, which points into the filter, and NotFound for an experiment that is not here."""
    access.require(scope, "experiments/runs/read")
    query = query or RunsQuery()
    if not 1 <= query.limit <= MOST_ROWS:
        raise Invalid(f"A page holds 1 to {MOST_ROWS} runs, not {query.limit}.", where="limit")
    if not 0 <= query.offset < 1 << 31:
        raise Invalid(f"A page begins after 0 runs or more, not after {query.offset}.", where="offset")
    columns = _columns(query.columns)
    asked = _asked(scope, query)
    ids = store.page(scope.session, asked, limit=query.limit + 1, offset=query.offset)
    shown, has_more = ids[: query.limit], len(ids) > query.limit
    known = query.offset + len(ids)
    is_exact = not has_more and (bool(ids) or not query.offset)
    if not is_exact and query.count_to:
        most = max(query.count_to, known) + 1
        known = store.count(scope.session, asked, most=most)
        is_exact = known < most
        known = min(known, most - 1)
    return RunsPage(_lines(scope, asked, shown, columns), has_more, known, is_exact)


def count(scope: Scope, query: RunsQuery | None = None) -> int:
    """All of them, however many."""
    access.require(scope, "experiments/runs/read")
    return store.count(scope.session, _asked(scope, query or RunsQuery()))


def grouped(scope: Scope, query: RunsQuery, group_by: Sequence[str], *, limit: int = MOST_GROUPS) -> list[GroupLine]:
    """The runs of a query by what they have in common, over all of its pages.

    The columns that are numbers are summed up; of parameters only those values count that are numbers. Groups are
    in the order of the first field of `order_by` that is a column (by its mean) or a group (by its value), else the
    largest come first.
    """
    access.require(scope, "experiments/runs/read")
    by, columns = _columns(group_by, "group_by"), _columns(query.columns)
    if not by or len(by) > 10 or any(each.step is not None for each in by):
        raise Invalid("Runs are grouped by one to ten fields, none of them a value at a step.", where="group_by")
    asked = _asked(scope, query)
    base = filters.parse(query.filter) if query.filter.strip() else None
    numbers = [each for each in columns if each.type == "number" or each.kind == "params"]
    ids = store.matching(scope.session, asked)
    found = run_cells.cells(scope.session, scope.workspace_id, asked.now, ids, list(dict.fromkeys([*by, *numbers])))
    measured = {
        each: _as_numbers(each, found[each] if each.step is None else _at_step(scope, each, ids)) for each in numbers
    }
    members: dict[tuple[run_cells.Cell, ...], list[str]] = {}
    shared = [[_grouping(found[each].get(run_id)) for run_id in ids] for each in by]
    for run_id, values in zip(ids, zip(*shared, strict=True), strict=True):
        members.setdefault(values, []).append(run_id)
    better = directions(scope, [each.name for each in numbers if each.kind == "metrics"])
    ordered = _ordered_groups(members, by, measured, asked.order_by)
    return [
        GroupLine(
            {str(each): _shown(each, value) for each, value in zip(by, values, strict=True)},
            len(run_ids),
            {str(each): _spread(_numbers(some, run_ids), _better(each, better)) for each, some in measured.items()},
            str(filters.all_of(base, *(_is(each, value) for each, value in zip(by, values, strict=True)))),
        )
        for values, run_ids in ordered[:limit]
    ]


def exported(scope: Scope, query: RunsQuery, format: Literal["csv", "parquet"]) -> Iterator[bytes]:
    """All runs of a query, whatever its page, as a file; to be read to its end while the scope is open.

    CSV is safe to open in a spreadsheet; in Parquet columns have types and what is missing is null.
    """
    access.require(scope, "experiments/runs/read")
    columns, asked = _columns(query.columns), _asked(scope, query)
    if format not in {"csv", "parquet"}:
        raise Invalid(f"Runs are exported as csv or parquet, not as '{format[:20]}'.", where="format")
    chosen = [each for each in columns if str(each) not in _ALWAYS]
    types: dict[str, Type] = {**_ALWAYS, **{str(each): each.type for each in chosen}}
    pages = _pages(scope, asked, chosen)
    return run_tables.as_csv(types, pages) if format == "csv" else run_tables.as_parquet(types, pages)


def keys(
    scope: Scope,
    *,
    experiments: Sequence[str] = (),
    kind: Literal["metrics", "params", "tags"] = "metrics",
    search: str = "",
    limit: int = 200,
) -> Keys:
    """What the runs logged, among it only what has all words of `search` in its name."""
    access.require(scope, "experiments/runs/read")
    asked = store.RunQuery(scope.workspace_id, 0, _experiment_ids(scope, experiments))
    words = [word.casefold() for word in search.split()]
    found = store.names(scope.session, asked, kind)
    found = [name for name in found if all(word in name.casefold() for word in words)]
    prefixes = Counter(prefix for name in found if (prefix := _prefix(name)))
    return Keys(found[:limit], len(found), dict(sorted(prefixes.items())))


def resolve(scope: Scope, names: Sequence[str]) -> list[Run]:
    """The rows of these runs, in this order; unknown ones are left out. Raises Invalid for more than 200."""
    access.require(scope, "experiments/runs/read")
    if len(names) > MOST_NAMED:
        raise Invalid(f"At most {MOST_NAMED} runs are looked at together, not {len(names)}.", where="runs")
    names = [name for name in names if filters.is_storable(name)]
    mine = (Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active")
    named = (
        select(Job.name, Run)
        .join(Run, (col(Run.job_id) == Job.id) & (col(Run.run_id) == Job.run_id))
        .where(Job.workspace_id == scope.workspace_id, col(Job.deleted_at).is_(None), col(Job.name).in_(names), *mine)
    )
    by_name = dict(scope.session.exec(named).all())
    by_id = {run.run_id: run for run in scope.session.exec(select(Run).where(col(Run.run_id).in_(names), *mine))}
    found = [by_id.get(name) or by_name.get(name) for name in names]
    return list({run.run_id: run for run in found if run is not None}.values())


def lines(scope: Scope, names: Sequence[str], columns: Sequence[str] = ()) -> list[RunLine]:
    """The lines of runs that are named, in this order; unknown ones are left out."""
    access.require(scope, "experiments/runs/read")
    ids = [run.run_id for run in resolve(scope, names)]
    return _lines(scope, _asked(scope, RunsQuery()), ids, _columns(columns))


def get(scope: Scope, name: str) -> RunDetail:
    """Raises NotFound, also for a run of another workspace."""
    access.require(scope, "experiments/runs/read")
    rows = resolve(scope, [name])
    if not rows:
        raise NotFound(f"Run '{name[:80]}' was not found.")
    run_id, session = rows[0].run_id, scope.session
    metrics_, params = summaries.metrics_of(session, [run_id]), summaries.params_of(session, [run_id])
    names = summaries.key_names(session, [*(each.key_id for each in metrics_), *(each.key_id for each in params)])
    tags = {each.key: each.value for each in summaries.tags_of(session, [run_id]) if each.wish != "remove"}
    near = [run_id, *([rows[0].parent_run_id] if rows[0].parent_run_id else [])]
    children = run_cells.children(session, scope.workspace_id, [run_id]).get(run_id, [])
    here = {each.run_id: each for each in _lines(scope, _asked(scope, RunsQuery()), [*near, *children], ())}
    return RunDetail(
        here[run_id],
        sorted((_summary(names[each.key_id], each) for each in metrics_), key=lambda each: each.key),
        dict(sorted((names[each.key_id], each.value) for each in params)),
        dict(sorted(tags.items())),
        tags.get(NOTE, ""),
        [here[each] for each in children if each in here],
        here.get(rows[0].parent_run_id or ""),
    )


def directions(scope: Scope, metrics: Sequence[str]) -> dict[str, bool]:
    """Whether more is better, by metric: as somebody said, else guessed from the name."""
    access.require(scope, "experiments/runs/read")
    said = scope.session.exec(
        select(Direction).where(Direction.workspace_id == scope.workspace_id, col(Direction.metric).in_(metrics))
    )
    return {each: guesses.is_higher_better(each) for each in metrics} | {
        each.metric: each.is_higher_better for each in said
    }


def set_direction(scope: Scope, metric: str, is_higher_better: bool | None) -> None:
    """None takes back what was said: then the name tells."""
    access.require(scope, "experiments/runs/write")
    known = scope.session.get(Direction, (scope.workspace_id, metric))
    if is_higher_better is None:
        if known is not None:
            scope.session.delete(known)
        return
    row = known or Direction(workspace_id=scope.workspace_id, metric=metric, is_higher_better=is_higher_better)
    row.is_higher_better = is_higher_better
    scope.session.add(row)


def _asked(scope: Scope, query: RunsQuery) -> store.RunQuery:
    return store.RunQuery(
        scope.workspace_id,
        milliseconds(now()),
        _experiment_ids(scope, query.experiments),
        filters.all_of(filters.parse(query.filter) if query.filter.strip() else None, _searched(query.search)),
        _order(query.order_by),
    )


def _experiment_ids(scope: Scope, names: Sequence[str]) -> list[str] | None:
    if not names:
        return None
    storable = [name for name in names if filters.is_storable(name)]
    rows = scope.session.exec(
        select(Experiment.name, Experiment.mlflow_id).where(
            Experiment.workspace_id == scope.workspace_id, col(Experiment.name).in_(storable)
        )
    )
    found = dict(rows.all())
    for name in names:
        if name not in found:
            raise NotFound(f"Experiment '{name[:80]}' was not found.")
    return sorted({mlflow_id for mlflow_id in found.values() if mlflow_id})


def _searched(text: str) -> Expression | None:
    words = text.split()
    if len(words) > 20 or any(not filters.is_storable(word) for word in words):
        raise Invalid("A search has at most 20 words.", where="search")
    places = [Field("attribute", name) for name in ("name", "job", "id")]
    return filters.all_of(*(Or(tuple(Compare(place, "~", word) for place in places)) for word in words))


def _order(texts: Sequence[str]) -> list[tuple[Field, bool]]:
    if len(texts) > 10:
        raise Invalid("Runs are sorted by at most ten columns.", where="order_by")
    found: dict[Field, bool] = {}
    for text in texts:
        found.setdefault(_field(text.strip().removeprefix("-"), "order_by"), text.strip().startswith("-"))
    return list(found.items())


def _columns(texts: Sequence[str], where: str = "columns") -> list[Field]:
    if len(texts) > MOST_COLUMNS:
        raise Invalid(f"A table has at most {MOST_COLUMNS} columns.", where=where)
    return list(dict.fromkeys(_field(text, where) for text in texts))


def _field(text: str, where: str) -> Field:
    if not filters.is_storable(text):
        raise Invalid("A name has a character that no database keeps.", where=where)
    try:
        return read_field(text)
    except Invalid as cause:
        cause.where = where
        raise


def _lines(scope: Scope, asked: store.RunQuery, ids: Sequence[str], columns: Sequence[Field]) -> list[RunLine]:
    facts = run_cells.facts(scope.session, asked.now, ids)
    marks = run_cells.tags(scope.session, ids, [STARRED, COLOR])
    parents = run_cells.children(scope.session, scope.workspace_id, ids)
    cells = _cells(scope, asked, ids, columns)
    rows = zip(*(map(values.get, ids) for values in cells.values()), strict=True) if cells else repeat((), len(ids))
    return [
        RunLine(
            run_id=one.run_id,
            job=one.job,
            name=one.name or one.run_id,
            experiment=one.experiment,
            status=one.status,
            created=since_epoch(one.created),
            started=since_epoch(one.started),
            ended=since_epoch(one.ended),
            user=one.user,
            color=_color(one.run_id, marks.get((one.run_id, COLOR), "")),
            is_starred=marks.get((one.run_id, STARRED)) == "true",
            parent_run_id=one.parent,
            has_children=one.run_id in parents,
            cells=dict(zip(cells, row, strict=True)),
        )
        for one, row in zip((facts.get(run_id) for run_id in ids), rows, strict=True)
        if one is not None
    ]


def _color(run_id: str, chosen: str) -> str:
    return chosen if chosen and re.fullmatch("#[0-9a-fA-F]{6}", chosen) else colors.of(run_id)


def _cells(
    scope: Scope, asked: store.RunQuery, ids: Sequence[str], columns: Sequence[Field]
) -> dict[str, Mapping[str, Cell]]:
    found = run_cells.cells(scope.session, scope.workspace_id, asked.now, ids, columns)
    shown: dict[str, Mapping[str, Cell]] = {}
    for each in columns:
        values = found[each] if each.step is None else _at_step(scope, each, ids)
        is_time = each.type == "time"
        shown[str(each)] = {run: _shown(each, value) for run, value in values.items()} if is_time else values
    return shown


def _at_step(scope: Scope, field: Field, ids: Sequence[str]) -> dict[str, run_cells.Cell]:
    """The latest by time, where a step was logged more than once."""
    keys = key_ids(scope.session, [field])
    if field.name not in keys or field.step is None:
        return {}
    return {**scope.studio.history.at(keys[field.name], ids, field.step)}


def _pages(scope: Scope, asked: store.RunQuery, columns: Sequence[Field]) -> Iterator[list[list[Cell]]]:
    """The ids are settled at once, so that a run that is made meanwhile shifts nothing."""
    ids = store.page(scope.session, asked, limit=1 << 31)
    for start in range(0, len(ids), MOST_ROWS):
        yield [
            [
                *(line.run_id, line.job or None, line.name, line.experiment, line.status),
                *(line.created, line.started, line.ended, line.user or None),
                *line.cells.values(),
            ]
            for line in _lines(scope, asked, ids[start : start + MOST_ROWS], columns)
        ]


def _grouping(value: run_cells.Cell) -> run_cells.Cell:
    """NaN is one value here, though it equals nothing."""
    return _NAN if isinstance(value, float) and math.isnan(value) else value


def _ordered_groups(
    members: Mapping[tuple[run_cells.Cell, ...], list[str]],
    by: Sequence[Field],
    measured: Mapping[Field, Mapping[str, float]],
    order_by: Sequence[tuple[Field, bool]],
) -> list[tuple[tuple[run_cells.Cell, ...], list[str]]]:
    groups = sorted(members.items(), key=lambda group: (-len(group[1]), [_sortable(value) for value in group[0]]))
    leading = next((each for each in order_by if each[0] in by or each[0] in measured), None)
    if leading is None:
        return groups
    field, descending = leading

    def value(group: tuple[tuple[run_cells.Cell, ...], list[str]]) -> tuple[int, float, str]:
        if field in by:
            return _sortable(group[0][by.index(field)])
        return _sortable(_spread(_numbers(measured[field], group[1]), None).mean)

    keyed = [(value(group), group) for group in groups]
    there = sorted((each for each in keyed if each[0][0] < _LAST), key=lambda each: each[0], reverse=descending)
    return [group for _, group in [*there, *(each for each in keyed if each[0][0] == _LAST)]]


def _sortable(value: run_cells.Cell) -> tuple[int, float, str]:
    """Numbers, then texts; NaN and what is missing last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return (_LAST, 0, "" if value is None else " ")
    if isinstance(value, str):
        number = summaries.number(value)
        return (1, 0, value) if number is None else (0, number, value)
    return (0, value, "")


def _as_numbers(field: Field, values: Mapping[str, run_cells.Cell]) -> Mapping[str, float]:
    """Those that are one, without NaN."""
    if field.kind == "params":
        read = ((run_id, summaries.number(str(value))) for run_id, value in values.items())
        return {run_id: number for run_id, number in read if number is not None}
    return {run_id: value for run_id, value in values.items() if isinstance(value, float | int) and value == value}


def _numbers(values: Mapping[str, float], run_ids: Sequence[str]) -> list[float]:
    return [value for value in map(values.get, run_ids) if value is not None]


def _spread(values: Sequence[float], is_higher_better: bool | None) -> Spread:
    if not values:
        return Spread(0)
    with np.errstate(all="ignore"):
        mean = float(np.mean(values))
        std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    best = None if is_higher_better is None else max(values) if is_higher_better else min(values)
    return Spread(len(values), _finite(mean), _finite(std), best)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _better(field: Field, known: Mapping[str, bool]) -> bool | None:
    """Less time is better; of parameters nobody can say."""
    if field.kind == "metrics":
        return known[field.name]
    return False if field.kind == "attribute" else None


def _is(field: Field, value: run_cells.Cell) -> Expression:
    """An expression for having just this value."""
    if value is _NAN:
        return And((IsNull(field, negated=True), Not(Compare(field, "<=", math.inf))))
    shown = _shown(field, value)
    return IsNull(field) if shown is None else Compare(field, "=", shown)


def _shown(field: Field, value: run_cells.Cell) -> Cell:
    return since_epoch(cast("int", value)) if field.type == "time" else value


def _prefix(name: str) -> str:
    """Before the last "/", or before the last "." where there is no "/"."""
    return name.rpartition("/")[0] or name.rpartition(".")[0]


def _summary(name: str, row: summaries.Metric) -> MetricSummary:
    return MetricSummary(name, row.last, row.last_step, row.min, row.max, row.n)
