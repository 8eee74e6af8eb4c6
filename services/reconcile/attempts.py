"""One job, one step after the other, by the row contract: what was decided is written before it is done.

(1) Starting, attempt and name are committed, (2) the container is created or adopted by its labels, (3) its id is
committed, (4) it is started, (5) Running is committed, (6) it ends, (7) Finalizing: outputs and logs are taken
over, (8) the terminal status is committed, (9) the container is removed.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import update

from services import jobs, sessions
from services.core import failpoints
from services.core.errors import AtelierError, Conflict, EngineError, NotFound, Unavailable
from services.core.states import TERMINAL, JobStatus
from services.core.times import iso, now
from services.engines.containers import ATTEMPT, INSTALL, Engine, Found, ImageNotFound
from services.engines.files import remove_tree
from services.reconcile import builds, collect, data, launch, leases, made, recording
from services.reconcile.classify import KILLS, Asked, Verdict, verdict
from services.reconcile.data import Ready
from services.reconcile.plan import UNSTARTED, plan
from services.specs.fields import size_of
from services.specs.jobs import CommandJob
from services.store.rows import Experiment, Job, Workspace
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
RETRY = timedelta(seconds=2)
MOST_STEPS = 12
MOST_ATTEMPTS = 3
_BAD_START = {"Unavailable": "", "NotFound": "InputNotFound", "Invalid": "InvalidJob"}


@dataclass
class Place:
    """What the worker knows and one attempt needs."""

    studio: Studio
    engine: Engine
    token: str
    starts: threading.Semaphore
    memory: Callable[[], int]
    engine_started_at: Callable[[], datetime | None]
    recorder: "recording.Recorder"
    silent: Callable[[AtelierError], None]


class Attempts:
    """Thread-safe: a job is only ever stepped by one thread, and by one worker because of its lease."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.studio, self.engine = place.studio, place.engine

    def step(self, job_id: str) -> None:
        """Acts until there is nothing to do now."""
        job: Job | None = None
        for _ in range(MOST_STEPS):
            job = job or self._claimed(job_id)
            if job is None:
                return
            failpoints.reach("after_claim")
            known = job.revision
            try:
                if not self._acted(job):
                    return
                if job.revision != known:
                    continue  # it was just advanced under our lease, and is as the row is now
            except Unavailable as cause:
                self.place.silent(cause)
                if job.status not in TERMINAL:  # what is left of one that is over is swept
                    self._later(job, cause)
                return
            except AtelierError as cause:
                self._failed(job, _reason(cause), str(cause))
            except Exception:
                log.exception("Job %s could not be acted on", job.name)
                self._failed(job, "InternalError", "The studio failed to run this job; its log says why.")
            job = None

    def _claimed(self, job_id: str) -> Job | None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            job = scope.session.get(Job, job_id)
            if job is None or job.collected_at is not None or not leases.claim(scope.session, job, self.place.token):
                return None
            if job.status == JobStatus.Queued and plan(job, None, now()).do == "prepare":
                jobs.advance(scope, job, JobStatus.Preparing, reason=builds.AFTER)
            scope.session.expunge(job)
        return job

    def _acted(self, job: Job) -> bool:
        """One action; False when there is nothing left to do for now."""
        found = self._found(job) if job.container_name and job.status not in UNSTARTED else None
        action = plan(job, found, now())
        match action.do:
            case "wait":
                return False
            case "drop":
                self._finalizing(job, verdict(None, self._asked(job)))
            case "prepare":
                return self._prepare(job)
            case "launch":
                return self._launch(job)
            case "start":
                return self._start(job, found.id if found else job.container_id)
            case "running":
                self._running(job, found)
            case "stop":
                self._stop(job, found, action.why)
            case "finish":
                self._finish(job, found)
            case "collect":
                return self._collect(job)
        return True

    def _found(self, job: Job) -> Found | None:
        try:
            found = self.engine.inspect(job.container_name)
        except NotFound:
            return None
        labels = found.labels
        is_ours = labels.get(INSTALL) == self.studio.install and labels.get(launch.JOB) == job.id
        if not is_ours or labels.get(ATTEMPT) != str(job.attempt):
            raise EngineError(f"A container named '{job.container_name}' exists and is not of this job.")
        return found

    def _prepare(self, job: Job) -> bool:
        """Image, inputs and folders; then Starting, and on. False while the image is being built."""
        run = launch.folders(self.studio, job)
        image = builds.ready(self.studio, self.engine, job)
        if image is None:
            return False
        spec = CommandJob.model_validate(job.spec)
        with self.studio.scope(SYSTEM) as scope:
            inputs, outputs, declared = self._data(scope.session, job, spec, again=True)
        launch.fresh_copy(self.studio, job)
        failpoints.reach("after_snapshot")
        attempt = job.attempt + 1
        resolved = {
            **{key: value for key, value in job.resolved.items() if key != "ended"},
            "command": launch.command(spec, inputs, outputs),
            "inputs": {name: ready.value for name, ready in inputs.items()},
            "outputs": declared,
            "image": image.reference,
            "digest": image.digest,
        }
        is_decided = run.is_dir() and self._advance(
            job,
            JobStatus.Starting,
            reason=f"Starting the {'process' if self.engine.kind == 'process' else 'container'}",
            attempt=attempt,
            container_name=launch.container_name(job, attempt),
            container_id="",
            engine=self.engine.kind,
            resolved=resolved,
            not_before=None,
        )
        return is_decided and self._launch(job)

    def _data(
        self, session: Any, job: Job, spec: CommandJob, *, again: bool
    ) -> tuple[dict[str, Ready], dict[str, Ready], dict[str, Any]]:
        """Inputs and outputs made ready, and what the row says of the outputs."""
        inside = launch.data_folder(job)
        inputs = data.inputs(self.studio, session, self.engine, job, spec, inside, again=again)
        places = {name: data.place_of(self.studio, session, job, name, output) for name, output in spec.outputs.items()}
        return inputs, data.outputs(self.studio, self.engine, job, places, inside), data.declared(spec, places)

    def _launch(self, job: Job) -> bool:
        """Creates and starts the container, or adopts the one that a crash left."""
        failpoints.reach("after_starting")
        with self.place.starts:
            launch.folders(self.studio, job)
            launch.fresh_copy(self.studio, job)
            spec = CommandJob.model_validate(job.spec)
            with self.studio.scope(SYSTEM, write=True) as scope:
                inputs, outputs, _ = self._data(scope.session, job, spec, again=False)
                workspace = scope.session.get(Workspace, job.workspace_id)
                if workspace is None:
                    raise NotFound("The job's workspace is not there any more.")
                tracking = self._tracking(scope.session, job)
            wish = launch.container(
                self.studio,
                self.engine,
                job,
                workspace,
                spec,
                image=job.resolved["image"],
                memory=self.place.memory(),
                inputs=inputs,
                outputs=outputs,
                tracking=tracking,
            )
            try:
                container_id = self.engine.create(wish)
            except Conflict:
                found = self._found(job)
                if found is None:
                    raise
                container_id = found.id
            except NotFound as cause:  # somebody pruned the image since
                if job.attempt >= MOST_ATTEMPTS:
                    raise ImageNotFound(cause.message) from cause
                return self._advance(job, JobStatus.Queued, reason="Its image is gone and is made ready again")
            failpoints.reach("after_create")
            return self._start(job, container_id)

    def _tracking(self, session: Any, job: Job) -> launch.Tracking:
        from_row = session.get(Experiment, job.experiment_id)
        principal = recording.submitter(session, job)
        token = sessions.issue_job_token(
            session, principal_id=principal.id, workspace_id=job.workspace_id, job_id=job.id
        )
        gateway = self.studio.fact("gateway")
        url = str(gateway.value["url"]) if gateway else self.studio.settings.public_url
        return launch.Tracking(f"{url.rstrip('/')}/mlflow", token, from_row.name if from_row else job.experiment_name)

    def _start(self, job: Job, container_id: str) -> bool:
        """Whether there is more to do now: one that runs is left alone until the engine says that it ended."""
        if job.container_id != container_id:
            with self.studio.scope(SYSTEM, write=True) as scope:
                self._set(scope.session, job, container_id=container_id)
        failpoints.reach("after_id")
        try:
            self.engine.start(container_id)
        except Unavailable:
            raise
        except (NotFound, Conflict) as cause:  # the holder whose network it was to join is gone: both are made again
            self.engine.remove(container_id)
            self._later(job, cause)
            return False
        except EngineError as cause:
            self._finish(job, replace(self._required(job), error=str(cause.__cause__ or cause)))
            return True
        failpoints.reach("after_start")
        self.place.recorder.record(job.id, is_new=job.attempt == 1)  # now, for MLflow's work would slow the start down
        found = self._required(job)
        self._running(job, found)
        return found.status != "running" or job.desired != "run"

    def _required(self, job: Job) -> Found:
        found = self._found(job)
        if found is None:
            raise NotFound("The container is gone.")
        return found

    def _running(self, job: Job, found: Found | None) -> None:
        facts: dict[str, Any] = {"container_id": found.id} if found else {}
        if found and job.started_at is None:
            facts["started_at"] = found.started_at
        self._advance(job, JobStatus.Running, **facts)

    def _stop(self, job: Job, found: Found | None, why: str) -> None:
        failpoints.reach("before_stop")
        if why == "timeout":
            with self.studio.scope(SYSTEM, write=True) as scope:
                self._set(scope.session, job, desired="timeout")
                jobs.emit_for(scope, job, "The job exceeded its time limit and is being stopped", reason="Timeout")
        is_new = why == "cancel" and job.status != JobStatus.CancelRequested
        if is_new and not self._advance(job, JobStatus.CancelRequested, reason="Stopping"):
            return
        if found is not None:
            self.engine.stop(found.id, grace=self.studio.settings.stop_grace)
        failpoints.reach("after_stop")

    def _finish(self, job: Job, found: Found | None) -> None:
        asked = replace(self._asked(job), engine_started_at=self._engine_started_at(found))
        self._finalizing(job, verdict(found, asked), found)

    def _engine_started_at(self, found: Found | None) -> datetime | None:
        """Asked anew of one that was killed: an engine takes its containers with it before it is gone itself."""
        known = self.place.engine_started_at()
        if found is None or found.exit_code not in KILLS:
            return known
        return max(filter(None, (known, self.engine.info().started_at)), default=None)

    def _finalizing(self, job: Job, ended: Verdict, found: Found | None = None) -> None:
        """The verdict is kept in the row: it must outlive the container."""
        at = max(filter(None, (ended.finished_at, job.started_at)), default=now())
        if found is not None and found.started_at and job.started_at is None:
            job.started_at = found.started_at
        told = {
            "status": str(ended.status),
            "reason": ended.reason,
            "message": ended.message,
            "warning": ended.warning,
            "finished_at": iso(at),
        }
        self._advance(
            job,
            JobStatus.Finalizing,
            reason="Collecting outputs and logs",
            exit_code=ended.exit_code,
            started_at=job.started_at,
            finished_at=at,
            resolved={**job.resolved, "ended": told},
            not_before=None,
        )
        failpoints.reach("after_finalizing")

    def _collect(self, job: Job) -> bool:
        """Takes everything over, ends the run, then says how it ended; then nothing is left on the engine."""
        ended = job.resolved["ended"]
        said = collect.outputs(self.studio, job)
        root, warning = self.place.recorder.root(job)
        if root is not None:
            said += collect.run_files(self.studio, job, root)
            failpoints.reach("after_outputs")
            self.place.recorder.end(job, ended["status"])
            failpoints.reach("after_run_ended")
        warnings = [text for text in (ended["warning"], warning, *said) if text]
        done = self._advance(
            job,
            JobStatus(ended["status"]),
            reason=ended["reason"],
            message=ended["message"],
            warnings=warnings,
            collected_at=now(),
        )
        if done:
            failpoints.reach("after_terminal")
            self.clean(job)
        return False

    def clean(self, job: Job) -> None:
        """Nothing of an ended job stays on the engine, nor in the run folder unless MLflow has no run to keep it."""
        if job.container_name:
            self.engine.remove(job.container_name)
        run = self.studio.folders.run(job.id)
        if job.run_id is None:
            (run / "variables").unlink(missing_ok=True)
        elif run.exists():
            remove_tree(run)

    def _asked(self, job: Job) -> Asked:
        spec = CommandJob.model_validate(job.spec)
        memory = spec.resources.memory or self.studio.settings.job_memory
        return Asked(
            canceled_by=job.canceled_by,
            cancel_requested_at=job.cancel_requested_at,
            timed_out=job.desired == "timeout",
            timeout=spec.limits.timeout,
            started_at=job.started_at,
            memory=size_of(memory) if memory else None,
            engine_started_at=self.place.engine_started_at(),
            log_tail=recording.tail(self.studio, job),
        )

    def _failed(self, job: Job, reason: str, message: str) -> None:
        with self.studio.scope(SYSTEM) as scope:
            current = scope.session.get(Job, job.id)
        if current is None or current.status in TERMINAL or current.status == JobStatus.Finalizing:
            self._later(job, EngineError(message))
            return
        self._finalizing(current, Verdict(JobStatus.Failed, reason, message))

    def _later(self, job: Job, cause: AtelierError) -> None:
        """Tried again soon; the person sees why it waits."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            self._set(scope.session, job, not_before=now() + RETRY, reason=cause.message[:500])

    def _advance(self, job: Job, new: JobStatus, **facts: Any) -> bool:
        reason = facts.pop("reason", "")
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Job, job.id)
            if row is None or row.status != job.status or row.lock_token != self.place.token:
                return False
            if new in TERMINAL:
                said = made.register(scope, row) if new == JobStatus.Completed else []
                facts["warning"] = " ".join([*facts.pop("warnings", []), *said])[:2000]
            done = jobs.advance(scope, row, new, reason=reason, **facts)
            if done and new in TERMINAL:
                sessions.revoke_job_tokens(scope.session, row.id)
            if done:
                for field in Job.model_fields:
                    setattr(job, field, getattr(row, field))
            return done

    def _set(self, session: Any, job: Job, **values: Any) -> None:
        """Columns that are no status; refused when the lease is another's."""
        done = session.connection().execute(
            update(Job).where(Job.id == job.id, Job.lock_token == self.place.token).values(**values)  # type: ignore[arg-type]
        )
        if done.rowcount == 1:
            for field, value in values.items():
                setattr(job, field, value)


def _reason(cause: AtelierError) -> str:
    if type(cause) is EngineError:
        return "StartError"
    return _BAD_START.get(cause.code, cause.code)
