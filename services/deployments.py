"""Online deployments: a model and what runs it, behind an endpoint. Writes wishes; the worker makes them true.

A long file: what a deployment may be made of, what of it may change and when it may go hold each other up.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import func
from sqlmodel import col, or_, select

from services import access, assets, endpoints, environments, lineage, locations, models, secrets, uploads
from services.core import names, refs
from services.core.errors import Conflict, Invalid, NotFound
from services.core.states import AssetKind, ProvisioningState, ReplicaState
from services.core.times import iso
from services.engines import files, mlmodel
from services.events import emit
from services.logs import is_secret, redacted
from services.secrets import REFERENCE, USER
from services.specs import environments as environment_specs
from services.specs import servers
from services.specs.deployments import InlineModel, OnlineDeployment, RequestSettings
from services.specs.environments import Environment
from services.specs.local import is_uri
from services.specs.models import Model
from services.specs.overrides import merged
from services.specs.problems import checked, nearest
from services.specs.source import load
from services.store.endpoints import touch
from services.store.rows import Asset, Event
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import Scope

BASE = "atelier/python:3.10-nearest"
"""What MLflow models stand on that bring their own requirements; their conda.yaml chooses the interpreter."""
MOST_INSTANCES = 1000
LINES = 5000
MOST_LINES = 100_000
LARGEST_LOG = 8 << 20
SHORTEST_SECRET = 6
_UPLOAD = "azureml://uploads/"
_FOLDER = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z", re.ASCII)
_UPLOADED = re.compile(r"\A[0-9a-f]{64}\Z")
_OVER = frozenset({ReplicaState.Failed, ReplicaState.Gone})
_NAME_ONE = "Name an environment."
CONTAINERS = {
    "inference-server": "user_logs/std_log.txt",
    "storage-initializer": "system_logs/storage-initializer.txt",
}
"""Whose output may be read, and the file below the replica's folder."""


def create(
    scope: Scope,
    endpoint_name: str,
    spec: OnlineDeployment,
    *,
    snapshot: str | None = None,
    context: str | None = None,
    code_name: str = "",
    all_traffic: bool = False,
) -> Deployment:
    """A deployment that the worker brings up; with `all_traffic` it gets all of it once it answers.

    Code (`snapshot`, of the folder `code_name`), build context and local models were uploaded before. Raises Conflict
    when the name is taken, Invalid or NotFound when it cannot run or something that it names is not there.
    """
    access.require(scope, "onlineEndpoints/deployments/write")
    endpoint = endpoints.get(scope, endpoint_name)
    _require_free(scope, endpoint, spec)
    settled = _settled(scope, spec, snapshot, context, code_name)
    row = Deployment(
        workspace_id=scope.workspace_id,
        endpoint_id=endpoint.id,
        kind=endpoints.ONLINE,
        name=spec.name or "",
        folded=names.folded(spec.name or ""),
        type=spec.type,
        description=spec.description or "",
        tags=dict(spec.tags),
        properties=dict(spec.properties),
        instance_count=_count(spec),
        wants_all_traffic=all_traffic,
        created_by=scope.principal.name,
    )
    _put(scope, row, spec, settled)
    _tell(scope, endpoint, row, f"Deployment '{row.name}' was created")
    scope.session.flush()
    return row


def get(scope: Scope, endpoint_name: str, name: str) -> Deployment:
    """Raises NotFound; one that is being deleted is there until its last replica is gone."""
    access.require(scope, "onlineEndpoints/deployments/read")
    endpoint = endpoints.get(scope, endpoint_name)
    rows = endpoints.deployments_of(scope, endpoint)
    for row in rows:
        if row.folded == names.folded(name):
            return row
    raise NotFound(
        f"Endpoint '{endpoint.name}' has no deployment '{name[:80]}'.",
        hint=nearest(name, [row.name for row in rows]).strip() or None,
    )


def listed(scope: Scope, endpoint_name: str) -> list[Deployment]:
    """All of one endpoint, by name."""
    access.require(scope, "onlineEndpoints/deployments/read")
    return endpoints.deployments_of(scope, endpoints.get(scope, endpoint_name))


