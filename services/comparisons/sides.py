"""The runs that a comparison is of: by a job's name or MLflow's run id, whoever made them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, or_, select

from services import access
from services.core.errors import NotFound
from services.store.metrics import Run
from services.store.rows import Experiment, Job
from services.store.run_sql import STATUSES
from services.studio import Scope


@dataclass(frozen=True)
class Side:
    """One run. `job` is the one whose code ran, also for a run nested in a job's own; a job that never came to run
    has no `run`, a run from elsewhere no `job`."""

    run: Run | None
    job: Job | None

    @property
    def is_own(self) -> bool:
        """Whether it is the job's own run."""
        return self.job is not None and (self.run is None or self.run.run_id == self.job.run_id)

    @property
    def name(self) -> str:
        if self.job is not None and self.is_own:
            return self.job.name
        return self.run.run_id if self.run is not None else ""

    @property
    def run_id(self) -> str:
        """Empty for a job that never came to run."""
        return self.run.run_id if self.run is not None else ""

    @property
    def status(self) -> str:
        if self.job is not None and self.is_own:
            return str(self.job.status)
        return STATUSES.get(self.run.status, self.run.status) if self.run is not None else ""


def sides(scope: Scope, names: Sequence[str]) -> list[Side]:
    """In the order of the names, each once; names that this workspace does not have are left out."""
    access.require(scope, "experiments/runs/read")
    wanted = list(dict.fromkeys(names))
    here = (Job.workspace_id == scope.workspace_id, col(Job.deleted_at).is_(None))
    jobs = {job.name: job for job in scope.session.exec(select(Job).where(*here, col(Job.name).in_(wanted)))}
    ids = {*wanted, *(job.run_id for job in jobs.values() if job.run_id)}
    runs = {
        run.run_id: run
        for run in scope.session.exec(
            select(Run).where(
                Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active", col(Run.run_id).in_(ids)
            )
        )
    }
    makers = {run.job_id for run in runs.values() if run.job_id}
    made = {job.id: job for job in scope.session.exec(select(Job).where(*here, col(Job.id).in_(makers)))}
    found: dict[str, Side] = {}
    for name in wanted:
        if (job := jobs.get(name)) is not None:
            side = Side(runs.get(job.run_id or ""), job)
        elif (run := runs.get(name)) is not None:
            side = Side(run, made.get(run.job_id or ""))
        else:
            continue
        found.setdefault(side.name, side)
    return list(found.values())


def side(scope: Scope, name: str) -> Side:
    """Raises NotFound."""
    access.require(scope, "experiments/runs/read")
    for found in sides(scope, [name]):
        return found
    raise NotFound(f"Run '{name[:80]}' was not found.")


def recent(scope: Scope, *, search: str = "", limit: int = 20, without: Sequence[str] = ()) -> list[Side]:
    """The newest runs whose name, job or experiment holds the words."""
    access.require(scope, "experiments/runs/read")
    query = (
        select(Run.run_id)
        .join(Job, col(Job.run_id) == Run.run_id, isouter=True)
        .join(
            Experiment,
            (col(Experiment.mlflow_id) == Run.experiment_id) & (col(Experiment.workspace_id) == Run.workspace_id),
            isouter=True,
        )
        .where(Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active")
        .order_by(col(Run.start_time).desc(), col(Run.run_id))
    )
    if without:
        query = query.where(col(Run.run_id).not_in(without))
    if search:
        columns = (Run.name, Run.run_id, Job.name, Job.display_name, Experiment.name)
        query = query.where(or_(*(col(column).icontains(search, autoescape=True) for column in columns)))
    return sides(scope, scope.session.exec(query.limit(limit)).all())
