"""Environments made ready: one build a definition and engine, waited for by as many jobs as want it."""

import logging
import os
from concurrent.futures import Executor, Future
from datetime import timedelta

from sqlmodel import Session, col, select

from services import environments, jobs
from services.core import failpoints
from services.core.errors import AtelierError, EngineError, NotFound, Unavailable
from services.core.times import now
from services.engines.containers import BuildFailed, Engine, Image, ImageNotFound
from services.reconcile import leases
from services.store.rows import Asset, Build, Event, Job
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
ATTEMPTS = 3
WAITING = ("Queued", "Running")
REASON = "Building the environment"
AFTER = "Bringing image, inputs and code together"
SHOWN = "build_log.txt"
_FAILURES: dict[str, type[EngineError]] = {"ImageNotFound": ImageNotFound, "BuildFailed": BuildFailed}


def ready(studio: Studio, engine: Engine, job: Job) -> Image | None:
    """The image of the job's environment; None while it is being built. Raises what a failed build said."""
    with studio.scope(SYSTEM) as scope:
        environment = scope.session.get(Asset, job.environment_id)
    if environment is None:
        raise NotFound("The job's environment is not there any more.")
    image = engine.image(environments.wish(studio, environment))
    if image is None:
        build = wanted(studio, engine.kind, environment, job)
        if build.status == "Failed":
            raise failure(build)
        show(studio, build, job)
        return None
    over(studio, job)
    if job.build_id is None:
        noted(studio, engine.kind, environment, job, image)
    return image


def wanted(studio: Studio, engine: str, environment: Asset, job: Job) -> Build:
    """The build that `job` waits for, asked for when there is none; one that failed is tried again, once a job."""
    with studio.scope(SYSTEM, write=True) as scope:
        build = _of(scope.session, environment, engine)
        if build is None:
            build = Build(workspace_id=environment.workspace_id, engine=engine, hash=environment.hash)
            build.wish = {"environment_id": environment.id}
        elif build.status not in WAITING and (build.status == "Succeeded" or job.build_id != build.id):
            build.status, build.error, build.attempt, build.not_before = "Queued", "", 0, None
        scope.session.add(build)
        scope.session.flush()
        row = scope.session.get(Job, job.id)
        if row is not None:
            row.build_id = build.id
            scope.session.add(row)
            jobs.explain(scope, row, REASON)
        scope.session.flush()
        scope.session.expunge(build)
    job.build_id = build.id
    return build


def over(studio: Studio, job: Job) -> None:
    """A job that waited for a build goes on."""
    if job.reason == REASON:
        with studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Job, job.id)
            if row is not None:
                jobs.explain(scope, row, AFTER)
        job.reason = AFTER


def noted(studio: Studio, engine: str, environment: Asset, job: Job, image: Image) -> None:
    """Remembers that an image was there without being built."""
    with studio.scope(SYSTEM, write=True) as scope:
        build = _of(scope.session, environment, engine)
        if build is None:
            at = now()
            build = Build(workspace_id=environment.workspace_id, engine=engine, hash=environment.hash)
            build.wish, build.started_at, build.finished_at = {"environment_id": environment.id}, at, at
        if build.status != "Succeeded":
            build.status, build.error = "Succeeded", ""
        build.image, build.digest, build.size = image.reference, image.digest, image.size
        scope.session.add(build)
        scope.session.flush()
        row = scope.session.get(Job, job.id)
        if row is not None:
            row.build_id = build.id
            scope.session.add(row)
    job.build_id = build.id


def failure(build: Build) -> EngineError:
    """What a failed build says to those who waited for it."""
    code, _, message = build.error.partition(": ")
    return _FAILURES.get(code, BuildFailed)(message or build.error or None)


def show(studio: Studio, build: Build, job: Job) -> None:
    """The log of the build among the job's own files: one file, two names."""
    source = studio.folders.build_log(build.workspace_id, build.id)
    target = studio.folders.run(job.id) / "system_logs" / SHOWN
    source.parent.mkdir(parents=True, exist_ok=True)
    source.touch()
    if not target.exists():
        try:
            os.link(source, target)
        except OSError:
            log.info("The build log of %s cannot be shown with the job", job.name)


