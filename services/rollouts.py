"""Rollouts: traffic that moves to a deployment step by step, and comes back by itself or at one click.

Traffic is a wish in the endpoint's row that the gateway follows, so a step is one write. Who writes holds the
endpoint's row first: a person and the worker never decide about the same step.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from services import access, endpoints
from services.core import names
from services.core.errors import Conflict, NotFound
from services.core.states import ProvisioningState, RolloutState
from services.core.times import iso, now
from services.events import emit
from services.specs.problems import checked
from services.specs.rollouts import Rollout as RolloutSpec
from services.store.serving import Deployment, Endpoint, Rollout
from services.studio import Scope

EVENTS = "endpoint"


def start(scope: Scope, endpoint: str, spec: RolloutSpec) -> Rollout:
    """The first step is taken at once. Raises Conflict while another runs, and for a target that does not answer yet.

    Steps that give the target no more than it has already are left out.
    """
    access.require(scope, "onlineEndpoints/write")
    place = _held(scope, endpoint)
    if (other := _running(scope, place)) is not None:
        raise Conflict(f"A rollout to '{other.target}' is under way.", hint="Cancel it, or wait for its end.")
    if place.desired != "run":
        raise Conflict(f"Endpoint '{place.name}' is stopped.", hint="Start it first.")
    target = _able(scope, place, spec.deployment)
    has = place.traffic.get(target.name, 0)
    if not any(place.traffic.values()):
        raise Conflict("No deployment has traffic that could move.", hint=f"Give '{target.name}' all of it instead.")
    if has == 100:
        raise Conflict(f"'{target.name}' has all of the traffic already.")
    row = Rollout(
        workspace_id=scope.workspace_id,
        endpoint_id=place.id,
        target=target.name,
        spec=spec.model_dump(mode="json", by_alias=True),
        before=dict(place.traffic),
        created_by=scope.principal.name,
    )
    _step(scope, place, row, 0)
    _told(scope, place, f"A rollout to '{row.target}' started with {_planned(row)}")
    return row


def get(scope: Scope, endpoint: str, rollout_id: str = "") -> Rollout:
    """The latest without an id. Raises NotFound."""
    access.require(scope, "onlineEndpoints/read")
    found = [row for row in listed(scope, endpoint) if rollout_id in {"", row.id}]
    if not found:
        raise NotFound(
            f"Endpoint '{endpoint[:80]}' has no such rollout." if rollout_id else "There was no rollout yet."
        )
    return found[0]


def listed(scope: Scope, endpoint: str) -> list[Rollout]:
    """All of an endpoint, newest first."""
    access.require(scope, "onlineEndpoints/read")
    place = endpoints.get(scope, endpoint)
    newest = col(Rollout.created_at).desc(), col(Rollout.id).desc()
    return list(scope.session.exec(select(Rollout).where(Rollout.endpoint_id == place.id).order_by(*newest)))


def running(scope: Scope, endpoint: Endpoint) -> Rollout | None:
    """The one that is under way; while it is, nobody else moves the traffic."""
    access.require(scope, "onlineEndpoints/read")
    return _running(scope, endpoint)


def promote(scope: Scope, endpoint: str, *, full: bool = False) -> Rollout:
    """Goes on without waiting: to the next step, after the last to the end, with `full` to the end at once.

    Raises Conflict when none runs.
    """
    access.require(scope, "onlineEndpoints/write")
    place = _held(scope, endpoint)
    row = _under_way(scope, place)
    _told(scope, place, f"The rollout to '{row.target}' was promoted at {percents(row)[row.step]} %")
    if full:
        _step(scope, place, row, len(percents(row)) - 1)
        return _succeed(scope, place, row)
    return _on(scope, place, row)


def cancel(scope: Scope, endpoint: str) -> Rollout:
    """Ends it where it is: the traffic stays. Raises Conflict when none runs."""
    access.require(scope, "onlineEndpoints/write")
    place = _held(scope, endpoint)
    row = _under_way(scope, place)
    said = f"was canceled at {percents(row)[row.step]} %"
    _told(scope, place, f"The rollout to '{row.target}' {said}; the traffic stayed")
    return _end(scope, row, RolloutState.Canceled, f"It {said}; the traffic stayed.")


def rollback(scope: Scope, endpoint: str) -> Endpoint:
    """One click: a rollout that runs is turned back, else the traffic is again what it was before the last change.

    Raises Conflict when there is nothing to come back to, or a deployment of it is not there any more.
    """
    access.require(scope, "onlineEndpoints/write")
    place = _held(scope, endpoint)
    row = _running(scope, place)
    if row is not None:
        _back(scope, place, row, f"{scope.principal.name} asked for it")
        return place
    last = dict(place.previous_traffic)
    if not any(last.values()) or last == place.traffic:
        raise Conflict("There is no traffic to come back to.", hint="It was never changed since the last time.")
    for name, share in last.items():
        if share:
            _able(scope, place, name)
    endpoints.shift(scope, place, _there(scope, place, last), reason="Rollback")
    return place


def advance(scope: Scope, rollout: Rollout) -> Rollout:
    """The worker's move once a step has baked; nothing when somebody was faster."""
    access.require(scope, "onlineEndpoints/write")
    place = scope.session.get(Endpoint, rollout.endpoint_id, with_for_update=True)
    row = _unmoved(scope, rollout)
    return _on(scope, place, row) if place is not None and row is not None else rollout


