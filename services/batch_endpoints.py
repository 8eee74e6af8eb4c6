"""Batch endpoints: addresses that take whole files and answer with a job; what stands behind each, and their jobs.

An endpoint and its deployments are rows and no more: nothing runs between jobs, so what is written is so at once.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlmodel import col, select

from services import access, assets, deployments, jobs, lineage
from services.core import names
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page
from services.core.states import ProvisioningState
from services.core.times import iso
from services.events import emit
from services.job_inputs import MODELS
from services.logs import is_secret
from services.models import MLFLOW
from services.secrets import REFERENCE
from services.specs.deployments import BatchSettings, ModelBatchDeployment, OnlineDeployment
from services.specs.endpoints import BatchEndpoint, Invocation
from services.specs.jobs import CommandJob, Data, Output
from services.specs.overrides import merged
from services.specs.problems import checked, nearest
from services.store import endpoints as store
from services.store.endpoints import EndpointQuery, Endpoints
from services.store.rows import Asset, Job
from services.store.serving import Deployment, Endpoint
from services.studio import Scope

BATCH = "batch"
EVENT = "batch-endpoint"
MODEL_INPUT = "azureml_model"
"""The name under which a job of a deployment reads the model."""
OUTPUT = "score"
SETTINGS = "ATELIER_BATCH_SETTINGS"
COMMAND = 'python "$ATELIER_BATCH/main.py"'
RETRIES, TIMEOUT = 3, 30
_READY = "Ready to be invoked; the first job builds its environment where that is not built yet."


def create(scope: Scope, spec: BatchEndpoint) -> Endpoint:
    """An address without deployments. Raises Conflict when the name is taken (case does not count)."""
    access.require(scope, "batchEndpoints/write")
    if not spec.name:
        raise Invalid("An endpoint needs a name.", where="name")
    if _of(scope).named(spec.name) is not None:
        raise Conflict(f"A batch endpoint named '{spec.name}' exists already.", where="name")
    if spec.auth_mode == "key":
        raise Invalid(
            "A batch endpoint is invoked with a token of the studio, and has no keys of its own.",
            where="auth_mode",
            hint="Write aad_token, or leave it out.",
        )
    if spec.defaults is not None and spec.defaults.deployment_name:
        raise Invalid(
            f"There is no deployment '{spec.defaults.deployment_name[:80]}' yet.",
            where="defaults.deployment_name",
            hint="Create the endpoint without it, then the deployment with --set-default.",
        )
    row = Endpoint(
        workspace_id=scope.workspace_id,
        kind=BATCH,
        name=spec.name,
        folded=names.folded(spec.name),
        auth_mode=spec.auth_mode,
        description=spec.description or "",
        tags=dict(spec.tags),
        properties=dict(spec.properties),
        created_by=scope.principal.name,
    )
    scope.session.add(row)
    emit(scope, EVENT, row.name, f"Batch endpoint '{row.name}' was created")
    scope.session.flush()
    return row


def get(scope: Scope, name: str) -> Endpoint:
    """Raises NotFound."""
    access.require(scope, "batchEndpoints/read")
    row = _of(scope).named(name)
    if row is None:
        known = _of(scope).names()
        raise NotFound(
            f"Batch endpoint '{name[:80]}' was not found in this workspace.", hint=nearest(name, known).strip() or None
        )
    return row


def listed(scope: Scope, query: EndpointQuery | None = None) -> Page[Endpoint]:
    """One page. Raises Invalid for an unknown column or cursor."""
    access.require(scope, "batchEndpoints/read")
    return _of(scope).page(query or EndpointQuery())


def update(
    scope: Scope,
    name: str,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    default_deployment: str | None = None,
) -> Endpoint:
    """Changes what was given; an empty `default_deployment` takes the default away. Raises NotFound."""
    access.require(scope, "batchEndpoints/write")
    row = get(scope, name)
    changes: dict[str, Any] = {
        "description": description,
        "tags": dict(tags) if tags is not None else None,
        "properties": dict(properties) if properties is not None else None,
        "default_deployment": default_deployment and get_deployment(scope, name, default_deployment).name,
    }
    changed = {key: value for key, value in changes.items() if value is not None and value != getattr(row, key)}
    if changed:
        for key, value in changed.items():
            setattr(row, key, value)
        store.touch(scope.session, row)
        emit(scope, EVENT, row.name, f"Batch endpoint '{row.name}' was changed: {', '.join(changed)}")
    scope.session.flush()
    return row


def delete(scope: Scope, name: str) -> None:
    """Removes it with its deployments; its jobs and their results stay."""
    access.require(scope, "batchEndpoints/delete")
    row = get(scope, name)
    for deployment in store.deployments_of(scope.session, row):
        _removed(scope, deployment)
    scope.session.delete(row)
    emit(scope, EVENT, row.name, f"Batch endpoint '{row.name}' was deleted")
    scope.session.flush()


def create_deployment(
    scope: Scope,
    endpoint_name: str,
    spec: ModelBatchDeployment,
    *,
    snapshot: str | None = None,
    context: str | None = None,
    set_default: bool = False,
) -> Deployment:
    """A model that the endpoint's jobs may be of. It is the default when it is the only one, or `set_default` says so.

    Code, build context and local models were uploaded before. Raises Conflict when the name is taken, Invalid or
    NotFound when something that it names is not there.
    """
    access.require(scope, "batchEndpoints/deployments/write")
    endpoint = get(scope, endpoint_name)
    _require_named(spec, endpoint)
    if names.folded(spec.name or "") in {row.folded for row in store.deployments_of(scope.session, endpoint)}:
        raise Conflict(f"Endpoint '{endpoint.name}' has a deployment '{spec.name}' already.", where="name")
    row = Deployment(
        workspace_id=scope.workspace_id,
        endpoint_id=endpoint.id,
        kind=BATCH,
        name=spec.name or "",
        folded=names.folded(spec.name or ""),
        created_by=scope.principal.name,
    )
    _put(scope, row, spec, snapshot, context)
    emit(scope, EVENT, endpoint.name, f"Deployment '{row.name}' was created")
    if set_default:
        _default(scope, endpoint, row)
    scope.session.flush()
    return row


def get_deployment(scope: Scope, endpoint_name: str, name: str) -> Deployment:
    """Raises NotFound."""
    access.require(scope, "batchEndpoints/deployments/read")
    endpoint = get(scope, endpoint_name)
    rows = store.deployments_of(scope.session, endpoint)
    for row in rows:
        if row.folded == names.folded(name):
            return row
    raise NotFound(
        f"Endpoint '{endpoint.name}' has no deployment '{name[:80]}'.",
        where="deployment_name",
        hint=nearest(name, [row.name for row in rows]).strip() or None,
    )


def listed_deployments(scope: Scope, endpoint_name: str) -> list[Deployment]:
    """All of one endpoint, by name."""
    access.require(scope, "batchEndpoints/deployments/read")
    return store.deployments_of(scope.session, get(scope, endpoint_name))


def update_deployment(
    scope: Scope,
    endpoint_name: str,
    name: str,
    spec: ModelBatchDeployment,
    *,
    snapshot: str | None = None,
    context: str | None = None,
    set_default: bool = False,
) -> Deployment:
    """Puts `spec` in the place of what was written; jobs under way go on with what they began with.

    Code and build context that are not sent again stay. Raises as `create_deployment`.
    """
    access.require(scope, "batchEndpoints/deployments/write")
    endpoint, row = get(scope, endpoint_name), get_deployment(scope, endpoint_name, name)
    if spec.code_configuration is not None and snapshot is None:
        snapshot = row.snapshot_id
    if context is None and row.environment_id is not None:
        context = scope.session.get_one(Asset, row.environment_id).snapshot_id
    _put(scope, row, spec.model_copy(update={"name": row.name}), snapshot, context)
    row.generation += 1
    store.touch(scope.session, row)
    emit(scope, EVENT, endpoint.name, f"Deployment '{row.name}' was changed")
    if set_default:
        _default(scope, endpoint, row)
    scope.session.flush()
    return row


def change_deployment(
    scope: Scope,
    endpoint_name: str,
    name: str,
    changes: Mapping[str, Any],
    *,
    snapshot: str | None = None,
    context: str | None = None,
    set_default: bool = False,
) -> Deployment:
    """The same for some fields of what was written: mappings are changed field by field, null takes one away."""
    access.require(scope, "batchEndpoints/deployments/write")
    endpoint, row = get(scope, endpoint_name), get_deployment(scope, endpoint_name, name)
    if not changes:
        if set_default:
            _default(scope, endpoint, row)
            scope.session.flush()
        return row
    below = {key: value for key, value in changes.items() if key in BatchSettings.model_fields}
    wanted = {key: value for key, value in changes.items() if key not in below}
    if below:
        wanted["settings"] = {**(wanted.get("settings") or {}), **below}
    spec = checked(ModelBatchDeployment, merged(row.spec, wanted))
    return update_deployment(
        scope, endpoint_name, name, spec, snapshot=snapshot, context=context, set_default=set_default
    )


def delete_deployment(scope: Scope, endpoint_name: str, name: str) -> None:
    """Its jobs stay. Raises Conflict for the default one while there are others."""
    access.require(scope, "batchEndpoints/deployments/delete")
    endpoint, row = get(scope, endpoint_name), get_deployment(scope, endpoint_name, name)
    others = [each.name for each in store.deployments_of(scope.session, endpoint) if each.id != row.id]
    if others and endpoint.default_deployment == row.name:
        raise Conflict(
            f"'{row.name}' is the default deployment of '{endpoint.name}'.",
            hint=f"Make another one the default first, such as '{others[0]}'.",
        )
    if endpoint.default_deployment == row.name:
        endpoint.default_deployment = ""
        store.touch(scope.session, endpoint)
    _removed(scope, row)
    emit(scope, EVENT, endpoint.name, f"Deployment '{row.name}' was deleted")
    scope.session.flush()


def default_of(scope: Scope, endpoint: Endpoint) -> str:
    """The deployment that is invoked when none is named: the default one, or the only one; empty when there is none."""
    access.require(scope, "batchEndpoints/read")
    if endpoint.default_deployment:
        return endpoint.default_deployment
    rows = store.deployments_of(scope.session, endpoint)
    return rows[0].name if len(rows) == 1 else ""


def invoke(
    scope: Scope,
    endpoint_name: str,
    invocation: Invocation,
    *,
    deployment: str | None = None,
    overrides: BatchSettings | None = None,
    instance_count: int | None = None,
    name: str | None = None,
    experiment_name: str = "",
) -> Job:
    """A job over the files of `invocation`, whose output `score` holds what came out.

    Of `overrides` what was written takes the place of the deployment's settings, for this job. Local files were
    uploaded before. Raises NotFound or Invalid naming the field. Whoever invokes must be allowed to submit jobs.
    """
    access.require(scope, "batchEndpoints/score/action")
    endpoint = get(scope, endpoint_name)
    row = _asked(scope, endpoint, deployment)
    spec = ModelBatchDeployment.model_validate(row.spec)
    settings = _overridden(spec.batching, overrides)
    _require_sound(settings)
    model, environment = _asset(scope, row.model_id, "model"), _asset(scope, row.environment_id, "environment")
    inputs = _inputs(invocation)
    driver = _driver(row, settings, inputs, instance_count or (spec.resources and spec.resources.instance_count) or 1)
    written = {
        "name": name,
        "display_name": f"{endpoint.name}/{row.name}",
        "experiment_name": experiment_name or endpoint.name,
        "command": COMMAND,
        "environment": f"azureml:{assets.named(environment)}",
        "environment_variables": {
            **settings.environment_variables,
            SETTINGS: orjson.dumps(driver).decode(),
        },
        "inputs": {**inputs, MODEL_INPUT: Data(type=_model_type(model), path=f"azureml:{assets.named(model)}")},
        "outputs": {OUTPUT: _output(invocation)},
        "compute": spec.compute,
        "resources": _resources(spec),
        "properties": {"azureml.endpoint": endpoint.name, "azureml.deployment": row.name},
    }
    job = jobs.submit(scope, checked(CommandJob, _plain(written)), snapshot=row.snapshot_id)
    job.deployment_id = row.id
    scope.session.add(job)
    emit(scope, EVENT, endpoint.name, f"Deployment '{row.name}' was invoked: job '{job.name}'")
    scope.session.flush()
    return job


def list_jobs(scope: Scope, endpoint_name: str, deployment: str | None = None, *, limit: int = 50) -> list[Job]:
    """The jobs of an endpoint's deployments, or of one of them, the newest first."""
    access.require(scope, "jobs/read")
    if deployment is not None:
        ids = [get_deployment(scope, endpoint_name, deployment).id]
    else:
        ids = [row.id for row in listed_deployments(scope, endpoint_name)]
    return list(
        scope.session.exec(
            select(Job)
            .where(
                Job.workspace_id == scope.workspace_id,
                col(Job.deployment_id).in_(ids),
                col(Job.deleted_at).is_(None),
            )
            .order_by(col(Job.created_at).desc(), col(Job.id).desc())
            .limit(limit)
        )
    )