def endpoint_of(scope: Scope, row: Deployment) -> Endpoint:
    access.require(scope, "onlineEndpoints/read")
    return endpoints.get_by_id(scope, row.endpoint_id)


def of_asset(scope: Scope, asset: Asset) -> list[tuple[Endpoint, Deployment]]:
    """What serves a model or runs in an environment, with its endpoint, real-time and batch, by name."""
    access.require(scope, "onlineEndpoints/deployments/read")
    return list(
        scope.session.exec(
            select(Endpoint, Deployment)
            .join(Deployment, col(Deployment.endpoint_id) == Endpoint.id)
            .where(
                Endpoint.workspace_id == scope.workspace_id,
                or_(col(Deployment.model_id) == asset.id, col(Deployment.environment_id) == asset.id),
            )
            .order_by(col(Endpoint.folded), col(Endpoint.kind), col(Deployment.folded))
        )
    )


def update(
    scope: Scope,
    endpoint_name: str,
    name: str,
    spec: OnlineDeployment,
    *,
    snapshot: str | None = None,
    context: str | None = None,
    code_name: str = "",
) -> Deployment:
    """Puts `spec` in the place of what was written. What answers now goes on until what is new is ready.

    Model, code, environment, variables and size need new replicas; all else holds at once. Code and build context
    that are not sent again stay. The same again tries a failed one once more. Raises as `create`.
    """
    access.require(scope, "onlineEndpoints/deployments/write")
    endpoint = endpoints.get(scope, endpoint_name)
    row = _changing(scope, endpoint_name, name)
    _require_named(spec, endpoint, row.name)
    before = _what_runs(row)
    was_wanted = OnlineDeployment.model_validate(row.spec).instance_count
    if spec.code_configuration is not None and snapshot is None:
        snapshot, code_name = row.snapshot_id, str(row.resolved.get("code_name") or code_name)
    settled = _settled(scope, spec, snapshot, context or _context_of(scope, row, spec), code_name)
    _put(scope, row, spec, settled)
    row.type, row.description = spec.type, spec.description or ""
    row.tags, row.properties = dict(spec.tags), dict(spec.properties)
    row.instance_count = _count(spec, spec.instance_count if spec.instance_count != was_wanted else row.instance_count)
    is_anew = _what_runs(row) != before or row.provisioning_state == ProvisioningState.Failed
    if is_anew:
        _anew(row)
    touch(scope.session, row)
    what = "is being updated" if is_anew else "was changed"
    _tell(scope, endpoint, row, f"Deployment '{row.name}' {what}")
    scope.session.flush()
    return row


def change(
    scope: Scope,
    endpoint_name: str,
    name: str,
    changes: Mapping[str, Any],
    *,
    snapshot: str | None = None,
    context: str | None = None,
    code_name: str = "",
) -> Deployment:
    """The same for some fields of what was written: mappings are changed field by field, null takes one away."""
    access.require(scope, "onlineEndpoints/deployments/write")
    row = get(scope, endpoint_name, name)
    spec = checked(OnlineDeployment, merged(row.spec, changes))
    return update(scope, endpoint_name, name, spec, snapshot=snapshot, context=context, code_name=code_name)


def scale(scope: Scope, endpoint_name: str, name: str, count: int) -> Deployment:
    """How many replicas answer. Raises Conflict where that is decided by how busy they are."""
    access.require(scope, "onlineEndpoints/deployments/write")
    if isinstance(count, bool) or not 1 <= count <= MOST_INSTANCES:
        raise Invalid(
            f"A deployment has 1 to {MOST_INSTANCES} instances, not {count}.",
            where="instance_count",
            hint="To run none, stop its endpoint.",
        )
    row = _changing(scope, endpoint_name, name)
    spec = OnlineDeployment.model_validate(row.spec)
    if spec.scale_settings is not None and spec.scale_settings.type != "default":
        raise Conflict(
            f"Deployment '{row.name}' scales by itself.",
            hint="Change min_instances and max_instances of its scale_settings.",
        )
    if count == row.instance_count:
        return row
    before, row.instance_count = row.instance_count, count
    row.spec = {**row.spec, "instance_count": count}
    touch(scope.session, row)
    endpoint = endpoints.get(scope, endpoint_name)
    _tell(scope, endpoint, row, f"Deployment '{row.name}' went from {_instances(before)} to {_instances(count)}")
    scope.session.flush()
    return row