def turn_back(scope: Scope, rollout: Rollout, why: str) -> Rollout:
    """The worker's move at an alarm; nothing when somebody was faster."""
    access.require(scope, "onlineEndpoints/write")
    place = scope.session.get(Endpoint, rollout.endpoint_id, with_for_update=True)
    row = _unmoved(scope, rollout)
    return _back(scope, place, row, why) if place is not None and row is not None else rollout


def give_up(scope: Scope, rollout: Rollout) -> Rollout:
    """The worker's move when the traffic is not what the step made it: whoever moved it is right."""
    access.require(scope, "onlineEndpoints/write")
    place = scope.session.get(Endpoint, rollout.endpoint_id, with_for_update=True)
    row = _unmoved(scope, rollout)
    if place is None or row is None:
        return rollout
    _told(scope, place, f"The rollout to '{row.target}' ended, for the traffic was moved meanwhile")
    return _end(scope, row, RolloutState.Canceled, "The traffic was moved meanwhile.")


def written(row: Rollout) -> RolloutSpec:
    """As it was asked for."""
    return checked(RolloutSpec, row.spec)


def percents(row: Rollout) -> list[int]:
    """Of each step; only those that give the target more than it had."""
    return [percent for percent in written(row).percents if percent > row.before.get(row.target, 0)]


def shared(before: Mapping[str, int], target: str, percent: int) -> dict[str, int]:
    """`percent` to the target; the others share the rest as they shared before. Whole numbers that sum to 100."""
    others = {name: share for name, share in before.items() if name != target}
    total = sum(others.values())
    if not total:
        return {**others, target: 100}
    rest = 100 - percent
    exact = {name: share * rest / total for name, share in others.items()}
    whole = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: (whole[name] - exact[name], name))[: rest - sum(whole.values())]:
        whole[name] += 1
    return {**whole, target: percent}


def as_json(scope: Scope, row: Rollout) -> dict[str, Any]:
    access.require(scope, "onlineEndpoints/read")
    spec, steps = written(row), percents(row)
    is_running = row.state == RolloutState.Running
    return {
        "id": row.id,
        "deployment": row.target,
        "type": spec.type,
        "state": str(row.state),
        "steps": steps,
        "step": row.step + 1,
        "percent": steps[row.step],
        "bake_seconds": spec.bake_seconds,
        "alarms": spec.alarms.model_dump(mode="json"),
        "before": row.before,
        "step_at": iso(row.step_at),
        "next_at": iso(row.step_at + timedelta(seconds=spec.bake_seconds)) if is_running else None,
        "message": row.message,
        "creation_context": {"created_at": iso(row.created_at), "created_by": row.created_by},
        "finished_at": iso(row.finished_at),
    }


def _held(scope: Scope, name: str) -> Endpoint:
    """For changing: until the transaction ends nobody else does."""
    row = endpoints.get(scope, name)
    scope.session.flush()
    scope.session.refresh(row, with_for_update=True)
    if row.desired == "delete":
        raise Conflict(f"Endpoint '{row.name}' is being deleted.")
    return row


def _running(scope: Scope, endpoint: Endpoint) -> Rollout | None:
    wanted = Rollout.endpoint_id == endpoint.id, Rollout.state == RolloutState.Running
    return scope.session.exec(select(Rollout).where(*wanted)).first()


def _under_way(scope: Scope, endpoint: Endpoint) -> Rollout:
    row = _running(scope, endpoint)
    if row is None:
        raise Conflict(f"No rollout is under way on '{endpoint.name}'.")
    return row