class Builds:
    """Bounded; a build of a worker that died is taken over and goes on from the caches."""

    def __init__(self, studio: Studio, engine: Engine, token: str, pool: Executor) -> None:
        self.studio, self.engine, self.token, self._pool = studio, engine, token, pool
        self._busy: dict[str, Future[None]] = {}

    def look(self) -> None:
        """Starts what waits and is not being built."""
        self._busy = {id_: future for id_, future in self._busy.items() if not future.done()}
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(
                select(Build).where(col(Build.status).in_(WAITING), Build.engine == self.engine.kind)
            ).all()
        for row in rows:
            if row.id not in self._busy and (row.not_before is None or row.not_before <= now()):
                self._busy[row.id] = self._pool.submit(self._run, row.id)

    def _run(self, build_id: str) -> None:
        try:
            self._built(build_id)
        except Exception:
            log.exception("Build %s failed in the studio itself", build_id)
            self._ended(build_id, "Failed", error="BuildFailed: The studio failed to build this; its log says why.")

    def _built(self, build_id: str) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            build = scope.session.get(Build, build_id)
            if build is None or build.status not in WAITING or not leases.claim(scope.session, build, self.token):
                return
            again = build.status == "Running"
            build.status, build.attempt = "Running", build.attempt + 1
            build.started_at = build.started_at if again and build.started_at else now()
            scope.session.add(build)
            environment = scope.session.get(Asset, str(build.wish.get("environment_id")))
            if not again:
                self._tell(scope.session, build, environment, "is being built")
            scope.session.flush()
            scope.session.expunge(build)
        if environment is None:
            self._ended(build_id, "Failed", error="BuildFailed: The environment is not there any more.")
            return
        path = self.studio.folders.build_log(build.workspace_id, build.id)
        if again:
            _say(path, "The worker was restarted; the build goes on.")
        failpoints.reach("before_build")
        try:
            wish = environments.wish(self.studio, environment, anew=bool(build.wish.get("anew")))
            image = self.engine.build(wish, path)
        except Unavailable as cause:
            self._retried(build, cause)
            return
        except AtelierError as cause:
            code = cause.code if cause.code in _FAILURES else "BuildFailed"
            _say(path, str(cause))
            self._ended(build_id, "Failed", error=f"{code}: {cause}")
            return
        failpoints.reach("after_build")
        self._ended(build_id, "Succeeded", image=image)

    def _retried(self, build: Build, cause: Unavailable) -> None:
        if build.attempt >= ATTEMPTS:
            self._ended(build.id, "Failed", error=f"BuildFailed: {cause}")
            return
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Build, build.id)
            if row is not None and row.lock_token == self.token:
                row.status, row.error = "Queued", str(cause)
                row.not_before = now() + timedelta(seconds=2**build.attempt)
                scope.session.add(row)

    def _ended(self, build_id: str, status: str, *, error: str = "", image: Image | None = None) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Build, build_id)
            if row is None or row.lock_token != self.token:
                return
            row.status, row.error, row.finished_at, row.lock_token = status, error[:4000], now(), ""
            row.wish = {key: value for key, value in row.wish.items() if key != "anew"}
            if image is not None:
                row.image, row.digest, row.size, row.packages = (
                    image.reference,
                    image.digest,
                    image.size,
                    list(image.packages),
                )
            scope.session.add(row)
            environment = scope.session.get(Asset, str(row.wish.get("environment_id")))
            self._tell(scope.session, row, environment, "was built" if status == "Succeeded" else "could not be built")

    def _tell(self, session: Session, build: Build, environment: Asset | None, past: str) -> None:
        name = environment.name if environment else build.hash[:12]
        session.add(
            Event(
                principal=SYSTEM.name,
                workspace_id=build.workspace_id,
                kind="environment",
                name=name,
                message=f"Asset '{name}' {past}",
                reason=build.error[:200],
            )
        )


def _of(session: Session, environment: Asset, engine: str) -> Build | None:
    return session.exec(
        select(Build).where(
            Build.workspace_id == environment.workspace_id, Build.engine == engine, Build.hash == environment.hash
        )
    ).one_or_none()


def _say(path: "os.PathLike[str]", line: str) -> None:
    with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 (any path)
        file.write(line + "\n")
