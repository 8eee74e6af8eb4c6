"""Runs beside each other: a row for each metric, parameter and tag, a column for each run, the baseline first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select

from services import access, runs
from services.comparisons.facts import literals
from services.comparisons.sides import Side, recent, sides
from services.core import colors
from services.core.errors import Invalid, NotFound
from services.core.times import iso, since_epoch
from services.store import metrics as store
from services.store.columns import Series
from services.store.metrics import Metric, Param, Tag
from services.store.rows import Experiment
from services.studio import Scope

AGGREGATES = ("last", "min", "max", "first")
MOST_RUNS = 200
MOST_ROWS = 500
POINTS = 60
# Of MLflow and of ours: what they say stands elsewhere on the screen.
_INTERNAL = ("mlflow.", "atelier.")


@dataclass(frozen=True)
class RunHead:
    """Who, what and when of one run, for the head of its column. `id` is its name or run id; colours are #rrggbb."""

    id: str
    label: str
    run_id: str
    job: str
    experiment: str
    status: str
    color: str
    user: str
    compute: str
    source: str
    created: datetime | None
    started: datetime | None
    ended: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), **{name: iso(getattr(self, name)) for name in ("created", "started", "ended")}}


@dataclass(frozen=True)
class Cell:
    """One metric of one run. `delta` is the distance to the baseline and `relative` its share of the baseline's
    value; both are None where one of the two has no number. `is_better` is None where they are equal."""

    value: float | None = None
    is_nan: bool = False
    delta: float | None = None
    relative: float | None = None
    is_better: bool | None = None
    is_best: bool = False


@dataclass(frozen=True)
class MetricRow:
    """`cells` in the order of the runs."""

    key: str
    is_higher_better: bool
    differs: bool
    cells: list[Cell]


@dataclass(frozen=True)
class TextRow:
    """A parameter or tag; None where a run has none of the name."""

    key: str
    differs: bool
    values: list[str | None]


@dataclass(frozen=True)
class RunComparison:
    """`runs` with the baseline first. `totals` say how many rows there are of each kind, also beyond those here;
    `missing` are names that are not here, or no more."""

    runs: list[RunHead]
    baseline: str
    aggregate: str
    metrics: list[MetricRow] = field(default_factory=list)
    params: list[TextRow] = field(default_factory=list)
    tags: list[TextRow] = field(default_factory=list)
    totals: Mapping[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "runs": [run.as_json() for run in self.runs],
            "baseline": self.baseline,
            "aggregate": self.aggregate,
            "metrics": [
                {
                    "key": row.key,
                    "is_higher_better": row.is_higher_better,
                    "differs": row.differs,
                    "cells": [vars(cell) for cell in row.cells],
                }
                for row in self.metrics
            ],
            "params": [vars(row) for row in self.params],
            "tags": [vars(row) for row in self.tags],
            "totals": dict(self.totals),
            "missing": self.missing,
        }


def compare_runs(
    scope: Scope,
    names: Sequence[str],
    *,
    baseline: str = "",
    aggregate: str = "last",
    only_differing: bool = False,
    search: str = "",
    limit: int = MOST_ROWS,
    kinds: Sequence[str] = ("metrics", "params", "tags"),
) -> RunComparison:
    """Two to 200 runs by name; the first is the baseline unless another is named. At most `limit` rows a kind.

    Names that are not here are told in `missing`. Raises NotFound when fewer than two are left, Invalid.
    """
    access.require(scope, "experiments/runs/read")
    if aggregate not in AGGREGATES:
        raise Invalid(f"'{aggregate[:80]}' is nothing that is kept of a metric.", hint=f"One of: {_list(AGGREGATES)}.")
    found, missing = beside(scope, names, baseline)
    asked = _Asked(found, aggregate, only_differing, search, limit)
    metrics, metric_count = _metrics(scope, asked) if "metrics" in kinds else ([], 0)
    params, param_count = _params(scope, asked) if "params" in kinds else ([], 0)
    tags, tag_count = _tags(scope, asked) if "tags" in kinds else ([], 0)
    totals = {"metrics": metric_count, "params": param_count, "tags": tag_count}
    return RunComparison(
        runs=heads(scope, found),
        baseline=found[0].name,
        aggregate=aggregate,
        metrics=metrics,
        params=params,
        tags=tags,
        totals={kind: count for kind, count in totals.items() if kind in kinds},
        missing=missing,
    )


def candidates(scope: Scope, names: Sequence[str], *, search: str = "", limit: int = 20) -> list[RunHead]:
    """Runs that could be compared with these: the newest that match."""
    access.require(scope, "experiments/runs/read")
    here = [each.run_id for each in sides(scope, names)]
    return heads(scope, recent(scope, search=search, limit=limit, without=here))


def sparks(
    scope: Scope, names: Sequence[str], keys: Sequence[str], *, points: int = POINTS
) -> dict[str, dict[str, Series]]:
    """Of each metric and run the line in at most so many points; who never logged it is left out."""
    access.require(scope, "experiments/runs/read")
    known = {each.run_id: each.name for each in sides(scope, names) if each.run_id}
    numbers = store.key_ids(scope.session, list(keys))
    found = {}
    for key in keys:
        if key in numbers and known:
            drawn = scope.studio.history.chart(numbers[key], list(known), max_points=points)
            found[key] = {known[run_id]: series for run_id, series in drawn.items() if len(series)}
    return found