def _unmoved(scope: Scope, seen: Rollout) -> Rollout | None:
    """The row when it is still at the step that was looked at; the endpoint's row is held already."""
    row = scope.session.get(Rollout, seen.id, populate_existing=True)
    is_same = row is not None and row.state == RolloutState.Running and row.step == seen.step
    return row if is_same else None


def _able(scope: Scope, endpoint: Endpoint, name: str) -> Deployment:
    """A deployment that can answer. Raises NotFound, Conflict."""
    row = _deployment(scope, endpoint, name)
    if row is None:
        raise NotFound(f"Endpoint '{endpoint.name}' has no deployment '{name[:80]}'.")
    if row.provisioning_state != ProvisioningState.Succeeded or row.serving_generation < 1:
        raise Conflict(
            f"Deployment '{row.name}' is {row.provisioning_state} and cannot take traffic.",
            hint="It can once it is Succeeded.",
        )
    return row


def _deployment(scope: Scope, endpoint: Endpoint, name: str) -> Deployment | None:
    wanted = Deployment.endpoint_id == endpoint.id, Deployment.folded == names.folded(name)
    return scope.session.exec(select(Deployment).where(*wanted)).one_or_none()


def _on(scope: Scope, endpoint: Endpoint, row: Rollout) -> Rollout:
    steps = percents(row)
    if row.step + 1 >= len(steps):
        return _succeed(scope, endpoint, row)
    _step(scope, endpoint, row, row.step + 1)
    _told(scope, endpoint, f"The rollout to '{row.target}' went on to {steps[row.step]} %")
    return row


def _step(scope: Scope, endpoint: Endpoint, row: Rollout, step: int) -> None:
    steps = percents(row)
    row.step, row.step_at = step, now()
    row.message = f"Step {step + 1} of {len(steps)}: '{row.target}' has {steps[step]} % of the traffic."
    scope.session.add(row)
    wanted = _there(scope, endpoint, shared(row.before, row.target, steps[step]))
    endpoints.shift(scope, endpoint, wanted, reason="Rollout")
    endpoint.previous_traffic = dict(row.before)


def _succeed(scope: Scope, endpoint: Endpoint, row: Rollout) -> Rollout:
    _told(scope, endpoint, f"The rollout to '{row.target}' succeeded; it has all of the traffic")
    return _end(scope, row, RolloutState.Succeeded, f"'{row.target}' has all of the traffic.")


def _back(scope: Scope, endpoint: Endpoint, row: Rollout, why: str) -> Rollout:
    """To the traffic before, as far as its deployments are still there."""
    at = percents(row)[row.step]
    there = _there(scope, endpoint, row.before)
    if any(there.values()):
        endpoints.shift(scope, endpoint, _whole(there), reason="Rollback")
        endpoint.previous_traffic = {}  # back is where nobody wants to come back from
    _told(scope, endpoint, f"The rollout to '{row.target}' was rolled back at {at} %: {why}")
    return _end(scope, row, RolloutState.RolledBack, f"Rolled back at {at} %: {why}.")


def _there(scope: Scope, endpoint: Endpoint, traffic: Mapping[str, int]) -> dict[str, int]:
    """Without deployments that are gone; those that a running rollout needs cannot go."""
    known = {row.name for row in endpoints.deployments_of(scope, endpoint) if row.desired != "delete"}
    return {name: share for name, share in traffic.items() if name in known}


def _whole(shares: Mapping[str, int]) -> dict[str, int]:
    """Scaled so that they sum to 100, when one that had a share is gone."""
    first = max(shares, key=lambda name: shares[name])
    total = sum(shares.values())
    scaled = {name: share * 100 // total for name, share in shares.items()}
    return {**scaled, first: scaled[first] + 100 - sum(scaled.values())}


def _end(scope: Scope, row: Rollout, state: RolloutState, message: str) -> Rollout:
    row.state, row.message, row.finished_at = state, message, now()
    scope.session.add(row)
    return row


def _told(scope: Scope, endpoint: Endpoint, message: str) -> None:
    emit(scope, EVENTS, endpoint.name, message)


def _planned(row: Rollout) -> str:
    first, *later = percents(row)
    bake = written(row).bake_seconds
    return f"{first} % for {bake} s" + (f", then {', '.join(f'{percent} %' for percent in later)}" if later else "")
