"""Metrics: what jobs logged, read from summaries and columns, which follow MLflow's record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from sqlmodel import col, select

from services import access, artifacts, experiments, jobs
from services.core.errors import Denied, NotFound
from services.core.times import parse
from services.specs.run_fields import Field
from services.store import metrics as store
from services.store import runs as pages
from services.store.columns import Series, Steps, Values
from services.store.metrics import Metric, Run
from services.store.rows import Job
from services.studio import Scope

MONITORING = "system_logs/monitoring.jsonl"
LINES = 200_000


@dataclass(frozen=True)
class MetricSummary:
    """What the points of one metric come to; NaN is None."""

    key: str
    last: float | None
    last_step: int | None
    min: float | None
    max: float | None
    count: int


@dataclass(frozen=True)
class Recorded:
    """All that a job logged, by name."""

    metrics: list[MetricSummary] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One series: `step`, `time` (milliseconds) and `value`, of one length."""

    key: str
    step: Steps
    time: Steps
    value: Values


@dataclass(frozen=True)
class RunRow:
    """One line of an experiment's table; `job` is empty for a run that no job made."""

    run_id: str
    job: str
    name: str
    status: str
    start_time: int | None
    end_time: int | None
    user: str
    metrics: Mapping[str, float | None]
    params: Mapping[str, str]


def summary(scope: Scope, name: str) -> Recorded:
    """Metrics, parameters and tags of a job's run, by name; empty before the first was logged."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    if job.run_id is None:
        return Recorded()
    rows = store.metrics_of(scope.session, [job.run_id])
    params = store.params_of(scope.session, [job.run_id])
    names = store.key_names(scope.session, [*(row.key_id for row in rows), *(row.key_id for row in params)])
    return Recorded(
        sorted((_summarised(names[row.key_id], row) for row in rows), key=lambda each: each.key),
        dict(sorted((names[row.key_id], row.value) for row in params)),
        {row.key: row.value for row in store.tags_of(scope.session, [job.run_id])},
    )


def history(
    scope: Scope,
    name: str,
    keys: Sequence[str],
    *,
    max_points: int | None = None,
    start: int | None = None,
    end: int | None = None,
) -> list[Line]:
    """The series of a job in the order of `keys`; extremes, gaps and ends are among at most `max_points`."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    numbers = store.key_ids(scope.session, list(keys))
    found = []
    for key in keys:
        if job.run_id is not None and key in numbers:
            series = scope.studio.history.series(job.run_id, numbers[key], max_points=max_points, start=start, end=end)
        else:
            series = Series.joined(())
        found.append(Line(key, series.step, series.time, series.value))
    return found


def compare(scope: Scope, names: Sequence[str], key: str, *, max_points: int | None = None) -> dict[str, Line]:
    """The same metric of many runs, by job name, or by run id where no job made it; who never logged it is left out."""
    access.require(scope, "jobs/read")
    rows = scope.session.exec(
        select(Job.name, Job.run_id).where(Job.workspace_id == scope.workspace_id, col(Job.name).in_(names))
    )
    runs_ = {run_id: name for name, run_id in rows if run_id}
    others = select(Run.run_id).where(
        Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active", col(Run.run_id).in_(names)
    )
    runs_ = {run_id: run_id for run_id in scope.session.exec(others)} | runs_
    numbers = store.key_ids(scope.session, [key])
    if key not in numbers or not runs_:
        return {}
    drawn = scope.studio.history.chart(numbers[key], list(runs_), max_points=max_points)
    found = {runs_[run_id]: series for run_id, series in drawn.items() if len(series)}
    return {name: Line(key, found[name].step, found[name].time, found[name].value) for name in names if name in found}


def keys(scope: Scope, experiment: str) -> tuple[list[str], list[str]]:
    """The names of all metrics and parameters that runs of an experiment logged."""
    access.require(scope, "experiments/read")
    mlflow_id = experiments.get(scope, experiment).mlflow_id
    mine = select(Run.run_id).where(Run.workspace_id == scope.workspace_id, Run.experiment_id == mlflow_id)
    metrics_ = scope.session.exec(select(Metric.key_id).where(col(Metric.run_id).in_(mine)).distinct()).all()
    params = scope.session.exec(select(store.Param.key_id).where(col(store.Param.run_id).in_(mine)).distinct()).all()
    names = store.key_names(scope.session, [*metrics_, *params])
    return sorted(names[key] for key in metrics_), sorted(names[key] for key in params)


def runs(
    scope: Scope,
    experiment: str,
    *,
    metrics: Sequence[str] = (),
    params: Sequence[str] = (),
    order_by: str = "",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
) -> list[RunRow]:
    """A page of an experiment's runs with the asked-for columns, sorted by a metric or newest first."""
    access.require(scope, "experiments/read")
    row = experiments.get(scope, experiment)
    if row.mlflow_id is None:
        return []
    numbers = store.key_ids(scope.session, [*metrics, *params, *([order_by] if order_by else [])])
    if order_by and order_by not in numbers:
        raise NotFound(f"No run logged '{order_by[:80]}'.", where="order_by")
    by = [(Field("metrics", order_by), descending)] if order_by else []
    query = pages.RunQuery(scope.workspace_id, 0, experiment_ids=[row.mlflow_id], order_by=by)
    ids = pages.page(scope.session, query, limit=limit, offset=offset)
    return _rows(
        scope, ids, [key for key in metrics if key in numbers], [key for key in params if key in numbers], numbers
    )


