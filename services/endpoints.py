"""Online endpoints: an address, the keys that open it, and how its traffic is shared out among deployments."""

import hashlib
import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlmodel import Session, col, select
from sqlmodel import delete as delete_rows

from services import access, secrets
from services.core import names
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page
from services.core.states import ProvisioningState, RolloutState
from services.core.times import iso, now
from services.events import emit
from services.specs.endpoints import OnlineEndpoint
from services.specs.problems import nearest
from services.store import endpoints as store
from services.store.endpoints import EndpointQuery, Endpoints
from services.store.rows import Event, Fact, Token
from services.store.serving import Deployment, Endpoint, Rollout
from services.studio import SYSTEM, Scope, Studio

ONLINE = "online"
KEYS = ("primary", "secondary")
Which = Literal["primary", "secondary"]
TOKEN_LIFETIME = timedelta(hours=1)
MOST_SAMPLES = 50
LARGEST_SAMPLE = 64 << 10  # characters
_GATEWAY = "http://127.0.0.1:8510"


@dataclass(frozen=True)
class Keys:
    """Either opens the endpoint; two, so that one can be made anew while callers use the other."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)


@dataclass(frozen=True)
class Issued:
    """A token that opens one endpoint until `expires_at`."""

    token: str = field(repr=False)
    expires_at: datetime


def create(scope: Scope, spec: OnlineEndpoint) -> Endpoint:
    """An address without deployments, and with two keys where keys open it.

    Raises Conflict when the name is taken (case does not count), Invalid for traffic: there is nobody to get it yet.
    """
    access.require(scope, "onlineEndpoints/write")
    if not spec.name:
        raise Invalid("An endpoint needs a name.", where="name")
    _require_free(scope, spec.name)
    row = Endpoint(
        workspace_id=scope.workspace_id,
        kind=ONLINE,
        name=spec.name,
        folded=names.folded(spec.name),
        auth_mode=spec.auth_mode,
        description=spec.description or "",
        tags=dict(spec.tags),
        properties=dict(spec.properties),
        compute=(spec.compute or "").removeprefix("azureml:"),
        created_by=scope.principal.name,
    )
    row.traffic = _checked(spec.traffic, [], row, where="traffic")
    row.mirror_traffic = _checked(spec.mirror_traffic, [], row, where="mirror_traffic")
    if spec.auth_mode == "key":
        row.key_hashes = {which: _keyed(scope, row, which) for which in KEYS}
    scope.session.add(row)
    _tell(scope, row, f"Endpoint '{row.name}' was created")
    scope.session.flush()
    return row


def get(scope: Scope, name: str) -> Endpoint:
    """Raises NotFound; one that is being deleted is there until all of it is gone."""
    access.require(scope, "onlineEndpoints/read")
    row = _of(scope).named(name)
    if row is None:
        known = _of(scope).names()
        raise NotFound(
            f"Endpoint '{name[:80]}' was not found in this workspace.", hint=nearest(name, known).strip() or None
        )
    return row


def get_by_id(scope: Scope, id: str) -> Endpoint:
    """Raises NotFound for what is not of this workspace."""
    access.require(scope, "onlineEndpoints/read")
    row = scope.session.get(Endpoint, id)
    if row is None or row.workspace_id != scope.workspace_id or row.kind != ONLINE:
        raise NotFound("This endpoint was not found.")
    return row


def listed(scope: Scope, query: EndpointQuery | None = None) -> Page[Endpoint]:
    """One page. Raises Invalid for an unknown column or cursor."""
    access.require(scope, "onlineEndpoints/read")
    return _of(scope).page(query or EndpointQuery())


def update(
    scope: Scope,
    name: str,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    traffic: Mapping[str, int] | None = None,
    mirror_traffic: Mapping[str, int] | None = None,
    sticky: str | None = None,
    samples: Mapping[str, str] | None = None,
) -> Endpoint:
    """Changes what was given. Raises Invalid for traffic that cannot be, Conflict while a rollout moves the traffic,
    and while it is being deleted."""
    access.require(scope, "onlineEndpoints/write")
    row = _changing(scope, name)
    if traffic is not None:
        _require_no_rollout(scope, row)
    if mirror_traffic is not None:
        _mirror(scope, row, mirror_traffic, row.traffic if traffic is None else traffic)
    if traffic is not None:
        shift(scope, row, _checked(traffic, store.deployments_of(scope.session, row), row, where="traffic"))
    changes: dict[str, Any] = {
        "description": description,
        "tags": dict(tags) if tags is not None else None,
        "properties": dict(properties) if properties is not None else None,
        "sticky": _header(sticky) if sticky is not None else None,
        "samples": _samples(samples) if samples is not None else None,
    }
    changed = {key: value for key, value in changes.items() if value is not None and value != getattr(row, key)}
    if changed:
        for key, value in changed.items():
            setattr(row, key, value)
        store.touch(scope.session, row)
        _tell(scope, row, f"Endpoint '{row.name}' was changed: {', '.join(changed)}")
    scope.session.flush()
    return row


def set_traffic(scope: Scope, name: str, traffic: Mapping[str, int]) -> Endpoint:
    """Shares it out anew, in percent by deployment; who is not named gets nothing."""
    access.require(scope, "onlineEndpoints/write")
    return update(scope, name, traffic=traffic)


def shift(scope: Scope, row: Endpoint, traffic: Mapping[str, int], *, reason: str = "") -> None:
    """The only writer of traffic: what stood before is kept and told. For whoever has checked that it may be.

    A copy of the requests is not sent to who gets them all anyway: its mirror ends.
    """
    wanted = dict(traffic)
    if wanted == row.traffic:
        return
    before, row.previous_traffic, row.traffic = row.traffic, row.traffic, wanted
    row.mirror_traffic = {name: share for name, share in row.mirror_traffic.items() if wanted.get(name) != 100}
    store.touch(scope.session, row)
    _tell(scope, row, f"Traffic of '{row.name}' went from {spoken(before)} to {spoken(wanted)}", reason=reason)


def forget(scope: Scope, row: Endpoint, name: str) -> None:
    """Nothing is sent to a deployment that goes. Raises Conflict naming what frees it while it has traffic."""
    access.require(scope, "onlineEndpoints/deployments/delete")
    scope.session.flush()
    scope.session.refresh(row, with_for_update=True)
    if share := row.traffic.get(name, 0):
        raise Conflict(
            f"Deployment '{name}' gets {share} % of the traffic of '{row.name}'.",
            hint=f'Give it to others first: atelier online-endpoint update --name {row.name} --traffic "{name}=0 …".',
        )
    rollout = _rollout(scope, row)
    if rollout is not None and (rollout.before.get(name) or rollout.target == name):
        raise Conflict(
            f"A rollout to '{rollout.target}' is under way that needs deployment '{name}'.",
            hint="Promote it to its end, or cancel it first.",
        )
    row.traffic = {each: share for each, share in row.traffic.items() if each != name}
    row.mirror_traffic = {each: share for each, share in row.mirror_traffic.items() if each != name}
    store.touch(scope.session, row)


def start(scope: Scope, name: str) -> Endpoint:
    """Asks for its replicas again. No-op for one that is not stopped."""
    access.require(scope, "onlineEndpoints/write")
    return _wished(scope, name, "run", "started")


def stop(scope: Scope, name: str) -> Endpoint:
    """Asks the worker to end its replicas; nothing else is lost, and callers are told that it is stopped."""
    access.require(scope, "onlineEndpoints/write")
    return _wished(scope, name, "stop", "stopped")


def delete(scope: Scope, name: str) -> Endpoint:
    """Asks the worker to remove it with its deployments. What opened it opens nothing from now on."""
    access.require(scope, "onlineEndpoints/delete")
    row = get(scope, name)
    if row.desired == "delete":
        return row
    row.desired, row.provisioning_state = "delete", ProvisioningState.Deleting
    for which in row.key_hashes:
        secrets.purge(scope, _place(row, which))
    for alert in row.alerts:
        secrets.purge(scope, webhook_place(row, str(alert["name"])))
    row.key_hashes = {}
    scope.session.connection().execute(delete_rows(Token).where(col(Token.endpoint_id) == row.id))
    for deployment in store.deployments_of(scope.session, row):
        deployment.desired, deployment.provisioning_state = "delete", ProvisioningState.Deleting
        deployment.revision += 1
        scope.session.add(deployment)
    store.touch(scope.session, row)
    _tell(scope, row, f"Endpoint '{row.name}' is being deleted")
    scope.session.flush()
    return row


def keys(scope: Scope, name: str) -> Keys:
    """What opens it, which is told in an event. Raises Conflict for one that tokens open."""
    access.require(scope, "onlineEndpoints/listKeys/action")
    row = _keyed_row(scope, name)
    found = Keys(*(secrets.of(scope.studio, scope.session, row.workspace_id, _place(row, which)) for which in KEYS))
    _tell(scope, row, f"The keys of endpoint '{row.name}' were read")
    return found


def regenerate(scope: Scope, name: str, which: Which) -> Endpoint:
    """Makes one key anew; the old one opens nothing from the next change of the gateway's table on."""
    access.require(scope, "onlineEndpoints/regenerateKeys/action")
    if which not in KEYS:
        raise Invalid(f"{str(which)[:80]!r} is no key.", where="key_type", hint="One of: primary, secondary.")
    row = _keyed_row(scope, name)
    row.key_hashes = {**row.key_hashes, which: _keyed(scope, row, which)}
    store.touch(scope.session, row)
    _tell(scope, row, f"The {which} key of endpoint '{row.name}' was made anew")
    scope.session.flush()
    return row