def delete(scope: Scope, endpoint_name: str, name: str) -> Deployment:
    """Asks the worker to remove it. Raises Conflict while it has traffic; a copy of it ends by itself."""
    access.require(scope, "onlineEndpoints/deployments/delete")
    endpoint = endpoints.get(scope, endpoint_name)
    row = get(scope, endpoint_name, name)
    if row.desired == "delete":
        return row
    endpoints.forget(scope, endpoint, row.name)
    row.desired, row.provisioning_state = "delete", ProvisioningState.Deleting
    touch(scope.session, row)
    _tell(scope, endpoint, row, f"Deployment '{row.name}' is being deleted")
    scope.session.flush()
    return row


def replicas(scope: Scope, row: Deployment) -> list[Replica]:
    """Its containers, the newest first; those that ended are kept for their logs."""
    access.require(scope, "onlineEndpoints/deployments/read")
    _require_ours(scope, row)
    newest = col(Replica.created_at).desc(), col(Replica.ordinal), col(Replica.id)
    return list(scope.session.exec(select(Replica).where(Replica.deployment_id == row.id).order_by(*newest)))


def logs(
    scope: Scope,
    row: Deployment,
    *,
    container: str = "inference-server",
    replica: str | None = None,
    tail: int = LINES,
) -> str:
    """The last lines of one container's output, secrets as ***; of the newest that lives, unless `replica` says which.

    Raises NotFound while there is none, Invalid for another container.
    """
    access.require(scope, "onlineEndpoints/deployments/read")
    if container not in CONTAINERS:
        raise Invalid(
            f"{container[:80]!r} is no container of a deployment.",
            where="container",
            hint=f"One of: {', '.join(CONTAINERS)}.",
        )
    if not 1 <= tail <= MOST_LINES:
        raise Invalid(f"Between 1 and {MOST_LINES} lines can be asked for.", where="lines")
    chosen = _replica(replicas(scope, row), row, replica)
    try:
        with files.open_inside(scope.studio.folders.replica(chosen.id), CONTAINERS[container]) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LARGEST_LOG))
            raw = file.read(LARGEST_LOG)
    except NotFound:
        return ""
    shown = redacted(raw, _secrets_of(scope, row), 0, len(raw)).decode("utf-8", "replace")
    return "".join(shown.splitlines(keepends=True)[-tail:])


def events(scope: Scope, row: Deployment) -> list[Event]:
    """What happened to it and to its containers, the oldest first."""
    access.require(scope, "onlineEndpoints/deployments/read")
    _require_ours(scope, row)
    endpoint = endpoints.get_by_id(scope, row.endpoint_id)
    return list(
        scope.session.exec(
            select(Event)
            .where(Event.workspace_id == scope.workspace_id, Event.kind == "deployment")
            .where(Event.name == subject(endpoint, row), col(Event.at) >= row.created_at)
            .order_by(col(Event.id))
        )
    )


def subject(endpoint: Endpoint, row: Deployment) -> str:
    """What events of the kind `deployment` call it."""
    return f"{endpoint.name}/{row.name}"


