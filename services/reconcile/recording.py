"""A job's run in MLflow: made beside the start of its container, ended with it; MLflow may be away meanwhile."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from sqlmodel import Session, col, select

from services import logs, metric_healing
from services.core.errors import AtelierError, NotFound, Unavailable
from services.core.states import JobStatus
from services.core.times import now, parse
from services.engines.tracking import Tracking
from services.store.rows import Experiment, Job, Principal
from services.studio import SYSTEM, Studio, mlflow_workspace, run_root

log = logging.getLogger("atelier.worker")
PATIENCE = timedelta(minutes=5)
TAIL = 20
_STARTED = (JobStatus.Starting, JobStatus.Running, JobStatus.NotResponding)
_ENDS = {JobStatus.Completed: "FINISHED", JobStatus.Failed: "FAILED", JobStatus.Canceled: "KILLED"}


class Recorder:
    """`tracking` answers the client, or None while no tracking server was ever started."""

    def __init__(self, studio: Studio, tracking: Callable[[], Tracking | None], pool: Executor) -> None:
        self.studio, self._tracking, self._pool = studio, tracking, pool
        self._locks: dict[str, Lock] = {}
        self._checking = Lock()
        self._new: set[str] = set()
        self._ready: set[str] = set()
        self._refreshed = ""
        self._making: set[str] = set()

    def record(self, job_id: str, *, is_new: bool = False) -> None:
        """Makes the run soon, in the background; `look` asks again for what fails now.

        `is_new` says that nobody can have tried before: then MLflow is not asked whether it has one.
        """
        if is_new:
            self._new.add(job_id)
        if job_id not in self._making:
            self._making.add(job_id)
            self._pool.submit(self._recorded, job_id)

    def look(self) -> None:
        """Makes the runs that jobs are waiting for, because MLflow was away or a worker before this one was."""
        with self.studio.database.session(write=False) as session:
            waiting = session.exec(select(Job.id).where(col(Job.status).in_(_STARTED), col(Job.run_id).is_(None))).all()
        for job_id in waiting:
            self.record(job_id)

    def root(self, job: Job) -> tuple[Path | None, str]:
        """The run's artifact folder, and a warning when there will be none.

        Raises Unavailable while MLflow may still come back.
        """
        try:
            run_id, experiment_id = self._ensured(job.id)
        except Unavailable:
            if job.finished_at and now() > job.finished_at + PATIENCE:
                return None, "MLflow did not answer: the run is not recorded there, its files stay with the job."
            raise
        return run_root(self.studio, job.workspace_id, experiment_id, run_id), ""

    def end(self, job: Job, status: str) -> None:
        """Ends the run once and brings its history in line with MLflow's."""
        tracking = self._required()
        with self.studio.scope(SYSTEM) as scope:
            row = scope.session.get(Job, job.id)
            run_id = row.run_id if row else None
        if run_id is None:
            return
        name = mlflow_workspace(job.workspace_id)
        ended = job.finished_at or now()
        tracking.end_run(name, run_id, _ENDS[JobStatus(status)], int(ended.timestamp() * 1000))
        try:
            metric_healing.heal(self.studio, tracking, job.workspace_id, run_id, thorough=self._may_have_lost(job))
        except Unavailable:
            raise
        except AtelierError:
            log.exception("The history of run %s could not be compared with MLflow", run_id)

    def check(self) -> None:
        """Compares ended runs that no job's end has compared, in the background and one such look at a time."""
        if self._checking.acquire(blocking=False):
            self._pool.submit(self._checked)

    def _checked(self) -> None:
        try:
            tracking, web = self._tracking(), self.studio.fact("web")
            if tracking is None or web is None:
                return
            started = str(web.value["started_at"])
            if started != self._refreshed:
                metric_healing.refresh(self.studio, tracking)
                self._refreshed = started
            metric_healing.check(self.studio, tracking, since=_milliseconds(parse(started)))
        except Unavailable as cause:
            log.info("Runs are compared later: %s", cause)
        except Exception:
            log.exception("Runs could not be compared with MLflow")
        finally:
            self._checking.release()

    def _may_have_lost(self, job: Job) -> bool:
        """A web process that was restarted during the run may have lost what it had not written yet."""
        web = self.studio.fact("web")
        if web is None or job.started_at is None:
            return False
        return parse(str(web.value["started_at"])) > job.started_at

    def _recorded(self, job_id: str) -> None:
        try:
            self._ensured(job_id)
        except AtelierError as cause:
            log.info("The run of job %s is made later: %s", job_id, cause)
        except Exception:
            log.exception("The run of job %s could not be made", job_id)
        finally:
            self._making.discard(job_id)

    def _ensured(self, job_id: str) -> tuple[str, str]:
        """Run id and MLflow's experiment id."""
        with self._locks.setdefault(job_id, Lock()):
            made = self._made(job_id)
        self._locks.pop(job_id, None)  # who comes now finds the run in the row
        return made

    def _made(self, job_id: str) -> tuple[str, str]:
        with self.studio.scope(SYSTEM) as scope:
            job = scope.session.get(Job, job_id)
            experiment = scope.session.get(Experiment, job.experiment_id) if job else None
        if job is None or experiment is None:
            raise NotFound("The job is not there any more.")
        if job.run_id and experiment.mlflow_id:
            return job.run_id, experiment.mlflow_id
        tracking = self._required()
        name = mlflow_workspace(job.workspace_id)
        if name not in self._ready:
            tracking.ensure_workspace(name)
            self._ready.add(name)
        experiment_id = experiment.mlflow_id or tracking.ensure_experiment(name, experiment.name)
        is_new = job_id in self._new
        self._new.discard(job_id)
        run_id = tracking.ensure_run(
            name,
            experiment_id,
            job_id=job.id,
            name=job.display_name or job.name,
            user=job.created_by,
            start_time=_milliseconds(job.started_at or job.created_at),
            tags={"atelier.name": job.name, **job.tags},
            is_new=is_new,
        )
        kept = self._note(job, run_id, experiment_id)
        if kept[0] != run_id:
            tracking.delete_run(name, run_id)
        return kept

    def _note(self, job: Job, run_id: str, experiment_id: str) -> tuple[str, str]:
        """What the rows name from now on: another worker may have been faster, then its run counts."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            experiment = scope.session.get(Experiment, job.experiment_id)
            row = scope.session.get(Job, job.id)
            if experiment is None or row is None:
                raise NotFound("The job is not there any more.")
            if row.run_id and experiment.mlflow_id:
                return row.run_id, experiment.mlflow_id
            experiment.mlflow_id, row.run_id = experiment_id, run_id
            scope.session.add_all((experiment, row))
            metric_healing.note_run(
                scope.session, job, run_id, experiment_id, _milliseconds(job.started_at or job.created_at)
            )
            return run_id, experiment_id

    def _required(self) -> Tracking:
        tracking = self._tracking()
        if tracking is None:
            raise Unavailable("Tracking has not started yet.")
        return tracking


def submitter(session: Session, job: Job) -> Principal:
    """Whose job it is: it may do what they may. Raises NotFound when they are gone."""
    found = session.exec(select(Principal).where(Principal.name == job.created_by)).one_or_none()
    if found is None:
        raise NotFound(f"'{job.created_by}', who submitted the job, is not there any more.")
    return found


def tail(studio: Studio, job: Job) -> list[str]:
    """The last lines of its log, as they may be shown."""
    path = studio.folders.run(job.id) / "user_logs" / "std_log.txt"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (16 << 10)))
            raw = file.read()
    except OSError:
        return []
    return logs.redacted(raw, logs.secrets_of(job), 0, len(raw)).decode("utf-8", "replace").splitlines()[-TAIL:]


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
