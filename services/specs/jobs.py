"""A command job as people write it: the cloud's v2 YAML, key by key."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from services.core.names import checked, checked_asset
from services.specs import expressions
from services.specs.environments import Environment
from services.specs.fields import Flag, Local, Number, Spec, Texts, Whole, size_of, variables

DataType = Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"]
InputMode = Literal["ro_mount", "rw_mount", "download", "direct", "eval_mount", "eval_download"]
OutputMode = Literal["rw_mount", "mount", "upload", "direct"]
COMMAND_LIMIT = 128 << 10
LONGEST = 100 * 365 * 86400
# Ours to set: they say which run a job writes to.
IDENTITY = frozenset({"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "MLFLOW_WORKSPACE"})


class Data(Spec):
    """An input that is a file or a folder. A path is local, http(s), or a datastore's URI."""

    type: DataType = "uri_folder"
    path: Annotated[str, Local()] = Field(min_length=1, max_length=8192)
    mode: InputMode | None = None
    description: str | None = None


Scalar = bool | int | float | str
_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}


class LiteralInput(Spec):
    """A literal written out: `{type: number, default: 0.1, optional: true}` as in batch files."""

    type: Literal["string", "number", "integer", "boolean"]
    default: Scalar | None = None
    optional: Flag = False
    min: Number | None = None
    max: Number | None = None
    enum: list[Scalar] | None = Field(default=None, min_length=1)
    description: str | None = None

    @model_validator(mode="after")
    def fits(self) -> "LiteralInput":
        value = self.default
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        if value is None:
            if not self.optional:
                raise ValueError("it needs a value ('default'), as it is not optional")
            return self
        if not isinstance(value, _KINDS[self.type]) or (isinstance(value, bool) and self.type != "boolean"):
            raise ValueError(f"{value!r} is not of the type {self.type}")
        if self.enum is not None and value not in self.enum:
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, self.enum))}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.min is not None and value < self.min:
                raise ValueError(f"{value!r} is less than min {self.min:g}")
            if self.max is not None and value > self.max:
                raise ValueError(f"{value!r} is more than max {self.max:g}")
        return self


def _given(value: Any) -> Any:
    if value is None or isinstance(value, list):
        raise ValueError("an input is a text, a number, true or false, or a mapping with a 'path'")
    return value


Input = Annotated[
    Scalar | Data | LiteralInput, BeforeValidator(_given, json_schema_input_type=Scalar | Data | LiteralInput)
]


class Output(Spec):
    """Where a result goes; without a path into the default datastore."""

    type: DataType = "uri_folder"
    path: str | None = Field(default=None, max_length=8192)
    mode: OutputMode | None = None
    name: str | None = None
    version: str | None = None
    description: str | None = None

    @field_validator("name", "version")
    @classmethod
    def names_an_asset(cls, text: str | None) -> str | None:
        try:
            return None if text is None else checked_asset(text)
        except Exception as cause:
            raise ValueError(str(cause)) from cause

    @field_validator("path")
    @classmethod
    def in_a_datastore(cls, path: str | None) -> str | None:
        if path is not None and not path.startswith("azureml://"):
            raise ValueError("an output's path is a datastore URI: azureml://datastores/<name>/paths/<path>")
        return path


class Limits(Spec):
    """`timeout` in seconds, from the start of the container."""

    timeout: Whole | None = Field(default=None, ge=1, le=LONGEST)


def _refused_docker_args(value: str | None) -> None:
    if value:
        raise ValueError(
            "docker_args is refused: it could give a job the host. Use resources.shm_size, resources.memory "
            "and resources.cpus for what jobs usually need it for"
        )