def as_json(scope: Scope, row: Endpoint, base_url: str = "") -> dict[str, Any]:
    """As the cloud's CLI prints it; `scoring_uri` is the studio's own REST, which a studio's token opens."""
    access.require(scope, "batchEndpoints/read")
    at = f"/workspaces/{scope.workspace.name if scope.workspace else ''}/batch-endpoints/{row.name}"
    return {
        "name": row.name,
        "auth_mode": row.auth_mode,
        "defaults": {"deployment_name": default_of(scope, row) or None},
        "description": row.description,
        "tags": row.tags,
        "properties": row.properties,
        "provisioning_state": str(row.provisioning_state),
        "scoring_uri": f"{base_url}/api/v1{at}/invoke",
        "id": at,
        "creation_context": _created(row),
        "revision": row.revision,
    }


def deployment_as_json(scope: Scope, row: Deployment) -> dict[str, Any]:
    """As the cloud's CLI prints it."""
    access.require(scope, "batchEndpoints/deployments/read")
    endpoint = scope.session.get_one(Endpoint, row.endpoint_id)
    spec = ModelBatchDeployment.model_validate(row.spec)
    settings = spec.batching
    model, environment = row.resolved.get("model"), row.resolved.get("environment")
    return {
        "name": row.name,
        "endpoint_name": endpoint.name,
        "type": "model",
        "model": f"azureml:{model}",
        "environment": f"azureml:{environment}",
        "code_configuration": {
            "code": f"azureml:{row.snapshot_id}",
            "scoring_script": spec.code_configuration.scoring_script,
        }
        if spec.code_configuration is not None
        else None,
        "compute": spec.compute,
        "resources": _plain(spec.resources) if spec.resources is not None else {},
        "settings": {**_plain(settings), "environment_variables": _masked(settings.environment_variables)},
        "description": row.description,
        "tags": row.tags,
        "properties": row.properties,
        "is_default": default_of(scope, endpoint) == row.name,
        "provisioning_state": str(row.provisioning_state),
        "message": row.message,
        "id": f"/workspaces/{scope.workspace.name if scope.workspace else ''}/batch-endpoints/{endpoint.name}"
        f"/deployments/{row.name}",
        "creation_context": _created(row),
        "revision": row.revision,
    }


