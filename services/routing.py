"""Routing: the table that the gateway follows, made of the rows of endpoints, deployments and replicas."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, or_, select

from services.core.names import folded
from services.core.states import ReplicaState
from services.core.times import now
from services.engines import captures
from services.engines.routes import Backend, Capture, Route, Table, Target
from services.specs.deployments import RequestSettings
from services.store.rows import Asset, Principal, Token, Workspace
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import Studio


def table(studio: Studio) -> Table:
    """All online endpoints, with the replicas that are ready now. Raises Unavailable when the database is."""
    with studio.database.session(write=False) as session:
        endpoints = session.exec(
            select(Endpoint, Workspace.name)
            .join(Workspace, col(Workspace.id) == Endpoint.workspace_id)
            .where(Endpoint.kind == "online", Endpoint.desired != "delete", col(Workspace.deleted_at).is_(None))
        ).all()
        backends, routes, tokens = _backends(session), _environment_routes(session), _tokens(session, now())
        targets: dict[str, dict[str, Target]] = defaultdict(dict)
        for row in session.exec(select(Deployment).where(Deployment.kind == "online", Deployment.desired != "delete")):
            found = next((endpoint for endpoint, _ in endpoints if endpoint.id == row.endpoint_id), None)
            if found is not None:
                scoring = routes.get(row.environment_id or "", {})
                targets[row.endpoint_id][row.name] = _target(studio, found, row, backends[row.id], scoring)
    return Table(
        {
            (folded(workspace), folded(row.name)): _route(row, workspace, targets[row.id], tokens[row.id])
            for row, workspace in endpoints
        }
    )


def _backends(session: Session) -> dict[str, list[Backend]]:
    """By deployment, oldest first."""
    found: dict[str, list[Backend]] = defaultdict(list)
    ready = session.exec(
        select(Replica.deployment_id, Replica.id, Replica.host, Replica.port)
        .where(Replica.state == ReplicaState.Ready)
        .order_by(col(Replica.created_at), col(Replica.id))
    )
    for deployment_id, replica_id, host, port in ready:
        found[deployment_id].append(Backend(replica_id, host, port))
    return found


def _environment_routes(session: Session) -> dict[str, Mapping[str, Any]]:
    """`inference_config` of the environments that bring a server of their own, by id."""
    used = select(Deployment.environment_id).where(Deployment.kind == "online")
    rows = session.exec(select(Asset.id, Asset.spec).where(col(Asset.id).in_(used)))
    return {asset_id: spec.get("inference_config") or {} for asset_id, spec in rows}


def _tokens(session: Session, at: datetime) -> dict[str, dict[bytes, float]]:
    """By endpoint: the digest of each that is good at `at`, and when it ends, in seconds since 1970. Those of people
    who may not come in any more open nothing; the studio's own are nobody's."""
    found: dict[str, dict[bytes, float]] = defaultdict(dict)
    rows = session.exec(
        select(Token.endpoint_id, Token.secret_hash, Token.expires_at)
        .outerjoin(Principal, col(Principal.id) == Token.principal_id)
        .where(
            Token.kind == "endpoint",
            col(Principal.disabled_at).is_(None),
            col(Token.revoked_at).is_(None),
            or_(col(Token.expires_at).is_(None), col(Token.expires_at) > at),
        )
    )
    for endpoint_id, digest, expires_at in rows:
        if endpoint_id is not None:
            found[endpoint_id][bytes.fromhex(digest)] = expires_at.timestamp() if expires_at else float("inf")
    return found


def _target(
    studio: Studio, endpoint: Endpoint, row: Deployment, backends: Sequence[Backend], routes: Mapping[str, Any]
) -> Target:
    settings = RequestSettings.model_validate(row.spec.get("request_settings") or {})
    return Target(
        id=row.id,
        name=row.name,
        backends=tuple(backends),
        score_path=str((routes.get("scoring_route") or {}).get("path") or "/score"),
        timeout_ms=settings.request_timeout_ms,
        max_concurrent=settings.max_concurrent_requests_per_instance,
        queue_ms=settings.max_queue_wait_ms,
        is_asleep=row.is_asleep,
        capture=_capture(studio, endpoint, row),
    )


def _capture(studio: Studio, endpoint: Endpoint, row: Deployment) -> Capture | None:
    """As `data_collector` says: collections that are enabled, each with its own share or the common one."""
    said = row.spec.get("data_collector") or {}
    common = said.get("sampling_rate", 1.0)
    shares = {
        name: min(1.0, max(0.0, float(each.get("sampling_rate", common))))
        for name, each in (said.get("collections") or {}).items()
        if isinstance(each, Mapping) and str(each.get("enabled", True)).lower() == "true"
    }
    if not shares:
        return None
    store = studio.folders.datastore(row.workspace_id, "workspaceblobstore")
    folder = store / captures.FOLDER / endpoint.name / row.name
    return Capture(shares, str(folder), frozenset(map(str, said.get("drop_columns") or ())))


def _route(row: Endpoint, workspace: str, targets: Mapping[str, Target], tokens: Mapping[bytes, float]) -> Route:
    """Keys open endpoints of `auth_mode` key; tokens open any that they were issued for."""
    hashes = row.key_hashes.values() if row.auth_mode == "key" else ()
    return Route(
        id=row.id,
        workspace_id=row.workspace_id,
        workspace=workspace,
        name=row.name,
        key_hashes=tuple(bytes.fromhex(each) for each in hashes),
        tokens=dict(tokens),
        traffic=dict(row.traffic),
        mirror=dict(row.mirror_traffic),
        targets=dict(targets),
        sticky=row.sticky,
        is_stopped=row.desired == "stop",
    )
