"""Jobs: submit, list, cancel, archive. Writes wishes; the worker makes them true."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select, update

from services import access, assets, environments, experiments, job_inputs, run_marks, uploads
from services.core import failpoints, names
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page, cut
from services.core.states import ACTIVE, NEXT, TERMINAL, JobStatus
from services.core.times import now
from services.events import emit
from services.specs.jobs import CommandJob
from services.store import metrics as summaries
from services.store.rows import Asset, Event, Job
from services.studio import Scope

SHOWN = 5
ORDERS = {
    "created_at": Job.created_at,
    "name": Job.name,
    "display_name": Job.display_name,
    "status": Job.status,
    "experiment_name": Job.experiment_name,
    "started_at": Job.started_at,
    "finished_at": Job.finished_at,
    "created_by": Job.created_by,
    "compute": Job.compute,
}


@dataclass(frozen=True)
class JobQuery:
    """What to list. `order_by` is a column of ORDERS, with a leading '-' for descending."""

    search: str = ""
    status: tuple[str, ...] = ()
    created_by: tuple[str, ...] = ()
    experiment_name: str = ""
    include_archived: bool = False
    order_by: str = "-created_at"
    limit: int = 50
    cursor: str = ""


def submit(
    scope: Scope,
    spec: CommandJob,
    *,
    source: str = "",
    snapshot: str | None = None,
    context: str | None = None,
    git: Mapping[str, Any] | None = None,
) -> Job:
    """A queued job. Code, build context and local data were uploaded before.

    Raises Conflict when the name is taken, Invalid or NotFound when something that it names is not there.
    """
    access.require(scope, "jobs/write")
    name = names.checked(spec.name) if spec.name else names.generated()
    if _found(scope, name) is not None:
        raise Conflict(
            f"A job named '{name}' exists already.", where="name", hint="Leave the name out to get a new one."
        )
    if snapshot is not None:
        uploads.require_snapshot(scope, snapshot)
    settled = job_inputs.settle(scope, spec)
    spec = job_inputs.with_paths(spec, settled)
    environment = environments.resolve(scope, spec.environment, context=context)
    experiment = experiments.ensure(scope, spec.experiment_name or "Default")
    job = Job(
        workspace_id=scope.workspace_id,
        name=name,
        display_name=names.checked_display_name(spec.display_name or name),
        description=spec.description or "",
        experiment_id=experiment.id,
        experiment_name=experiment.name,
        tags=dict(spec.tags),
        properties=dict(spec.properties),
        spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        source=source,
        compute=(spec.compute or "").removeprefix("azureml:"),
        snapshot_id=snapshot,
        environment_id=environment.id,
        git=dict(git or {}),
        status=JobStatus.Queued,
        reason="Waiting for the worker",
        created_by=scope.principal.name,
    )
    job_inputs.record(scope, job, settled)
    scope.session.add(job)
    emit(scope, "job", name, f"Job '{name}' was submitted", reason="Waiting for the worker")
    scope.session.flush()
    failpoints.reach("before_commit")
    return job


def get(scope: Scope, name: str) -> Job:
    access.require(scope, "jobs/read")
    job = _found(scope, name)
    if job is None:
        raise NotFound(f"Job '{name[:80]}' was not found in workspace '{_workspace_name(scope)}'.")
    return job


def listed(scope: Scope, query: JobQuery | None = None) -> Page[Job]:
    """One page. Raises Invalid for an unknown column, status or cursor."""
    access.require(scope, "jobs/read")
    query = query or JobQuery()
    column = query.order_by.removeprefix("-")
    if column not in ORDERS:
        raise Invalid(
            f"Jobs cannot be sorted by {column[:80]!r}.", where="order_by", hint=f"One of: {', '.join(ORDERS)}."
        )
    statement = _filtered(scope, query)
    ordered = col(ORDERS[column])
    descending = query.order_by.startswith("-")
    return cut(
        scope.session,
        statement.order_by(*((part.desc() if descending else part.asc()) for part in (ordered, col(Job.id)))),
        limit=query.limit,
        cursor=query.cursor,
    )


def counted(scope: Scope, query: JobQuery | None = None) -> dict[str, int]:
    """How many jobs of each status the query finds, whatever its page."""
    access.require(scope, "jobs/read")
    found = _filtered(scope, query or JobQuery()).subquery()
    return {
        str(status): count
        for status, count in scope.session.exec(select(found.c.status, func.count()).group_by(found.c.status))
    }


def creators(scope: Scope) -> list[str]:
    """Who has submitted jobs here."""
    access.require(scope, "jobs/read")
    return list(
        scope.session.exec(
            select(Job.created_by).where(Job.workspace_id == scope.workspace_id).distinct().order_by(Job.created_by)
        )
    )


def cancel(scope: Scope, name: str) -> Job:
    """Asks the worker to stop it: TERM, then KILL after the grace. No-op when that was asked already."""
    access.require(scope, "jobs/cancel/action")
    job = get(scope, name)
    if job.status in TERMINAL:
        raise Conflict(f"Job '{name}' is {job.status} and cannot be canceled.")
    if job.desired == "cancel":
        return job
    job.desired, job.canceled_by, job.cancel_requested_at = "cancel", scope.principal.name, now()
    job.not_before = None
    job.revision += 1
    scope.session.add(job)
    emit(scope, "job", name, "Cancellation was requested", reason="CancelRequested")
    return job


def archive(scope: Scope, name: str) -> Job:
    """Hides it from lists; nothing is removed."""
    access.require(scope, "jobs/write")
    return _touched(scope, name, "archived", archived_at=now())


def restore(scope: Scope, name: str) -> Job:
    access.require(scope, "jobs/write")
    return _touched(scope, name, "restored", archived_at=None)


def update_details(
    scope: Scope,
    name: str,
    *,
    display_name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    starred: bool | None = None,
) -> Job:
    """Changes what was given; tags and star are the run's too, but for tags that MLflow would not take."""
    access.require(scope, "jobs/write")
    before = dict(get(scope, name).tags)
    changes: dict[str, Any] = {}
    if display_name is not None:
        changes["display_name"] = names.checked_display_name(display_name) or name
    if description is not None:
        changes["description"] = description
    if tags is not None:
        changes["tags"] = dict(tags)
    if starred is not None:
        changes["starred"] = starred
    job = _touched(scope, name, "changed", **changes)
    if job.run_id is not None:
        wishes: dict[str, str | None] = {key: None for key in before if key not in job.tags}
        wishes |= {key: value for key, value in job.tags.items() if before.get(key) != value}
        told = {key: value for key, value in wishes.items() if run_marks.takes(key)}
        if starred is not None:
            told[run_marks.STARRED] = "true" if starred else None
        for key, value in told.items():
            summaries.wish_tag(scope.session, job.run_id, key, value and value[: run_marks.LONGEST_VALUE])
    return job