def token(scope: Scope, name: str) -> Issued:
    """A token that opens this endpoint for an hour. Raises Conflict for one that keys open."""
    access.require(scope, "onlineEndpoints/token/action")
    row = _changing(scope, name)
    if row.auth_mode == "key":
        raise Conflict(f"Endpoint '{row.name}' is opened by keys, not by tokens.", hint="Ask for its keys instead.")
    issued = _issued(scope.session, row, scope.principal.id)
    _tell(scope, row, f"A token for endpoint '{row.name}' was given out")
    return issued


def scorable(scope: Scope, name: str) -> Endpoint:
    """One that the studio may be asked to score with, for a person. Raises Conflict while it is being deleted."""
    access.require(scope, "onlineEndpoints/score/action")
    row = get(scope, name)
    if row.desired == "delete":
        raise Conflict(f"Endpoint '{row.name}' is being deleted.")
    return row


def opener(studio: Studio, row: Endpoint) -> Issued:
    """What the studio itself scores with, on behalf of somebody whom `scorable` has let; told to nobody.

    Of an endpoint with keys its primary one, until it is made anew.
    """
    with studio.database.session(write=row.auth_mode != "key") as session:
        if row.auth_mode != "key":
            return _issued(session, row, SYSTEM.id)
        value = secrets.of(studio, session, row.workspace_id, _place(row, "primary"))
        return Issued(value, now() + TOKEN_LIFETIME)


