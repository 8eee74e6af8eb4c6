"""Online endpoints: their addresses, keys and traffic, and requests that are sent to them for a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app import scoring
from app.api import shapes
from app.api.bodies import body, described, received
from app.api.caller import Asking, Caller, page
from app.streams import SAFE
from services import access, endpoints
from services.core import times
from services.core.paging import MOST
from services.specs.endpoints import OnlineEndpoint, Percent
from services.specs.problems import checked
from services.store.endpoints import EndpointQuery
from services.store.serving import Endpoint
from services.studio import Scope

router = APIRouter(prefix="/workspaces/{ws}/online-endpoints", tags=["online-endpoints"])
_TOLD = ("azureml-model-", "ms-azureml-", "x-request-id", "x-ms-", "retry-after", "content-type", "content-language")


class Definition(BaseModel):
    """An endpoint as its YAML says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]


class Change(BaseModel):
    """What may change; left out: as it is. `traffic` and `mirror_traffic` are percent by deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    traffic: dict[str, Percent] | None = None
    mirror_traffic: dict[str, Percent] | None = None
    sticky: str | None = None
    samples: dict[str, str] | None = None


class Regeneration(BaseModel):
    """Which key is made anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_type: Literal["primary", "secondary"] = "primary"


async def _body(request: Request) -> bytes:
    return await received(request, scoring.LARGEST)


@router.get("")
def listed(
    asking: Asking,
    ws: str,
    search: str = "",
    order_by: str = "name",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    cursor: str = "",
) -> Any:
    """Online endpoints, in pages."""
    with asking.scope(ws) as scope:
        found = endpoints.listed(scope, EndpointQuery(search, order_by, limit, cursor))
        return page([_shown(asking, scope, row) for row in found.rows], found.next_cursor)


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates an address; deployments are added to it."""
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, endpoints.create(scope, checked(OnlineEndpoint, sent.spec)))


@router.get("/{name}")
def show(asking: Asking, ws: str, name: str, response: Response) -> Any:
    """One endpoint, with its revision as ETag; never what opens it."""
    with asking.scope(ws) as scope:
        row = endpoints.get(scope, name)
        response.headers["ETag"] = f'"{row.revision}"'
        return _shown(asking, scope, row)


@router.patch("/{name}", openapi_extra=described(Change))
def update(asking: Asking, ws: str, name: str, response: Response, sent: Change = body(Change)) -> Any:
    """Changes how traffic is shared out, description or tags; If-Match guards against somebody else's change."""
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "onlineEndpoints/write")
        asking.expects(scope, endpoints.get(scope, name))
        row = endpoints.update(scope, name, **sent.model_dump())
        response.headers["ETag"] = f'"{row.revision}"'
        return _shown(asking, scope, row)


@router.delete("/{name}", status_code=202)
def delete(asking: Asking, ws: str, name: str) -> Any:
    """Asks for its end, with its deployments; it is found until all of it is gone."""
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "onlineEndpoints/delete")
        asking.expects(scope, endpoints.get(scope, name))
        return _shown(asking, scope, endpoints.delete(scope, name))


@router.get("/{name}/events")
def events(asking: Asking, ws: str, name: str) -> Any:
    """What happened to it, the oldest first."""
    with asking.scope(ws) as scope:
        return page([shapes.event(row) for row in endpoints.events_of(scope, endpoints.get(scope, name))])


@router.post("/{name}/start")
def start(asking: Asking, ws: str, name: str) -> Any:
    """Asks for the containers of one that was stopped."""
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, endpoints.start(scope, name))


@router.post("/{name}/stop")
def stop(asking: Asking, ws: str, name: str) -> Any:
    """Ends its containers and keeps all else; callers are told that it is stopped."""
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, endpoints.stop(scope, name))


@router.post("/{name}/list-keys")
def keys(asking: Asking, ws: str, name: str, response: Response) -> Any:
    """Both keys; who read them is an event."""
    response.headers["Cache-Control"] = "no-store"
    with asking.scope(ws, write=True) as scope:
        found = endpoints.keys(scope, name)
    return {"primaryKey": found.primary, "secondaryKey": found.secondary}


@router.post("/{name}/regenerate-keys", openapi_extra=described(Regeneration))
def regenerate(asking: Asking, ws: str, name: str, response: Response, sent: Regeneration = body(Regeneration)) -> Any:
    """Makes one key anew: the old one opens nothing from then on."""
    response.headers["Cache-Control"] = "no-store"
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, endpoints.regenerate(scope, name, sent.key_type))


@router.post("/{name}/token")
def token(asking: Asking, ws: str, name: str, response: Response) -> Any:
    """A token that opens it for an hour."""
    response.headers["Cache-Control"] = "no-store"
    with asking.scope(ws, write=True) as scope:
        issued = endpoints.token(scope, name)
    expires = int(issued.expires_at.timestamp())
    return {"accessToken": issued.token, "expiryTimeUtc": expires, "expires_at": times.iso(issued.expires_at)}


@router.post("/{name}/invoke")
def invoke(
    asking: Asking,
    ws: str,
    name: str,
    deployment: str = "",
    test: Annotated[bool, Query(description="kept apart from what callers send")] = False,
    sent: bytes = Depends(_body),
) -> Response:
    """Sends the body on as it is, and answers what was answered: for who is signed in and has no key at hand."""
    with asking.scope(ws) as scope:
        row = endpoints.scorable(scope, name)
        scope.session.expunge(row)
    asked = asking.request.headers
    kept = {key: asked[key] for key in ("content-type", "accept", scoring.CLIENTS_ID) if key in asked}
    if row.sticky and row.sticky in asked:
        kept[row.sticky] = asked[row.sticky]
    answer = scoring.scored(asking.studio, row, sent, deployment or None, headers=kept, is_test=test)
    told = {key: value for key, value in answer.headers.items() if key.startswith(_TOLD)}
    return Response(answer.body, answer.code, {**told, **SAFE, "Cache-Control": "no-store"})


@router.get("/{name}/swagger.json")
def swagger(asking: Asking, ws: str, name: str, deployment: str = "") -> Any:
    """What a deployment of it takes, as OpenAPI."""
    with asking.scope(ws) as scope:
        row = endpoints.scorable(scope, name)
        scope.session.expunge(row)
    return scoring.swagger(asking.studio, row, deployment or None)


def _shown(asking: Caller, scope: Scope, row: Endpoint) -> dict[str, Any]:
    workspace = scope.workspace.name if scope.workspace else ""
    return {**endpoints.as_json(scope, row), "studio_uri": f"{asking.base_url}/endpoint?ws={workspace}&name={row.name}"}