def heads(scope: Scope, found: Sequence[Side]) -> list[RunHead]:
    """What stands at the head of their columns, in that order."""
    access.require(scope, "experiments/runs/read")
    ids = [each.run_id for each in found if each.run_id]
    wanted = ("atelier.color", "mlflow.source.name", "mlflow.user")
    tags = {
        (tag.run_id, tag.key): tag.value
        for tag in scope.session.exec(select(Tag).where(col(Tag.run_id).in_(ids), col(Tag.key).in_(wanted)))
        if tag.wish != "remove"
    }
    experiments = {
        row.mlflow_id: row.name
        for row in scope.session.exec(
            select(Experiment).where(
                Experiment.workspace_id == scope.workspace_id,
                col(Experiment.mlflow_id).in_({each.run.experiment_id for each in found if each.run is not None}),
            )
        )
    }
    return [_head(each, tags, experiments) for each in found]


def beside(scope: Scope, names: Sequence[str], baseline: str) -> tuple[list[Side], list[str]]:
    """The runs with the baseline first, and the names that are not here. Raises as `compare_runs`."""
    access.require(scope, "experiments/runs/read")
    wanted = list(dict.fromkeys(name for name in names if name))
    if baseline and baseline not in wanted:
        wanted.insert(0, baseline)
    if len(wanted) > MOST_RUNS:
        raise Invalid(f"At most {MOST_RUNS} runs are compared at once; these are {len(wanted)}.", where="run")
    found = sides(scope, wanted)
    known = {name for each in found for name in (each.name, each.run_id)}
    missing = [name for name in wanted if name not in known]
    if len(found) < 2:
        if missing:
            raise NotFound(f"Run '{missing[0][:80]}' was not found.")
        raise Invalid("Two runs or more are compared.", where="run", hint="Name another one.")
    return sorted(found, key=lambda each: bool(baseline) and baseline not in {each.name, each.run_id}), missing


def values_of(scope: Scope, found: Sequence[Side], metric: str, aggregate: str = "last") -> dict[str, float | None]:
    """One metric by the runs' names; NaN is None, and who never logged it is left out."""
    access.require(scope, "experiments/runs/read")
    number = store.key_ids(scope.session, [metric]).get(metric)
    names = {each.run_id: each.name for each in found if each.run_id}
    if number is None:
        return {}
    return {
        names[row.run_id]: getattr(row, aggregate) for row in store.metrics_of(scope.session, list(names), [number])
    }


def params_of(scope: Scope, found: Sequence[Side]) -> dict[str, list[str | None]]:
    """All parameters, a value for each run."""
    access.require(scope, "experiments/runs/read")
    rows, _ = _params(scope, _Asked(found, "last", only_differing=False, search="", limit=10 * MOST_ROWS))
    return {row.key: row.values for row in rows}


def tags_of(scope: Scope, found: Sequence[Side]) -> dict[str, list[str | None]]:
    """All tags of people, a value for each run."""
    access.require(scope, "experiments/runs/read")
    rows, _ = _tags(scope, _Asked(found, "last", only_differing=False, search="", limit=10 * MOST_ROWS))
    return {row.key: row.values for row in rows}


def _head(each: Side, tags: Mapping[tuple[str, str], str], experiments: Mapping[str | None, str]) -> RunHead:
    run, job = each.run, each.job
    own = job if each.is_own else None
    label = (own.display_name or own.name) if own is not None else (run.name or run.run_id[:8]) if run else ""
    experiment = own.experiment_name if own is not None else experiments.get(run.experiment_id, "") if run else ""
    began = since_epoch(run.start_time) if run is not None else None
    return RunHead(
        id=each.name,
        label=label,
        run_id=each.run_id,
        job=own.name if own is not None else "",
        experiment=experiment,
        status=each.status,
        color=tags.get((each.run_id, "atelier.color")) or colors.of(each.run_id or each.name),
        user=own.created_by if own is not None else tags.get((each.run_id, "mlflow.user"), run.user if run else ""),
        compute=(job.compute or "local") if job is not None else "",
        source=tags.get((each.run_id, "mlflow.source.name"), ""),
        created=own.created_at if own is not None else began,
        started=own.started_at if own is not None else began,
        ended=own.finished_at if own is not None else since_epoch(run.end_time) if run is not None else None,
    )


@dataclass(frozen=True)
class _Asked:
    """What one table is made of."""

    sides: Sequence[Side]
    aggregate: str
    only_differing: bool
    search: str
    limit: int

    @property
    def run_ids(self) -> list[str]:
        return [each.run_id for each in self.sides if each.run_id]

    def shown(self, found: Mapping[str, bool]) -> tuple[list[str], int]:
        """Of names and whether they differ those that are shown, what the machine did last; how many there are."""
        word = self.search.casefold()
        kept = [
            name for name, differs in found.items() if word in name.casefold() and (differs or not self.only_differing)
        ]
        return sorted(kept, key=lambda name: (name.startswith("system/"), name))[: self.limit], len(kept)


