"""Environments, their versions and builds."""

import os
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app.api.assets import shared
from app.api.bodies import body, described
from app.api.caller import Asking
from services import environments
from services.core.errors import Invalid, NotFound
from services.core.states import AssetKind
from services.specs.environments import Environment
from services.specs.problems import checked
from services.store.rows import Asset
from services.studio import Scope


def _shown(scope: Scope, row: Asset) -> dict[str, Any]:
    return environments.as_json(row, environments.build_of(scope, row))


router = shared("environments", AssetKind.environment, _shown)
PIECE = 1 << 20


class Definition(BaseModel):
    """A definition as it is sent: conda files inline, the build context uploaded before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    context: str | None = None


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates a version; conda files inline, a build context uploaded before."""
    spec = checked(Environment, sent.spec)
    with asking.scope(ws, write=True) as scope:
        row = environments.create(scope, spec, context=sent.context)
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