def thinned(scope: Scope, names: Sequence[str]) -> list[str]:
    """Those of these runs, by the name of a job or a run id, that were archived and of which roll-ups are left."""
    access.require(scope, "experiments/runs/read")
    found = {name: store.named(scope.session, scope.workspace_id, name)[0] for name in names}
    ids = scope.studio.history.thinned([run.run_id for run in found.values() if run is not None])
    return [name for name, run in found.items() if run is not None and run.run_id in ids]


def copied(scope: Scope, *, name: str = "", after: str = "", limit: int = 200, to_change: bool = False) -> list[Run]:
    """Runs whose copy can be compared with MLflow's record, in the order of their ids: one of that name, or a page."""
    access.require(scope, "experiments/runs/write" if to_change else "experiments/runs/read")
    if name:
        run, _ = store.named(scope.session, scope.workspace_id, name)
        if run is None:
            raise NotFound(f"Run '{name[:80]}' was not found.")
        return [run]
    mine = (Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active", col(Run.run_id) > after)
    return list(scope.session.exec(select(Run).where(*mine).order_by(Run.run_id).limit(limit)))


def run_to_log(scope: Scope, name: str) -> str:
    """MLflow's id of the run of that name, which the caller may log to; a job's token its own and those it made."""
    access.require(scope, "experiments/runs/write")
    run, job = store.named(scope.session, scope.workspace_id, name)
    if run is None:
        raise NotFound(f"Run '{name[:80]}' was not found.")
    if scope.job_id is not None and scope.job_id not in {run.job_id, job.id if job is not None else None}:
        raise Denied("A job may only change its own run.")
    return run.run_id


def monitoring(scope: Scope, name: str) -> list[Line]:
    """What the container used: rates of processor (percent of one core), network and disk (kB/s), memory (MB)."""
    access.require(scope, "jobs/read")
    try:
        file, _ = artifacts.opened(scope, name, MONITORING)
    except NotFound:
        return []
    samples = []
    with file:
        for line in file.readlines()[-LINES:]:
            try:
                samples.append(orjson.loads(line))
            except orjson.JSONDecodeError:  # the last line may be half written
                continue
    # The last sample may have been taken of a container that was gone.
    while samples and not samples[-1].get("memory"):
        samples.pop()
    return _rates(samples)


def _summarised(key: str, row: Metric) -> MetricSummary:
    return MetricSummary(key, row.last, row.last_step, row.min, row.max, row.n)


def _rows(
    scope: Scope, ids: Sequence[str], metrics_: Sequence[str], params: Sequence[str], numbers: Mapping[str, int]
) -> list[RunRow]:
    found = {row.run_id: row for row in scope.session.exec(select(Run).where(col(Run.run_id).in_(ids)))}
    jobs_ = {job.run_id: job for job in scope.session.exec(select(Job).where(col(Job.run_id).in_(ids)))}
    values: dict[str, dict[int, float | None]] = {}
    for metric in store.metrics_of(scope.session, ids, [numbers[key] for key in metrics_]):
        values.setdefault(metric.run_id, {})[metric.key_id] = float("nan") if metric.last_nan else metric.last
    texts: dict[str, dict[int, str]] = {}
    for param in store.params_of(scope.session, ids, [numbers[key] for key in params]):
        texts.setdefault(param.run_id, {})[param.key_id] = param.value
    return [
        _row(
            found[run_id],
            jobs_.get(run_id),
            metrics={key: values.get(run_id, {}).get(numbers[key]) for key in metrics_},
            params={key: texts[run_id][numbers[key]] for key in params if numbers[key] in texts.get(run_id, {})},
        )
        for run_id in ids
    ]


def _row(run: Run, job: Job | None, **columns: Any) -> RunRow:
    """A job's run took as long as its container, whenever MLflow heard of it."""
    began, ended = (job.started_at, job.finished_at) if job is not None else (None, None)
    return RunRow(
        run_id=run.run_id,
        job=job.name if job is not None else "",
        name=run.name,
        status=run.status,
        start_time=int(began.timestamp() * 1000) if began else run.start_time,
        end_time=int(ended.timestamp() * 1000) if ended else run.end_time,
        user=run.user,
        **columns,
    )


def _rates(samples: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Counters become rates between two samples; one that fell back was a restart and counts from zero."""
    if not samples:
        return []
    at = np.array([parse(sample["at"]).timestamp() for sample in samples])
    order = np.argsort(at, kind="stable")
    at = at[order]
    columns = {
        name: np.array([float(sample.get(name) or 0) for sample in samples])[order]
        for name in ("cpu_seconds", "memory", "network_in", "network_out", "disk_read", "disk_write")
    }
    passed = np.maximum(np.diff(at, prepend=at[0]), 1e-3)
    lines = [("cpu_percent", "cpu_seconds", 100.0), ("memory_mb", "memory", 1e-6)]
    lines += [(f"{name}_kb_s", name, 1e-3) for name in ("network_in", "network_out", "disk_read", "disk_write")]
    found = []
    for key, name, scale in lines:
        values = columns[name] * scale
        if name != "memory":
            values = np.maximum(np.diff(values, prepend=values[0]), 0.0) / passed
        found.append(Line(key, np.arange(len(at), dtype=np.int64), (at * 1000).astype(np.int64), values))
    return found
