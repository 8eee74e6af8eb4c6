"""A deployment as people write it: a model and what runs it, behind an endpoint."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from services.specs.data import PATH_LIMIT
from services.specs.endpoints import EndpointName
from services.specs.environments import Environment
from services.specs.fields import AssetName, Description, Flag, Local, Number, Spec, Texts, Version, Whole
from services.specs.interfaces import NodeResources, Variables, nothing_is_empty
from services.specs.models import ModelType
from services.specs.parallel import Retry
from services.specs.steps import Settings

_SYSTEM = frozenset({"dev", "proc", "studio", "sys"})


class InlineModel(Spec):
    """A model written into its deployment: a local path, or a URI."""

    name: AssetName | None = None
    version: Version | None = None
    type: ModelType = "custom_model"
    path: Annotated[str, Local()] = Field(min_length=1, max_length=PATH_LIMIT)
    flavors: dict[str, Any] | None = None
    stage: str | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}


class CodeConfiguration(Spec):
    """The folder with the scoring script, and the script in it."""

    code: Annotated[str, Local()]
    scoring_script: Annotated[str, Local("script")] = Field(min_length=1)


class RequestSettings(Spec):
    """Milliseconds, and how many requests one instance takes at once."""

    request_timeout_ms: Whole = Field(default=5000, ge=1, le=24 * 3_600_000)
    max_concurrent_requests_per_instance: Whole = Field(default=1, ge=1, le=10_000)
    max_queue_wait_ms: Whole = Field(default=500, ge=0, le=24 * 3_600_000)


class Probe(Spec):
    """How often a container is asked whether it is well; times in seconds."""

    initial_delay: Whole = Field(default=10, ge=0, le=86_400)
    period: Whole = Field(default=10, ge=1, le=86_400)
    timeout: Whole = Field(default=2, ge=1, le=86_400)
    success_threshold: Whole = Field(default=1, ge=1, le=1000)
    failure_threshold: Whole = Field(default=30, ge=1, le=10_000)
    path: str | None = None
    port: Whole | None = Field(default=None, ge=1, le=65535)
    scheme: str | None = None
    method: str | None = None


class ScaleSettings(Spec):
    """How many instances there are: as many as the deployment says, or by how busy they are.

    With `min_instances` 0 the last one goes after `scale_to_zero_after` seconds without a request (300 when left
    out), and the next request wakes it; the cloud has no such field.
    """

    type: Literal["default", "target_utilization"] = "default"
    min_instances: Whole | None = Field(default=None, ge=0, le=1000)
    max_instances: Whole | None = Field(default=None, ge=1, le=1000)
    polling_interval: Whole | None = Field(default=None, ge=1, le=86_400)
    target_utilization_percentage: Whole | None = Field(default=None, ge=1, le=100)
    scale_to_zero_after: Whole | None = Field(default=None, ge=1, le=7 * 86_400)

    @model_validator(mode="after")
    def sound(self) -> "ScaleSettings":
        if self.scale_to_zero_after is not None and self.min_instances != 0:
            raise ValueError("scale_to_zero_after: only with min_instances 0")
        low, high = self.min_instances, self.max_instances
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_instances {low} is more than max_instances {high}")
        return self


class ContainerResources(Spec):
    """What a container asks for and may use at most, in Kubernetes' words."""

    requests: Texts = {}
    limits: Texts = {}


Share = Annotated[Number, Field(ge=0, le=1)]


class CollectedData(Spec):
    """The data asset that a collection is kept as."""

    name: AssetName | None = None
    version: Version | None = None
    path: str | None = None


class Collection(Spec):
    """One side of the requests: whether it is kept, and of how many."""

    enabled: Flag = True
    sampling_rate: Share | None = None
    data: CollectedData | None = None


class Collections(Spec):
    """What can be kept of requests."""

    model_inputs: Collection | None = None
    model_outputs: Collection | None = None
    request: Collection | None = None
    response: Collection | None = None


class RequestLogging(Spec):
    """The cloud's log of headers."""

    capture_headers: list[str] = []


