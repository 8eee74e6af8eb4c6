"""The worker: the one process that holds the engine. It compares wish and world, and acts."""

import dataclasses
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlmodel import col, select

from app.orphan import exit_with_supervisor
from services import environments
from services.core.errors import AtelierError, EngineError, Unavailable
from services.core.times import iso, now
from services.engines import pip_settings
from services.engines.containers import Engine, EngineInfo
from services.engines.docker import DockerEngine
from services.engines.processes import ProcessEngine
from services.engines.tracking import HttpTracking, Tracking
from services.reconcile import leases
from services.reconcile.alerts import Alerts
from services.reconcile.attempts import Place
from services.reconcile.builds import Builds
from services.reconcile.deployments import Deployments
from services.reconcile.jobs import Jobs
from services.reconcile.launch import JOB
from services.reconcile.metrics import Metrics
from services.reconcile.recording import Recorder
from services.reconcile.registry import Registry
from services.reconcile.removals import Removals
from services.reconcile.replicas import Ground
from services.reconcile.rollouts import Rollouts
from services.reconcile.run_marks import RunMarks
from services.reconcile.sampling import SECONDS as SAMPLE_SECONDS
from services.reconcile.sampling import Sampling
from services.reconcile.scaling import Scaling
from services.reconcile.serving_launch import DEPLOYMENT
from services.store.rows import Job
from services.studio import Settings, Studio

log = logging.getLogger("atelier.worker")
TICK = 0.02
REST = 0.05
LOOK_SECONDS = 0.5
FULL_SECONDS = 10.0
BEAT_SECONDS = 3.0
PROBE_SECONDS = 3.0
SILENT_SECONDS = 8.0
REMOVAL_SECONDS = 2.0
RECORD_SECONDS = 1.0
LOG_SECONDS = 1.0
REGISTRY_SECONDS = 0.5
MARKS_SECONDS = 0.5
METRICS_SECONDS = 30.0
CHECK_SECONDS = 5.0
SETTLE_SECONDS = 8.0
ROLLOUT_SECONDS = 0.25
SCALE_SECONDS = 0.5
ALERT_SECONDS = 2.0


def engine_for(studio: Studio) -> Engine:
    """As ATELIER_ENGINE says; by itself Docker where one answers or answered before, else plain processes."""
    wanted, home = studio.settings.engine, studio.folders.home
    if wanted == "auto":
        wanted = _known_engine(studio)
    docker = DockerEngine(install=studio.install, home=home, roots=lambda: _roots(studio))
    if wanted == "docker":
        return docker
    process = ProcessEngine(install=studio.install, home=home)
    if wanted == "process":
        return process
    try:
        docker.info()
    except EngineError as cause:
        log.warning("Jobs run as plain processes: %s", cause)
        return process
    return docker


def _known_engine(studio: Studio) -> Literal["auto", "docker", "process"]:
    """Where jobs run now; else Docker once it was used: an engine that is late today must not be passed over."""
    with studio.database.session(write=False) as session:
        live = set(
            session.exec(select(Job.engine).where(col(Job.collected_at).is_(None), col(Job.container_name) != ""))
        )
    last = studio.fact("engine")
    if "docker" in live or (last is not None and last.value.get("kind") == "docker" and not live):
        return "docker"
    return "process" if "process" in live else "auto"


def _roots(studio: Studio) -> list[Path]:
    """Folders outside of the home that an admin has opened: of pip's settings, of maps.yml, and for datastores."""
    mapped = [Path(rule.use) for rules in environments.image_map(studio).rules for rule in rules.urls]
    return [
        *pip_settings.for_containers(studio.folders.home).roots,
        *(path for path in mapped if path.is_absolute()),
        *studio.settings.opened_roots,
    ]


