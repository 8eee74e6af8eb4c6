"""One deployment, one step after the other: what was decided is written before it is done.

A replica: (1) its row is committed, (2) its container is created or adopted by its labels, (3) it is started,
(4) Starting with its address is committed, (5) probes find it ready, (6) it is drained: requests go elsewhere,
(7) it is stopped and removed, (8) Gone is committed.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, delete, select, update

from services import captures, endpoints, logs
from services import data as noun_data
from services.core import failpoints
from services.core.errors import AtelierError, Conflict, EngineError, Invalid, NotFound, Unavailable
from services.core.states import ProvisioningState, ReplicaState
from services.core.times import now, seconds
from services.engines import files
from services.engines.containers import INSTALL, Engine, EngineInfo, Found
from services.reconcile import data, leases, serving_launch, serving_logs
from services.reconcile.classify import KILLS
from services.reconcile.serving_ends import Ended, verdict
from services.reconcile.serving_images import Images
from services.reconcile.serving_launch import Launch
from services.reconcile.serving_plan import LIVE, LONGEST_BACK_OFF, Action, back_off, failures, is_woken, plan
from services.store.rows import Edge, Event, Secret, Token, Workspace
from services.store.serving import Deployment, Endpoint, Replica, Rollout
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
MOST_STEPS = 200
STOP_SECONDS = 10.0
KEPT = 6
"""How many that ended are kept of each place, for their logs."""
TOLD = 5
"""From then on only every tenth end in a row is an event."""


@dataclass
class Ground:
    """What the worker knows and a replica needs."""

    studio: Studio
    engine: Engine
    token: str
    starts: threading.Semaphore
    info: Callable[[], EngineInfo | None]
    engine_started_at: Callable[[], datetime | None]
    silent: Callable[[AtelierError], None]


@dataclass
class Seen:
    """Rows as they were read together, and may be read still."""

    endpoint: Endpoint
    deployment: Deployment
    replicas: list[Replica]

    def replica(self, id_: str) -> Replica:
        return next(each for each in self.replicas if each.id == id_)


class Replicas:
    """Thread-safe: a deployment is only ever stepped by one thread, and by one worker because of its lease."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.studio, self.engine = ground, ground.studio, ground.engine
        self.images = Images(ground.studio, ground.engine, ground.token)

    def step(self, deployment_id: str) -> None:
        """Acts until there is nothing to do now. Raises Unavailable while the engine is silent."""
        for _ in range(MOST_STEPS):
            seen = self._claimed(deployment_id)
            if seen is None:
                return
            failpoints.reach("deployment_claimed")
            actions = plan(seen.endpoint, seen.deployment, seen.replicas, self._found(seen), now())
            has_moved = [self._acted(seen, action) for action in actions]
            if not any(has_moved):
                break
        self._pruned(deployment_id)

    def ready(self, replica_id: str) -> None:
        """A replica answers. One that was asked for out of sleep is awake with it."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Replica, replica_id)
            deployment = scope.session.get(Deployment, row.deployment_id) if row is not None else None
            if row is None or deployment is None or row.state != ReplicaState.Starting:
                return
            others = scope.session.exec(select(Replica).where(Replica.deployment_id == deployment.id)).all()
            at = now()
            if (
                deployment.is_asleep
                and row.generation == deployment.serving_generation
                and is_woken(deployment, others)
            ):
                deployment.is_asleep = False
                deployment.instance_count = max(1, deployment.instance_count)
                deployment.cold_start_ms = int((seconds(deployment.woken_at, at) or 0) * 1000)
                scope.session.add(deployment)
            row.state, row.ready_at, row.message = ReplicaState.Ready, at, ""
            scope.session.add(row)

    def unhealthy(self, replica_id: str, why: str) -> None:
        self._told(replica_id, "LivenessProbeFailed", why, state=ReplicaState.Unhealthy)

    def missed(self, replica_id: str, why: str) -> None:
        """The first failed probe of a row of them is told, not each."""
        self._told(replica_id, "LivenessProbeFailed", f"A probe failed: {why}")

    def _told(self, replica_id: str, reason: str, why: str, *, state: ReplicaState | None = None) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Replica, replica_id)
            deployment = scope.session.get(Deployment, row.deployment_id) if row is not None else None
            endpoint = scope.session.get(Endpoint, deployment.endpoint_id) if deployment is not None else None
            if row is None or deployment is None or endpoint is None or row.state != ReplicaState.Ready:
                return
            if state is not None:
                row.state, row.message = state, why[:1000]
                scope.session.add(row)
            scope.session.add(event(endpoint, deployment, f"Replica {row.ordinal}: {why}", reason=reason))

    def _claimed(self, deployment_id: str) -> Seen | None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            session = scope.session
            deployment = session.get(Deployment, deployment_id)
            endpoint = session.get(Endpoint, deployment.endpoint_id) if deployment is not None else None
            if deployment is None or endpoint is None or not leases.claim(session, deployment, self.ground.token):
                return None
            replicas = session.exec(select(Replica).where(Replica.deployment_id == deployment_id)).all()
            workspace = session.get(Workspace, deployment.workspace_id)
            session.flush()
            session.expunge_all()
        if workspace is not None and workspace.deleted_at is not None and endpoint.desired == "run":
            endpoint.desired = "stop"  # until it is recovered or purged; the row itself stays as it was
        return Seen(endpoint, deployment, list(replicas))

    def _found(self, seen: Seen) -> dict[str, Found]:
        found = {}
        for each in seen.replicas:
            if each.state not in LIVE:
                continue
            try:
                one = self.engine.inspect(each.container_name)
            except NotFound:
                continue
            if one.labels.get(INSTALL) == self.studio.install and one.labels.get(serving_launch.REPLICA) == each.id:
                found[each.container_name] = one
        return found

    def _acted(self, seen: Seen, action: Action) -> bool:
        """Whether rows changed, so that it is worth while to look again now."""
        try:
            return self._do(seen, action)
        except Unavailable:
            raise
        except AtelierError as cause:
            return self._failed(seen, action, cause.code, str(cause))
        except Exception:
            log.exception("Deployment %s could not be acted on", seen.deployment.name)
            return self._failed(seen, action, "InternalError", "The studio failed at this itself; its log says why.")

    def _do(self, seen: Seen, action: Action) -> bool:
        match action.do:
            case "prepare":
                return self.images.prepared(seen.deployment, action.generation)
            case "add":
                return self._add(seen, action)
            case "launch":
                return self._launch(seen, seen.replica(action.replica))
            case "start":
                replica = seen.replica(action.replica)
                return self._start(seen, replica, self.engine.inspect(replica.container_name).id)
            case "started":
                return self._started(seen, seen.replica(action.replica))
            case "ended":
                return self._end(seen, seen.replica(action.replica))
            case "late":
                return self._late(seen, seen.replica(action.replica))
            case "drain":
                return self._set(action.replica, {ReplicaState.Ready}, state=ReplicaState.Draining, draining_at=now())
            case "remove":
                return self._remove(seen, seen.replica(action.replica))
            case "settle":
                return self._settle(seen, action.generation)
            case "awake":
                return self._awake(seen)
            case "fail":
                code, _, message = action.why.partition(": ")
                return self._fail(seen, action.generation, code, message)
            case "forget":
                return self._forget(seen)

    def _add(self, seen: Seen, action: Action) -> bool:
        """The row of one more replica, unless somebody stands in its place."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            if not self._holds(scope.session, seen.deployment):
                return False
            here = (Replica.deployment_id == seen.deployment.id, Replica.generation == action.generation)
            rows = scope.session.exec(select(Replica).where(*here, Replica.ordinal == action.ordinal)).all()
            if any(each.state in LIVE and each.state != ReplicaState.Draining for each in rows):
                return False
            made = Replica(
                workspace_id=seen.deployment.workspace_id,
                deployment_id=seen.deployment.id,
                generation=action.generation,
                ordinal=action.ordinal,
                attempt=max((each.attempt for each in rows), default=0) + 1,
                engine=self.engine.kind,
            )
            made.container_name = serving_launch.container_name(made)
            scope.session.add(made)
        return True

    def _launch(self, seen: Seen, replica: Replica) -> bool:
        """Brings the model here, creates and starts the container, or adopts the one that a crash left."""
        failpoints.reach("replica_added")
        launch, info = serving_launch.of(seen.deployment, replica.generation), self.ground.info()
        if info is None:
            return False
        with self.ground.starts:
            root = serving_launch.folders(self.studio, replica)
            model = self._model(seen.deployment, replica, launch, root / serving_launch.SETUP)
            with self.studio.scope(SYSTEM) as scope:
                wish = serving_launch.container(
                    self.studio,
                    scope.session,
                    self.engine,
                    seen.endpoint,
                    seen.deployment,
                    replica,
                    launch,
                    info,
                    model,
                )
            try:
                container_id = self.engine.create(wish)
            except Conflict:
                found = self.engine.inspect(replica.container_name)
                if found.labels.get(serving_launch.REPLICA) != replica.id:
                    raise
                container_id = found.id
            except NotFound as cause:  # somebody pruned the image since
                self.images.lost(seen.deployment, replica.generation)
                raise EngineError(f"The image is not here any more: {cause.message}") from cause
            failpoints.reach("replica_created")
            if replica.attempt == 1:
                note = serving_launch.size(launch, info).note
                self._say(seen, "Created", f"Replica {replica.ordinal} was created{'. ' + note if note else ''}")
            return self._start(seen, replica, container_id)

    def _model(self, deployment: Deployment, replica: Replica, launch: Launch, told: Path) -> Path | None:
        """Where the model's files lie here; how it came here is written for the person who waits."""
        if not launch.model:
            return None
        name, uri = f"{launch.model['name']}:{launch.model['version']}", str(launch.model["path"])

        def say(text: str) -> None:
            serving_logs.note(told, f"{now():%Y-%m-%dT%H:%M:%SZ} {text}\n")

        say(f"Bringing model '{name}' here from {noun_data.shown_uri(uri)}")
        began = time.monotonic()
        try:
            with self.studio.scope(SYSTEM) as scope:
                found = data.found_at(
                    self.studio,
                    scope.session,
                    deployment.workspace_id,
                    uri,
                    "uri_file" if uri.startswith("http") else "",
                    again=not launch.is_fetched,
                )
            if not found.exists():
                raise NotFound(f"Model '{name}': '{noun_data.shown_uri(uri)[:200]}' is not there.")
        except (NotFound, Invalid, EngineError) as cause:
            say(f"It did not come: {cause}")
            if isinstance(cause, NotFound | Invalid):
                raise ModelPathNotFound(f"Model '{name}': {cause.message}", hint=cause.hint) from cause
            raise
        there = files.walk(found) if found.is_dir() else ()
        sizes = [each.size for each in there] if found.is_dir() else [found.stat().st_size]
        took = time.monotonic() - began
        say(f"Model '{name}' is here: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, in {took:.1f} s")
        if not launch.is_fetched:
            self.images.fetched(deployment, replica.generation)
        return found

    def _start(self, seen: Seen, replica: Replica, container_id: str) -> bool:
        try:
            self.engine.start(container_id)
        except NotFound as cause:  # the network that it was to join was swept: it is created anew
            self.engine.remove(container_id)
            log.info("Replica %s is created again: %s", replica.id, cause)
            return False
        failpoints.reach("replica_started")
        return self._started(seen, replica)

    def _started(self, seen: Seen, replica: Replica) -> bool:
        found = self.engine.inspect(replica.container_name)
        try:
            host, port = self.engine.address(found.id)
        except NotFound:  # it has ended already
            host, port = "", 0
        begun = self._set(
            replica.id,
            {ReplicaState.Creating},
            state=ReplicaState.Starting,
            container_id=found.id,
            host=host,
            port=port,
            started_at=found.started_at or now(),
        )
        if begun and replica.attempt == 1:
            self._say(seen, "Started", f"Replica {replica.ordinal} was started")
        return begun

    def _end(self, seen: Seen, replica: Replica) -> bool:
        try:
            found: Found | None = self.engine.inspect(replica.container_name)
        except NotFound:
            found = None
        launch, info = serving_launch.of(seen.deployment, replica.generation), self.ground.info()
        ended = verdict(
            replica,
            found,
            tail=self._tail(seen.deployment, replica, launch),
            memory=serving_launch.size(launch, info).memory if info is not None else 0,
            server=launch.server,
            engine_started_at=self._engine_started_at(found),
        )
        return self._over(seen, replica, ended)

    def _late(self, seen: Seen, replica: Replica) -> bool:
        launch = serving_launch.of(seen.deployment, replica.generation)
        took = int(seconds(replica.started_at, now()) or 0)
        tail = "\n".join(self._tail(seen.deployment, replica, launch)[-8:])
        text = f"UserScriptInitFailed: It did not answer within {took} s (time-out).\n{tail}".rstrip()
        self._say(seen, "ReadinessProbeFailed", f"Replica {replica.ordinal} did not answer within {took} s")
        return self._over(seen, replica, Ended(ReplicaState.Failed, text[:3000]))

    def _over(self, seen: Seen, replica: Replica, ended: Ended) -> bool:
        """Nothing of it stays on the engine; its row and its logs do."""
        self._taken_away(replica)
        live: set[ReplicaState] = {*LIVE} - {ReplicaState.Draining}
        facts = {"message": ended.message, "exit_code": ended.exit_code, "ended_at": now(), "host": "", "port": 0}
        if not self._set(replica.id, live, state=ended.state, **facts):
            return False
        if ended.state == ReplicaState.Failed:
            self._count(seen, replica, ended)
        else:
            self._say(seen, "Killing", f"Replica {replica.ordinal} is gone. {ended.message.partition(': ')[2]}")
        return True

    def _count(self, seen: Seen, replica: Replica, ended: Ended) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            rows = scope.session.exec(select(Replica).where(Replica.deployment_id == seen.deployment.id)).all()
            failed = failures(rows, replica.generation, replica.ordinal)
            wait = back_off(failed)
            facts = {"failures": len(failed), "not_before": now() + wait}
            scope.session.connection().execute(
                update(Deployment).where(col(Deployment.id) == seen.deployment.id).values(**facts)
            )
            if len(failed) <= TOLD or len(failed) % 10 == 0:
                first = ended.message.partition("\n")[0]
                text = f"Replica {replica.ordinal} ended and is started again in {wait.seconds} s. {first}"
                scope.session.add(event(seen.endpoint, seen.deployment, text[:500], reason="BackOff"))

    def _remove(self, seen: Seen, replica: Replica) -> bool:
        self._taken_away(replica)
        if replica.ready_at is not None:
            self._say(seen, "Killing", f"Replica {replica.ordinal} was stopped")
        return self._set(replica.id, set(LIVE), state=ReplicaState.Gone, ended_at=now(), host="", port=0)

    def _taken_away(self, replica: Replica) -> None:
        failpoints.reach("replica_ending")
        try:
            self.engine.stop(replica.container_name, grace=min(STOP_SECONDS, self.studio.settings.stop_grace))
        except NotFound:
            pass
        root = self.studio.folders.replica(replica.id)
        if self._is_its_own(replica):
            self._taken_over(replica, root)
        self.engine.remove(replica.container_name)
        failpoints.reach("replica_removed")
        (root / "variables").unlink(missing_ok=True)
        for name in ("changes", "models"):
            if (root / name).exists():
                files.remove_tree(root / name)

    def _is_its_own(self, replica: Replica) -> bool:
        """Whether its image runs a command of its own: then the engine has its output."""
        return not (self.studio.folders.replica(replica.id) / "system_logs" / "lifecycle").exists()

    def _taken_over(self, replica: Replica, root: Path) -> None:
        try:
            said = self.engine.output(replica.container_name, serving_logs.LINES)
        except NotFound:
            return
        if said:
            try:
                serving_logs.append(root, said)
            except OSError as cause:  # the container put something else there
                log.warning("The log of replica %s cannot be written: %s", replica.id, cause)

    def _settle(self, seen: Seen, generation: int) -> bool:
        """The newest generation serves: what served before is not wanted any more."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Deployment, seen.deployment.id)
            endpoint = scope.session.get(Endpoint, seen.endpoint.id)
            if row is None or endpoint is None or row.lock_token != self.ground.token:
                return False
            kept = row.launches.get(str(generation), {})
            row.serving_generation, row.image, row.digest = generation, kept.get("image", ""), kept.get("digest", "")
            row.failures, row.not_before = 0, None
            if row.generation == generation:
                row.launches = {str(generation): kept}
                row.provisioning_state, row.reason, row.message = ProvisioningState.Succeeded, "", ""
                scope.session.add(event(endpoint, row, f"Deployment '{row.name}' is ready", reason="Ready"))
            if row.wants_all_traffic:
                scope.session.refresh(endpoint, with_for_update=True)
            if row.wants_all_traffic and endpoint.desired != "delete":
                endpoints.shift(scope, endpoint, {row.name: 100})
                row.wants_all_traffic = False
                scope.session.add(event(endpoint, row, f"Deployment '{row.name}' received 100 % of traffic"))
            row.revision += 1
            scope.session.add(row)
        for said in captures.register(self.studio, seen.deployment.id):
            log.warning("%s", said)
        return True

    def _awake(self, seen: Seen) -> bool:
        """It was put to sleep when a request had asked for it already."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            held = (col(Deployment.id) == seen.deployment.id, col(Deployment.lock_token) == self.ground.token)
            values = {"is_asleep": False, "woken_at": None}
            done = scope.session.connection().execute(update(Deployment).where(*held).values(**values))
        return bool(done.rowcount)

    def _fail(self, seen: Seen, generation: int, code: str, message: str) -> bool:
        """It will not serve. What served before goes on, and so does its traffic."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Deployment, seen.deployment.id)
            if row is None or row.lock_token != self.ground.token or row.desired != "run":
                return False
            if generation not in {row.generation, row.serving_generation}:
                return False
            if generation != row.serving_generation:
                row.launches = {key: each for key, each in row.launches.items() if key != str(generation)}
            elif not row.launches.get(str(generation), {}).get("image"):  # it was gone, and could not be built again
                row.launches = {**row.launches, str(generation): {**row.launches[str(generation)], "builds": []}}
                row.not_before = now() + LONGEST_BACK_OFF
            if generation == row.generation:
                row.provisioning_state, row.reason, row.message = ProvisioningState.Failed, code, message[:4000]
            row.revision += 1
            scope.session.add(row)
            first = message.partition("\n")[0]
            text = f"Deployment '{row.name}' failed. {first}"
            scope.session.add(event(seen.endpoint, row, text[:500], reason=code))
        return True

    def _failed(self, seen: Seen, action: Action, code: str, message: str) -> bool:
        """Of what could not be done: the replica that it was done for has ended, or the generation has failed."""
        if action.replica:
            replica = seen.replica(action.replica)
            word = code if code not in {"NotFound", "Invalid", "EngineError", "Conflict"} else "StartError"
            return self._over(seen, replica, Ended(ReplicaState.Failed, f"{word}: {message}"[:3000]))
        if action.do == "prepare":
            return self._fail(seen, action.generation, code, message)
        log.warning("Deployment %s: %s: %s", seen.deployment.name, action.do, message)
        return False

    def _forget(self, seen: Seen) -> bool:
        """The row goes last, so that nothing is forgotten half-way."""
        for each in seen.replicas:
            self._dropped(each)
        with self.studio.scope(SYSTEM, write=True) as scope:
            if not self._holds(scope.session, seen.deployment):
                return False
            connection = scope.session.connection()
            connection.execute(delete(Replica).where(col(Replica.deployment_id) == seen.deployment.id))
            edges = (col(Edge.target_kind) == "deployment") & (col(Edge.target_id) == seen.deployment.id)
            connection.execute(delete(Edge).where(edges))
            connection.execute(delete(Deployment).where(col(Deployment.id) == seen.deployment.id))
            text = f"Deployment '{seen.deployment.name}' was deleted"
            scope.session.add(event(seen.endpoint, seen.deployment, text))
        return False

    def forget_endpoint(self, endpoint: Endpoint) -> None:
        """One that is given up and has no deployments left: with what opened it and what was planned for it."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            connection = scope.session.connection()
            if scope.session.exec(select(Deployment.id).where(Deployment.endpoint_id == endpoint.id)).first():
                return
            connection.execute(delete(Token).where(col(Token.endpoint_id) == endpoint.id))
            connection.execute(delete(Rollout).where(col(Rollout.endpoint_id) == endpoint.id))
            mine = col(Secret.name).startswith(f"endpoint/{endpoint.id}/", autoescape=True)
            connection.execute(delete(Secret).where(mine, col(Secret.workspace_id) == endpoint.workspace_id))
            done = connection.execute(delete(Endpoint).where(col(Endpoint.id) == endpoint.id))
            if done.rowcount:
                scope.session.add(
                    Event(
                        principal=SYSTEM.name,
                        workspace_id=endpoint.workspace_id,
                        kind="endpoint",
                        name=endpoint.name,
                        message=f"Endpoint '{endpoint.name}' was deleted",
                    )
                )
        self.studio.requests.forget(endpoint.id)

    def _pruned(self, deployment_id: str) -> None:
        """Of those that ended only the last are kept, and of places that are not taken any more the very last."""
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(select(Replica).where(Replica.deployment_id == deployment_id)).all()
        ended = [each for each in rows if each.state not in LIVE and each.ended_at is not None]
        if len(ended) <= KEPT:
            return
        ended.sort(key=lambda each: (each.ended_at, each.id), reverse=True)
        of_place: dict[int, int] = {}
        going = []
        for each in ended:
            of_place[each.ordinal] = of_place.get(each.ordinal, 0) + 1
            if of_place[each.ordinal] > KEPT:
                going.append(each)
        for each in going:
            self._dropped(each)
        if going:
            with self.studio.scope(SYSTEM, write=True) as scope:
                ids = [each.id for each in going]
                scope.session.connection().execute(delete(Replica).where(col(Replica.id).in_(ids)))

    def _dropped(self, replica: Replica) -> None:
        self.engine.remove(replica.container_name)
        root = self.studio.folders.replica(replica.id)
        if root.exists():
            files.remove_tree(root)

    def _tail(self, deployment: Deployment, replica: Replica, launch: Launch) -> list[str]:
        """The end of its log as it may be shown."""
        root = self.studio.folders.replica(replica.id)
        if launch.server == "custom":
            self._taken_over(replica, root)
        raw = serving_logs.tail(root)
        with self.studio.scope(SYSTEM) as scope:
            known = serving_launch.secret_values(self.studio, scope.session, deployment, launch)
        return logs.redacted(raw, known, 0, len(raw)).decode("utf-8", "replace").splitlines()

    def _engine_started_at(self, found: Found | None) -> datetime | None:
        """Asked anew of one that was killed: an engine takes its containers with it before it is gone itself."""
        known = self.ground.engine_started_at()
        if found is None or found.exit_code not in KILLS:
            return known
        return max(filter(None, (known, self.engine.info().started_at)), default=None)

    def _holds(self, session: Session, deployment: Deployment) -> bool:
        row = session.get(Deployment, deployment.id)
        return row is not None and row.lock_token == self.ground.token

    def _set(self, replica_id: str, states: set[ReplicaState], **values: Any) -> bool:
        """Compare and set: False when somebody was faster."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            done = scope.session.connection().execute(
                update(Replica).where(col(Replica.id) == replica_id, col(Replica.state).in_(states)).values(**values)
            )
        return bool(done.rowcount == 1)

    def _say(self, seen: Seen, reason: str, text: str) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            scope.session.add(event(seen.endpoint, seen.deployment, text, reason=reason))


class ModelPathNotFound(NotFound):
    """The model's files are not where they should be."""

    code = "ModelPathNotFound"


def event(endpoint: Endpoint, deployment: Deployment, text: str, *, reason: str = "") -> Event:
    return Event(
        principal=SYSTEM.name,
        workspace_id=deployment.workspace_id,
        kind="deployment",
        name=f"{endpoint.name}/{deployment.name}",
        message=text,
        reason=reason,
    )
