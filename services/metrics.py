"""Metrics: what jobs logged, read from summaries and columns; MLflow stays the record and is compared at the end."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from sqlmodel import Session, col, select

from services import access, artifacts, experiments, jobs
from services.core.errors import AtelierError, NotFound, Unavailable
from services.core.times import parse
from services.engines.tracking import RunFacts, Tracking
from services.store import metrics as store
from services.store import runs as pages
from services.store.columns import POINT, Packed, Series, Steps, Values
from services.store.metrics import Metric, Run, Summary
from services.store.rows import Job
from services.studio import Scope, Studio

log = logging.getLogger("atelier.tracking")
MONITORING = "system_logs/monitoring.jsonl"
# A tick of the tee is at most a second: what was acknowledged is here within two.
PATIENCE_SECONDS = 3.0
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
    """The same metric of many jobs, by job name; those that never logged it are left out."""
    access.require(scope, "jobs/read")
    rows = scope.session.exec(
        select(Job.name, Job.run_id).where(Job.workspace_id == scope.workspace_id, col(Job.name).in_(names))
    )
    runs_ = {run_id: name for name, run_id in rows if run_id}
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
    query = pages.RunQuery(
        scope.workspace_id,
        experiment_ids=[row.mlflow_id],
        order_by=numbers[order_by] if order_by else None,
        descending=descending,
    )
    ids = pages.page(scope.session, query, limit=limit, offset=offset)
    return _rows(
        scope, ids, [key for key in metrics if key in numbers], [key for key in params if key in numbers], numbers
    )


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


def note_run(session: Session, job: Job, run_id: str, experiment_id: str, start_time: int) -> None:
    """The run that was made for a job, so that lists know it before anything was logged."""
    store.save_run(
        session,
        Run(
            run_id=run_id,
            workspace_id=job.workspace_id,
            experiment_id=experiment_id,
            job_id=job.id,
            name=job.display_name or job.name,
            start_time=start_time,
            user=job.created_by,
        ),
    )


def heal(studio: Studio, tracking: Tracking, workspace_id: str, run_id: str, *, thorough: bool = False) -> None:
    """Brings summaries and history of an ended run in line with MLflow, the record.

    Without `thorough` the latest values say whether all is here; with it, or where they differ, every point
    is read again. Runs nested in it follow. Raises Unavailable.
    """
    workspace = artifacts.mlflow_workspace(workspace_id)
    facts = tracking.run(workspace, run_id)
    has_nested = thorough or _has_nested(studio, run_id)  # MLflow searches long for what most runs have not
    nested = tracking.children(workspace, facts.experiment_id, run_id) if has_nested else ()
    for each in (facts, *nested):
        _healed(studio, tracking, workspace_id, each, thorough=thorough)


def _has_nested(studio: Studio, run_id: str) -> bool:
    """As far as was seen; nested runs that were missed are healed by `check`."""
    with studio.database.session(write=False) as session:
        return session.exec(select(Run.run_id).where(Run.parent_run_id == run_id).limit(1)).first() is not None


def check(studio: Studio, tracking: Tracking, *, since: int | None = None, limit: int = 50) -> int:
    """Heals ended runs that took points since they were last compared, whoever made them; how many there were.

    Those that began before `since` (milliseconds), when the process that copies was started, may have lost
    what it had not written yet: every point of theirs is read again. Raises Unavailable.
    """
    with studio.database.session(write=False) as session:
        found = store.unchecked(session, limit)
    for run in found:
        thorough = since is None or (run.start_time or 0) < since
        try:
            facts = tracking.run(artifacts.mlflow_workspace(run.workspace_id), run.run_id)
            _healed(studio, tracking, run.workspace_id, facts, thorough=thorough)
        except Unavailable:
            raise
        except AtelierError as cause:  # one that MLflow does not have must not come up for ever
            log.warning("Run %s could not be compared with MLflow: %s", run.run_id, cause)
            with studio.database.session(write=True) as session:
                store.checked(session, run.run_id)
    return len(found)


def refresh(studio: Studio, tracking: Tracking) -> None:
    """Asks MLflow how runs fare that seem to be going on: a crash may have lost the news of their end.

    Raises Unavailable.
    """
    with studio.database.session(write=False) as session:
        found = store.going_on(session)
    for run in found:
        try:
            _noted(studio, run.workspace_id, tracking.run(artifacts.mlflow_workspace(run.workspace_id), run.run_id))
        except NotFound:
            continue


def _healed(studio: Studio, tracking: Tracking, workspace_id: str, facts: RunFacts, *, thorough: bool) -> None:
    numbers = _noted(studio, workspace_id, facts)
    if thorough or not _arrived(studio, facts.run_id, facts.metrics, numbers):
        workspace = artifacts.mlflow_workspace(workspace_id)
        points = [_packed(numbers[key], tracking.history(workspace, facts.run_id, key)) for key in facts.metrics]
        studio.history.replace(facts.run_id, np.concatenate(points) if points else np.empty(0, POINT))
    else:
        studio.history.finish(facts.run_id)
    _summarise_again(studio, facts.run_id, [numbers[key] for key in facts.metrics])


def _noted(studio: Studio, workspace_id: str, facts: RunFacts) -> dict[str, int]:
    """The run with its parameters and tags, as MLflow has them; the numbers of its keys."""
    with studio.database.session(write=True) as session:
        numbers = store.ensure_keys(session, [*facts.metrics, *facts.params])
        store.save_params(session, [(facts.run_id, numbers[key], value) for key, value in facts.params.items()])
        store.save_tags(session, [(facts.run_id, key, value) for key, value in facts.tags.items()])
        row = Run(
            run_id=facts.run_id,
            workspace_id=workspace_id,
            experiment_id=facts.experiment_id,
            parent_run_id=facts.tags.get("mlflow.parentRunId"),
            name=facts.name,
            status=facts.status,
            start_time=facts.start_time,
            end_time=facts.end_time,
            user=facts.user,
            lifecycle_stage=facts.lifecycle_stage,
        )
        store.save_run(session, row)
        return numbers


def _arrived(studio: Studio, run_id: str, latest: Mapping[str, Any], numbers: Mapping[str, int]) -> bool:
    """Whether the latest value of each metric is here; waits for the tick that brings it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        with studio.database.session(write=False) as session:
            mine = {row.key_id: row for row in store.metrics_of(session, [run_id])}
        if all(_is_same(mine.get(numbers[key]), point) for key, point in latest.items()):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.1)


