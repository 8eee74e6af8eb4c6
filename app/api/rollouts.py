"""Rollouts of online endpoints, the way back, and who is told when something goes wrong."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import access, alerts, endpoints, rollouts
from services.specs.rollouts import Alert, Rollout

router = APIRouter(prefix="/workspaces/{ws}/online-endpoints/{name}", tags=["rollouts"])


class Promotion(BaseModel):
    """`full`: to the end at once, and not only to the next step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    full: bool = False


class Watching(BaseModel):
    """All alerts of an endpoint. A webhook that is given as it was shown stays what it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alerts: Annotated[list[Alert], Field(max_length=alerts.MOST)]


@router.get("/rollouts")
def listed(asking: Asking, ws: str, name: str) -> Any:
    """Rollouts of an endpoint, newest first."""
    with asking.scope(ws) as scope:
        return page([rollouts.as_json(scope, row) for row in rollouts.listed(scope, name)])


@router.post("/rollouts", status_code=201, openapi_extra=described(Rollout))
def start(asking: Asking, ws: str, name: str, sent: Rollout = body(Rollout)) -> Any:
    """Starts to move the traffic to a deployment; the first step is taken at once."""
    with asking.scope(ws, write=True) as scope:
        return rollouts.as_json(scope, rollouts.start(scope, name, sent))


@router.get("/rollouts/{rollout}")
def show(asking: Asking, ws: str, name: str, rollout: str) -> Any:
    """One rollout."""
    with asking.scope(ws) as scope:
        return rollouts.as_json(scope, rollouts.get(scope, name, rollout))


@router.post("/rollouts/promote", openapi_extra=described(Promotion))
def promote(asking: Asking, ws: str, name: str, sent: Promotion = body(Promotion)) -> Any:
    """Takes the next step of the running rollout without waiting, or all of them."""
    with asking.scope(ws, write=True) as scope:
        return rollouts.as_json(scope, rollouts.promote(scope, name, full=sent.full))


@router.post("/rollouts/cancel")
def cancel(asking: Asking, ws: str, name: str) -> Any:
    """Ends the running rollout; the traffic stays as it is."""
    with asking.scope(ws, write=True) as scope:
        return rollouts.as_json(scope, rollouts.cancel(scope, name))


@router.post("/rollback")
def rollback(asking: Asking, ws: str, name: str) -> Any:
    """Brings the traffic back to what it was before the running rollout, or before the last change."""
    with asking.scope(ws, write=True) as scope:
        return endpoints.as_json(scope, rollouts.rollback(scope, name))


@router.get("/alerts")
def watched(asking: Asking, ws: str, name: str) -> Any:
    """Who is told when something happens to the endpoint; of webhooks only the host is shown."""
    with asking.scope(ws) as scope:
        return page([alerts.as_json(each) for each in alerts.listed(scope, name)])


@router.put("/alerts", openapi_extra=described(Watching))
def watch(asking: Asking, ws: str, name: str, sent: Watching = body(Watching)) -> Any:
    """Sets all alerts of the endpoint."""
    with asking.scope(ws) as scope:
        access.require(scope, "onlineEndpoints/write")
    alerts.checked(asking.studio, sent.alerts)  # outside of any transaction: it may take seconds
    with asking.scope(ws, write=True) as scope:
        return page([alerts.as_json(each) for each in alerts.put(scope, name, sent.alerts)])
