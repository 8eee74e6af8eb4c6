"""Compute: the engines that run jobs, what they can take and what runs where."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from services import access
from services.core.states import JobStatus
from services.core.times import iso
from services.store.rows import Fact, Job
from services.studio import Scope

_RUNNING = (JobStatus.Starting, JobStatus.Running, JobStatus.Finalizing, JobStatus.NotResponding)


@dataclass(frozen=True)
class Compute:
    """One engine as the worker last saw it; `facts` are those of EngineInfo."""

    name: str
    state: str
    facts: dict[str, Any]
    seen_at: datetime | None
    running: list[Job]
    queued: int


def listed(scope: Scope) -> list[Compute]:
    """The local engine, which all compute names mean, with this workspace's jobs on it."""
    access.require(scope, "computes/read")
    fact = scope.session.get(Fact, "engine")
    facts = dict(fact.value) if fact else {}
    running = list(
        scope.session.exec(
            select(Job)
            .where(Job.workspace_id == scope.workspace_id, col(Job.status).in_([str(status) for status in _RUNNING]))
            .order_by(col(Job.started_at))
        )
    )
    queued = scope.session.exec(
        select(Job.id).where(
            Job.workspace_id == scope.workspace_id, col(Job.status).in_(["Queued", "Preparing", "Provisioning"])
        )
    ).all()
    state = str(facts.get("state", "unknown"))
    return [Compute("local", state, facts, fact.at if fact else None, running, len(queued))]


def as_json(compute: Compute) -> dict[str, object]:
    return {
        "name": compute.name,
        "type": compute.facts.get("kind", ""),
        "state": compute.state,
        "cpus": compute.facts.get("cpus"),
        "memory": compute.facts.get("memory"),
        "version": compute.facts.get("version", ""),
        "seen_at": iso(compute.seen_at),
        "running": [job.name for job in compute.running],
        "queued": compute.queued,
    }
