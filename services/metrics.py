"""Metrics: what jobs logged, read from summaries and columns, which follow MLflow's record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from sqlmodel import col, select

from services import access, artifacts, jobs
from services.core.errors import Denied, NotFound
from services.core.times import parse
from services.store import metrics as store
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