def _size(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError(f"{value!r} is not a size, such as '2g'")
    if isinstance(value, str | int):
        size_of(value)
    return value


Size = Annotated[str | int, BeforeValidator(_size)]


class Resources(Spec):
    """`memory` and `cpus` are ours; the rest is the cloud's."""

    instance_count: Whole = Field(default=1, ge=1, le=1)
    instance_type: str | None = None
    shm_size: Size | None = None
    docker_args: Annotated[str | None, AfterValidator(_refused_docker_args)] = None
    memory: Size | None = None
    cpus: Number | None = Field(default=None, gt=0, le=1024)
    locations: list[str] | None = None
    max_instance_count: Whole | None = None
    properties: dict[str, Any] | None = None

    @field_validator("instance_count", mode="before")
    @classmethod
    def one_machine(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            raise ValueError("jobs on several machines are not run by this version; instance_count must be 1")
        return value


def _nulls(value: Any) -> Any:
    """`outputs: {x: }` and `inputs:` alone mean the defaults."""
    if isinstance(value, dict):
        return {key: {} if inner is None else inner for key, inner in value.items()}
    return {} if value is None else value


def _default(value: Any) -> Any:
    """A field without anything below it means its defaults."""
    return {} if value is None else value


JobInputs = Annotated[dict[str, Input], BeforeValidator(_default, json_schema_input_type=dict[str, Input] | None)]
JobOutputs = Annotated[
    dict[str, Output], BeforeValidator(_nulls, json_schema_input_type=dict[str, Output | None] | None)
]


class CommandJob(Spec):
    """One command in one container. `environment` is a reference or a definition; `code` is copied for the run."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["command"] = "command"
    name: str | None = None
    display_name: str | None = Field(default=None, max_length=255)
    experiment_name: str | None = Field(default=None, max_length=255)
    description: str | None = Field(default=None, max_length=10_000)
    tags: Texts = {}
    properties: Texts = {}
    command: str = Field(min_length=1, max_length=COMMAND_LIMIT)
    code: Annotated[str | None, Local()] = None
    environment: Annotated[str | Environment, Local("yaml", "environment")]
    environment_variables: Annotated[Texts, AfterValidator(variables)] = {}
    inputs: JobInputs = {}
    outputs: JobOutputs = {}
    compute: str | None = None
    limits: Annotated[Limits, BeforeValidator(_default, json_schema_input_type=Limits | None)] = Limits()
    resources: Annotated[Resources, BeforeValidator(_default, json_schema_input_type=Resources | None)] = Resources()
    services: dict[str, Any] = {}
    identity: dict[str, Any] | None = None
    queue_settings: dict[str, Any] | None = None
    distribution: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None
    parent_job_name: str | None = None

    @field_validator("name")
    @classmethod
    def speakable(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                checked(name)
            except Exception as cause:
                raise ValueError(str(cause).removeprefix("name: ")) from cause
        return name

    @field_validator("inputs", "outputs")
    @classmethod
    def named(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in values:
            if not name.isascii() or not name.replace("_", "a").replace("-", "a").isalnum():
                raise ValueError(f"{name[:80]!r} is not a name: letters, digits, '_' and '-'")
        return values

    @field_validator("command")
    @classmethod
    def speaks(cls, command: str) -> str:
        if "\0" in command or not command.strip():
            raise ValueError("a command needs text, without NUL")
        return command

    @field_validator("distribution")
    @classmethod
    def single(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value:
            raise ValueError("distributed jobs are not run by this version")
        return value

    @model_validator(mode="after")
    def defined(self) -> "CommandJob":
        try:
            expressions.check(self.command, inputs=self.optional_inputs(), outputs=self.outputs)
        except Exception as cause:
            raise ValueError(str(cause)) from cause
        return self

    def optional_inputs(self) -> dict[str, bool]:
        """Of each input whether a command may do without it."""
        return {name: isinstance(value, LiteralInput) and value.optional for name, value in self.inputs.items()}

    def literals(self) -> Mapping[str, str | None]:
        """Literal inputs as the command gets them: Python's `str`, so `True` and `1.8`."""
        found: dict[str, str | None] = {}
        for name, value in self.inputs.items():
            if isinstance(value, LiteralInput):
                found[name] = None if value.default is None else str(value.default)
            elif not isinstance(value, Data):
                found[name] = str(value)
        return found

    def data(self) -> Mapping[str, Data]:
        return {name: value for name, value in self.inputs.items() if isinstance(value, Data)}

    def warnings(self) -> list[str]:
        """What was accepted and will not do what its writer may hope."""
        said = [
            f"Environment variable {name} is set by the studio; the job's own value is left out."
            for name in sorted(IDENTITY & self.environment_variables.keys())
        ]
        said += [
            f"Environment variable {name} changes how every program in the container starts."
            for name in sorted({"LD_PRELOAD", "PYTHONPATH", "PATH"} & self.environment_variables.keys())
        ]
        said += [
            f"Environment variable {name} takes the place of what the studio or the engine would say there."
            for name in sorted(self.environment_variables)
            if name.startswith(("AZUREML_", "DOCKER_"))
        ]
        said += [
            f"Environment variable {name} is passed as it is written: ${{{{ }}}} is for commands."
            for name, value in sorted(self.environment_variables.items())
            if "${{" in value
        ]
        if self.services:
            said.append("Services are accepted and not yet opened.")
        return said