def as_json(scope: Scope, row: Deployment) -> dict[str, Any]:
    """As the cloud's CLI prints it, and why it is where it is.

    Values of variables are for those who may write, and of names that say that they are secret for nobody; what
    refers to a secret stays as it was written.
    """
    access.require(scope, "onlineEndpoints/deployments/read")
    _require_ours(scope, row)
    endpoint = endpoints.get_by_id(scope, row.endpoint_id)
    spec = OnlineDeployment.model_validate(row.spec)
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    model, environment = _asset(scope, row.model_id), _asset(scope, row.environment_id)
    workspace = scope.workspace.name if scope.workspace else ""
    return {
        "name": row.name,
        "endpoint_name": endpoint.name,
        "id": f"/workspaces/{workspace}/online-endpoints/{endpoint.name}/deployments/{row.name}",
        "type": row.type,
        "description": row.description,
        "tags": row.tags,
        "properties": row.properties,
        "model": _shown_model(model),
        "model_mount_path": spec.model_mount_path,
        "code_configuration": {
            "code": f"azureml:{row.snapshot_id}",
            "scoring_script": spec.code_configuration.scoring_script,
        }
        if spec.code_configuration is not None
        else None,
        "environment": _shown_environment(environment),
        "environment_variables": _shown_variables(scope, spec.environment_variables),
        "instance_type": spec.instance_type,
        "instance_count": row.instance_count,
        "scale_settings": written.get("scale_settings") or {"type": "default"},
        "request_settings": written.get("request_settings") or RequestSettings().model_dump(mode="json"),
        "liveness_probe": written.get("liveness_probe"),
        "readiness_probe": written.get("readiness_probe"),
        "startup_probe": written.get("startup_probe"),
        "resources": written.get("resources"),
        "data_collector": written.get("data_collector"),
        "app_insights_enabled": spec.app_insights_enabled,
        "egress_public_network_access": spec.egress_public_network_access or "enabled",
        "provisioning_state": str(row.provisioning_state),
        "reason": row.reason,
        "message": row.message,
        "desired": row.desired,
        "server": row.resolved.get("server"),
        "replicas": {"wanted": 0 if row.is_asleep else row.instance_count, "ready": _ready(scope, row)},
        "is_asleep": row.is_asleep,
        "cold_start_ms": row.cold_start_ms,
        "generation": row.generation,
        "serving_generation": row.serving_generation,
        "image": row.image,
        "digest": row.digest,
        "creation_context": {
            "created_at": iso(row.created_at),
            "created_by": row.created_by,
            "last_modified_at": iso(row.updated_at),
        },
        "revision": row.revision,
    }


def replica_json(row: Replica) -> dict[str, Any]:
    return {
        "id": row.id,
        "generation": row.generation,
        "ordinal": row.ordinal,
        "attempt": row.attempt,
        "state": str(row.state),
        "message": row.message,
        "exit_code": row.exit_code,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "ready_at": iso(row.ready_at),
        "ended_at": iso(row.ended_at),
    }


@dataclass(frozen=True)
class _Settled:
    """What a spec came to."""

    model: Asset | None
    environment: Asset
    snapshot: str | None
    code_name: str
    server: str


def _settled(
    scope: Scope, spec: OnlineDeployment, snapshot: str | None, context: str | None, code_name: str
) -> _Settled:
    """Everything that it names, found or made. Raises Invalid, NotFound naming the field."""
    snapshot, code_name = _code(scope, spec, snapshot, code_name)
    _require_secrets(scope, spec)
    model = _model(scope, spec.model)
    environment = _environment(scope, spec, model, context)
    definition = _definition(environment)
    server = servers.chosen(
        spec.model_copy(update={"environment": definition}), model.type if model else "", _packages(definition)
    )
    if server != "custom" and model is None:
        raise _no_model()
    if server in {"script", "azureml"} and spec.code_configuration is None:
        raise Invalid(
            f"Nothing says how a {model.type if model else 'model'} is asked.",
            where="code_configuration",
            hint="Give code and a scoring_script, an mlflow_model, or an environment with an 'inference_config'.",
        )
    return _Settled(model, environment, snapshot, code_name, server)


def _code(scope: Scope, spec: OnlineDeployment, snapshot: str | None, code_name: str) -> tuple[str | None, str]:
    """The snapshot, and the name of its folder as scripts see it. Raises Invalid without the scoring script."""
    code = spec.code_configuration
    if code is None:
        return None, ""
    sent = code.code.removeprefix("azureml:")
    snapshot = sent if code.code.startswith("azureml:") and names.is_hex(sent) else snapshot
    if snapshot is None:
        raise Invalid("The code must be uploaded first.", where="code_configuration.code")
    root = uploads.require_snapshot(scope, snapshot)
    try:
        files.open_inside(root, code.scoring_script).close()
    except (Invalid, NotFound) as cause:
        raise Invalid(
            f"The code holds no file '{code.scoring_script[:200]}'.", where="code_configuration.scoring_script"
        ) from cause
    wanted = code_name or ("" if code.code.startswith("azureml:") else PurePosixPath(code.code).name)
    return snapshot, wanted if _FOLDER.match(wanted) else "code"


