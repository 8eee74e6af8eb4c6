"""Jobs: which of them need a step now. One look costs a question to the database, a full one also the engine."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta

from sqlmodel import col, select

from services import jobs
from services.core.errors import AtelierError, NotFound, Unavailable
from services.core.states import ACTIVE, JobStatus
from services.core.times import now
from services.engines.containers import Found
from services.reconcile import leases
from services.reconcile.attempts import Attempts, Place
from services.reconcile.builds import WAITING
from services.reconcile.launch import JOB
from services.reconcile.plan import UNSTARTED, is_overdue, plan
from services.store.rows import Build, Job
from services.studio import SYSTEM, Scope

log = logging.getLogger("atelier.worker")
ORPHAN_GRACE = timedelta(seconds=60)
_QUEUED = (JobStatus.Queued, JobStatus.NotStarted)
_SAID_AT_ONCE = 100


class Jobs:
    """`place_for` is how many jobs may be under way at once."""

    def __init__(self, place: Place, pool: Executor, places: Callable[[], int]) -> None:
        self.place, self.attempts, self._pool, self._places = place, Attempts(place), pool, places
        self._busy: dict[str, Future[None]] = {}
        self._ended: set[str] = set()
        self._lock = threading.Lock()

    def ended(self, job_id: str) -> None:
        """The engine says that a container of this job ended."""
        self._ended.add(job_id)

    def look(self) -> None:
        """Steps whatever the rows alone say; the engine is not asked."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        self._busy = {id_: future for id_, future in self._busy.items() if not future.done()}
        at = now()
        with self.place.studio.scope(SYSTEM) as scope:
            rows = _live(scope, self.place.engine.kind, most_queued=self._places() + 1)
            building = set(scope.session.exec(select(Build.id).where(col(Build.status).in_(WAITING))))
        free = self._places() - sum(1 for job in rows if self._takes_a_place(job))
        for job in rows:
            if job.id in self._busy:
                continue
            if job.status in _QUEUED and job.desired == "run":
                free -= 1
                if free < 0:
                    continue
            if self._needs_a_step(job, building, at):
                self._step(job.id)
        if free < 0:
            self._say_that_they_wait()

    def look_at_all(self) -> None:
        """Compares every live row with its container, then sweeps what belongs to none. May wait for the engine."""
        found = {one.name: one for one in self.place.engine.found({"atelier.kind": "job"})}
        with self._lock:
            with self.place.studio.scope(SYSTEM) as scope:
                rows = _live(scope, self.place.engine.kind)
            for job in rows:
                if job.id in self._busy or job.status in UNSTARTED or self._is_held(job):
                    continue
                if plan(job, found.get(job.container_name), now()).do != "wait":
                    self._step(job.id)
        self._sweep(found)
        self._sweep_folders()

    def silent(self, since: str) -> None:
        """Running jobs cannot be seen while the engine is silent, and nothing is said of how they end; others wait."""
        lost = f"The engine does not answer since {since}; this will resume"
        waits = f"The engine does not answer since {since}; the job starts when it does"
        with self.place.studio.scope(SYSTEM, write=True) as scope:
            for job in _live(scope, self.place.engine.kind):
                if job.status == JobStatus.Running and leases.claim(scope.session, job, self.place.token):
                    jobs.advance(scope, job, JobStatus.NotResponding, reason=lost)
                elif job.status in UNSTARTED and job.reason != waits:
                    jobs.explain(scope, job, waits)

    def note_elsewhere(self) -> None:
        """Of jobs that were started on another kind of engine nothing is known until the studio uses that one again."""
        mine = self.place.engine.kind
        with self.place.studio.scope(SYSTEM, write=True) as scope:
            running = scope.session.exec(
                select(Job).where(Job.status == JobStatus.Running, col(Job.engine).not_in(("", mine)))
            )
            for job in running.all():
                if leases.claim(scope.session, job, self.place.token):
                    reason = f"It runs on the {job.engine} engine, and the studio uses the {mine} engine now"
                    jobs.advance(scope, job, JobStatus.NotResponding, reason=reason)

    def settle(self, seconds: float) -> None:
        """Waits for what is under way, for a stop in good order."""
        until = now() + timedelta(seconds=seconds)
        for future in self._busy.values():
            try:
                future.exception(timeout=max(0.0, (until - now()).total_seconds()))
            except TimeoutError:
                return

    def _needs_a_step(self, job: Job, building: set[str], at: datetime) -> bool:
        if self._is_held(job):
            return False
        if job.not_before is not None and job.not_before > at:
            return False
        if job.status in UNSTARTED:
            return job.desired != "run" or job.build_id not in building
        if job.status in {JobStatus.Starting, JobStatus.Finalizing, JobStatus.CancelRequested}:
            return True
        if job.id in self._ended:
            self._ended.discard(job.id)
            return True
        return job.desired != "run" or is_overdue(job, at)

    def _is_held(self, job: Job) -> bool:
        """By another worker that lives."""
        return job.lock_token not in {"", self.place.token} and not _free(job)

    def _step(self, job_id: str) -> None:
        self._ended.discard(job_id)
        self._busy[job_id] = self._pool.submit(self._stepped, job_id)

    def _stepped(self, job_id: str) -> None:
        try:
            self.attempts.step(job_id)
        except AtelierError as cause:
            log.warning("Job %s: %s", job_id, cause)
        except Exception:
            log.exception("Job %s could not be stepped", job_id)

    def _takes_a_place(self, job: Job) -> bool:
        """One that ended needs none, however long MLflow lets it wait."""
        if job.status == JobStatus.Finalizing:
            return False
        return job.status not in _QUEUED or job.id in self._busy

    def _say_that_they_wait(self) -> None:
        text = f"Waiting for a place: {self._places()} jobs are under way"
        late = (
            *(col(Job.collected_at).is_(None), col(Job.status).in_(_QUEUED), col(Job.desired) == "run"),
            *(col(Job.reason) != text, col(Job.id).not_in(self._busy)),
        )
        with self.place.studio.scope(SYSTEM) as scope:
            if scope.session.exec(select(Job.id).where(*late).limit(1)).first() is None:
                return
        with self.place.studio.scope(SYSTEM, write=True) as scope:
            for row in scope.session.exec(select(Job).where(*late).limit(_SAID_AT_ONCE)):
                jobs.explain(scope, row, text)

    def _sweep(self, found: dict[str, Found]) -> None:
        """What no live row wants: an ended job's at once, an unknown one after a grace."""
        ids = {one.labels.get(JOB, "") for one in found.values()}
        with self.place.studio.scope(SYSTEM) as scope:
            rows = {row.id: row for row in scope.session.exec(select(Job).where(col(Job.id).in_(ids)))}
        for name, one in found.items():
            job = rows.get(one.labels.get(JOB, ""))
            is_live = job is not None and (self._is_busy(job.id) or job.collected_at is None)
            if job is not None and is_live and (job.container_name == name or job.status in UNSTARTED):
                continue
            try:
                self._swept(one, job)
            except NotFound:
                continue
            except Unavailable:
                raise
            except AtelierError as cause:  # somebody else removes it at this moment
                log.info("Container %s is swept later: %s", name, cause)

    def _sweep_folders(self) -> None:
        """What a crash left of jobs that are over: their run folders and the copies of their code."""
        runs = self.place.studio.folders.home / "runs"
        ids = [path.name for path in runs.iterdir()] if runs.is_dir() else []
        with self.place.studio.scope(SYSTEM) as scope:
            over = scope.session.exec(
                select(Job).where(
                    col(Job.id).in_(ids), col(Job.collected_at).is_not(None), col(Job.run_id).is_not(None)
                )
            ).all()
        for job in over:
            if not self._is_busy(job.id):
                self.attempts.clean(job)

    def _is_busy(self, job_id: str) -> bool:
        future = self._busy.get(job_id)
        return future is not None and not future.done()

    def _swept(self, one: Found, job: Job | None) -> None:
        started = one.started_at or one.finished_at
        if job is None and started is not None and started > now() - ORPHAN_GRACE:
            return
        if job is None:
            log.warning("Container %s belongs to no job; it is stopped and removed", one.name)
        elif job.collected_at is not None and job.container_name == one.name:
            self.attempts.clean(job)
            return
        if one.status == "running":
            self.place.engine.stop(one.id, grace=self.place.studio.settings.stop_grace)
        self.place.engine.remove(one.id)


def _live(scope: Scope, engine: str, *, most_queued: int | None = None) -> list[Job]:
    """Those that are not over and do not run on another engine, oldest first.

    `most_queued` leaves out those that wait behind so many others: a look must not cost more where many wait.
    """
    statement = (
        select(Job)
        .where(col(Job.collected_at).is_(None), col(Job.status).in_([str(status) for status in ACTIVE]))
        .where(col(Job.status).in_(UNSTARTED) | col(Job.engine).in_(("", engine)))
        .order_by(col(Job.created_at), col(Job.id))
    )
    if most_queued is not None:
        first = (
            select(Job.id)
            .where(col(Job.collected_at).is_(None), col(Job.status).in_(_QUEUED), col(Job.desired) == "run")
            .order_by(col(Job.created_at), col(Job.id))
            .limit(most_queued)
        )
        statement = statement.where(
            col(Job.status).not_in(_QUEUED) | (col(Job.desired) != "run") | col(Job.id).in_(first)
        )
    return list(scope.session.exec(statement))


def _free(job: Job) -> bool:
    return job.lock_expires_at is None or job.lock_expires_at < now() or leases.is_gone(job.lock_token)
