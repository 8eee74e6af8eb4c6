"""The copy of metric histories brought in line with MLflow's record: after a crash, at the end of a run, on demand."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlmodel import Session, select

from services.core.errors import AtelierError, NotFound, Unavailable
from services.engines.native_metrics import Counted, NativeMetrics
from services.engines.tracking import RunFacts, Tracking
from services.metric_tee import summarised
from services.store import metrics as store
from services.store.columns import POINT, Packed, Series
from services.store.metrics import Metric, Run
from services.store.rows import Job
from services.studio import Studio, mlflow_workspace

log = logging.getLogger("atelier.tracking")
# A tick of the tee is at most a second: what was acknowledged is here within two.
PATIENCE_SECONDS = 3.0


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
    workspace = mlflow_workspace(workspace_id)
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
            facts = tracking.run(mlflow_workspace(run.workspace_id), run.run_id)
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
            _noted(studio, run.workspace_id, tracking.run(mlflow_workspace(run.workspace_id), run.run_id))
        except NotFound:
            continue


def differences(
    studio: Studio, tracking: Tracking, workspace_id: str, run_id: str, *, thorough: bool = False
) -> list[str]:
    """In what the copy of an ended run differs from MLflow's record, in words; nothing where they are equal.

    Without `thorough` the latest value of each metric is compared, and counts and extremes where MLflow's database
    can be asked for them; with it every point. Of a thinned history the points that are left must be MLflow's.
    Raises Unavailable.
    """
    try:
        facts = tracking.run(mlflow_workspace(workspace_id), run_id)
    except NotFound:
        return ["MLflow does not know this run"]
    with studio.database.session(write=False) as session:
        rows = store.metrics_of(session, [run_id])
        names = store.key_names(session, [row.key_id for row in rows])
        ours = {names[row.key_id]: row for row in rows}
        session.expunge_all()
    found = [f"'{key}' is not in MLflow" for key in sorted(ours.keys() - facts.metrics.keys())]
    found += [f"'{key}' is missing" for key in sorted(facts.metrics.keys() - ours.keys())]
    both = sorted(ours.keys() & facts.metrics.keys())
    found += [f"the latest value of '{key}' is another" for key in both if not _is_same(ours[key], facts.metrics[key])]
    is_thinned = run_id in studio.history.thinned([run_id])
    here = {names[key]: n for key, n in studio.history.counts(run_id).items() if key in names}
    theirs = _counted(studio, run_id)
    for key in both:
        found += _miscounted(key, ours[key], theirs.get(key), None if is_thinned else here.get(key, 0))
        if thorough:
            logged = tracking.history(mlflow_workspace(workspace_id), run_id, key)
            found += _other_points(key, studio.history.series(run_id, ours[key].key_id), logged, is_thinned=is_thinned)
    return found


def rebuild(studio: Studio, tracking: Tracking, workspace_id: str, run_id: str) -> None:
    """Reads every point of an ended run from MLflow again; a thinned one is whole from then on.

    Raises NotFound when MLflow does not know the run, and Unavailable.
    """
    was_thinned = run_id in studio.history.thinned([run_id])
    facts = tracking.run(mlflow_workspace(workspace_id), run_id)
    _healed(studio, tracking, workspace_id, facts, thorough=True)
    if was_thinned:
        studio.history.restored(run_id)


def _counted(studio: Studio, run_id: str) -> dict[str, Counted]:
    """What MLflow's database says itself; empty where it cannot be asked."""
    native = NativeMetrics(studio.folders.mlflow)
    try:
        return native.counted(run_id) if native.is_known() else {}
    except Unavailable as cause:
        log.info("Points of run %s are not counted now: %s", run_id, cause)
        return {}


def _miscounted(key: str, row: Metric, theirs: Counted | None, here: int | None) -> list[str]:
    found = []
    if here is not None and here != row.n:
        found.append(f"the summary of '{key}' tells of {row.n} points, its history has {here}")
    if theirs is None:
        return found
    if theirs.n != row.n:
        found.append(f"'{key}' has {row.n} points here, {theirs.n} in MLflow")
    for word, mine, other in (("lowest", row.min, theirs.min), ("highest", row.max, theirs.max)):
        if (mine is None) != (other is None) or (
            mine is not None and other is not None and _stored(mine) != _stored(other)
        ):
            found.append(f"the {word} value of '{key}' is {mine} here, {other} in MLflow")
    return found


def _other_points(key: str, series: Series, logged: Sequence[Any], *, is_thinned: bool) -> list[str]:
    rows = zip(series.step.tolist(), series.time.tolist(), series.value.tolist(), strict=True)
    mine = Counter((step, at, repr(_kept(value))) for step, at, value in rows)
    theirs = Counter((point.step, point.time, repr(_kept(point.value))) for point in logged)
    more, missing = (mine - theirs).total(), 0 if is_thinned else (theirs - mine).total()
    return [f"'{key}' lacks {missing} of MLflow's points and has {more} others"] if more or missing else []


def _kept(value: float) -> float:
    return value if np.isnan(value) else _stored(value)


def _healed(studio: Studio, tracking: Tracking, workspace_id: str, facts: RunFacts, *, thorough: bool) -> None:
    """A thinned history has no more than its roll-up: what came later is told from all of MLflow's points."""
    numbers = _noted(studio, workspace_id, facts)
    thorough = thorough or facts.run_id in studio.history.thinned([facts.run_id])
    if not thorough and _arrived(studio, facts.run_id, facts.metrics, numbers):
        studio.history.finish(facts.run_id)
        thorough = not _is_whole(studio, facts.run_id, numbers)
    else:
        thorough = True
    if thorough:
        _reload(studio, tracking, workspace_id, facts, numbers)
    _summarise_again(studio, facts.run_id, [numbers[key] for key in facts.metrics])


def _reload(studio: Studio, tracking: Tracking, workspace_id: str, facts: RunFacts, numbers: Mapping[str, int]) -> None:
    workspace = mlflow_workspace(workspace_id)
    points = [_packed(numbers[key], tracking.history(workspace, facts.run_id, key)) for key in facts.metrics]
    studio.history.replace(facts.run_id, np.concatenate(points) if points else np.empty(0, POINT))


def _is_whole(studio: Studio, run_id: str, numbers: Mapping[str, int]) -> bool:
    """Whether as many points of each key are here as MLflow has, where its database can be asked."""
    theirs = {numbers[key]: counted.n for key, counted in _counted(studio, run_id).items() if key in numbers}
    return not theirs or theirs == studio.history.counts(run_id)


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
    found = ((number, studio.history.series(run_id, number)) for number in numbers)
    summaries = [summarised(run_id, number, series) for number, series in found if len(series)]
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
