"""An endpoint with deployments that answer, as rows; and requests to it, in the real log."""

import time
from typing import Any

from services import endpoints
from services.core.names import folded
from services.core.states import ProvisioningState, ReplicaState
from services.specs.endpoints import OnlineEndpoint
from services.store.requests import Record
from services.store.serving import Deployment, Endpoint, Replica
from tests.conftest import Stage

ENDPOINT = "shop"


def opened(stage: Stage, **traffic: int) -> Endpoint:
    """Endpoint `shop`; each deployment answers with one replica."""
    with stage.scope() as scope:
        endpoint = endpoints.create(scope, OnlineEndpoint(name=ENDPOINT))
        for name in traffic:
            scope.session.add_all(deployed(endpoint, name))
        scope.session.flush()
        if any(traffic.values()):
            endpoints.set_traffic(scope, ENDPOINT, traffic)
    return endpoint


def deployed(endpoint: Endpoint, name: str, **fields: Any) -> tuple[Deployment, Replica]:
    row = Deployment(
        id=f"{name}-id-{endpoint.id}"[:32],
        workspace_id=endpoint.workspace_id,
        endpoint_id=endpoint.id,
        kind="online",
        name=name,
        folded=folded(name),
        serving_generation=1,
        provisioning_state=ProvisioningState.Succeeded,
        **fields,
    )
    replica = Replica(
        workspace_id=endpoint.workspace_id,
        deployment_id=row.id,
        generation=1,
        ordinal=0,
        state=ReplicaState.Ready,
    )
    return row, replica


def endpoint_of(stage: Stage) -> Endpoint:
    with stage.scope(write=False) as scope:
        return endpoints.get(scope, ENDPOINT)


def deployment_of(stage: Stage, name: str) -> Deployment:
    with stage.scope(write=False) as scope:
        return next(row for row in endpoints.deployments_of(scope, endpoint_of(stage)) if row.name == name)


def told(stage: Stage) -> list[str]:
    """The endpoint's timeline."""
    with stage.scope(write=False) as scope:
        return [event.message for event in endpoints.events_of(scope, endpoints.get(scope, ENDPOINT))]


def asked(stage: Stage, name: str, *codes: int, ms: float = 10.0, ago: float = 0.0) -> None:
    """Answers of that deployment, in the log as the gateway writes it."""
    row, endpoint = deployment_of(stage, name), endpoint_of(stage)
    at = time.time() - ago - ms / 1000
    stage.studio.requests.write(
        [
            Record(
                at=at,
                workspace_id=row.workspace_id,
                endpoint_id=endpoint.id,
                endpoint=endpoint.name,
                deployment_id=row.id,
                deployment=row.name,
                code=code,
                total_ms=ms,
            )
            for code in codes
        ]
    )
