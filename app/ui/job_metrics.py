"""A job's metrics, and what its container used, as the tiles of a dashboard."""

from app import context
from app.ui import run_metrics
from services import metrics
from services.core.states import TERMINAL
from services.store.rows import Job


def recorded(job: Job) -> metrics.Recorded:
    with context.scope() as s:
        return metrics.summary(s, job.name)


def show(job: Job) -> None:
    known, live = recorded(job).metrics, _is_live(job)
    if live:
        run_metrics.watch(job.name, len(known))
    run_metrics.show(job.name, known, live=live, version=_version(job))


def monitoring(job: Job) -> None:
    """From its first second, drawn on while it runs."""
    run_metrics.machine(job.name, recorded(job).metrics, live=_is_live(job), version=_version(job))


def _is_live(job: Job) -> bool:
    return job.status not in TERMINAL or job.collected_at is None


def _version(job: Job) -> str:
    """Another once the job is over, because its history is then compared with MLflow's."""
    return f"{job.status}:{job.collected_at}"
