"""Environments made ready: one build a definition and engine, waited for by as many as want it.

Jobs wait for an environment's image; deployments also for the layer on it that holds what their server needs.

`desired` of a build is what is wished of it besides: `cancel` one that waits or runs, `discard` the image,
`read` what is installed in an image that was there without being built.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from services import environments, jobs
from services.core import failpoints
from services.core.errors import AtelierError, EngineError, NotFound, Unavailable
from services.core.times import now
from services.engines.containers import BuildCanceled, BuildFailed, Engine, Image, ImageNotFound
from services.engines.diagnosis import HEAD
from services.reconcile import leases
from services.store.rows import Asset, Build, Event, Job
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
ATTEMPTS = 3
WAITING = ("Queued", "Running")
REASON = "Building the environment"
AFTER = "Bringing image, inputs and code together"
SHOWN = "build_log.txt"
MEASURE_SECONDS = 30.0
_FAILURES: dict[str, type[EngineError]] = {
    "ImageNotFound": ImageNotFound,
    "BuildFailed": BuildFailed,
    "BuildCanceled": BuildCanceled,
}


def ready(studio: Studio, engine: Engine, job: Job) -> Image | None:
    """The image of the job's environment; None while it is being built. Raises what a failed build said."""
    with studio.scope(SYSTEM) as scope:
        environment = scope.session.get(Asset, job.environment_id)
    if environment is None:
        raise NotFound("The job's environment is not there any more.")
    image = engine.image(environments.wish(studio, environment))
    if image is None:
        build = wanted(studio, engine.kind, environment, job)
        if build.status in {"Failed", "Canceled"}:
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
        build = asked(scope.session, environment, engine, waited=[job.build_id or ""])
        row = scope.session.get(Job, job.id)
        if row is not None:
            row.build_id = build.id
            scope.session.add(row)
            jobs.explain(scope, row, REASON)
        scope.session.flush()
        scope.session.expunge(build)
    job.build_id = build.id
    return build


def asked(
    session: Session,
    environment: Asset,
    engine: str,
    *,
    waited: Sequence[str],
    layer: environments.Layer | None = None,
) -> Build:
    """The build of an environment or of a layer on it; one that failed is tried again for who has not `waited`."""
    build = _of(session, environment, engine, layer)
    wish = _wish(environment, layer)
    if build is None:
        build = _new(environment, engine, layer)
    elif build.status in {"Succeeded", "Discarded"} or (build.status not in WAITING and build.id not in waited):
        build.status, build.error, build.attempt, build.not_before = "Queued", "", 0, None
        build.wish, build.desired = {**build.wish, **wish}, "build"
    session.add(build)
    session.flush()
    return build


