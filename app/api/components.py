"""Components, their versions and code, and jobs that are made of them."""

from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app import streams
from app.api import shapes
from app.api.assets import shared
from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import access, components, workspaces
from services.core.states import AssetKind
from services.specs.components import component
from services.store.rows import Asset
from services.studio import Scope


def _shown(scope: Scope, row: Asset) -> dict[str, Any]:
    return components.as_json(row)


router = shared("components", AssetKind.component, _shown)
VERSION = "/{name}/versions/{version}"


class Definition(BaseModel):
    """A definition as it is sent: code and build contexts uploaded before, conda files inline.

    `is_anonymous`: kept by its content alone, for a step that names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    snapshot: str | None = None
    context: str | None = None
    is_anonymous: bool = False


class Use(BaseModel):
    """Values for a component's inputs and outputs; `job` holds further fields of the job, as in its YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    job: dict[str, Any] = Field(default_factory=dict)


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates a version; code and build contexts are named by the uploads that hold them."""
    spec = component(sent.spec)
    with asking.scope(ws, write=True) as scope:
        make = components.resolve if sent.is_anonymous else components.create
        return components.as_json(make(scope, spec, snapshot=sent.snapshot, context=sent.context))


@router.post(f"{VERSION}/jobs", status_code=201, openapi_extra=described(Use))
def use(asking: Asking, ws: str, name: str, version: str, sent: Use = body(Use)) -> Any:
    """Submits a job that does what the component does, with these values."""
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "jobs/write")
        row = components.get(scope, name, None if version == "latest" else version)
        job = components.use(scope, row, sent.inputs, sent.outputs, more=sent.job)
        return shapes.job(job, workspaces.get(scope), asking.base_url)


@router.get(f"{VERSION}/code")
def code(asking: Asking, ws: str, name: str, version: str) -> Any:
    """The files of a component's code."""
    with asking.scope(ws) as scope:
        row = components.get(scope, name, None if version == "latest" else version)
        return page([{"path": file.path, "size": file.size} for file in components.code(scope, row)])


@router.get(f"{VERSION}/code/{{path:path}}")
def code_file(
    asking: Asking, ws: str, name: str, version: str, path: str, range: Annotated[str | None, Header()] = None
) -> Response:
    """One file of it; ranges are honoured."""
    with asking.scope(ws) as scope:
        row = components.get(scope, name, None if version == "latest" else version)
        opened, size = components.opened_code(scope, row, path)
    return streams.file(opened, size, path, range)