def deployments_of(scope: Scope, row: Endpoint) -> list[Deployment]:
    """Those behind it, by name."""
    access.require(scope, "onlineEndpoints/read")
    return store.deployments_of(scope.session, row)


def events_of(scope: Scope, row: Endpoint) -> list[Event]:
    """What happened to it, the oldest first."""
    access.require(scope, "onlineEndpoints/read")
    return list(
        scope.session.exec(
            select(Event)
            .where(Event.workspace_id == scope.workspace_id, Event.kind == "endpoint", Event.name == row.name)
            .where(col(Event.at) >= row.created_at)
            .order_by(col(Event.id))
        )
    )


def webhook_place(row: Endpoint, alert: str) -> str:
    """Where the webhook of one of its alerts is in the vault."""
    return f"endpoint/{row.id}/alert/{names.folded(alert)}"


def scoring_uri(studio: Studio, workspace: str, endpoint: str) -> str:
    """Where requests go: at the gateway's public address, or where it listens on this host."""
    return f"{gateway_url(studio)}/{workspace}/{endpoint}/score"


def openapi_uri(studio: Studio, workspace: str, endpoint: str) -> str:
    return f"{gateway_url(studio)}/{workspace}/{endpoint}/swagger.json"


def gateway_url(studio: Studio) -> str:
    """For callers, without a slash at its end."""
    return _reached(studio, studio.fact("scoring"))


def spoken(traffic: Mapping[str, int]) -> str:
    """`blue 90 %, green 10 %`."""
    return ", ".join(f"{name} {share} %" for name, share in traffic.items()) or "nobody"


