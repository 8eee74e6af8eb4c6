"""Every kind of file that people write, told from what is in it.

`type` and the keys decide; `$schema` is only asked between kinds that the content leaves open, and is never fetched.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from services.core.errors import Invalid
from services.specs import components, computes, data, datastores, deployments, endpoints, environments, problems
from services.specs.jobs import CommandJob
from services.specs.models import Model
from services.specs.pipelines import PipelineJob
from services.specs.problems import Problem, nearest
from services.specs.schedules import Schedule
from services.specs.source import Source
from services.specs.source import load as read_yaml
from services.specs.sweeps import SweepJob
from services.specs.workspaces import WorkspaceFile


@dataclass(frozen=True)
class Kind:
    """`name` is the schema's, as the cloud has it; `noun` the command's; `refused` says why there is no spec."""

    name: str
    noun: str
    title: str
    spec: type[BaseModel] | None = None
    refused: str = ""

    def __str__(self) -> str:
        return self.title

    @property
    def fields(self) -> list[str]:
        """As they are written in the file."""
        found = self.spec.model_fields if self.spec is not None else {}
        return [info.alias or name for name, info in found.items()]


@dataclass(frozen=True)
class Read:
    """What a file turned out to be: its spec, or what is wrong with it.

    `kind` is None when nobody can say; `is_foreign` when nothing in it points to us.
    """

    kind: Kind | None
    spec: BaseModel | None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_foreign: bool = False


def _not_run(name: str, noun: str, title: str, advice: str = "") -> Kind:
    return Kind(name, noun, title, None, f"{title[:1].upper()}{title[1:]}s are not run by this version.{advice}")


_ALL = (
    Kind("commandJob", "job", "command job", CommandJob),
    Kind("sweepJob", "job", "sweep job", SweepJob),
    Kind("pipelineJob", "job", "pipeline job", PipelineJob),
    Kind("commandComponent", "component", "command component", components.CommandComponent),
    Kind("parallelComponent", "component", "parallel component", components.ParallelComponent),
    Kind("sweepComponent", "component", "sweep component", components.SweepComponent),
    Kind("pipelineComponent", "component", "pipeline component", components.PipelineComponent),
    Kind("data", "data", "data asset", data.DataAsset),
    Kind("mltable", "data", "MLTable file", data.MLTable),
    Kind("model", "model", "model", Model),
    Kind("environment", "environment", "environment", environments.Environment),
    Kind("condaFile", "environment", "conda file", environments.CondaFile),
    Kind("azureBlob", "datastore", "Azure Blob datastore", datastores.AzureBlob),
    Kind("azureFile", "datastore", "Azure Files datastore", datastores.AzureFile),
    Kind("azureDataLakeGen2", "datastore", "Azure Data Lake Gen2 datastore", datastores.AzureDataLakeGen2),
    Kind("azureDataLakeGen1", "datastore", "Azure Data Lake Gen1 datastore", datastores.AzureDataLakeGen1),
    Kind("folderDatastore", "datastore", "folder datastore", datastores.Folder),
    Kind("s3Datastore", "datastore", "S3 datastore", datastores.S3),
    Kind("gcsDatastore", "datastore", "Google Cloud Storage datastore", datastores.Gcs),
    Kind("sftpDatastore", "datastore", "SFTP datastore", datastores.Sftp),
    Kind("httpDatastore", "datastore", "HTTP datastore", datastores.Http),
    Kind("amlCompute", "compute", "compute cluster", computes.AmlCompute),
    Kind("computeInstance", "compute", "compute instance", computes.ComputeInstance),
    Kind("kubernetesCompute", "compute", "Kubernetes compute", computes.KubernetesCompute),
    Kind("vmCompute", "compute", "virtual machine", computes.VirtualMachineCompute),
    Kind("onlineEndpoint", "online-endpoint", "online endpoint", endpoints.OnlineEndpoint),
    Kind("batchEndpoint", "batch-endpoint", "batch endpoint", endpoints.BatchEndpoint),
    Kind("invocation", "batch-endpoint", "batch invocation", endpoints.Invocation),
    Kind("onlineDeployment", "online-deployment", "online deployment", deployments.OnlineDeployment),
    Kind("modelBatchDeployment", "batch-deployment", "model batch deployment", deployments.ModelBatchDeployment),
    Kind(
        "pipelineComponentBatchDeployment",
        "batch-deployment",
        "pipeline batch deployment",
        deployments.PipelineBatchDeployment,
    ),
    Kind("schedule", "schedule", "schedule", Schedule),
    Kind("workspace", "workspace", "workspace", WorkspaceFile),
    _not_run("sparkJob", "job", "Spark job"),
    _not_run("sparkComponent", "component", "Spark component"),
    _not_run("autoMLJob", "job", "AutoML job", " A sweep searches for the best values of a script of your own."),
    _not_run("finetuningJob", "job", "finetuning job"),
    _not_run("distillationJob", "job", "distillation job"),
    _not_run("importJob", "job", "import job"),
    _not_run("dataTransferJob", "job", "data transfer job"),
    _not_run("dataImport", "data", "data import", " A command job can read the database and write an output."),
    _not_run("importSchedule", "schedule", "import schedule"),
    _not_run("monitorSchedule", "schedule", "monitoring schedule"),
    _not_run("connection", "connection", "connection"),
    _not_run("modelPackage", "model", "model package"),
    _not_run("registry", "registry", "registry file"),
    _not_run("flow", "flow", "prompt flow"),
    _not_run("serverlessEndpoint", "serverless-endpoint", "serverless endpoint"),
    _not_run("synapseSpark", "compute", "attached Spark pool"),
    _not_run("oneLake", "datastore", "OneLake datastore"),
    _not_run("featureStore", "feature-store", "feature store"),
    _not_run("featureSet", "feature-set", "feature set"),
    _not_run("featureStoreEntity", "feature-store-entity", "feature store entity"),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
WRITTEN = tuple(kind for kind in _ALL if kind.spec is not None)

_BY_TYPE: Mapping[str, str] = {
    **dict.fromkeys(("uri_file", "uri_folder", "mltable"), "data"),
    **dict.fromkeys(("custom_model", "mlflow_model", "triton_model"), "model"),
    "azure_blob": "azureBlob",
    "azure_file": "azureFile",
    "azure_data_lake_gen2": "azureDataLakeGen2",
    "azure_data_lake_gen1": "azureDataLakeGen1",
    "one_lake": "oneLake",
    "folder": "folderDatastore",
    "s3": "s3Datastore",
    "gcs": "gcsDatastore",
    "sftp": "sftpDatastore",
    "http": "httpDatastore",
    "amlcompute": "amlCompute",
    "computeinstance": "computeInstance",
    "kubernetes": "kubernetesCompute",
    "virtualmachine": "vmCompute",
    "synapsespark": "synapseSpark",
    "model": "modelBatchDeployment",
    "parallel": "parallelComponent",
    "automl": "autoMLJob",
    "import": "importJob",
    "data_transfer": "dataTransferJob",
    "finetuning": "finetuningJob",
    "distillation": "distillationJob",
    "managed": "onlineDeployment",
    "command": "commandJob",
    "sweep": "sweepJob",
    "pipeline": "pipelineJob",
    "spark": "sparkJob",
    **dict.fromkeys(
        ("git", "python_feed", "container_registry", "azure_sql_db", "azure_synapse_analytics", "snowflake"),
        "connection",
    ),
}
# What the cloud's schema files are called where that is not the kind's own name.
_HINTS: Mapping[str, str] = {
    "managedonlineendpoint": "onlineEndpoint",
    "kubernetesonlineendpoint": "onlineEndpoint",
    "managedonlinedeployment": "onlineDeployment",
    "kubernetesonlinedeployment": "onlineDeployment",
    "batchdeployment": "modelBatchDeployment",
    "modelversionpackage": "modelPackage",
    "run": "flow",
    **{kind.name.casefold(): kind.name for kind in _ALL},
}
_OF_BATCH = deployments.BatchSettings.model_fields.keys() - {"environment_variables"}
_OF_DEPLOYMENTS = {"endpoint_name", "code_configuration", "instance_type", "liveness_probe", "request_settings"}
_OF_JOBS = {"compute", "experiment_name", "limits", "services", "queue_settings", "identity", "environment_variables"}
_OF_COMPONENTS = {"version", "is_deterministic", "additional_includes"}
_OF_WORKSPACES = {
    "hbi_workspace",
    "managed_network",
    "storage_account",
    "customer_managed_key",
    "container_registry",
    "image_build_compute",
    "resource_group",
}
# Keys that only one kind has, in the order in which they are asked.
_BY_KEY: tuple[tuple[str, str], ...] = (
    ("create_monitor", "monitorSchedule"),
    ("import_data", "importSchedule"),
    ("trigger", "schedule"),
    ("create_job", "schedule"),
    ("inferencing_server", "modelPackage"),
    ("replication_locations", "registry"),
    ("job_definition", "pipelineComponentBatchDeployment"),
    ("search_space", "sweepJob"),
    ("trial", "sweepJob"),
    ("jobs", "pipelineJob"),
    ("model_id", "serverlessEndpoint"),
    ("paths", "mltable"),
    ("entry", "sparkJob"),
)


def named(name: str) -> Kind | None:
    """By its own name or by what the cloud calls its schema, in any case."""
    return KINDS.get(_HINTS.get(name.casefold(), ""))


def detect(document: Mapping[str, Any]) -> Kind:
    """The kind of a file with this content. Raises Invalid when nobody can say."""
    keys, hint = document.keys(), _hint(document)
    name = _typed(document, hint) if document.get("type") is not None else _untyped(document, hint)
    if name is None and hint in KINDS:
        name = hint
    if name is None:
        name = _likeliest(keys) or ("invocation" if "inputs" in keys else None)
    if name is None:
        raise Invalid(
            "This is no kind of file that is known here.", hint="Say what it is with 'type', or with a '$schema' line."
        )
    return KINDS[name]


def read(source: Source) -> Read:
    """What a file is and all that is wrong with it; nothing is raised."""
    try:
        kind = detect(source.value)
    except Invalid as cause:
        message = f"{cause.message} {cause.hint}" if cause.hint else cause.message
        at = cause.where or ""
        problem = Problem(at, source.line((at,)) if at else 1, message, source.where((at,)))
        return Read(None, None, [problem], is_foreign=not at)
    if kind.spec is None:
        return Read(kind, None, [Problem("type", source.line(("type",)), kind.refused, source.where(("type",)))])
    try:
        spec = kind.spec.model_validate(source.value)
    except ValidationError as cause:
        return Read(kind, None, problems.listed(cause, kind.spec, source))
    said = getattr(spec, "warnings", None)
    return Read(kind, spec, [], said() if said is not None else [])


def load(text: str | bytes, path: str = "<yaml>") -> tuple[Kind, BaseModel]:
    """The kind and the spec of a file's text. Raises Invalid for the first problem; `details` holds all."""
    found = read(read_yaml(text, file=path))
    if found.kind is None or found.spec is None:
        first, *rest = found.problems
        more = f" ({len(rest)} more problem{'s' if len(rest) > 1 else ''})" if rest else ""
        invalid = Invalid(first.message + more, where=first.where)
        invalid.details = [str(each) for each in found.problems]
        raise invalid
    return found.kind, found.spec