def _metrics(scope: Scope, asked: _Asked) -> tuple[list[MetricRow], int]:
    value = getattr(Metric, asked.aggregate)
    rows = scope.session.connection().execute(
        select(Metric.key_id, func.count(), func.count(value), func.min(value), func.max(value))  # type: ignore[call-overload]
        .where(col(Metric.run_id).in_(asked.run_ids))
        .group_by(col(Metric.key_id))
    )
    many = len(asked.sides)
    differ = {
        number: count < many or numbers not in (0, count) or least != most
        for number, count, numbers, least, most in rows
    }
    names = store.key_names(scope.session, differ)
    shown, total = asked.shown({names[number]: differs for number, differs in differ.items()})
    numbers = {name: number for number, name in names.items()}
    cells = scope.session.connection().execute(
        select(Metric.run_id, Metric.key_id, value).where(
            col(Metric.run_id).in_(asked.run_ids), col(Metric.key_id).in_([numbers[name] for name in shown])
        )
    )
    values = {(run_id, number): found for run_id, number, found in cells}
    better = runs.directions(scope, shown)
    table = [
        MetricRow(
            name,
            better[name],
            differ[numbers[name]],
            _cells(
                [values.get((each.run_id, numbers[name]), "") for each in asked.sides], is_higher_better=better[name]
            ),
        )
        for name in shown
    ]
    return table, total


def _cells(values: Sequence[float | str | None], *, is_higher_better: bool) -> list[Cell]:
    """Of a run's value, None where it is no number, "" where there is none."""
    numbers = [value for value in values if isinstance(value, float)]
    best = (max if is_higher_better else min)(numbers) if len(set(numbers)) > 1 else None
    base = values[0] if isinstance(values[0], float) else None
    return [_cell(value, base, best, is_higher_better) for value in values]


def _cell(value: float | str | None, base: float | None, best: float | None, is_higher_better: bool) -> Cell:
    if not isinstance(value, float):
        return Cell(is_nan=value is None)
    delta = None if base is None else _finite(value - base)
    return Cell(
        value,
        delta=delta,
        relative=_finite(delta / abs(base)) if delta is not None and base else None,
        is_better=(delta > 0) == is_higher_better if delta else None,
        is_best=value == best,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _params(scope: Scope, asked: _Asked) -> tuple[list[TextRow], int]:
    """What was logged, and what jobs were given under names that they did not log."""
    given = {each.name: literals(each.job) for each in asked.sides if each.job is not None and each.is_own}
    rows = scope.session.connection().execute(
        select(Param.key_id, func.count(), func.min(Param.value), func.max(Param.value))
        .where(col(Param.run_id).in_(asked.run_ids))
        .group_by(col(Param.key_id))
    )
    differ = {number: count < len(asked.sides) or least != most for number, count, least, most in rows}
    names = store.key_names(scope.session, differ)
    numbers = {name: number for number, name in names.items()}
    shared = {name for each in given.values() for name in each}
    logged = {
        (run_id, number): value
        for run_id, number, value in scope.session.connection().execute(
            select(Param.run_id, Param.key_id, Param.value).where(
                col(Param.run_id).in_(asked.run_ids),
                col(Param.key_id).in_([numbers[name] for name in shared if name in numbers]),
            )
        )
    }

    def both(name: str) -> list[str | None]:
        return [
            logged.get((each.run_id, numbers.get(name, 0)), given.get(each.name, {}).get(name)) for each in asked.sides
        ]

    found = {names[number]: differs for number, differs in differ.items()}
    found |= {name: len(set(both(name))) > 1 for name in shared}
    shown, total = asked.shown(found)
    values = {
        (row.run_id, row.key_id): row.value
        for row in store.params_of(scope.session, asked.run_ids, [numbers[name] for name in shown if name in numbers])
    }
    return [
        TextRow(
            name,
            found[name],
            both(name) if name in shared else [values.get((each.run_id, numbers.get(name, 0))) for each in asked.sides],
        )
        for name in shown
    ], total


def _tags(scope: Scope, asked: _Asked) -> tuple[list[TextRow], int]:
    """Those of people: what MLflow and the studio keep in tags is left out."""
    of = {each.name: dict(each.job.tags) for each in asked.sides if each.job is not None and each.is_own}
    names = {each.run_id: each.name for each in asked.sides if each.run_id}
    for tag in store.tags_of(scope.session, list(names)):
        if tag.wish != "remove" and not tag.key.startswith(_INTERNAL):
            of.setdefault(names[tag.run_id], {})[tag.key] = tag.value
    rows = {
        key: [of.get(each.name, {}).get(key) for each in asked.sides]
        for key in dict.fromkeys(key for mine in of.values() for key in mine)
    }
    shown, total = asked.shown({key: len(set(values)) > 1 for key, values in rows.items()})
    return [TextRow(key, len(set(rows[key])) > 1, rows[key]) for key in shown], total


def _list(words: Sequence[str]) -> str:
    return ", ".join(words)
