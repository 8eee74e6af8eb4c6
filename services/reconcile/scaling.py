"""How many instances answer: as many as keep each at its target, and none after a while without a request.

How busy they are is how many requests are under way or wait, over how many they may take at once, or what they use
of their processors, whichever is more. More instances come at once; fewer when fewer would have been enough for a
minute. The worker that runs the containers wakes who sleeps.
"""

import logging
import math
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from services import deployments
from services.core.errors import Unavailable
from services.core.states import ProvisioningState, ReplicaState
from services.core.times import spoken
from services.events import emit
from services.specs.deployments import OnlineDeployment, RequestSettings, ScaleSettings
from services.specs.problems import checked
from services.specs.sizes import size_of
from services.store.requests import Requests
from services.store.rows import Workspace
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
POLLING = 1
TARGET = 70
STEADY = 60.0
"""Seconds for which fewer instances must have been enough before there are fewer."""
SPAN = 5
"""Seconds over which requests are averaged; more where the load is looked at more seldom."""
SLEEPS_AFTER = 300
_CPU_SECONDS = 10.0
_UNLIMITED = 1 << 50


@dataclass(frozen=True)
class Load:
    """What a deployment has to do: `concurrency` requests at once on average, `cpu` of each instance from 0 to 1."""

    ready: int
    concurrency: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A deployment that scales by itself. `woken` is when it was ready or woken last, in seconds since 1970."""

    row: Deployment
    settings: ScaleSettings
    takes: int
    cpus: float
    ready: int
    woken: float


@dataclass
class Memory:
    """Of earlier looks at one deployment, by the monotonic clock."""

    looked_at: float = -math.inf
    under_way: deque[tuple[float, int]] = field(default_factory=deque)
    wanted: deque[tuple[float, int]] = field(default_factory=deque)


class Scaling:
    """The worker's part. What it remembers is only how long fewer were enough: forgotten, it waits a minute more."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._memories: dict[str, Memory] = {}

    def look(self) -> None:
        """Cheap while no deployment scales by itself."""
        with self.studio.database.session(write=False) as session:
            found = _scaling(session)
        self._memories = {each.row.id: self._memories.get(each.row.id, Memory()) for each in found}
        at = time.monotonic()
        for each in found:
            memory = self._memories[each.row.id]
            if at - memory.looked_at >= (each.settings.polling_interval or POLLING):
                memory.looked_at = at
                try:
                    self._scale(each, memory, at)
                except Unavailable as cause:
                    log.info("'%s' is scaled later: %s", each.row.name, cause)

    def _scale(self, seen: Seen, memory: Memory, at: float) -> None:
        window = self.studio.requests.window(seen.row.id, 1)
        under_way = window.in_flight + (window.max_queued if window.in_flight else 0)
        idle = max(0.0, time.time() - max(seen.woken, window.last_at or 0.0))
        if not under_way and sleeps(seen.settings, idle):
            self._write(seen, 0, f"'{seen.row.name}' fell asleep after {spoken(idle)} without a request")
            return
        span = min(int(STEADY), max(SPAN, seen.settings.polling_interval or POLLING))
        _remember(memory.under_way, at, under_way, span)
        steady = min(count for _, count in memory.under_way) if _reaches(memory.under_way, at, span - 1) else 0
        load = Load(
            seen.ready, max(busy(self.studio.requests, seen.row.id, span), steady), self._cpu(seen, time.time())
        )
        within = limits(seen.settings, seen.row)
        _remember(memory.wanted, at, wanted(seen.settings, load, takes=seen.takes, within=within), STEADY)
        count = scaled(clamped(seen.row.instance_count, within), memory.wanted, at)
        if count != seen.row.instance_count:
            why = f"{load.concurrency:.1f} requests at once, {load.cpu:.0%} of the processors"
            message = f"'{seen.row.name}' was scaled from {seen.row.instance_count} to {count} instances: {why}"
            self._write(seen, count, message)

    def _cpu(self, seen: Seen, at: float) -> float:
        """Of what each instance may use, on average over the last seconds."""
        samples = self.studio.requests.samples(seen.row.id, since=at - _CPU_SECONDS, until=at)
        return sum(each.cpu for each in samples) / len(samples) / 100 / seen.cpus if samples else 0.0

    def _write(self, seen: Seen, count: int, message: str) -> None:
        """Unless somebody changed the deployment since it was looked at. 0: it falls asleep."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Deployment, seen.row.id, with_for_update=True)
            endpoint = scope.session.get(Endpoint, seen.row.endpoint_id)
            if row is None or endpoint is None or _state(row) != _state(seen.row):
                return
            scope.workspace = scope.session.get(Workspace, row.workspace_id)
            row.is_asleep = not count
            row.instance_count = count or limits(seen.settings, row)[0]
            scope.session.add(row)
            emit(scope, "deployment", deployments.subject(endpoint, row), message)


def limits(settings: ScaleSettings, row: Deployment) -> tuple[int, int]:
    """The least and the most instances; one that may sleep has one while it is awake."""
    low = max(1, settings.min_instances or 0)
    return low, max(low, settings.max_instances or int(row.spec.get("instance_count") or 1))


def busy(requests: Requests, deployment_id: str, span: int) -> float:
    """How many requests were under way at once, on average over the last whole seconds (Little's law)."""
    until = math.floor(time.time())
    series = requests.series(deployment_id=deployment_id, since=until - span, until=until, step_s=1)
    answered = [(int(count), float(ms)) for count, ms in zip(series.requests, series.mean, strict=True) if count]
    return sum(count * ms for count, ms in answered) / 1000 / span


def wanted(settings: ScaleSettings, load: Load, *, takes: int, within: tuple[int, int]) -> int:
    """Instances that keep each at the target; `takes` is how many requests one may have at once."""
    target = (settings.target_utilization_percentage or TARGET) / 100
    instances_busy = max(load.concurrency / takes, load.ready * load.cpu)
    return clamped(math.ceil(round(instances_busy / target, 6)), within)


def clamped(count: int, within: tuple[int, int]) -> int:
    low, high = within
    return min(high, max(low, count))


def scaled(count: int, looks: Sequence[tuple[float, int]], at: float) -> int:
    """From `count`, by what was wanted at earlier looks: up at once, down to what was enough all of the time."""
    latest = looks[-1][1]
    if latest > count:
        return latest
    return min(count, max(want for _, want in looks)) if _reaches(looks, at, STEADY) else count


def sleeps(settings: ScaleSettings, idle: float) -> bool:
    """Whether nobody has asked for so long, in seconds, that no instance is needed."""
    return settings.min_instances == 0 and idle >= (settings.scale_to_zero_after or SLEEPS_AFTER)


def _remember(looks: deque[tuple[float, int]], at: float, value: int, seconds: float) -> None:
    """Keeps one that is older, so that the span is known to be covered."""
    looks.append((at, value))
    while len(looks) > 1 and at - looks[1][0] >= seconds:
        looks.popleft()


def _reaches(looks: Sequence[tuple[float, int]], at: float, seconds: float) -> bool:
    return at - looks[0][0] >= seconds


def _scaling(session: Session) -> list[Seen]:
    """Those that answer and are to scale by themselves; who is changed, failed, stopped or asleep is left alone."""
    rows = session.exec(
        select(Deployment)
        .join(Endpoint, col(Endpoint.id) == col(Deployment.endpoint_id))
        .where(
            Deployment.kind == "online",
            Deployment.desired == "run",
            Deployment.provisioning_state == ProvisioningState.Succeeded,
            col(Deployment.is_asleep).is_(False),
            Endpoint.desired == "run",
        )
    ).all()
    chosen = [row for row in rows if (row.spec.get("scale_settings") or {}).get("type") == "target_utilization"]
    return [_seen(session, row) for row in chosen if row.serving_generation == row.generation]


def _seen(session: Session, row: Deployment) -> Seen:
    spec = checked(OnlineDeployment, row.spec)
    replicas = session.exec(
        select(Replica).where(Replica.deployment_id == row.id, Replica.state == ReplicaState.Ready)
    ).all()
    times = [row.woken_at, row.created_at, *(each.ready_at for each in replicas)]
    size = size_of(
        spec.instance_type,
        spec.resources.model_dump() if spec.resources is not None else None,
        cpus=os.cpu_count() or 1,
        memory=_UNLIMITED,
    )
    return Seen(
        row,
        spec.scale_settings or ScaleSettings(),
        (spec.request_settings or RequestSettings()).max_concurrent_requests_per_instance,
        size.cpus,
        len(replicas),
        max(each.timestamp() for each in times if each is not None),
    )


def _state(row: Deployment) -> tuple[object, ...]:
    """What a decision stands on."""
    return row.instance_count, row.generation, row.is_asleep, row.desired, row.provisioning_state, row.woken_at
