"""Datastores: registered, tried, browsed and read; what opens them goes in and never comes out."""

from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app import probing, streams
from app.api.bodies import body, described
from app.api.caller import Asking, Caller, page
from services import datastores
from services.core.paging import MOST
from services.specs.datastores import datastore
from services.studio import Scope

router = APIRouter(prefix="/workspaces/{ws}/datastores", tags=["datastores"])


class Definition(BaseModel):
    """A datastore as its YAML says it; `validate` also tries one of the cloud's kinds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    spec: dict[str, Any]
    is_tried: bool = Field(default=False, alias="validate")


class Change(BaseModel):
    """What may change; left out: as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = None
    tags: dict[str, str] | None = None


class Authentication(BaseModel):
    """What opens it from now on; nothing for an open door."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    credentials: dict[str, Any] | None
    is_tried: bool = Field(default=False, alias="validate")


def _opening(asking: Caller, ws: str) -> probing.Opening:
    def opened(*, write: bool = False) -> AbstractContextManager[Scope]:
        return asking.scope(ws, write=write)

    return opened


@router.get("")
def listed(asking: Asking, ws: str) -> Any:
    """All datastores of the workspace, by name."""
    with asking.scope(ws) as scope:
        return page([datastores.as_json(row) for row in datastores.listed(scope)])


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Registers one; ours are tried first, which takes as long as 64 MB take."""
    row = probing.registered(_opening(asking, ws), datastore(sent.spec), validate=sent.is_tried)
    return datastores.as_json(row)


@router.get("/{name}")
def show(asking: Asking, ws: str, name: str) -> Any:
    """One datastore with the last report on it; never what opens it."""
    with asking.scope(ws) as scope:
        return datastores.as_json(datastores.get(scope, name))


@router.patch("/{name}", openapi_extra=described(Change))
def change(asking: Asking, ws: str, name: str, sent: Change = body(Change)) -> Any:
    """Changes description or tags."""
    with asking.scope(ws, write=True) as scope:
        return datastores.as_json(datastores.change(scope, name, **sent.model_dump()))


@router.put("/{name}/authentication", openapi_extra=described(Authentication))
def authenticate(asking: Asking, ws: str, name: str, sent: Authentication = body(Authentication)) -> Any:
    """Puts other credentials in the place of the old ones; ours are tried with them first."""
    row = probing.authenticated(_opening(asking, ws), name, sent.credentials, validate=sent.is_tried)
    return datastores.as_json(row)


@router.post("/{name}/test")
def test(asking: Asking, ws: str, name: str) -> Any:
    """Tries what it can do and keeps the report."""
    return datastores.as_json(probing.tested(_opening(asking, ws), name))


@router.post("/{name}/default")
def set_default(asking: Asking, ws: str, name: str) -> Any:
    """Outputs that name no datastore go there from now on."""
    with asking.scope(ws, write=True) as scope:
        return datastores.as_json(datastores.set_default(scope, name))


@router.delete("/{name}", status_code=204)
def unregister(asking: Asking, ws: str, name: str) -> None:
    """Forgets one that nothing uses; its files stay."""
    with asking.scope(ws, write=True) as scope:
        datastores.unregister(scope, name)


@router.get("/{name}/uses")
def uses(asking: Asking, ws: str, name: str) -> Any:
    """Assets that lie in it, and jobs that read or wrote there."""
    with asking.scope(ws) as scope:
        found = datastores.uses(scope, name)
        assets = [{"kind": str(row.kind), "name": row.name, "version": row.version} for row in found.assets]
        return page([*assets, *({"kind": "job", "name": job.name, "version": ""} for job in found.jobs)])


@router.get("/{name}/files")
def files(
    asking: Asking,
    ws: str,
    name: str,
    path: str = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    cursor: str = "",
) -> Any:
    """The folders and files directly in `path`."""
    with asking.scope(ws) as scope:
        store = datastores.opened(scope, datastores.get(scope, name))
    with store:
        found = datastores.page_of(store, path, limit=limit, after=cursor)
    return page([datastores.entry_json(entry) for entry in found.rows], found.next_cursor)


@router.get("/{name}/files/{path:path}")
def file(asking: Asking, ws: str, name: str, path: str, range: Annotated[str | None, Header()] = None) -> Response:
    """A file, or one range of it."""
    return served(asking, ws, name, path, range)


def served(asking: Caller, ws: str, name: str, path: str, wanted: str | None) -> Response:
    """The same for browsers, which ask elsewhere."""
    with asking.scope(ws) as scope:
        store = datastores.opened(scope, datastores.get(scope, name))
    opened, size = datastores.file(store, path)
    return streams.file(opened, size, path, wanted)
