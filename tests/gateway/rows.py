"""Endpoints as rows, without the nouns that make them: what a gateway reads."""

import hashlib
from datetime import datetime
from typing import Any

from services.core.names import folded
from services.core.states import ProvisioningState, ReplicaState
from services.core.times import now
from services.store.rows import Token
from services.store.serving import Deployment, Endpoint, Replica
from tests.conftest import Stage

PRIMARY, SECONDARY = "primary-key-of-a-test", "secondary-key-of-a-test"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def an_endpoint(stage: Stage, name: str = "iris", **fields: Any) -> Endpoint:
    row = Endpoint(
        workspace_id=stage.lab.id,
        kind="online",
        name=name,
        folded=folded(name),
        key_hashes={"primary": digest(PRIMARY), "secondary": digest(SECONDARY)},
        **fields,
    )
    with stage.studio.database.session(write=True) as session:
        session.add(row)
    return row


def a_deployment(
    stage: Stage, endpoint: Endpoint, name: str = "blue", *, ports: tuple[int, ...] = (), **fields: Any
) -> Deployment:
    """With one ready replica at each of the ports of this host."""
    row = Deployment(
        workspace_id=endpoint.workspace_id,
        endpoint_id=endpoint.id,
        kind="online",
        name=name,
        folded=folded(name),
        **{"provisioning_state": ProvisioningState.Succeeded, "serving_generation": 1, **fields},
    )
    with stage.studio.database.session(write=True) as session:
        session.add(row)
        session.add_all(_replica(row, port) for port in ports)
    return row


def a_replica(stage: Stage, deployment: Deployment, port: int, **fields: Any) -> Replica:
    row = _replica(deployment, port, **fields)
    with stage.studio.database.session(write=True) as session:
        session.add(row)
    return row


def a_token(stage: Stage, endpoint: Endpoint, secret: str, expires_at: datetime | None, **fields: Any) -> None:
    with stage.studio.database.session(write=True) as session:
        session.add(
            Token(
                kind="endpoint",
                secret_hash=digest(secret),
                principal_id=stage.ada.id,
                endpoint_id=endpoint.id,
                expires_at=expires_at,
                **fields,
            )
        )


def change(stage: Stage, row: Endpoint | Deployment | Replica, **fields: Any) -> None:
    with stage.studio.database.session(write=True) as session:
        found = session.get(type(row), row.id)
        assert found is not None
        for name, value in fields.items():
            setattr(found, name, value)
        session.add(found)


def _replica(deployment: Deployment, port: int, **fields: Any) -> Replica:
    return Replica(
        workspace_id=deployment.workspace_id,
        deployment_id=deployment.id,
        generation=1,
        ordinal=0,
        **{"state": ReplicaState.Ready, "host": "127.0.0.1", "port": port, "ready_at": now(), **fields},
    )