def _hint(document: Mapping[str, Any]) -> str:
    """The kind that `$schema` names, or nothing."""
    last = str(document.get("$schema") or "").strip().rsplit("/", 1)[-1]
    return _HINTS.get(last.removesuffix(".json").removesuffix(".schema").casefold(), "")


def _typed(document: Mapping[str, Any], hint: str) -> str:
    """By `type`, which several nouns share. Raises Invalid for one that nobody knows."""
    kind, keys = document["type"], document.keys()
    if not isinstance(kind, str) or kind not in _BY_TYPE:
        known = _meant(kind, hint)
        raise Invalid(f"'type' {str(kind)[:80]!r} is not known here.{nearest(str(kind), known)}", where="type")
    match kind:
        case "command" | "sweep" | "spark" | "pipeline":
            if kind == "pipeline" and keys & {"endpoint_name", "job_definition"}:
                return "pipelineComponentBatchDeployment"
            candidates = [f"{kind}Job", f"{kind}Component"]
            if kind == "pipeline":
                candidates.append("pipelineComponentBatchDeployment")
            if hint in candidates:
                return hint
            return f"{kind}Component" if _is_component(document) else f"{kind}Job"
        case "s3" if "target" in keys:
            return "connection"
        case "kubernetes" if keys & (_OF_DEPLOYMENTS | {"model", "instance_count", "environment"}):
            return "onlineDeployment"
        case "uri_file" | "uri_folder" | "mltable" if "source" in keys:
            return "dataImport"
        case "mltable" if "paths" in keys:
            return "mltable"
    return _BY_TYPE[kind]