def _of(scope: Scope) -> Endpoints:
    return Endpoints(scope.session, scope.workspace_id, BATCH)


def _require_named(spec: ModelBatchDeployment, endpoint: Endpoint) -> None:
    if not spec.name:
        raise Invalid("A deployment needs a name.", where="name")
    if spec.endpoint_name and names.folded(spec.endpoint_name) != endpoint.folded:
        raise Invalid(f"It names the endpoint '{spec.endpoint_name[:80]}'.", where="endpoint_name")


def _put(scope: Scope, row: Deployment, spec: ModelBatchDeployment, snapshot: str | None, context: str | None) -> None:
    """What was written and what it came to. Raises Invalid where nothing says how a file is worked on."""
    told = ("model", "code_configuration", "environment")
    alike = OnlineDeployment.model_validate({each: getattr(spec, each) for each in told})
    found = deployments._settled(scope, alike, snapshot, context, "")
    if found.model is None:
        raise Invalid("A deployment needs a model.", where="model")
    if spec.code_configuration is None and found.model.type != MLFLOW:
        raise Invalid(
            f"Nothing says how a {found.model.type} works on files.",
            where="code_configuration",
            hint="Give code and a scoring_script, or an mlflow_model.",
        )
    _require_sound(spec.batching)
    row.type, row.description = spec.type, spec.description or ""
    row.tags, row.properties = dict(spec.tags), dict(spec.properties)
    row.spec = _written(spec)
    row.model_id, row.environment_id, row.snapshot_id = found.model.id, found.environment.id, found.snapshot
    row.resolved = {
        "model": assets.named(found.model),
        "environment": assets.named(found.environment),
        "script": spec.code_configuration.scoring_script if spec.code_configuration is not None else "",
    }
    row.provisioning_state, row.message = ProvisioningState.Succeeded, _READY
    scope.session.add(row)
    lineage.forget_sources(scope, ("deployment", row.id))
    for asset in (found.model, found.environment):
        assets.hold(scope, asset)
        lineage.record(scope, (str(asset.kind), asset.id), ("deployment", row.id), str(asset.kind))