def as_json(scope: Scope, row: Endpoint) -> dict[str, Any]:
    """As the cloud's CLI prints it; never what opens it. `desired` says whether it is stopped."""
    access.require(scope, "onlineEndpoints/read")
    workspace = scope.workspace.name if scope.workspace else ""
    base = _reached(scope.studio, scope.session.get(Fact, "scoring"))
    return {
        "name": row.name,
        "id": f"/workspaces/{workspace}/online-endpoints/{row.name}",
        "location": "local",
        "kind": "Kubernetes" if row.compute else "Managed",
        "auth_mode": row.auth_mode,
        "description": row.description,
        "tags": row.tags,
        "properties": row.properties,
        "compute": row.compute or None,
        "provisioning_state": str(row.provisioning_state),
        "public_network_access": "enabled",
        "scoring_uri": f"{base}/{workspace}/{row.name}/score",
        "openapi_uri": f"{base}/{workspace}/{row.name}/swagger.json",
        "traffic": row.traffic,
        "mirror_traffic": row.mirror_traffic,
        "previous_traffic": row.previous_traffic,
        "sticky": row.sticky or None,
        "alerts": row.alerts,
        "samples": row.samples,
        "desired": row.desired,
        "message": row.message,
        "creation_context": {
            "created_at": iso(row.created_at),
            "created_by": row.created_by,
            "last_modified_at": iso(row.updated_at),
        },
        "revision": row.revision,
    }


def _of(scope: Scope) -> Endpoints:
    return Endpoints(scope.session, scope.workspace_id, ONLINE)


def _require_free(scope: Scope, name: str) -> None:
    taken = _of(scope).named(name)
    if taken is not None and taken.desired == "delete":
        raise Conflict(f"Endpoint '{taken.name}' is being deleted.", where="name", hint="Try again when it is gone.")
    if taken is not None:
        raise Conflict(
            f"An endpoint named '{taken.name}' exists already.",
            where="name",
            hint="Change that one with 'atelier online-endpoint update', or choose another name.",
        )


def _changing(scope: Scope, name: str) -> Endpoint:
    """The row, held until the change is done. Raises Conflict while it is being deleted."""
    row = get(scope, name)
    scope.session.flush()
    scope.session.refresh(row, with_for_update=True)
    if row.desired == "delete":
        raise Conflict(f"Endpoint '{row.name}' is being deleted.")
    return row


def _keyed_row(scope: Scope, name: str) -> Endpoint:
    row = _changing(scope, name)
    if row.auth_mode != "key":
        raise Conflict(f"Endpoint '{row.name}' is opened by tokens and has no keys.", hint="Ask for a token instead.")
    return row


def _wished(scope: Scope, name: str, desired: str, past: str) -> Endpoint:
    row = _changing(scope, name)
    if row.desired != desired:
        row.desired = desired
        store.touch(scope.session, row)
        _tell(scope, row, f"Endpoint '{row.name}' was {past}")
        scope.session.flush()
    return row


def _checked(
    traffic: Mapping[str, int], rows: Sequence[Deployment], endpoint: Endpoint, *, where: str
) -> dict[str, int]:
    """By the deployments' own names. Raises Invalid naming what cannot be (FAULTS F56)."""
    known = {row.folded: row for row in rows if row.desired != "delete"}
    found: dict[str, int] = {}
    for name, share in traffic.items():
        row = known.get(names.folded(name))
        if row is None:
            raise _unknown(name, [each.name for each in known.values()], endpoint, where)
        if isinstance(share, bool) or not 0 <= share <= 100:
            raise Invalid(f"{share} % of the traffic cannot be given to '{row.name}'.", where=f"{where}.{row.name}")
        if row.name in found:
            raise Invalid(f"Deployment '{row.name}' is named twice.", where=where)
        if share and not row.serving_generation:
            raise Invalid(
                f"Deployment '{row.name}' is {row.provisioning_state} and answers nothing yet.",
                where=f"{where}.{row.name}",
                hint="Give it traffic when its state is Succeeded.",
            )
        found[row.name] = share
    total = sum(found.values())
    if where == "traffic" and total not in {0, 100}:
        raise Invalid(f"The percentages sum to 0 or 100, not to {total}.", where=where)
    return found


def _unknown(name: str, known: Sequence[str], endpoint: Endpoint, where: str) -> Invalid:
    listed_ = f"It has: {', '.join(known)}." if known else "It has none yet: create one, then give it traffic."
    return Invalid(
        f"Endpoint '{endpoint.name}' has no deployment '{name[:80]}'.",
        where=where,
        hint=nearest(name, known).strip() or listed_,
    )