class Worker:
    """Runs until `stop`; threads do the slow things, the main loop only decides."""

    def __init__(self, studio: Studio, engine: Engine) -> None:
        self.studio, self.engine = studio, engine
        self.token = leases.new_token()
        cores = os.cpu_count() or 1
        settings = studio.settings
        self._pool = ThreadPoolExecutor(32, thread_name_prefix="job")
        self._builds_pool = ThreadPoolExecutor(max(1, cores), thread_name_prefix="build")
        self._replicas_pool = ThreadPoolExecutor(32, thread_name_prefix="deployment")
        self._asking_pool = ThreadPoolExecutor(32, thread_name_prefix="probe")
        self._side_pool = ThreadPoolExecutor(8, thread_name_prefix="side")
        self._looks_pool = ThreadPoolExecutor(2, thread_name_prefix="look")
        self._looks: dict[str, Future[None]] = {}
        self._info: EngineInfo | None = None
        self._answered = time.monotonic()
        self._silent_since: datetime | None = None
        self._back_at: datetime | None = None
        self._told: dict[str, Any] = {}
        self._changed = False
        self._client: HttpTracking | None = None
        self._wake, self._stopping, self._full = threading.Event(), threading.Event(), threading.Event()
        self._recorder = Recorder(studio, self.tracking, self._side_pool)
        place = Place(
            studio=studio,
            engine=engine,
            token=self.token,
            starts=threading.Semaphore(settings.parallel_starts or max(2, cores)),
            memory=lambda: self._info.memory if self._info else 0,
            engine_started_at=self._engine_started_at,
            recorder=self._recorder,
            silent=self._heard_nothing,
        )
        self.jobs = Jobs(place, self._pool, lambda: settings.parallel_jobs or max(4, 2 * cores))
        ground = Ground(
            studio=studio,
            engine=engine,
            token=self.token,
            starts=place.starts,
            info=lambda: self._info,
            engine_started_at=self._engine_started_at,
            silent=self._heard_nothing,
        )
        self.deployments = Deployments(ground, self._replicas_pool, self._asking_pool)
        self.builds = Builds(studio, engine, self.token, self._builds_pool)
        self.sampling = Sampling(studio, engine, self._side_pool)
        self.removals = Removals(studio, engine, self.tracking)
        self.registry = Registry(studio, self.tracking, self.token)
        self.run_marks = RunMarks(studio, self.tracking)
        self.metrics = Metrics(studio)
        self.rollouts = Rollouts(studio)
        self.scaling = Scaling(studio)
        self.alerts = Alerts(studio)

    def tracking(self) -> Tracking | None:
        """The client of the tracking server, wherever it listens now."""
        fact = self.studio.fact("tracking")
        if fact is None:
            return None
        url = str(fact.value["url"])
        if self._client is None or self._client.url != url:
            self._client = HttpTracking(url)
        return self._client

    def run(self) -> None:
        for loop in (self._watch_engine, self._listen, self._beat, self._roll_out, self._scale, self._alert):
            threading.Thread(target=self._guarded, args=(loop,), daemon=True, name=loop.__name__).start()
        self.jobs.note_elsewhere()
        self.deployments.note_elsewhere()
        watch = self.studio.database.watch()
        due: dict[str, float] = {}
        while not self._stopping.is_set():
            woken = watch.changed(TICK) if not self.studio.database.is_sqlite else self._wake.wait(TICK)
            changed = watch.changed(0) if self.studio.database.is_sqlite else woken
            self._wake.clear()
            try:
                self._turn(due, changed=changed or woken)
            except Unavailable as cause:
                log.warning("%s", cause)
                self._stopping.wait(0.5)
            except Exception:
                log.exception("A turn of the worker failed")
                self._stopping.wait(1)
        watch.close()
        self.jobs.settle(SETTLE_SECONDS)
        self.deployments.settle(SETTLE_SECONDS)
        with self.studio.database.session(write=True) as session:
            leases.release(session, self.token)
        if self._info is not None and self._silent_since is None:
            self.removals.tidy()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def _turn(self, due: dict[str, float], *, changed: bool) -> None:
        """One turn: what changed, and what is due by the clock. Never waits for the engine."""
        at = time.monotonic()
        if at - self._answered > SILENT_SECONDS:
            if self._silent_since is None or changed or _is_due(due, "silence", 1, at):
                self._note_silence()
            return
        if self._info is None:
            return
        if self._full.is_set() or _is_due(due, "full", FULL_SECONDS, at):
            self._aside("full", self._look_at_all)
        self._changed = self._changed or changed
        if _is_due(due, "look", REST if self._changed else LOOK_SECONDS, at):
            self._changed = False
            self.jobs.look()
            self.builds.look()
            self.deployments.look()
        self.deployments.probes.look()
        if _is_due(due, "logs", LOG_SECONDS, at):
            self.deployments.keep_logs()
        if _is_due(due, "record", RECORD_SECONDS, at):
            self._recorder.look()
        if _is_due(due, "sample", SAMPLE_SECONDS, at):
            self.sampling.look()
            self.deployments.sample()
        if _is_due(due, "check", CHECK_SECONDS, at):
            self._recorder.check()
        if _is_due(due, "removals", REMOVAL_SECONDS, at):
            self._aside("removals", self.removals.look)
        if _is_due(due, "registry", REGISTRY_SECONDS, at):
            self._aside("registry", self.registry.look)
        if _is_due(due, "marks", MARKS_SECONDS, at):
            self._aside("marks", self.run_marks.look)
        if _is_due(due, "metrics", METRICS_SECONDS, at):
            self._aside("metrics", self.metrics.look)

    def _look_at_all(self) -> None:
        self.jobs.look_at_all()
        self.deployments.look_at_all()

    def _aside(self, name: str, look: Callable[[], None]) -> None:
        """Looks that ask the engine, one of a kind at a time: an engine that hangs must not hold up the turns."""
        if (under_way := self._looks.get(name)) is not None and not under_way.done():
            return
        if name == "full":
            self._full.clear()
        self._looks[name] = self._looks_pool.submit(self._seen, name, look)

    def _seen(self, name: str, look: Callable[[], None]) -> None:
        try:
            look()
        except Unavailable as cause:
            self._heard_nothing(cause)
        except Exception:
            log.exception("The look at %s failed", name)

    def _note_silence(self) -> None:
        if self._silent_since is None:
            self._silent_since = now()
            self._tell({"state": "silent", "kind": self.engine.kind, "message": "The engine does not answer."})
        self.jobs.silent(str(iso(self._silent_since)))

    def _heard_nothing(self, cause: AtelierError) -> None:
        log.warning("The engine is silent: %s", cause)

    def _watch_engine(self) -> None:
        """Asks it for its facts; the last answer says whether it is there."""
        try:
            info = self.engine.info()
        except AtelierError as cause:
            if self._info is None:
                self._tell({"state": "silent", "kind": self.engine.kind, "message": str(cause)})
            self._stopping.wait(1)
            return
        self._answered = time.monotonic()
        if self._silent_since is not None:
            self._back_at, self._silent_since = now(), None
        if self._info is None or self._told.get("state") != "ready":
            self._full.set()
        self._info = info
        self._tell({"state": "ready", "message": "", **_facts(info)})
        self._stopping.wait(PROBE_SECONDS)

    def _listen(self) -> None:
        """The engine's events; a stream that broke is opened again, and everything looked at once more."""
        if self._info is None:
            self._stopping.wait(0.1)
            return
        self._full.set()
        try:
            for ended in self.engine.ended():
                self.jobs.ended(ended.labels.get(JOB, ""))
                self.deployments.ended(ended.labels.get(DEPLOYMENT, ""))
                self._wake.set()
                if self._stopping.is_set():
                    return
        except AtelierError as cause:
            log.info("The engine's events stopped: %s", cause)
        self._stopping.wait(1)

    def _beat(self) -> None:
        """Says that this worker lives, and holds on to what it has."""
        with self.studio.database.session(write=True) as session:
            leases.renew(session, self.token)
        self.studio.say("worker", {"pid": os.getpid(), "token": self.token})
        self._stopping.wait(BEAT_SECONDS)

    def _roll_out(self) -> None:
        """In a thread of its own: bad answers bring the traffic back also while the engine is silent."""
        self.rollouts.look()
        self._stopping.wait(ROLLOUT_SECONDS)

    def _scale(self) -> None:
        self.scaling.look()
        self._stopping.wait(SCALE_SECONDS)

    def _alert(self) -> None:
        self.alerts.look()
        self._stopping.wait(ALERT_SECONDS)

    def _guarded(self, loop: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                loop()
            except Exception:
                log.exception("%s failed and goes on", loop.__name__)
                self._stopping.wait(1)

    def _tell(self, facts: dict[str, Any]) -> None:
        """Written when it changes, and now and then to say when it was last seen."""
        merged = {**self._told, **facts}
        stale = time.monotonic() - getattr(self, "_told_at", 0.0) > 15
        if merged != self._told or stale:
            self._told, self._told_at = merged, time.monotonic()
            self.studio.say("engine", merged)

    def _engine_started_at(self) -> datetime | None:
        known = [at for at in (self._info.started_at if self._info else None, self._back_at) if at is not None]
        return max(known, default=None)


def _facts(info: EngineInfo) -> dict[str, Any]:
    facts = dataclasses.asdict(info)
    facts["started_at"], facts["warnings"] = iso(info.started_at), list(info.warnings)
    return facts


def _is_due(due: dict[str, float], name: str, seconds: float, at: float) -> bool:
    if at - due.get(name, float("-inf")) < seconds:
        return False
    due[name] = at
    return True


def main() -> None:
    settings = Settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    exit_with_supervisor()
    studio = Studio(settings)
    worker = Worker(studio, engine_for(studio))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    log.info("The worker starts with the %s engine", worker.engine.kind)
    worker.run()
    studio.close()
    os._exit(0)  # threads that wait for a silent engine must not keep the process


if __name__ == "__main__":
    main()