def _meant(kind: object, hint: str) -> list[str]:
    """The types that a misspelt one may have meant: those of the hinted noun, or all."""
    noun = KINDS[hint].noun if hint else ""
    return [each for each, name in _BY_TYPE.items() if KINDS[name].noun == noun] or list(_BY_TYPE)


def _untyped(document: Mapping[str, Any], hint: str) -> str | None:
    """By keys that only one kind has; between two kinds that share them the hint speaks."""
    keys = document.keys()
    for key, name in _BY_KEY:
        if key in keys:
            return _twin(document, hint, name)
    if "command" in keys:
        return _twin(document, hint, "commandJob")
    if isinstance(document.get("task"), Mapping):
        return "parallelComponent"
    if "dependencies" in keys and "build_dependencies" not in keys:
        return "condaFile"
    is_served = keys & _OF_DEPLOYMENTS or hint.endswith("Deployment")
    if keys & _OF_BATCH or (is_served and "compute" in keys and "instance_type" not in keys):
        return "modelBatchDeployment"
    if is_served:
        return hint if hint.endswith("Deployment") else "onlineDeployment"
    if keys & {"image", "build", "conda_file"}:
        return "environment"
    if "path" in keys:
        return "model" if hint == "model" or keys & {"flavors", "stage", "job_name"} else "data"
    if keys & {"auth_mode", "traffic", "mirror_traffic", "defaults"}:
        if "defaults" in keys or (hint == "batchEndpoint" and not keys & {"traffic", "mirror_traffic", "compute"}):
            return "batchEndpoint"
        return "onlineEndpoint"
    if keys & _OF_WORKSPACES:
        return "workspace"
    return "invocation" if keys and keys <= {"inputs", "outputs"} else None


