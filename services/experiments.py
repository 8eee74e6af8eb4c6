"""Experiments: runs that belong together."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, func, select

from services import access
from services.core import names, times
from services.core.errors import NotFound
from services.events import emit
from services.store.rows import Experiment, Job
from services.studio import Scope


@dataclass(frozen=True)
class Overview:
    """One line of the list: the experiment, how many jobs, the latest."""

    experiment: Experiment
    jobs: int
    latest_job: str
    last_submitted: datetime | None


def listed(scope: Scope, *, include_archived: bool = False, search: str = "") -> list[Overview]:
    """Newest activity first."""
    access.require(scope, "experiments/read")
    latest = func.max(Job.created_at).label("latest")
    query = (
        select(Experiment, func.count(col(Job.id)), latest)
        .join(Job, (col(Job.experiment_id) == Experiment.id) & col(Job.deleted_at).is_(None), isouter=True)
        .where(Experiment.workspace_id == scope.workspace_id)
        .group_by(col(Experiment.id))
        .order_by(func.coalesce(latest, Experiment.created_at).desc())
    )
    if not include_archived:
        query = query.where(col(Experiment.archived_at).is_(None))
    if search:
        query = query.where(col(Experiment.name).icontains(search, autoescape=True))
    rows = list(scope.session.exec(query))
    names_of = _latest_names(scope, [row.id for row, _, _ in rows])
    return [Overview(row, count, names_of.get(row.id, ""), at) for row, count, at in rows]


def name_of(scope: Scope, mlflow_id: str) -> str:
    """Raises NotFound when this workspace does not hold it."""
    access.require(scope, "experiments/read")
    mine = (Experiment.workspace_id == scope.workspace_id, Experiment.mlflow_id == mlflow_id)
    found = scope.session.exec(select(Experiment.name).where(*mine)).first()
    if found is None:
        raise NotFound("This experiment was not found.")
    return found


def get(scope: Scope, name: str) -> Experiment:
    access.require(scope, "experiments/read")
    row = _found(scope, name)
    if row is None:
        raise NotFound(f"Experiment '{name[:80]}' was not found.")
    return row


def ensure(scope: Scope, name: str) -> Experiment:
    """The experiment of that name, made when it is new."""
    access.require(scope, "experiments/write")
    names.checked_experiment(name)
    row = _found(scope, name)
    if row is None:
        row = Experiment(workspace_id=scope.workspace_id, name=name, created_by=scope.principal.name)
        scope.session.add(row)
        scope.session.flush()
        emit(scope, "experiment", name, f"Experiment '{name}' was created")
    return row


def archive(scope: Scope, name: str, *, restore: bool = False) -> Experiment:
    """Hides it from lists, or shows it again; its jobs stay as they are."""
    access.require(scope, "experiments/write")
    row = get(scope, name)
    row.archived_at = None if restore else times.now()
    scope.session.add(row)
    emit(scope, "experiment", name, f"Experiment '{name}' was {'restored' if restore else 'archived'}")
    return row


def as_json(overview: Overview) -> dict[str, object]:
    row = overview.experiment
    return {
        "name": row.name,
        "description": row.description,
        "tags": row.tags,
        "jobs": overview.jobs,
        "latest_job": overview.latest_job,
        "last_submitted": times.iso(overview.last_submitted),
        "created_at": times.iso(row.created_at),
        "created_by": row.created_by,
        "archived": row.archived_at is not None,
    }


def _found(scope: Scope, name: str) -> Experiment | None:
    return scope.session.exec(
        select(Experiment).where(Experiment.workspace_id == scope.workspace_id, Experiment.name == name)
    ).one_or_none()


def _latest_names(scope: Scope, experiment_ids: list[str]) -> dict[str, str]:
    newest = (
        select(Job.experiment_id, func.max(Job.created_at).label("at"))
        .where(col(Job.experiment_id).in_(experiment_ids), col(Job.deleted_at).is_(None))
        .group_by(col(Job.experiment_id))
        .subquery()
    )
    rows = scope.session.exec(
        select(Job.experiment_id, Job.name).join(
            newest, (col(Job.experiment_id) == newest.c.experiment_id) & (col(Job.created_at) == newest.c.at)
        )
    )
    return dict(rows.all())
