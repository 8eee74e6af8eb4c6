"""Environments, their versions and builds."""

import os
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import environments
from services.core.errors import Invalid, NotFound
from services.specs.environments import Environment
from services.specs.problems import checked

router = APIRouter(prefix="/workspaces/{ws}/environments", tags=["environments"])
PIECE = 1 << 20


class Definition(BaseModel):
    """A definition as it is sent: conda files inline, the build context uploaded before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    context: str | None = None


@router.get("")
def listed(asking: Asking, ws: str, include_archived: bool = False, search: str = "") -> Any:
    """The latest version of each environment."""
    with asking.scope(ws) as scope:
        rows = environments.listed(scope, include_archived=include_archived, search=search)
        return page([environments.as_json(row, environments.build_of(scope, row)) for row in rows])


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates a version; conda files inline, a build context uploaded before."""
    spec = checked(Environment, sent.spec)
    with asking.scope(ws, write=True) as scope:
        row = environments.create(scope, spec, context=sent.context)
        return environments.as_json(row, environments.build_of(scope, row))


@router.get("/{name}/versions")
def versions(asking: Asking, ws: str, name: str) -> Any:
    """All versions of an environment, the newest first."""
    with asking.scope(ws) as scope:
        rows = environments.versions(scope, name)
        return page([environments.as_json(row, environments.build_of(scope, row)) for row in rows])


@router.get("/{name}/versions/{version}")
def show(asking: Asking, ws: str, name: str, version: str) -> Any:
    """One version; `latest` is the most recently created."""
    with asking.scope(ws) as scope:
        row = environments.get(scope, name, None if version == "latest" else version)
        return environments.as_json(row, environments.build_of(scope, row))


@router.post("/{name}/versions/{version}/archive")
def archive(asking: Asking, ws: str, name: str, version: str) -> Any:
    """Hides a version from lists."""
    with asking.scope(ws, write=True) as scope:
        row = environments.archive(scope, name, version)
        return environments.as_json(row, environments.build_of(scope, row))


@router.post("/{name}/versions/{version}/restore")
def restore(asking: Asking, ws: str, name: str, version: str) -> Any:
    """Shows an archived version again."""
    with asking.scope(ws, write=True) as scope:
        row = environments.archive(scope, name, version, restore=True)
        return environments.as_json(row, environments.build_of(scope, row))


@router.post("/{name}/versions/{version}/build", status_code=202)
def build(asking: Asking, ws: str, name: str, version: str) -> Any:
    """Asks for the image to be built anew."""
    with asking.scope(ws, write=True) as scope:
        environments.rebuild(scope, name, version)
        row = environments.get(scope, name, version)
        return environments.as_json(row, environments.build_of(scope, row))


@router.get("/{name}/versions/{version}/build-log")
def build_log(asking: Asking, ws: str, name: str, version: str, offset: Annotated[int, Query(ge=0)] = 0) -> Response:
    """The log of the build from `offset`, with the offset after it in X-Log-Offset."""
    with asking.scope(ws) as scope:
        found = environments.build_of(scope, environments.get(scope, name, version))
        if found is None:
            raise NotFound(f"Environment '{name}:{version}' was not built yet.")
        path, is_over = environments.build_log(scope, found), found.status in {"Succeeded", "Failed"}
    data = b""
    if path.is_file():
        with path.open("rb") as file:
            if offset > (size := os.fstat(file.fileno()).st_size):
                raise Invalid(f"Offset {offset} is outside of the log's {size} bytes.", where="offset")
            file.seek(offset)
            data = file.read(PIECE)
    headers = {"X-Log-Offset": str(offset + len(data)), "X-Log-End": str(is_over and len(data) < PIECE).lower()}
    return Response(data, media_type="application/octet-stream", headers=headers)