def there(
    studio: Studio,
    session: Session,
    environment: Asset,
    engine: str,
    image: Image,
    layer: environments.Layer | None = None,
) -> Build:
    """Remembers that an image was there without being built, and answers its row."""
    build = _of(session, environment, engine, layer)
    if build is None:
        build = _new(environment, engine, layer)
        build.started_at = build.finished_at = now()
    if build.status not in WAITING or not build.image:
        build.status, build.error, build.desired = "Succeeded", "", "build"
        build.image, build.digest = image.reference, image.digest
        if not environments.lock_file(studio, environment.workspace_id, image.digest).exists():
            build.desired = "read"
    session.add(build)
    session.flush()
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
        build = there(studio, scope.session, environment, engine, image)
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
        self._besides: dict[str, Future[None]] = {}
        # What is short must not wait for builds that are long: giving one up least of all.
        self._side = ThreadPoolExecutor(1, "builds")
        self._measure_at = 0.0

    def look(self) -> None:
        """Starts what waits and is not being built, and what else is wished of builds."""
        self._busy, self._besides = _under_way(self._busy), _under_way(self._besides)
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(
                select(Build).where(
                    col(Build.status).in_(WAITING) | (col(Build.desired) != "build"), Build.engine == self.engine.kind
                )
            ).all()
        for row in rows:
            if row.desired != "build":
                self._beside(row)
            elif row.id not in self._busy and (row.not_before is None or row.not_before <= now()):
                self._busy[row.id] = self._pool.submit(self._guarded, row.id, self._built)
        if time.monotonic() >= self._measure_at and "measure" not in self._besides:
            self._measure_at = time.monotonic() + MEASURE_SECONDS
            self._besides["measure"] = self._side.submit(self._guarded, "measure", lambda _: self.measure())

    def _beside(self, row: Build) -> None:
        if row.id not in self._besides:
            do = {"cancel": self._canceled, "discard": self._discarded, "read": self._read}[row.desired]
            self._besides[row.id] = self._side.submit(self._guarded, row.id, do)

    def _guarded(self, build_id: str, do: Callable[[str], None]) -> None:
        try:
            do(build_id)
        except AtelierError as cause:  # tried again at a later look
            log.info("Build %s: %s", build_id, cause)
        except Exception:
            log.exception("Build %s failed in the studio itself", build_id)
            self._ended(build_id, "Failed", error="BuildFailed: The studio failed to build this; its log says why.")

    def _canceled(self, build_id: str) -> None:
        """Ends what builds it here; one that nobody builds is ended by its row alone."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            build = scope.session.get(Build, build_id)
            if build is None or build.desired != "cancel":
                return
            if build.status not in WAITING:  # it ended before the wish was read
                build.desired = "build"
                scope.session.add(build)
                return
            environment = scope.session.get(Asset, str(build.wish.get("environment_id")))
            is_free = build_id not in self._busy and leases.claim(scope.session, build, self.token)
        if environment is not None:
            self.engine.abandon(environments.wish_of(self.studio, environment, build).hash)
        if is_free:
            self._given_up(build_id)

    def _given_up(self, build_id: str) -> None:
        """By a person; whoever else built the same on this engine goes on."""
        with self.studio.scope(SYSTEM) as scope:
            build = scope.session.get(Build, build_id)
        if build is None:
            return
        if build.desired != "cancel":
            self._again(build, "")
            return
        who = str(build.wish.get("canceled_by") or "somebody")
        _say(self.studio.folders.build_log(build.workspace_id, build.id), f"The build was canceled by {who}.")
        self._ended(build_id, "Canceled", error=f"BuildCanceled: The build was canceled by {who}.")

    def _discarded(self, build_id: str) -> None:
        """Takes the image away unless a job that is not over or a deployment needs it, in whatever workspace."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            build = scope.session.get(Build, build_id)
            if build is None or build.desired != "discard":
                return
            same = select(Build.id).where(Build.engine == build.engine, Build.image == build.image)
            needed = select(Job.id).where(col(Job.build_id).in_(same), col(Job.collected_at).is_(None)).limit(1)
            is_needed = scope.session.exec(needed).first() is not None
            if build.status != "Succeeded" or is_needed or build.image in environments.served(scope.session):
                build.desired = "build"
                scope.session.add(build)
                return
            image = build.image
        self.engine.discard(image)
        is_there = any(each.reference == image for each in self.engine.stored())
        with self.studio.scope(SYSTEM, write=True) as scope:
            build = scope.session.get(Build, build_id)
            if build is None or build.desired != "discard":
                return
            build.desired = "build"
            if build.status == "Succeeded" and build.image == image and not is_there:
                build.status, build.size = "Discarded", 0
                environment = scope.session.get(Asset, str(build.wish.get("environment_id")))
                self._tell(scope.session, build, environment, "lost its image, to make room")
            scope.session.add(build)

    def _read(self, build_id: str) -> None:
        """What is installed, of an image that was there without being built."""
        with self.studio.scope(SYSTEM) as scope:
            build = scope.session.get(Build, build_id)
        if build is None or build.desired != "read":
            return
        packages: list[str] | None = None
        try:
            packages = list(self.engine.packages(Image(build.image, build.digest, 0)))
        except AtelierError as cause:
            log.info("What is in %s could not be read: %s", build.image, cause)
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Build, build_id)
            if row is None or row.desired != "read":
                return
            row.desired = "build"
            if packages is not None and row.digest == build.digest:
                row.packages = packages
                environments.write_lock(self.studio, row.workspace_id, row.digest, packages)
            scope.session.add(row)

    def measure(self) -> None:
        """What every image takes, and which are gone: somebody may have removed them behind our back."""
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(
                select(Build).where(Build.status == "Succeeded", Build.engine == self.engine.kind)
            ).all()
        if not rows:
            return
        sizes = {each.reference: each.size for each in self.engine.stored()}
        changed = {row.id: (row.digest, sizes.get(row.image, 0)) for row in rows if row.size != sizes.get(row.image, 0)}
        if not changed:
            return
        with self.studio.scope(SYSTEM, write=True) as scope:
            for row in scope.session.exec(select(Build).where(col(Build.id).in_(changed))):
                digest, size = changed[row.id]
                if row.status == "Succeeded" and row.digest == digest:
                    row.status, row.size = "Succeeded" if size else "Discarded", size
                    scope.session.add(row)

    def _built(self, build_id: str) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            build = scope.session.get(Build, build_id)
            if build is None or build.status not in WAITING or build.desired == "cancel":
                return
            if not leases.claim(scope.session, build, self.token):
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
        _say(path, f"{HEAD}of '{environment.name}:{environment.version}', {now():%Y-%m-%d %H:%M:%S} UTC")
        if again:
            _say(path, "The worker was restarted; the build goes on.")
        failpoints.reach("before_build")
        try:
            wish = environments.wish_of(self.studio, environment, build)
            image = self.engine.build(wish, path)
        except Unavailable as cause:
            self._retried(build, cause)
            return
        except BuildCanceled:
            self._given_up(build_id)
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
        self._again(build, str(cause))

    def _again(self, build: Build, why: str) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Build, build.id)
            if row is not None and row.lock_token == self.token:
                row.status, row.error = "Queued", why
                row.not_before = now() + timedelta(seconds=2**build.attempt)
                scope.session.add(row)

    def _ended(self, build_id: str, status: str, *, error: str = "", image: Image | None = None) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Build, build_id)
            if row is None or row.lock_token != self.token:
                return
            row.status, row.error, row.finished_at, row.lock_token = status, error[:4000], now(), ""
            row.wish = {key: value for key, value in row.wish.items() if key not in {"anew", "canceled_by"}}
            row.desired = "build"
            if image is not None:
                row.image, row.digest, row.packages = image.reference, image.digest, list(image.packages)
                if image.packages:
                    environments.write_lock(self.studio, row.workspace_id, row.digest, image.packages)
                else:
                    row.desired = "read"
                self._measure_at = 0.0
            scope.session.add(row)
            environment = scope.session.get(Asset, str(row.wish.get("environment_id")))
            past = {"Succeeded": "was built", "Canceled": "was not built: it was canceled"}
            self._tell(scope.session, row, environment, past.get(status, "could not be built"))

    def _tell(self, session: Session, build: Build, environment: Asset | None, past: str) -> None:
        name = environment.name if environment else build.hash[:12]
        what = "A server's layer on environment" if "layer" in build.wish else "Environment"
        session.add(
            Event(
                principal=SYSTEM.name,
                workspace_id=build.workspace_id,
                kind="environment",
                name=name,
                message=f"{what} '{name}' {past}",
                reason=build.error[:200],
            )
        )


def _of(session: Session, environment: Asset, engine: str, layer: environments.Layer | None = None) -> Build | None:
    hash_ = environments.layer_hash(environment, layer) if layer else environment.hash
    return session.exec(
        select(Build).where(Build.workspace_id == environment.workspace_id, Build.engine == engine, Build.hash == hash_)
    ).one_or_none()


def _new(environment: Asset, engine: str, layer: environments.Layer | None) -> Build:
    hash_ = environments.layer_hash(environment, layer) if layer else environment.hash
    return Build(workspace_id=environment.workspace_id, engine=engine, hash=hash_, wish=_wish(environment, layer))


def _wish(environment: Asset, layer: environments.Layer | None) -> dict[str, Any]:
    on = {"layer": dataclasses.asdict(layer)} if layer else {}
    return {"environment_id": environment.id, **on}


def _under_way(futures: dict[str, Future[None]]) -> dict[str, Future[None]]:
    return {id_: future for id_, future in futures.items() if not future.done()}


def _say(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
