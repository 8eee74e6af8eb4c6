"""Online deployments: which of them need a step now, and which replicas are to be asked whether they are well.

One look costs a question to the database, a full one also the engine.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import timedelta

from sqlmodel import col, select

from services.core.errors import AtelierError, EngineError, NotFound, Unavailable
from services.core.states import ReplicaState
from services.core.times import now
from services.engines.containers import Found
from services.engines.files import remove_tree
from services.reconcile import leases, serving_launch, serving_logs
from services.reconcile.builds import WAITING
from services.reconcile.probes import Probes, Watched
from services.reconcile.replicas import Ground, Replicas
from services.reconcile.serving_plan import LIVE, Action, plan
from services.specs.deployments import Probe
from services.store.requests import Sample
from services.store.rows import Build, Workspace
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import SYSTEM

log = logging.getLogger("atelier.worker")
ORPHAN_GRACE = timedelta(seconds=60)
LATER_SECONDS = 2.0


class Deployments:
    """`pool` does the steps, `asking` the probes and all else that waits for an answer."""

    def __init__(self, ground: Ground, pool: Executor, asking: Executor) -> None:
        self.ground, self.studio, self._pool, self._asking = ground, ground.studio, pool, asking
        self.replicas = Replicas(ground)
        self.probes = Probes(asking, ready=self._ready, unhealthy=self._unhealthy, missed=self.replicas.missed)
        self._busy: dict[str, Future[None]] = {}
        self._side: dict[str, Future[None]] = {}
        self._later: dict[str, float] = {}
        self._ended: set[str] = set()
        self._used: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def ended(self, deployment_id: str) -> None:
        """The engine says that a container of this deployment ended."""
        self._ended.add(deployment_id)

    def look(self) -> None:
        """Steps whatever the rows alone say; the engine is not asked."""
        rows, building, empty = self._rows()
        watched: set[str] = set()
        for endpoint, deployment, replicas in rows:
            if not self._is_held(deployment):
                watched |= self._watched(deployment, replicas)
                self._look_at(endpoint, deployment, replicas, building, None)
        self.probes.keep(watched)
        for endpoint in empty:
            self.replicas.forget_endpoint(endpoint)

    def look_at_all(self) -> None:
        """Compares every live row with its container, then sweeps what belongs to none. May wait for the engine."""
        found = {one.name: one for one in self.ground.engine.found({"atelier.kind": serving_launch.KIND})}
        rows, building, _ = self._rows()
        for endpoint, deployment, replicas in rows:
            if not self._is_held(deployment):
                self._look_at(endpoint, deployment, replicas, building, found)
        self._sweep(found)

    def _look_at(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        replicas: Sequence[Replica],
        building: set[str],
        found: Mapping[str, Found] | None,
    ) -> None:
        """What cannot even be planned must not hold up the others."""
        under_way = self._busy.get(deployment.id)
        is_busy = under_way is not None and not under_way.done()
        if is_busy or self._later.get(deployment.id, 0.0) > time.monotonic():
            return
        try:
            actions = plan(endpoint, deployment, replicas, found, now())
        except Exception:
            log.exception("Nothing can be planned for deployment %s", deployment.name)
            self._later[deployment.id] = time.monotonic() + LATER_SECONDS
            return
        if deployment.id in self._ended or any(_is_due(each, deployment, building) for each in actions):
            self._step(deployment.id)

    def note_elsewhere(self) -> None:
        """Replicas that were started on another kind of engine are started here: what is there cannot be reached."""
        kind = self.ground.engine.kind
        with self.studio.scope(SYSTEM, write=True) as scope:
            live = col(Replica.state).in_(LIVE)
            for replica in scope.session.exec(select(Replica).where(live, Replica.engine != kind)).all():
                replica.state, replica.ended_at = ReplicaState.Gone, now()
                replica.message = f"EngineChanged: It ran on the {replica.engine} engine; the studio uses {kind} now."
                replica.host, replica.port = "", 0
                deployment = scope.session.get(Deployment, replica.deployment_id)
                if deployment is not None:
                    deployment.launches = {
                        key: {name: each for name, each in launch.items() if name != "image"} | {"builds": []}
                        for key, launch in deployment.launches.items()
                    }
                    scope.session.add(deployment)
                scope.session.add(replica)

    def keep_logs(self) -> None:
        """Logs stay within bounds, and hold what images with a command of their own say."""
        for replica, _ in self._mine(ReplicaState.Starting, ReplicaState.Ready, ReplicaState.Draining):
            self._aside(f"log {replica.id}", lambda replica=replica: self._kept(replica))  # type: ignore[misc]

    def sample(self) -> None:
        """What each ready replica uses."""
        for replica, _ in self._mine(ReplicaState.Ready):
            self._aside(f"sample {replica.id}", lambda replica=replica: self._sampled(replica))  # type: ignore[misc]

    def settle(self, seconds: float) -> None:
        """Waits for what is under way, for a stop in good order."""
        until = time.monotonic() + seconds
        for future in list(self._busy.values()):
            try:
                future.exception(timeout=max(0.0, until - time.monotonic()))
            except TimeoutError:
                return

    def _rows(self) -> tuple[list[tuple[Endpoint, Deployment, Sequence[Replica]]], set[str], list[Endpoint]]:
        """Endpoints, their deployments and replicas; builds under way; endpoints that are given up and empty."""
        with self.studio.scope(SYSTEM) as scope:
            session = scope.session
            endpoints = {each.id: each for each in session.exec(select(Endpoint).where(Endpoint.kind == "online"))}
            if not endpoints:
                return [], set(), []
            deployments = session.exec(
                select(Deployment).where(Deployment.kind == "online").order_by(col(Deployment.created_at))
            ).all()
            found: dict[str, list[Replica]] = defaultdict(list)
            for each in session.exec(select(Replica)):
                found[each.deployment_id].append(each)
            building = set(session.exec(select(Build.id).where(col(Build.status).in_(WAITING))))
            closed = set(session.exec(select(Workspace.id).where(col(Workspace.deleted_at).is_not(None))))
            session.expunge_all()
        for endpoint in endpoints.values():
            if endpoint.workspace_id in closed and endpoint.desired == "run":
                endpoint.desired = "stop"
        used = {each.endpoint_id for each in deployments}
        empty = [each for each in endpoints.values() if each.desired == "delete" and each.id not in used]
        rows: list[tuple[Endpoint, Deployment, Sequence[Replica]]] = [
            (endpoints[each.endpoint_id], each, found[each.id]) for each in deployments if each.endpoint_id in endpoints
        ]
        return rows, building, empty

    def _mine(self, *states: ReplicaState) -> Sequence[tuple[Replica, Deployment]]:
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(
                select(Replica, Deployment)
                .join(Deployment, col(Deployment.id) == Replica.deployment_id)
                .where(col(Replica.state).in_(states), Deployment.lock_token == self.ground.token)
            ).all()
            scope.session.expunge_all()
        return rows

    def _watched(self, deployment: Deployment, replicas: Sequence[Replica]) -> set[str]:
        """Sees to it that those which are to answer are asked."""
        asked = {ReplicaState.Starting, ReplicaState.Ready}
        found = set()
        for each in replicas:
            if each.state not in asked or not each.host:
                continue
            found.add(each.id)
            if not self.probes.knows(each.id, each.state):
                self._watch(deployment, each)
        return found

    def _watch(self, deployment: Deployment, replica: Replica) -> None:
        try:
            launch = serving_launch.of(deployment, replica.generation)
        except NotFound:
            return
        self.probes.watch(
            Watched(
                replica.id,
                deployment.id,
                replica.state,
                replica.host,
                replica.port,
                serving_launch.readiness(launch),
                serving_launch.liveness(launch),
                launch.spec.readiness_probe or Probe(),
                launch.spec.liveness_probe or Probe(),
            )
        )

    def _ready(self, replica_id: str, deployment_id: str) -> None:
        self.replicas.ready(replica_id)
        self._ended.add(deployment_id)

    def _unhealthy(self, replica_id: str, why: str) -> None:
        self.replicas.unhealthy(replica_id, why)

    def _step(self, deployment_id: str) -> None:
        """One at a time of each, whichever look asks for it."""
        with self._lock:
            under_way = self._busy.get(deployment_id)
            if under_way is None or under_way.done():
                self._ended.discard(deployment_id)
                self._busy = {id_: future for id_, future in self._busy.items() if not future.done()}
                self._busy[deployment_id] = self._pool.submit(self._stepped, deployment_id)

    def _stepped(self, deployment_id: str) -> None:
        try:
            self.replicas.step(deployment_id)
        except Unavailable as cause:
            self.ground.silent(cause)
            self._later[deployment_id] = time.monotonic() + LATER_SECONDS
        except AtelierError as cause:
            log.warning("Deployment %s: %s", deployment_id, cause)
            self._later[deployment_id] = time.monotonic() + LATER_SECONDS
        except Exception:
            log.exception("Deployment %s could not be stepped", deployment_id)
            self._later[deployment_id] = time.monotonic() + LATER_SECONDS

    def _is_held(self, deployment: Deployment) -> bool:
        """By another worker that lives."""
        holder, until = deployment.lock_token, deployment.lock_expires_at
        if holder in {"", self.ground.token} or until is None or until < now():
            return False
        return not leases.is_gone(holder)

    def _aside(self, name: str, do: Callable[[], None]) -> None:
        """One of a kind at a time; what does not answer holds up nobody else."""
        if (under_way := self._side.get(name)) is None or under_way.done():
            self._side = {key: future for key, future in self._side.items() if not future.done()}
            self._side[name] = self._asking.submit(do)

    def _kept(self, replica: Replica) -> None:
        root = self.studio.folders.replica(replica.id)
        try:
            if not (root / "system_logs" / "lifecycle").exists():
                said = self.ground.engine.output(replica.container_name, serving_logs.LINES)
                if said:
                    serving_logs.append(root, said)
            serving_logs.bound(root)
        except (AtelierError, OSError) as cause:
            log.debug("The log of replica %s: %s", replica.id, cause)

    def _sampled(self, replica: Replica) -> None:
        """Processor in percent of one core since the last time."""
        try:
            one = self.ground.engine.sample(replica.container_name)
        except AtelierError as cause:
            log.debug("No sample of replica %s: %s", replica.id, cause)
            return
        at = one.at.timestamp()
        before = self._used.get(replica.id)
        self._used[replica.id] = at, one.cpu_seconds
        if before is None or at <= before[0]:
            return
        cpu = max(0.0, one.cpu_seconds - before[1]) / (at - before[0]) * 100
        self.studio.requests.sample(
            [Sample(at, replica.deployment_id, replica.id, cpu, one.memory, one.memory_limit or 0)]
        )

    def _sweep(self, found: Mapping[str, Found]) -> None:
        """Containers and folders of replicas that are over or of which no row knows."""
        with self.studio.scope(SYSTEM) as scope:
            live = set(scope.session.exec(select(Replica.id).where(col(Replica.state).in_(LIVE))))
            known = set(scope.session.exec(select(Replica.id)))
        for one in found.values():
            replica_id = one.labels.get(serving_launch.REPLICA, "")
            is_new = one.started_at is None or one.started_at > now() - ORPHAN_GRACE
            if replica_id in live or (replica_id not in known and is_new):
                continue
            try:
                if one.status == "running":
                    log.warning("Container %s belongs to no replica; it is stopped and removed", one.name)
                    self.ground.engine.stop(one.id, grace=self.studio.settings.stop_grace)
                self.ground.engine.remove(one.id)
            except EngineError as cause:
                log.info("Container %s is swept later: %s", one.name, cause)
        self._used = {id_: used for id_, used in self._used.items() if id_ in live}
        runs = self.studio.folders.home / "runs"
        for folder in runs.glob("replica-*") if runs.is_dir() else ():
            is_old = folder.exists() and folder.stat().st_mtime < time.time() - ORPHAN_GRACE.total_seconds()
            if is_old and folder.name.removeprefix("replica-") not in known:
                remove_tree(folder)


def _is_due(action: Action, deployment: Deployment, building: set[str]) -> bool:
    """What waits for a build has nothing to do before that is over."""
    return action.do != "prepare" or deployment.build_id not in building