def _model(scope: Scope, wanted: str | InlineModel | None) -> Asset | None:
    """A registered version, one that is registered here because it has a name, or one without."""
    if wanted is None:
        return None
    if isinstance(wanted, str):
        if refs.is_reference(wanted) or "/" not in wanted:
            return assets.resolve(scope, AssetKind.model, wanted, where="model")
        wanted = InlineModel(path=wanted)
    if not is_uri(wanted.path):
        raise Invalid(f"'{wanted.path[:200]}' must be uploaded first.", where="model.path")
    spec = checked(Model, wanted.model_dump(mode="json", exclude_unset=True))
    try:
        if spec.name is None:
            return models.anonymous(scope, spec)
        return (_same_model(scope, spec) if spec.version is None else None) or models.create(scope, spec)
    except (Conflict, Invalid, NotFound) as cause:
        error = type(cause)(cause.message, where=f"model.{cause.where or 'path'}", hint=cause.hint)
        raise error from cause


def _same_model(scope: Scope, spec: Model) -> Asset | None:
    """The latest version of that name, when it is of the very files: an update makes no new version of it."""
    path = uploads.data_uri(scope, spec.path, field="path") if spec.path.startswith(_UPLOAD) else spec.path
    try:
        found = models.get(scope, spec.name or "")
    except NotFound:
        return None
    return found if found.path == path and found.type in {spec.type, models.MLFLOW} else None


def _environment(scope: Scope, spec: OnlineDeployment, model: Asset | None, context: str | None) -> Asset:
    if spec.environment is not None:
        return environments.resolve(scope, spec.environment, context=context)
    if model is not None and model.type == models.MLFLOW and spec.code_configuration is None:
        return environments.resolve(scope, Environment(image=BASE, conda_file=_conda(scope, model)))
    if model is None:
        raise _no_model()
    why = "A scoring script" if spec.code_configuration is not None else "This model"
    raise Invalid(
        f"{why} needs an environment.",
        where="environment",
        hint="Only an mlflow_model without a scoring script brings its own.",
    )


def _no_model() -> Invalid:
    return Invalid(
        "A deployment needs a model.",
        where="model",
        hint="Only an environment with an 'inference_config' brings a server that needs none.",
    )


def _conda(scope: Scope, model: Asset) -> dict[str, Any]:
    """What the model's own files say that it needs. Raises Invalid when they say nothing that can be read here."""
    root = locations.located(scope, model.path, where="model").local
    named = f"MLflow model '{assets.named(model)}'" if not model.is_anonymous else "The MLflow model"
    if root is None:
        raise Invalid(
            f"{named} lies in a store elsewhere, where its conda.yaml is not read.",
            where="environment",
            hint="Name an environment, or register the model from an upload.",
        )
    if (text := _text(root, "conda.yaml")) is not None:
        return dict(load(text, file="conda.yaml").value)
    if (text := _text(root, "requirements.txt")) is not None:
        return _conda_of(text.decode("utf-8", "replace"), _text(root, "python_env.yaml"))
    raise Invalid(f"{named} has neither conda.yaml nor requirements.txt.", where="environment", hint=_NAME_ONE)


def _conda_of(requirements: str, python_env: bytes | None) -> dict[str, Any]:
    lines = [line.strip() for line in requirements.splitlines()]
    packages = [line for line in lines if line and not line.startswith("#")]
    python = load(python_env, file="python_env.yaml").value.get("python") if python_env is not None else None
    version = [f"python={'.'.join(str(python).split('.')[:2])}"] if python else []
    return {"name": "mlflow-env", "dependencies": [*version, "pip", {"pip": packages}]}


def _text(root: Path, name: str) -> bytes | None:
    try:
        with files.open_inside(root, name) as file:
            return file.read(mlmodel.LARGEST)
    except NotFound:
        return None