def delete(scope: Scope, name: str) -> Job:
    """Takes it out of every list; the worker then removes its run, files and row.

    Raises Conflict while it is under way, or while assets that it made lie in its files.
    """
    access.require(scope, "jobs/delete")
    job = get(scope, name)
    if job.status not in TERMINAL:
        raise Conflict(f"Job '{name}' is {job.status}.", hint="Cancel it first, then delete it.")
    made = scope.session.exec(select(Asset).where(Asset.workspace_id == job.workspace_id, Asset.job_id == job.id)).all()
    if made:
        listed_ = ", ".join(f"{assets.spoken(asset.kind)} {assets.named(asset)}" for asset in made[:SHOWN])
        more = f" and {len(made) - SHOWN} more" if len(made) > SHOWN else ""
        raise Conflict(
            f"The files of {listed_}{more} are among those of job '{name}'.",
            hint="Archive the job instead, or delete those first.",
        )
    return _touched(scope, name, "deleted", deleted_at=now())


def advance(scope: Scope, job: Job, new: JobStatus, *, reason: str = "", message: str = "", **facts: Any) -> bool:
    """The only writer of a job's status: compare-and-set on status and lock, with its event.

    `facts` are further columns set in the same statement. False means somebody was faster. Not a
    question of permission: only the worker calls it, for jobs that somebody was allowed to submit.
    """
    old = job.status
    if new not in NEXT[old]:
        raise Conflict(f"Job '{job.name}' cannot go from {old} to {new}.")
    values = {"status": str(new), "reason": reason, "message": message, "revision": job.revision + 1, **facts}
    done = scope.session.connection().execute(
        update(Job)
        .where(col(Job.id) == job.id, col(Job.status) == str(old), col(Job.lock_token) == job.lock_token)
        .values(**values)
    )
    if done.rowcount != 1:
        return False
    scope.session.refresh(job)
    emit_for(scope, job, f"Job is {new}" if not reason else f"Job is {new}: {reason}", reason=reason)
    return True


def explain(scope: Scope, job: Job, reason: str) -> None:
    """Why a job is where it is, in its row and in its timeline; its status stays."""
    if job.reason == reason:
        return
    job.reason = reason
    scope.session.add(job)
    emit_for(scope, job, reason, reason=reason)


def emit_for(scope: Scope, job: Job, message: str, *, reason: str = "") -> None:
    """An event of a job in whatever workspace it lives; for the worker, whose scope has none."""
    scope.session.add(
        Event(
            principal=scope.principal.name,
            workspace_id=job.workspace_id,
            kind="job",
            name=job.name,
            message=message,
            reason=reason,
            request_id=scope.request_id,
        )
    )


def _found(scope: Scope, name: str) -> Job | None:
    return scope.session.exec(
        select(Job).where(Job.workspace_id == scope.workspace_id, Job.name == name, col(Job.deleted_at).is_(None))
    ).one_or_none()


def _filtered(scope: Scope, query: JobQuery) -> Any:
    statement = select(Job).where(Job.workspace_id == scope.workspace_id, col(Job.deleted_at).is_(None))
    if not query.include_archived:
        statement = statement.where(col(Job.archived_at).is_(None))
    if query.status:
        unknown = [status for status in query.status if status not in JobStatus.__members__]
        if unknown:
            raise Invalid(
                f"{unknown[0][:80]!r} is not a status.", where="status", hint=f"One of: {', '.join(JobStatus)}."
            )
        statement = statement.where(col(Job.status).in_(query.status))
    if query.created_by:
        statement = statement.where(col(Job.created_by).in_(query.created_by))
    if query.experiment_name:
        statement = statement.where(Job.experiment_name == query.experiment_name)
    if query.search:
        words = query.search
        statement = statement.where(
            col(Job.name).icontains(words, autoescape=True)
            | col(Job.display_name).icontains(words, autoescape=True)
            | col(Job.experiment_name).icontains(words, autoescape=True)
        )
    return statement


def _touched(scope: Scope, name: str, past: str, **changes: Any) -> Job:
    job = get(scope, name)
    for field, value in changes.items():
        setattr(job, field, value)
    job.revision += 1
    scope.session.add(job)
    emit(scope, "job", name, f"Job '{name}' was {past}")
    return job


def _workspace_name(scope: Scope) -> str:
    return scope.workspace.name if scope.workspace else ""


def is_active(job: Job) -> bool:
    return job.status in ACTIVE


def end_of(job: Job) -> datetime | None:
    """When it ended, for durations; None while it is under way."""
    return job.finished_at if job.status in TERMINAL else None