def _twin(document: Mapping[str, Any], hint: str, name: str) -> str:
    """Of a job and the component that looks like it, the one that is meant."""
    other = name.replace("Job", "Component")
    if other == name or hint == name:
        return name
    return other if hint == other or _is_component(document) else name


def _is_component(document: Mapping[str, Any]) -> bool:
    """Typed inputs without values, a version: an interface, not a job."""
    keys = document.keys()
    if keys & _OF_JOBS and not keys & _OF_COMPONENTS:
        return False
    if keys & _OF_COMPONENTS:
        return True
    inputs = document.get("inputs")
    values = list(inputs.values()) if isinstance(inputs, Mapping) else []
    return bool(values) and all(isinstance(each, Mapping) and "type" in each and "path" not in each for each in values)


def _likeliest(keys: Collection[str]) -> str | None:
    """The kind whose fields the keys come nearest to, so that a misspelt one can be told.

    Half of them must be its own, and another one near.
    """
    scored = []
    for kind in WRITTEN:
        fields = kind.fields
        own = sum(key in fields for key in keys)
        near = sum(key not in fields and bool(difflib.get_close_matches(key, fields, n=1)) for key in keys)
        scored.append((2 * own + near if 2 * own >= len(keys) else 0, kind.name))
    best = max(score for score, _ in scored)
    return next(name for score, name in scored if score == best) if best >= 3 else None
