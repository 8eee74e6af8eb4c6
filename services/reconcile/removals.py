"""What people gave up: deleted jobs and purged workspaces leave the engine, the disk, MLflow and the tables."""

import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import inspect
from sqlmodel import Session, SQLModel, col, delete, select

from services import artifacts
from services.core.errors import AtelierError, Unavailable
from services.core.states import TERMINAL
from services.core.times import now
from services.engines.containers import Engine
from services.engines.files import remove_tree
from services.engines.tracking import Tracking
from services.store import metrics as summaries
from services.store.rows import Build, Edge, Event, Fact, Job, RoleAssignment, Workspace
from services.store.serving import Deployment, Endpoint
from services.studio import SYSTEM, Studio, mlflow_workspace, run_root
from services.workspaces import KEPT

log = logging.getLogger("atelier.worker")


class Removals:
    """Every step may be repeated; the row goes last, so that nothing is forgotten half-way."""

    def __init__(self, studio: Studio, engine: Engine, tracking: Callable[[], Tracking | None]) -> None:
        self.studio, self.engine, self._tracking = studio, engine, tracking

    def look(self) -> None:
        """Removes what is due; what cannot be removed now is tried again at the next look."""
        with self.studio.scope(SYSTEM) as scope:
            deleted = scope.session.exec(
                select(Job).where(col(Job.deleted_at).is_not(None), col(Job.collected_at).is_not(None))
            ).all()
            old = now() - KEPT
            purged = scope.session.exec(
                select(Workspace).where(col(Workspace.purge_at).is_not(None) | (col(Workspace.deleted_at) < old))
            ).all()
        for job in deleted:
            self._tried(f"job {job.name}", lambda job=job: self._job(job))  # type: ignore[misc]
        for workspace in purged:
            self._tried(f"workspace {workspace.name}", lambda row=workspace: self._workspace(row))  # type: ignore[misc]

    def tidy(self) -> None:
        """Takes away what only waits for jobs to come, when no worker will be here to start them."""
        try:
            self.engine.sweep(self._groups())
        except AtelierError as cause:
            log.info("Idle holders stay: %s", cause)

    def _tried(self, what: str, remove: Callable[[], None]) -> None:
        try:
            remove()
        except AtelierError as cause:
            log.info("%s cannot be removed yet: %s", what, cause)

    def _job(self, job: Job) -> None:
        if job.container_name:
            self.engine.remove(job.container_name)
        runs = self._runs_of(job)
        for run_id, experiment_id in runs.items():
            self._required().delete_run(mlflow_workspace(job.workspace_id), run_id)
            self.studio.history.drop(run_id)
            if experiment_id:
                _removed(run_root(self.studio, job.workspace_id, experiment_id, run_id))
        with self.studio.scope(SYSTEM) as scope:
            places = artifacts.roots(scope, job)
        for place in places:
            _removed(place)
        for declared in job.resolved.get("outputs", {}).values():
            target = Path(declared.get("target", "/"))
            if f"/azureml/{job.name}/" in str(target) and target.resolve() == target:  # a link leads elsewhere
                _removed(target)
        with self.studio.scope(SYSTEM, write=True) as scope:
            for run_id in runs:
                summaries.remove_run(scope.session, run_id)
            inputs = (col(Edge.target_kind) == "job") & (col(Edge.target_id) == job.id)
            scope.session.connection().execute(delete(Edge).where(inputs))
            scope.session.connection().execute(delete(Job).where(col(Job.id) == job.id))

    def _workspace(self, workspace: Workspace) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            jobs = scope.session.exec(select(Job).where(Job.workspace_id == workspace.id)).all()
            live = [job for job in jobs if job.status not in TERMINAL or job.collected_at is None]
            for job in live:
                if job.desired != "cancel":
                    job.desired, job.canceled_by, job.cancel_requested_at = "cancel", SYSTEM.name, now()
                    scope.session.add(job)
            online = (Endpoint.workspace_id == workspace.id, Endpoint.kind == "online")
            endpoints = scope.session.exec(select(Endpoint).where(*online)).all()
            for endpoint in endpoints:
                endpoint.desired = "delete"
                scope.session.add(endpoint)
        if live or endpoints:
            return
        for job in jobs:
            if job.container_name:
                self.engine.remove(job.container_name)
            _removed(self.studio.folders.run(job.id))
        with self.studio.scope(SYSTEM) as scope:
            runs = scope.session.exec(select(summaries.Run.run_id).where(summaries.Run.workspace_id == workspace.id))
            known = {*runs, *(job.run_id for job in jobs if job.run_id)}
        for run_id in known:
            self.studio.history.drop(run_id)
        self.engine.sweep(self._groups())
        for image in self._only_here(workspace.id):
            self.engine.discard(image)
        name = mlflow_workspace(workspace.id)
        self._required().delete_workspace(name)
        _removed(self.studio.folders.artifacts / "workspaces" / name)
        _removed(self.studio.folders.workspace(workspace.id))
        with self.studio.scope(SYSTEM, write=True) as scope:
            for run_id in known:
                summaries.remove_run(scope.session, run_id)
            _forget(scope.session, workspace.id)
            scope.session.add(
                Event(
                    principal=SYSTEM.name,
                    workspace_id=None,
                    kind="workspace",
                    name=workspace.name,
                    message=f"Workspace '{workspace.name}' was purged",
                )
            )

    def _only_here(self, workspace_id: str) -> list[str]:
        """Images that this workspace's jobs ran on and no other's."""
        with self.studio.scope(SYSTEM) as scope:
            others = select(Build.image).where(Build.workspace_id != workspace_id)
            mine = select(Build.image).where(Build.workspace_id == workspace_id, col(Build.image).not_in(others))
            return list(scope.session.exec(mine.distinct()))

    def _runs_of(self, job: Job) -> dict[str, str]:
        """Its own and those it made below or beside it, with MLflow's number of their experiments."""
        with self.studio.scope(SYSTEM) as scope:
            made = scope.session.exec(select(summaries.Run).where(summaries.Run.job_id == job.id)).all()
        return {**({job.run_id: ""} if job.run_id else {}), **{run.run_id: run.experiment_id for run in made}}

    def _groups(self) -> list[str]:
        """Workspace and person of every job that may still start here, and the networks of what serves."""
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(
                select(Job.workspace_id, Job.created_by).where(col(Job.collected_at).is_(None)).distinct()
            )
            serving = scope.session.exec(select(Deployment.workspace_id).distinct()).all()
            networks = [name for each in serving for name in (each, f"{each}/closed")]
            return [*(f"{workspace}/{person}" for workspace, person in rows), *networks]

    def _required(self) -> Tracking:
        tracking = self._tracking()
        if tracking is None:
            raise Unavailable("Tracking has not started yet.")
        return tracking


def _forget(session: Session, workspace_id: str) -> None:
    """Every row of every table that names the workspace."""
    runs = select(summaries.Run.run_id).where(summaries.Run.workspace_id == workspace_id)
    for table in (summaries.Metric, summaries.Param, summaries.Tag):
        session.connection().execute(delete(table).where(col(table.run_id).in_(runs)))
    for mapper in SQLModel._sa_registry.mappers:
        kind = mapper.class_
        if "workspace_id" in inspect(kind).columns:
            session.connection().execute(delete(kind).where(kind.workspace_id == workspace_id))
    counters = col(Fact.name).startswith(f"model-versions/{workspace_id}/", autoescape=True)
    session.connection().execute(delete(Fact).where(counters))
    session.connection().execute(delete(RoleAssignment).where(col(RoleAssignment.scope) == workspace_id))
    session.connection().execute(delete(Workspace).where(col(Workspace.id) == workspace_id))


def _removed(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        remove_tree(path)
