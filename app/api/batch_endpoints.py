"""Batch endpoints: their deployments, and invocations that are answered with a job.

They are invoked with a studio's token, as every route here: the cloud's `aad_token`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api import shapes
from app.api.bodies import body, described
from app.api.caller import Asking, Caller, page
from services import batch_endpoints, workspaces
from services.core.errors import Invalid
from services.core.paging import MOST
from services.specs.deployments import BatchSettings, ModelBatchDeployment
from services.specs.endpoints import BatchEndpoint, Invocation
from services.specs.local import PIPELINES
from services.specs.problems import checked
from services.store.endpoints import EndpointQuery
from services.store.rows import Job
from services.studio import Scope

router = APIRouter(prefix="/workspaces/{ws}/batch-endpoints", tags=["batch endpoints"])
Name = Annotated[str, "the endpoint's name"]


class Definition(BaseModel):
    """An endpoint as it is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]


class Change(BaseModel):
    """What may change of an endpoint; what is left out stays, an empty default is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = Field(default=None, max_length=10_000)
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    default_deployment: str | None = None


class Deployed(BaseModel):
    """A deployment as it is sent: `spec` without local paths; code, context and model were uploaded before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    snapshot: str | None = None
    context: str | None = None
    set_default: bool = False


class Call(BaseModel):
    """Inputs and outputs by name as in a job; `settings` hold for this job alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: dict[str, Any]
    outputs: dict[str, Any] = {}
    deployment_name: str | None = None
    settings: dict[str, Any] = {}
    instance_count: int | None = Field(default=None, ge=1, le=1024)
    job_name: str | None = None
    experiment_name: str = Field(default="", max_length=255)


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates an endpoint, without deployments."""
    spec = checked(BatchEndpoint, sent.spec)
    with asking.scope(ws, write=True) as scope:
        return batch_endpoints.as_json(scope, batch_endpoints.create(scope, spec), asking.base_url)


@router.get("")
def listed(asking: Asking, ws: str, search: str = "", order_by: str = "name", limit: int = 50, cursor: str = "") -> Any:
    """Endpoints in pages."""
    with asking.scope(ws) as scope:
        found = batch_endpoints.listed(scope, EndpointQuery(search, order_by, limit, cursor))
        rows = [batch_endpoints.as_json(scope, row, asking.base_url) for row in found.rows]
        return page(rows, found.next_cursor)


@router.get("/{name}")
def show(asking: Asking, ws: str, name: Name) -> Any:
    """One endpoint."""
    with asking.scope(ws) as scope:
        return batch_endpoints.as_json(scope, batch_endpoints.get(scope, name), asking.base_url)


@router.patch("/{name}", openapi_extra=described(Change))
def update(asking: Asking, ws: str, name: Name, change: Change = body(Change)) -> Any:
    """Changes description, tags, properties or the default deployment."""
    with asking.scope(ws, write=True) as scope:
        row = batch_endpoints.update(scope, name, **change.model_dump())
        return batch_endpoints.as_json(scope, row, asking.base_url)


@router.delete("/{name}", status_code=204)
def delete(asking: Asking, ws: str, name: Name) -> None:
    """Deletes an endpoint with its deployments; its jobs stay."""
    with asking.scope(ws, write=True) as scope:
        batch_endpoints.delete(scope, name)


@router.post("/{name}/invoke", status_code=201, openapi_extra=described(Call))
def invoke(asking: Asking, ws: str, name: Name, sent: Call = body(Call)) -> Any:
    """Starts a job over the files that are named; the answer is the job."""
    invocation = checked(Invocation, {"inputs": sent.inputs, "outputs": sent.outputs})
    overrides = checked(BatchSettings, sent.settings) if sent.settings else None
    with asking.scope(ws, write=True) as scope:
        job = batch_endpoints.invoke(
            scope,
            name,
            invocation,
            deployment=sent.deployment_name,
            overrides=overrides,
            instance_count=sent.instance_count,
            name=sent.job_name,
            experiment_name=sent.experiment_name,
        )
        return _job(asking, scope, job)


@router.get("/{name}/jobs")
def jobs(
    asking: Asking,
    ws: str,
    name: Name,
    deployment: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> Any:
    """The jobs of its deployments, or of one, the newest first."""
    with asking.scope(ws) as scope:
        rows = batch_endpoints.list_jobs(scope, name, deployment, limit=limit)
        return page([_job(asking, scope, row) for row in rows])


@router.post("/{name}/deployments", status_code=201, openapi_extra=described(Deployed))
def create_deployment(asking: Asking, ws: str, name: Name, sent: Deployed = body(Deployed)) -> Any:
    """Creates a deployment; it is the default when it is the only one, or `set_default` says so."""
    spec = _spec(sent)
    with asking.scope(ws, write=True) as scope:
        row = batch_endpoints.create_deployment(
            scope, name, spec, snapshot=sent.snapshot, context=sent.context, set_default=sent.set_default
        )
        return batch_endpoints.deployment_as_json(scope, row)


@router.get("/{name}/deployments")
def listed_deployments(asking: Asking, ws: str, name: Name) -> Any:
    """Its deployments by name."""
    with asking.scope(ws) as scope:
        rows = batch_endpoints.listed_deployments(scope, name)
        return page([batch_endpoints.deployment_as_json(scope, row) for row in rows])


@router.get("/{name}/deployments/{deployment}")
def show_deployment(asking: Asking, ws: str, name: Name, deployment: str) -> Any:
    """One deployment."""
    with asking.scope(ws) as scope:
        row = batch_endpoints.get_deployment(scope, name, deployment)
        return batch_endpoints.deployment_as_json(scope, row)


@router.put("/{name}/deployments/{deployment}", openapi_extra=described(Deployed))
def update_deployment(asking: Asking, ws: str, name: Name, deployment: str, sent: Deployed = body(Deployed)) -> Any:
    """Puts another definition in its place; code and build context that are not sent again stay."""
    spec = _spec(sent)
    with asking.scope(ws, write=True) as scope:
        row = batch_endpoints.update_deployment(
            scope, name, deployment, spec, snapshot=sent.snapshot, context=sent.context, set_default=sent.set_default
        )
        return batch_endpoints.deployment_as_json(scope, row)


@router.patch("/{name}/deployments/{deployment}", openapi_extra=described(Deployed))
def change_deployment(asking: Asking, ws: str, name: Name, deployment: str, sent: Deployed = body(Deployed)) -> Any:
    """Changes fields of its definition: mappings field by field, null takes one away."""
    with asking.scope(ws, write=True) as scope:
        row = batch_endpoints.change_deployment(
            scope,
            name,
            deployment,
            sent.spec,
            snapshot=sent.snapshot,
            context=sent.context,
            set_default=sent.set_default,
        )
        return batch_endpoints.deployment_as_json(scope, row)


@router.delete("/{name}/deployments/{deployment}", status_code=204)
def delete_deployment(asking: Asking, ws: str, name: Name, deployment: str) -> None:
    """Deletes a deployment; its jobs stay. Not the default one while there are others."""
    with asking.scope(ws, write=True) as scope:
        batch_endpoints.delete_deployment(scope, name, deployment)


def _spec(sent: Deployed) -> ModelBatchDeployment:
    if sent.spec.get("type") == "pipeline" or "component" in sent.spec or "job_definition" in sent.spec:
        raise Invalid(PIPELINES, where="type")
    return checked(ModelBatchDeployment, sent.spec)


def _job(asking: Caller, scope: Scope, row: Job) -> dict[str, Any]:
    return shapes.job(row, workspaces.get(scope), asking.base_url)