def _definition(environment: Asset) -> Environment:
    """As it was written, but for where its build context lies."""
    written = {key: value for key, value in environment.spec.items() if key != "build"}
    if build := environment.spec.get("build"):
        written["build"] = {"dockerfile_path": build["dockerfile_path"]}
    return checked(Environment, written)


def _packages(definition: Environment) -> list[str]:
    conda = definition.conda_file
    return environment_specs.translate(conda).packages if isinstance(conda, Mapping) else []


def _require_secrets(scope: Scope, spec: OnlineDeployment) -> None:
    """What variables refer to is there, for somebody who may read it: a container could tell them."""
    wanted = sorted({name for value in spec.environment_variables.values() for name in REFERENCE.findall(value)})
    if not wanted:
        return
    access.require(scope, "connections/listsecrets/action")
    known = {row.name.removeprefix(USER) for row in secrets.listed(scope)}
    for name in wanted:
        if name not in known:
            raise NotFound(
                f"There is no secret '{name}' in this workspace.",
                where="environment_variables",
                hint=nearest(name, sorted(known)).strip() or "Put it there first.",
            )


def _put(scope: Scope, row: Deployment, spec: OnlineDeployment, settled: _Settled) -> None:
    """What was written and what it came to, and where in the lineage it stands."""
    row.spec = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(spec.model, InlineModel):  # a type that was left out is what the files say
        row.spec["model"] = spec.model.model_dump(mode="json", exclude_unset=True)
    row.model_id = settled.model.id if settled.model is not None else None
    row.environment_id, row.snapshot_id = settled.environment.id, settled.snapshot
    row.resolved = {
        "model": _resolved_model(settled.model) if settled.model is not None else None,
        "code_name": settled.code_name,
        "script": spec.code_configuration.scoring_script if spec.code_configuration is not None else "",
        "server": settled.server,
    }
    scope.session.add(row)
    for asset in (settled.model, settled.environment):
        if asset is not None:
            assets.hold(scope, asset)
    lineage.forget_sources(scope, ("deployment", row.id))
    for asset in (settled.model, settled.environment):
        if asset is not None:
            lineage.record(scope, (str(asset.kind), asset.id), ("deployment", row.id), str(asset.kind))


def _resolved_model(model: Asset) -> dict[str, Any]:
    """`basename` is what of its path is found in the container (SEMANTICS 42); an upload itself has no such name."""
    name = PurePosixPath(model.path.partition("://")[2] or model.path).name
    return {
        "name": model.name,
        "version": model.version,
        "path": model.path,
        "type": model.type,
        "basename": "model" if _UPLOADED.match(name) else name,
    }


def _what_runs(row: Deployment) -> tuple[Any, ...]:
    """What a container is made of: another of these needs other containers."""
    written = row.spec
    return (
        row.model_id,
        row.environment_id,
        row.snapshot_id,
        row.resolved.get("code_name"),
        row.resolved.get("script"),
        row.resolved.get("server"),
        *(written.get(key) for key in ("environment_variables", "model_mount_path", "instance_type", "resources")),
    )


def _anew(row: Deployment) -> None:
    """Other replicas are wanted; those that answer go on until these do."""
    row.generation += 1
    row.provisioning_state = ProvisioningState.Updating if row.serving_generation else ProvisioningState.Creating
    row.reason = row.message = row.image = row.digest = ""
    row.build_id = row.not_before = None
    row.failures, row.is_asleep = 0, False


def _count(spec: OnlineDeployment, wanted: int | None = None) -> int:
    """Within what its scale settings allow, where it scales by itself."""
    count = spec.instance_count if wanted is None else wanted
    limits = spec.scale_settings
    if limits is None or limits.type == "default":
        return count
    return max(limits.min_instances or 1, min(count, limits.max_instances or count))


def _context_of(scope: Scope, row: Deployment, spec: OnlineDeployment) -> str | None:
    """The build context that was sent before, for a definition that has one still."""
    if not isinstance(spec.environment, Environment) or spec.environment.build is None:
        return None
    environment = _asset(scope, row.environment_id)
    return environment.snapshot_id if environment is not None else None