def _written(spec: ModelBatchDeployment) -> dict[str, Any]:
    """With its settings in one place, wherever they stood."""
    above = set(BatchSettings.model_fields)
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True, exclude=above)
    return {**written, "settings": spec.batching.model_dump(mode="json", exclude_none=True, exclude_unset=True)}


def _removed(scope: Scope, row: Deployment) -> None:
    lineage.forget_sources(scope, ("deployment", row.id))
    scope.session.delete(row)


def _default(scope: Scope, endpoint: Endpoint, row: Deployment) -> None:
    if endpoint.default_deployment != row.name:
        endpoint.default_deployment = row.name
        store.touch(scope.session, endpoint)
        emit(scope, EVENT, endpoint.name, f"'{row.name}' is the default deployment")


def _asked(scope: Scope, endpoint: Endpoint, name: str | None) -> Deployment:
    chosen = name or default_of(scope, endpoint)
    if chosen:
        return get_deployment(scope, endpoint.name, chosen)
    rows = store.deployments_of(scope.session, endpoint)
    if not rows:
        raise Conflict(f"Endpoint '{endpoint.name}' has no deployment yet.")
    raise Invalid(
        f"Endpoint '{endpoint.name}' has {len(rows)} deployments and no default.",
        where="deployment_name",
        hint=f"Name one of {', '.join(row.name for row in rows)}, or set a default.",
    )