def _is_same(row: Metric | None, point: Any) -> bool:
    if row is None or (row.last_step, row.last_time) != (point.step, point.time):
        return False
    return row.last_nan if np.isnan(point.value) else row.last is not None and _stored(row.last) == _stored(point.value)


def _stored(value: float) -> float:
    """As MLflow keeps it: infinities are its largest number."""
    return float(np.nan_to_num(value)) + 0.0


def _summarise_again(studio: Studio, run_id: str, numbers: Sequence[int]) -> None:
    """After exact duplicates are gone."""
    summaries = []
    for number in numbers:
        series = studio.history.series(run_id, number)
        one = Summary(run_id, number)
        for step, at, value in zip(series.step.tolist(), series.time.tolist(), series.value.tolist(), strict=True):
            one.add(value, at, step)
        if one.n:
            summaries.append(one)
    with studio.database.session(write=True) as session:
        store.replace(session, run_id, summaries)
        store.checked(session, run_id)


def _packed(number: int, points: Sequence[Any]) -> Packed:
    packed = np.empty(len(points), POINT)
    packed["key"] = number
    packed["step"] = [point.step for point in points]
    packed["time"] = [point.time for point in points]
    packed["value"] = [point.value for point in points]
    return packed


def _summarised(key: str, row: Metric) -> MetricSummary:
    return MetricSummary(key, row.last, row.last_step, row.min, row.max, row.n)


def _rows(
    scope: Scope, ids: Sequence[str], metrics_: Sequence[str], params: Sequence[str], numbers: Mapping[str, int]
) -> list[RunRow]:
    found = {row.run_id: row for row in scope.session.exec(select(Run).where(col(Run.run_id).in_(ids)))}
    names = dict(scope.session.exec(select(Job.run_id, Job.name).where(col(Job.run_id).in_(ids))).all())
    values: dict[str, dict[int, float | None]] = {}
    for metric in store.metrics_of(scope.session, ids, [numbers[key] for key in metrics_]):
        values.setdefault(metric.run_id, {})[metric.key_id] = float("nan") if metric.last_nan else metric.last
    texts: dict[str, dict[int, str]] = {}
    for param in store.params_of(scope.session, ids, [numbers[key] for key in params]):
        texts.setdefault(param.run_id, {})[param.key_id] = param.value
    return [
        RunRow(
            run_id=run_id,
            job=names.get(run_id, ""),
            name=found[run_id].name,
            status=found[run_id].status,
            start_time=found[run_id].start_time,
            end_time=found[run_id].end_time,
            user=found[run_id].user,
            metrics={key: values.get(run_id, {}).get(numbers[key]) for key in metrics_},
            params={key: texts[run_id][numbers[key]] for key in params if numbers[key] in texts.get(run_id, {})},
        )
        for run_id in ids
    ]


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