def _require_free(scope: Scope, endpoint: Endpoint, spec: OnlineDeployment) -> None:
    if not spec.name:
        raise Invalid("A deployment needs a name.", where="name")
    _require_named(spec, endpoint, spec.name)
    scope.session.flush()
    scope.session.refresh(endpoint, with_for_update=True)  # nobody deletes it meanwhile
    if endpoint.desired == "delete":
        raise Conflict(f"Endpoint '{endpoint.name}' is being deleted.")
    folded = names.folded(spec.name)
    for row in endpoints.deployments_of(scope, endpoint):
        if row.folded == folded and row.desired == "delete":
            raise Conflict(
                f"Deployment '{row.name}' is being deleted.", where="name", hint="Try again when it is gone."
            )
        if row.folded == folded:
            raise Conflict(
                f"Endpoint '{endpoint.name}' has a deployment '{row.name}' already.",
                where="name",
                hint="Change that one with 'atelier online-deployment update', or choose another name.",
            )


def _require_named(spec: OnlineDeployment, endpoint: Endpoint, name: str) -> None:
    """The file may say what it is for; then it says that."""
    if spec.name is not None and names.folded(spec.name) != names.folded(name):
        raise Invalid(f"This is of deployment '{spec.name}', not of '{name}'.", where="name")


def _changing(scope: Scope, endpoint_name: str, name: str) -> Deployment:
    """The row, held until the change is done. Raises Conflict while it is being deleted."""
    row = get(scope, endpoint_name, name)
    scope.session.flush()
    scope.session.refresh(row, with_for_update=True)
    if row.desired == "delete":
        raise Conflict(f"Deployment '{row.name}' is being deleted.")
    return row


def _require_ours(scope: Scope, row: Deployment) -> None:
    if row.workspace_id != scope.workspace_id:
        raise NotFound("This deployment was not found.")


def _asset(scope: Scope, id: str | None) -> Asset | None:
    return scope.session.get(Asset, id) if id else None


def _replica(rows: Sequence[Replica], row: Deployment, wanted: str | None) -> Replica:
    live = [each for each in rows if each.state not in _OVER]
    for each in rows if wanted else [*live, *rows]:
        if wanted in {None, each.id}:
            return each
    raise NotFound(
        f"Deployment '{row.name}' has no container {wanted[:80]!r}."
        if wanted
        else f"Deployment '{row.name}' has had no container yet.",
        hint=row.message or None,
    )


def _ready(scope: Scope, row: Deployment) -> int:
    ready = Replica.deployment_id == row.id, Replica.state == ReplicaState.Ready
    return int(scope.session.exec(select(func.count()).select_from(Replica).where(*ready)).one())


def _shown_model(model: Asset | None) -> str | dict[str, Any] | None:
    if model is None:
        return None
    return {"path": model.path, "type": model.type} if model.is_anonymous else f"azureml:{assets.named(model)}"


def _shown_environment(environment: Asset | None) -> str | dict[str, Any] | None:
    if environment is None:
        return None
    return dict(environment.spec) if environment.is_anonymous else f"azureml:{assets.named(environment)}"


def _shown_variables(scope: Scope, variables: Mapping[str, str]) -> dict[str, str]:
    may_write = access.allowed(scope.roles, "onlineEndpoints/deployments/write")
    return {
        name: value if REFERENCE.search(value) or (may_write and not is_secret(name)) else "***"
        for name, value in variables.items()
    }


def _secrets_of(scope: Scope, row: Deployment) -> list[bytes]:
    """Values that no log may show: of variables whose names say so, and of the secrets that are referred to."""
    variables: Mapping[str, str] = row.spec.get("environment_variables") or {}
    found = {value for name, value in variables.items() if is_secret(name)}
    for name in {name for value in variables.values() for name in REFERENCE.findall(value)}:
        with suppress(NotFound):
            found.add(secrets.of(scope.studio, scope.session, row.workspace_id, f"{USER}{name}"))
    return sorted((value.encode() for value in found if len(value) >= SHORTEST_SECRET), key=len, reverse=True)


def _instances(count: int) -> str:
    return f"{count} instance{'s' * (count != 1)}"


def _tell(scope: Scope, endpoint: Endpoint, row: Deployment, message: str) -> None:
    emit(scope, "deployment", subject(endpoint, row), message)