class DataCollector(Spec):
    """Requests and answers that are kept as data: the share of them from 0 to 1, and without `drop_columns`."""

    collections: Collections
    sampling_rate: Share = 1.0
    rolling_rate: Literal["year", "month", "day", "hour", "minute"] = "hour"
    request_logging: RequestLogging | None = None
    drop_columns: list[str] = Field(default=[], max_length=1000)


def mount_path(path: str) -> str:
    """The path itself. Raises ValueError for what is no place of a container's own."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not path.startswith("/") or ".." in parts or not path.isprintable() or len(path) > 200:
        raise ValueError(f"{path[:80]!r} is not an absolute path of at most 200 characters without '..'")
    if parts[:1] and parts[0] in _SYSTEM:
        raise ValueError(f"/{parts[0]} is the system's or the studio's: no model is put there")
    return path


MountPath = Annotated[str, AfterValidator(mount_path)]


class OnlineDeployment(Spec):
    """A model behind an online endpoint. What is left out here can be given on the command line."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["managed", "kubernetes"] = "managed"
    name: EndpointName | None = None
    endpoint_name: str | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    model: Annotated[str | InlineModel | None, Local("yaml", "model")] = None
    model_mount_path: MountPath | None = None
    code_configuration: CodeConfiguration | None = None
    environment: Annotated[str | Environment | None, Local("yaml", "environment")] = None
    environment_variables: Variables = {}
    instance_type: str | None = None
    instance_count: Whole = Field(default=1, ge=1, le=1000)
    scale_settings: ScaleSettings | None = None
    request_settings: RequestSettings | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    resources: ContainerResources | None = None
    app_insights_enabled: Flag = False
    egress_public_network_access: str | None = None
    private_network_connection: Flag | None = None
    data_collector: DataCollector | None = None


class BatchSettings(Spec):
    """How a batch deployment works through its files."""

    mini_batch_size: Whole = Field(default=10, ge=1, le=1_000_000)
    max_concurrency_per_instance: Whole = Field(default=1, ge=1, le=1024)
    output_action: Literal["append_row", "summary_only"] = "append_row"
    output_file_name: str = Field(default="predictions.csv", min_length=1, max_length=255)
    retry_settings: Annotated[Retry, BeforeValidator(nothing_is_empty, json_schema_input_type=Retry | None)] = Retry()
    error_threshold: Whole = Field(default=-1, ge=-1)
    logging_level: str = "info"
    environment_variables: Variables = {}


class ModelBatchDeployment(BatchSettings):
    """A model behind a batch endpoint. Its settings stand under `settings`, in older files at the top."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["model"] = "model"
    name: EndpointName | None = None
    endpoint_name: str | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    model: Annotated[str | InlineModel | None, Local("yaml", "model")] = None
    code_configuration: CodeConfiguration | None = None
    environment: Annotated[str | Environment | None, Local("yaml", "environment")] = None
    compute: str | None = None
    resources: NodeResources | None = None
    settings: BatchSettings | None = None

    @model_validator(mode="after")
    def said_once(self) -> "ModelBatchDeployment":
        twice = self.model_fields_set & self.settings.model_fields_set if self.settings is not None else set()
        if twice:
            raise ValueError(f"{min(twice)} is given twice: at the top and under settings")
        return self

    @property
    def batching(self) -> BatchSettings:
        """The settings, wherever they were written."""
        above = {name: getattr(self, name) for name in self.model_fields_set & BatchSettings.model_fields.keys()}
        return (self.settings or BatchSettings()).model_copy(update=above)


class PipelineBatchDeployment(Spec):
    """A pipeline component behind a batch endpoint, or the component of a finished job (`job_definition`)."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["pipeline"]
    name: EndpointName | None = None
    endpoint_name: str | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    component: Annotated[str | None, Local("yaml", "component")] = None
    job_definition: Annotated[str | None, Local("yaml", "job")] = None
    settings: Settings | None = None

    @model_validator(mode="after")
    def sound(self) -> "PipelineBatchDeployment":
        if (self.component is None) == (self.job_definition is None):
            raise ValueError("a pipeline deployment has a 'component' or a 'job_definition'")
        return self
