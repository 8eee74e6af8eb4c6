"""Rollouts go on when a step has baked, and back when an alarm goes off; every move is one write of the traffic."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from services import rollouts
from services.core import names
from services.core.states import ProvisioningState, ReplicaState, RolloutState
from services.core.times import now
from services.store.requests import Window
from services.store.rows import Workspace
from services.store.serving import Deployment, Endpoint, Replica, Rollout
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")


@dataclass(frozen=True)
class Keep:
    """The step bakes on."""


@dataclass(frozen=True)
class Advance:
    """To the next step, or to the end."""


@dataclass(frozen=True)
class Back:
    """To the traffic before the rollout."""

    why: str


Verdict = Keep | Advance | Back


@dataclass(frozen=True)
class Seen:
    """A rollout at a step, with what is wrong about where it leads, and whether somebody else moved the traffic."""

    rollout: Rollout
    deployment_id: str
    trouble: str
    is_overtaken: bool


class Rollouts:
    """The worker's part. Needs no engine: traffic comes back also while that is silent."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def look(self) -> None:
        """Cheap while none runs."""
        for seen in self._under_way():
            if seen.is_overtaken:
                self._act(seen.rollout, None)
                continue
            spec = rollouts.written(seen.rollout)
            window = self.studio.requests.window(
                seen.deployment_id, spec.alarms.window, since=seen.rollout.step_at.timestamp()
            )
            verdict = judged(seen.rollout, window, now(), trouble=seen.trouble)
            if not isinstance(verdict, Keep):
                self._act(seen.rollout, verdict)

    def _under_way(self) -> list[Seen]:
        with self.studio.database.session(write=False) as session:
            rows = session.exec(
                select(Rollout, Endpoint)
                .join(Endpoint, col(Endpoint.id) == col(Rollout.endpoint_id))
                .where(Rollout.state == RolloutState.Running)
            ).all()
            return [_seen(session, rollout, endpoint) for rollout, endpoint in rows]

    def _act(self, seen: Rollout, verdict: Advance | Back | None) -> None:
        """None: it ends where it is."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            scope.workspace = scope.session.get(Workspace, seen.workspace_id)
            match verdict:
                case None:
                    rollouts.give_up(scope, seen)
                case Advance():
                    rollouts.advance(scope, seen)
                case Back(why):
                    log.warning("The rollout to '%s' is rolled back: %s", seen.target, why)
                    rollouts.turn_back(scope, seen, why)


def judged(rollout: Rollout, window: Window, at: datetime, *, trouble: str = "") -> Verdict:
    """What is wrong goes before how long it has baked; few requests raise no alarm."""
    if trouble:
        return Back(trouble)
    spec = rollouts.written(rollout)
    if window.requests >= spec.alarms.min_requests:
        percent, most, slowest = (
            100 * window.errors / window.requests,
            spec.alarms.error_rate_percent,
            spec.alarms.p95_ms,
        )
        if most is not None and percent > most:
            return Back(f"{percent:.1f} % of {window.requests} requests failed, and {most:g} % may")
        if slowest is not None and window.p95 is not None and window.p95 > slowest:
            return Back(f"p95 was {window.p95:.0f} ms over {window.requests} requests, and {slowest:g} ms may be")
    return Advance() if at - rollout.step_at >= timedelta(seconds=spec.bake_seconds) else Keep()


def trouble_of(endpoint: Endpoint, target: Deployment | None, ready: int) -> str:
    """Why a rollout cannot go on, whatever the requests say; empty when all is well."""
    if endpoint.desired != "run":
        return "the endpoint was stopped"
    if target is None or target.desired == "delete":
        return "the deployment was deleted"
    if target.provisioning_state == ProvisioningState.Failed:
        return "the deployment failed"
    if not ready and not target.is_asleep:
        return "no replica of the deployment was ready"
    return ""


def _seen(session: Session, rollout: Rollout, endpoint: Endpoint) -> Seen:
    wanted = Deployment.endpoint_id == endpoint.id, Deployment.folded == names.folded(rollout.target)
    target = session.exec(select(Deployment).where(*wanted)).one_or_none()
    ready = 0
    if target is not None:
        is_ready = Replica.deployment_id == target.id, Replica.state == ReplicaState.Ready
        ready = session.exec(select(func.count()).select_from(Replica).where(*is_ready)).one()
    expected = rollouts.shared(rollout.before, rollout.target, rollouts.percents(rollout)[rollout.step])
    is_overtaken = _shares(endpoint.traffic) != _shares(expected)
    return Seen(rollout, target.id if target is not None else "", trouble_of(endpoint, target, ready), is_overtaken)


def _shares(traffic: Mapping[str, int]) -> dict[str, int]:
    return {name: share for name, share in traffic.items() if share}
