"""Online deployments: models behind an online endpoint, their containers and their logs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import shapes
from app.api.bodies import body, described
from app.api.caller import Asking, page
from app.streams import SAFE
from services import access, deployments
from services.specs.deployments import OnlineDeployment
from services.specs.problems import checked

router = APIRouter(prefix="/workspaces/{ws}/online-endpoints/{name}/deployments", tags=["online-deployments"])


class Definition(BaseModel):
    """A deployment as it is sent: `spec` without local paths; code, build context and model were uploaded before.

    `code_name` is what the code's folder was called: scripts find it under that name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    snapshot: str | None = None
    context: str | None = None
    code_name: str = Field(default="", max_length=255)


class New(Definition):
    """The same; with `all_traffic` it gets all of the endpoint's once it answers."""

    all_traffic: bool = False


class Count(BaseModel):
    """How many replicas answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instance_count: int


@router.get("")
def listed(asking: Asking, ws: str, name: str) -> Any:
    """The deployments of an endpoint, by name."""
    with asking.scope(ws) as scope:
        return page([deployments.as_json(scope, row) for row in deployments.listed(scope, name)])


@router.post("", status_code=201, openapi_extra=described(New))
def create(asking: Asking, ws: str, name: str, sent: New = body(New)) -> Any:
    """Creates one; it answers when its state is Succeeded."""
    spec = checked(OnlineDeployment, sent.spec)
    with asking.scope(ws, write=True) as scope:
        row = deployments.create(
            scope,
            name,
            spec,
            snapshot=sent.snapshot,
            context=sent.context,
            code_name=sent.code_name,
            all_traffic=sent.all_traffic,
        )
        return deployments.as_json(scope, row)


@router.get("/{deployment}")
def show(asking: Asking, ws: str, name: str, deployment: str, response: Response) -> Any:
    """One deployment, with its revision as ETag: what it runs, its state, and why it is not well."""
    with asking.scope(ws) as scope:
        row = deployments.get(scope, name, deployment)
        response.headers["ETag"] = f'"{row.revision}"'
        return deployments.as_json(scope, row)


@router.put("/{deployment}", openapi_extra=described(Definition))
def replace(asking: Asking, ws: str, name: str, deployment: str, sent: Definition = body(Definition)) -> Any:
    """Puts another definition in the place of the old one; what answers goes on until what is new is ready."""
    spec = checked(OnlineDeployment, sent.spec)
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "onlineEndpoints/deployments/write")
        asking.expects(scope, deployments.get(scope, name, deployment))
        row = deployments.update(
            scope, name, deployment, spec, snapshot=sent.snapshot, context=sent.context, code_name=sent.code_name
        )
        return deployments.as_json(scope, row)


@router.patch("/{deployment}", openapi_extra=described(Definition))
def update(asking: Asking, ws: str, name: str, deployment: str, sent: Definition = body(Definition)) -> Any:
    """Changes the fields that `spec` has, mappings field by field; null takes one away."""
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "onlineEndpoints/deployments/write")
        asking.expects(scope, deployments.get(scope, name, deployment))
        row = deployments.change(
            scope, name, deployment, sent.spec, snapshot=sent.snapshot, context=sent.context, code_name=sent.code_name
        )
        return deployments.as_json(scope, row)


@router.post("/{deployment}/scale", openapi_extra=described(Count))
def scale(asking: Asking, ws: str, name: str, deployment: str, sent: Count = body(Count)) -> Any:
    """Asks for more or fewer replicas; those that stay answer all the while."""
    with asking.scope(ws, write=True) as scope:
        return deployments.as_json(scope, deployments.scale(scope, name, deployment, sent.instance_count))


@router.delete("/{deployment}", status_code=202)
def delete(asking: Asking, ws: str, name: str, deployment: str) -> Any:
    """Asks for the end of one that has no traffic; it is found until its last container is gone."""
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "onlineEndpoints/deployments/delete")
        asking.expects(scope, deployments.get(scope, name, deployment))
        return deployments.as_json(scope, deployments.delete(scope, name, deployment))


@router.get("/{deployment}/replicas")
def replicas(asking: Asking, ws: str, name: str, deployment: str) -> Any:
    """Its containers, the newest first, with those that ended."""
    with asking.scope(ws) as scope:
        found = deployments.replicas(scope, deployments.get(scope, name, deployment))
    return page([deployments.replica_json(row) for row in found])


@router.get("/{deployment}/events")
def events(asking: Asking, ws: str, name: str, deployment: str) -> Any:
    """What happened to it and to its containers, the oldest first."""
    with asking.scope(ws) as scope:
        found = deployments.events(scope, deployments.get(scope, name, deployment))
    return page([shapes.event(row) for row in found])


@router.get("/{deployment}/logs")
def logs(
    asking: Asking,
    ws: str,
    name: str,
    deployment: str,
    container: str = "inference-server",
    replica: str = "",
    lines: Annotated[int, Query(ge=1, le=deployments.MOST_LINES)] = deployments.LINES,
) -> Response:
    """The last lines that a container of it has printed, as text."""
    with asking.scope(ws) as scope:
        row = deployments.get(scope, name, deployment)
        text = deployments.logs(scope, row, container=container, replica=replica or None, tail=lines)
    return Response(text, headers={**SAFE, "Cache-Control": "no-store"}, media_type="text/plain; charset=utf-8")