def _asset(scope: Scope, id: str | None, what: str) -> Asset:
    found = scope.session.get(Asset, id) if id else None
    if found is None:
        raise NotFound(f"The deployment's {what} was deleted.", where=what, hint="Change the deployment.")
    return found


def _overridden(settings: BatchSettings, overrides: BatchSettings | None) -> BatchSettings:
    if overrides is None:
        return settings
    changed = {key: getattr(overrides, key) for key in overrides.model_fields_set}
    if "retry_settings" in changed:
        retry = overrides.retry_settings
        changed["retry_settings"] = settings.retry_settings.model_copy(
            update={key: getattr(retry, key) for key in retry.model_fields_set}
        )
    if "environment_variables" in changed:
        changed["environment_variables"] = {**settings.environment_variables, **overrides.environment_variables}
    return settings.model_copy(update=changed)


def _require_sound(settings: BatchSettings) -> None:
    """Raises Invalid for a file that would lie elsewhere, and for what jobs do not put in a secret's place."""
    referring = [key for key, value in settings.environment_variables.items() if REFERENCE.search(value)]
    if referring:
        raise Invalid(
            f"'{referring[0]}' refers to a secret, which jobs do not get in their variables.",
            where="environment_variables",
        )
    name = settings.output_file_name
    if name in {".", ".."} or any(char == "/" or not char.isprintable() for char in name):
        raise Invalid(
            f"{name[:80]!r} is no name of a file.", where="output_file_name", hint="It lies at the top of the output."
        )


