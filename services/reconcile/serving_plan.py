"""What to do next about a deployment, from rows and containers alone. Pure: the worker does what is answered.

Every attempt is a replica of its own, in a place (`ordinal`) of a generation. Any crash between two steps is
repaired by asking again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from services.core.states import ProvisioningState, ReplicaState
from services.engines.containers import Found
from services.specs.deployments import Probe
from services.store.serving import Deployment, Endpoint, Replica

Do = Literal[
    "prepare",
    "add",
    "launch",
    "start",
    "started",
    "ended",
    "late",
    "drain",
    "remove",
    "settle",
    "awake",
    "fail",
    "forget",
]

LIVE = (
    ReplicaState.Creating,
    ReplicaState.Starting,
    ReplicaState.Ready,
    ReplicaState.Unhealthy,
    ReplicaState.Draining,
)
MOST_FAILURES = 5
# What no waiting heals: a second look is enough.
LASTING = frozenset(
    {"UserScriptImportError", "UserScriptFunctionNotFound", "ModelPathNotFound", "ModelLoadFailed", "SecretNotFound"}
)
LONGEST_BACK_OFF = timedelta(seconds=30)
STEADY = timedelta(seconds=60)
"""Whoever was ready so long has not failed to start."""
LONGEST_FAREWELL = timedelta(seconds=60)
"""What is given up as a whole waits no longer for its last answers."""


@dataclass(frozen=True)
class Action:
    """`add` makes the row of a new replica, `launch` its container; `ended` has one whose container is over, `late`
    one that did not start in time. `drain` takes it from the table, `remove` away. `settle` says that the newest
    generation serves, `fail` that it will not, `awake` that a request came before it slept; `forget` removes the
    deployment itself."""

    do: Do
    replica: str = ""
    generation: int = 0
    ordinal: int = 0
    why: str = ""


def plan(
    endpoint: Endpoint,
    deployment: Deployment,
    replicas: Sequence[Replica],
    found: Mapping[str, Found] | None,
    at: datetime,
) -> list[Action]:
    """`replicas` are all rows, also of those that ended; `found` the containers by name, None when nobody asked."""
    live = [each for each in replicas if each.state in LIVE]
    kept = _kept(endpoint, deployment, replicas)
    actions = [action for each in live if (action := _step(each, deployment, kept, found, at)) is not None]
    staying = [each for each in live if each.state != ReplicaState.Draining]
    if deployment.desired == "delete" or endpoint.desired == "delete":
        return actions if live else [Action("forget")]
    pending = pending_of(deployment)
    for generation, count in kept.items():
        why = _given_up(deployment, replicas, generation)
        if why is not None:
            actions.append(Action("fail", generation=generation, why=why))
            continue
        if not is_launchable(deployment, generation):
            is_early = deployment.not_before is not None and at < deployment.not_before
            if generation != deployment.serving_generation or not is_early:
                actions.append(Action("prepare", generation=generation))
        else:
            actions += _added(replicas, staying, deployment, generation, count, at)
    if deployment.is_asleep and is_woken(deployment, replicas) and _serves(live, deployment):
        actions.append(Action("awake"))
    if _is_settled(deployment, live, kept, at):
        actions.append(Action("settle", generation=pending or deployment.serving_generation))
    return actions


def pending_of(deployment: Deployment) -> int:
    """The generation that is to serve and does not yet; 0 when there is none, or when it was given up."""
    is_open = deployment.generation != deployment.serving_generation
    return deployment.generation if is_open and deployment.provisioning_state != ProvisioningState.Failed else 0


def is_launchable(deployment: Deployment, generation: int) -> bool:
    """Whether its image is here and all that it is started from is known."""
    return bool(deployment.launches.get(str(generation), {}).get("image"))


def is_woken(deployment: Deployment, replicas: Sequence[Replica]) -> bool:
    """Whether a request has asked for it since one of its replicas was ready last."""
    last = max((each.ready_at for each in replicas if each.ready_at is not None), default=None)
    return deployment.woken_at is not None and (last is None or deployment.woken_at > last)


def failures(replicas: Sequence[Replica], generation: int, ordinal: int) -> list[Replica]:
    """Those that failed in a place, the newest first, back to the last that was well for a while."""
    here = [each for each in replicas if (each.generation, each.ordinal) == (generation, ordinal)]
    ended = sorted((each for each in here if each.ended_at), key=lambda each: (each.ended_at, each.id), reverse=True)
    found: list[Replica] = []
    for each in ended:
        if each.state != ReplicaState.Failed or each.ended_at is None:
            continue
        found.append(each)
        if each.ready_at is not None and each.ended_at - each.ready_at >= STEADY:
            break
    return found


def back_off(failed: Sequence[Replica]) -> timedelta:
    """1, 2, 4 … 30 seconds after the last end."""
    return min(timedelta(seconds=2 ** min(len(failed) - 1, 10)), LONGEST_BACK_OFF) if failed else timedelta()


def patience(spec: Mapping[str, Any]) -> timedelta:
    """How long a container may take until it answers for the first time."""
    probe = Probe.model_validate(spec.get("startup_probe") or spec.get("liveness_probe") or {})
    return timedelta(seconds=probe.initial_delay + probe.period * probe.failure_threshold)


def farewell(deployment: Deployment) -> timedelta:
    """How long requests that a draining replica has may still take: their time-out and a second."""
    settings = deployment.spec.get("request_settings") or {}
    return timedelta(milliseconds=int(settings.get("request_timeout_ms") or 5000), seconds=1)


def _kept(endpoint: Endpoint, deployment: Deployment, replicas: Sequence[Replica]) -> dict[int, int]:
    """How many replicas of which generation there should be. One that is asleep runs none of the generation that
    serves; a new generation shows that it works all the same."""
    if endpoint.desired != "run" or deployment.desired != "run":
        return {}
    count, found = max(1, deployment.instance_count), {}
    if deployment.serving_generation and (not deployment.is_asleep or is_woken(deployment, replicas)):
        found[deployment.serving_generation] = count
    if pending := pending_of(deployment):
        found[pending] = count
    return found


def _step(
    replica: Replica,
    deployment: Deployment,
    kept: Mapping[int, int],
    found: Mapping[str, Found] | None,
    at: datetime,
) -> Action | None:
    is_wanted = replica.ordinal < kept.get(replica.generation, 0)
    container = found.get(replica.container_name) if found is not None else None
    is_over = found is not None and replica.state != ReplicaState.Creating and not _runs(container)
    if replica.state == ReplicaState.Draining:
        is_due = is_over or _is_drained(replica, deployment, kept, at)
        return Action("remove", replica.id) if is_due else None
    if not is_wanted:
        return Action("drain" if replica.state == ReplicaState.Ready and not is_over else "remove", replica.id)
    if is_over:
        return Action("ended", replica.id)
    match replica.state:
        case ReplicaState.Unhealthy:
            return Action("ended", replica.id)
        case ReplicaState.Starting if replica.started_at and at > replica.started_at + _patience(deployment, replica):
            return Action("late", replica.id)
        case ReplicaState.Creating:
            return _creating(replica, container)
    return None


def _creating(replica: Replica, container: Found | None) -> Action:
    if container is None:
        return Action("launch", replica.id)
    if container.status == "created":
        return Action("ended" if container.error else "start", replica.id)
    return Action("started" if container.status == "running" else "ended", replica.id)


def _runs(container: Found | None) -> bool:
    return container is not None and container.status == "running"


def _patience(deployment: Deployment, replica: Replica) -> timedelta:
    return patience(deployment.launches.get(str(replica.generation), {}).get("spec") or deployment.spec)


def _is_drained(replica: Replica, deployment: Deployment, kept: Mapping[int, int], at: datetime) -> bool:
    wait = farewell(deployment) if kept else min(farewell(deployment), LONGEST_FAREWELL)
    return replica.draining_at is None or at >= replica.draining_at + wait


def _given_up(deployment: Deployment, replicas: Sequence[Replica], generation: int) -> str | None:
    """Why a generation will not serve. One that has served is tried for as long as it is wanted."""
    is_told = generation == deployment.serving_generation and deployment.provisioning_state == ProvisioningState.Failed
    if is_told:
        return None
    for ordinal in range(max(1, deployment.instance_count)):
        failed = failures(replicas, generation, ordinal)
        most = 2 if failed and failed[0].message.partition(":")[0] in LASTING else MOST_FAILURES
        is_late = bool(failed) and failed[0].exit_code is None and failed[0].message.startswith("UserScriptInitFailed")
        if len(failed) >= most or (is_late and generation != deployment.serving_generation):
            return failed[0].message
    return None


def _added(
    replicas: Sequence[Replica],
    staying: Sequence[Replica],
    deployment: Deployment,
    generation: int,
    count: int,
    at: datetime,
) -> list[Action]:
    taken = {each.ordinal for each in staying if each.generation == generation}
    actions = []
    for ordinal in range(count):
        failed = failures(replicas, generation, ordinal)
        is_early = bool(failed) and failed[0].ended_at is not None and at < failed[0].ended_at + back_off(failed)
        if ordinal not in taken and not is_early:
            actions.append(Action("add", generation=generation, ordinal=ordinal))
    return actions


def _serves(live: Sequence[Replica], deployment: Deployment) -> bool:
    return any((each.state, each.generation) == (ReplicaState.Ready, deployment.serving_generation) for each in live)


def _is_settled(deployment: Deployment, live: Sequence[Replica], kept: Mapping[int, int], at: datetime) -> bool:
    """All that are wanted of the newest generation are ready, and nobody has said so yet.

    Of one that failed while it served they have been so for a while: it may only have come up once more.
    """
    generation = pending_of(deployment) or deployment.serving_generation
    is_open = deployment.generation in {deployment.serving_generation, pending_of(deployment)}
    if generation not in kept or not is_open or deployment.provisioning_state == ProvisioningState.Succeeded:
        return False
    steady = STEADY if deployment.provisioning_state == ProvisioningState.Failed else timedelta()
    ready = {
        each.ordinal
        for each in live
        if (each.state, each.generation) == (ReplicaState.Ready, generation)
        and each.ready_at is not None
        and at >= each.ready_at + steady
    }
    return ready >= set(range(kept[generation]))
