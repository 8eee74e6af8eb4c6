"""What to do next about a job, from its row and its container alone. Pure: the worker does what is answered.

Any crash between two steps is repaired by asking again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.core.states import TERMINAL, JobStatus
from services.engines.containers import Found
from services.store.rows import Job

Do = Literal["wait", "drop", "prepare", "launch", "start", "running", "stop", "finish", "collect"]

UNSTARTED = frozenset({JobStatus.NotStarted, JobStatus.Queued, JobStatus.Preparing, JobStatus.Provisioning})
STARTED = frozenset({JobStatus.Running, JobStatus.NotResponding, JobStatus.CancelRequested})


@dataclass(frozen=True)
class Action:
    """`drop` ends a job that never started; `finish` has an ended container; `stop` asks one to end."""

    do: Do
    why: str = ""


def plan(job: Job, found: Found | None, at: datetime) -> Action:
    """`found` is the container of the current attempt, None when the engine says that there is none."""
    if job.status in TERMINAL:
        return Action("wait")
    if job.status == JobStatus.Finalizing:
        return Action("collect")
    if job.status in UNSTARTED:
        return _unstarted(job, at)
    if job.status == JobStatus.Starting:
        return _starting(job, found)
    if job.status in STARTED:
        return _started(job, found, at)
    return Action("wait")


def is_overdue(job: Job, at: datetime) -> bool:
    """Whether it has run longer than `limits.timeout`."""
    timeout = (job.spec.get("limits") or {}).get("timeout")
    return bool(timeout and job.started_at and at >= job.started_at + timedelta(seconds=timeout))


def _unstarted(job: Job, at: datetime) -> Action:
    if job.desired == "cancel":
        return Action("drop", "Canceled")
    if job.not_before is not None and job.not_before > at:
        return Action("wait")
    return Action("prepare")


def _starting(job: Job, found: Found | None) -> Action:
    if found is None:
        return Action("drop", "Canceled") if job.desired == "cancel" else Action("launch")
    if found.status == "created":
        if found.error or job.desired == "cancel":
            return Action("finish")
        return Action("start")
    return Action("running") if found.status == "running" else Action("finish")


def _started(job: Job, found: Found | None, at: datetime) -> Action:
    if found is None or found.status in {"exited", "dead"}:
        return Action("finish")
    if found.status == "created":  # an engine that lost its memory: what ran is gone
        return Action("finish")
    if job.desired != "run":
        return Action("stop", job.desired)
    if is_overdue(job, at):
        return Action("stop", "timeout")
    return Action("running") if job.status == JobStatus.NotResponding else Action("wait")