def _inputs(invocation: Invocation) -> dict[str, Any]:
    """By names that are names of variables too. Raises Invalid without data, or for what has no place here."""
    inputs: dict[str, Any] = {}
    for name, value in invocation.inputs.items():
        key = name.replace("-", "_")
        if not key.isidentifier() or key in inputs or key == MODEL_INPUT:
            raise Invalid(f"'{name[:80]}' is no name for an input here.", where="inputs")
        if isinstance(value, Data) and value.type in MODELS:
            raise Invalid("The model is the deployment's.", where=f"inputs.{name}.type")
        inputs[key] = value
    if not any(isinstance(value, Data) for value in inputs.values()):
        raise Invalid("There is no data to work on.", where="inputs", hint="Give a file or a folder.")
    return inputs


def _output(invocation: Invocation) -> Output:
    wrong = next((name for name in invocation.outputs if name != OUTPUT), None)
    if wrong is not None:
        raise Invalid(f"The output of a model is named '{OUTPUT}', not '{wrong[:80]}'.", where="outputs")
    output = invocation.outputs.get(OUTPUT, Output())
    if output.type != "uri_folder":
        raise Invalid("It is a folder: output_file_name names the file in it.", where=f"outputs.{OUTPUT}.type")
    return output


def _driver(row: Deployment, settings: BatchSettings, inputs: Mapping[str, Any], instances: int) -> dict[str, Any]:
    """What services/runtime/batch is told."""
    retry = settings.retry_settings
    data = {f"AZURE_ML_INPUT_{name}": value.type for name, value in inputs.items() if isinstance(value, Data)}
    script = str(row.resolved.get("script") or "")
    return {
        "inputs": list(data),
        "types": data,
        "output": f"AZURE_ML_OUTPUT_{OUTPUT}",
        "entry_script": script,
        "model": f"AZURE_ML_INPUT_{MODEL_INPUT}",
        "flavor": "" if script else "mlflow",
        "mini_batch_size": settings.mini_batch_size,
        "workers": instances * settings.max_concurrency_per_instance,
        "max_retries": RETRIES if retry.max_retries is None else retry.max_retries,
        "timeout": retry.timeout or TIMEOUT,
        "error_threshold": settings.error_threshold,
        "output_action": settings.output_action,
        "output_file_name": settings.output_file_name,
        "logging_level": settings.logging_level,
    }


def _resources(spec: ModelBatchDeployment) -> dict[str, Any]:
    """Of the one container; how many instances there are is how many processes run in it."""
    kept = ("instance_type", "shm_size", "memory", "cpus")
    return {key: value for key in kept if (value := getattr(spec.resources, key, None)) is not None}


def _model_type(model: Asset) -> Any:
    return model.type if model.type in MODELS else "custom_model"


def _plain(value: Any) -> Any:
    """Specs as they are written down."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def _masked(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: "***" if is_secret(name) else value for name, value in variables.items()}


def _created(row: Endpoint | Deployment) -> dict[str, Any]:
    return {
        "created_at": iso(row.created_at),
        "created_by": row.created_by,
        "last_modified_at": iso(row.updated_at),
    }