def _mirror(scope: Scope, row: Endpoint, wanted: Mapping[str, int], live: Mapping[str, int]) -> None:
    rows = store.deployments_of(scope.session, row)
    mirror = {name: share for name, share in _checked(wanted, rows, row, where="mirror_traffic").items() if share}
    alone = {names.folded(name) for name, share in live.items() if share == 100}
    for name in mirror:
        if names.folded(name) in alone:
            raise Invalid(
                f"Deployment '{name}' gets all of the traffic: a copy of it would go to itself.",
                where=f"mirror_traffic.{name}",
            )
    if mirror == row.mirror_traffic:
        return
    before, row.mirror_traffic = row.mirror_traffic, mirror
    store.touch(scope.session, row)
    _tell(scope, row, f"Mirrored traffic of '{row.name}' went from {spoken(before)} to {spoken(mirror)}")


def _require_no_rollout(scope: Scope, row: Endpoint) -> None:
    rollout = _rollout(scope, row)
    if rollout is not None:
        raise Conflict(
            f"A rollout to '{rollout.target}' is under way and moves the traffic.",
            where="traffic",
            hint="Promote it, roll it back or cancel it first.",
        )


def _rollout(scope: Scope, row: Endpoint) -> Rollout | None:
    wanted = Rollout.endpoint_id == row.id, Rollout.state == RolloutState.Running
    return scope.session.exec(select(Rollout).where(*wanted)).first()


def _header(name: str) -> str:
    """A header's name in small letters; empty for none."""
    wanted = name.strip().lower()
    if len(wanted) > 100 or not all(char.isascii() and (char.isalnum() or char in "-_") for char in wanted):
        raise Invalid(f"{name[:80]!r} is not the name of a request header.", where="sticky")
    if wanted in {"authorization", "azureml-model-deployment"}:
        raise Invalid(f"Callers cannot be kept apart by the header '{wanted}'.", where="sticky")
    return wanted


def _samples(samples: Mapping[str, str]) -> dict[str, str]:
    if len(samples) > MOST_SAMPLES:
        raise Invalid(f"At most {MOST_SAMPLES} samples are kept.", where="samples")
    for name, body in samples.items():
        names.checked_display_name(name, field="samples")
        if not name.strip() or len(name) > 80 or len(body) > LARGEST_SAMPLE:
            raise Invalid(
                f"A sample has a name of 1–80 characters and a body of at most {LARGEST_SAMPLE >> 10} KB.",
                where="samples",
            )
    return dict(samples)


def _keyed(scope: Scope, row: Endpoint, which: str) -> str:
    """Puts a new key into the vault; its hash."""
    value = random.token_urlsafe(32)
    secrets.put(scope, _place(row, which), value)
    return _hash(value)


def _issued(session: Session, row: Endpoint, principal_id: str) -> Issued:
    at = now()
    expired = (Token.kind == "endpoint", col(Token.expires_at) < at)
    session.connection().execute(delete_rows(Token).where(*expired))  # type: ignore[arg-type]
    value = random.token_urlsafe(32)
    made = Token(
        kind="endpoint",
        secret_hash=_hash(value),
        principal_id=principal_id,
        workspace_id=row.workspace_id,
        endpoint_id=row.id,
        expires_at=at + TOKEN_LIFETIME,
    )
    session.add(made)
    session.flush()
    return Issued(value, at + TOKEN_LIFETIME)


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _place(row: Endpoint, which: str) -> str:
    return f"endpoint/{row.id}/{which}"


def _reached(studio: Studio, fact: Fact | None) -> str:
    public = studio.settings.gateway_public_url.rstrip("/")
    return public or (str(fact.value.get("url") or _GATEWAY).rstrip("/") if fact is not None else _GATEWAY)


def _tell(scope: Scope, row: Endpoint, message: str, *, reason: str = "") -> None:
    """In the endpoint's workspace, also when the worker tells it, whose scope has none."""
    if scope.workspace is not None:
        emit(scope, "endpoint", row.name, message, reason=reason)
        return
    scope.session.add(
        Event(
            principal=scope.principal.name,
            workspace_id=row.workspace_id,
            kind="endpoint",
            name=row.name,
            message=message,
            reason=reason,
            request_id=scope.request_id,
        )
    )
