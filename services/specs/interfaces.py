"""What goes into a component and what comes out: typed names, and whether a value fits one."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from services.specs.environments import Environment
from services.specs.fields import Description, Flag, Local, Number, Spec, Texts, Whole, caseless, variables
from services.specs.jobs import COMMAND_LIMIT, InputMode, OutputMode, Scalar, Size

LITERALS = frozenset({"string", "number", "integer", "boolean"})


def _today(value: Any) -> Any:
    """`path` is what the cloud's first version called a folder."""
    return "uri_folder" if value == "path" else value


InterfaceWord = Literal[
    "uri_file",
    "uri_folder",
    "mltable",
    "mlflow_model",
    "custom_model",
    "triton_model",
    "string",
    "number",
    "integer",
    "boolean",
    "path",
]
InterfaceType = Annotated[
    Literal[
        "uri_file",
        "uri_folder",
        "mltable",
        "mlflow_model",
        "custom_model",
        "triton_model",
        "string",
        "number",
        "integer",
        "boolean",
    ],
    BeforeValidator(_today, json_schema_input_type=InterfaceWord),
]


class ComponentInput(Spec):
    """A typed input: `type`, and for literals `default`, `min`, `max` and `enum`; `optional` ones may be left out."""

    type: InterfaceType
    optional: Flag = False
    default: Scalar | None = None
    min: Number | None = None
    max: Number | None = None
    enum: list[Scalar] | None = Field(default=None, min_length=1)
    mode: InputMode | None = None
    path: str | None = Field(default=None, max_length=8192)
    description: Description | None = None

    @property
    def is_literal(self) -> bool:
        return self.type in LITERALS

    @property
    def is_required(self) -> bool:
        """A job that uses the component must give it."""
        return not self.optional and self.default is None

    @model_validator(mode="after")
    def sound(self) -> "ComponentInput":
        if not self.is_literal:
            if self.min is not None or self.max is not None or self.enum is not None:
                raise ValueError("min, max and enum are for numbers and text")
            return self
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        if self.default is not None:
            try:
                fitted(self, self.default)
            except ValueError as cause:
                raise ValueError(f"the default {cause}") from cause
        return self


class ComponentOutput(Spec):
    """A typed output."""

    type: InterfaceType = "uri_folder"
    mode: OutputMode | None = None
    path: str | None = Field(default=None, max_length=8192)
    description: Description | None = None
    is_control: Flag = False
    early_available: Flag = False


class Distribution(Spec):
    """How the processes of a job find each other."""

    type: Annotated[Literal["pytorch", "tensorflow", "mpi", "ray"], caseless("pytorch", "tensorflow", "mpi", "ray")]
    process_count_per_instance: Whole | None = Field(default=None, ge=1, le=1024)
    worker_count: Whole | None = Field(default=None, ge=1, le=1024)
    parameter_server_count: Whole | None = Field(default=None, ge=0, le=1024)
    port: Whole | None = Field(default=None, ge=1, le=65535)
    address: str | None = None
    include_dashboard: Flag | None = None
    dashboard_port: Whole | None = Field(default=None, ge=1, le=65535)
    head_node_additional_args: str | None = None
    worker_node_additional_args: str | None = None


class NodeResources(Spec):
    """What a component or a step asks for; `memory` and `cpus` are ours, the rest is the cloud's."""

    instance_count: Whole | None = Field(default=None, ge=1, le=1024)
    instance_type: str | None = None
    shm_size: Size | None = None
    memory: Size | None = None
    cpus: Number | None = Field(default=None, gt=0, le=1024)
    docker_args: str | None = None
    locations: list[str] | None = None
    max_instance_count: Whole | None = Field(default=None, ge=1, le=1024)
    properties: dict[str, Any] | None = None

    @field_validator("docker_args")
    @classmethod
    def refused(cls, value: str | None) -> str | None:
        if value:
            raise ValueError("docker_args is refused: it could give a job the host")
        return value


class Command(Spec):
    """A command and what it runs in, without an interface of its own: the trial of a sweep."""

    command: str = Field(min_length=1, max_length=COMMAND_LIMIT)
    code: Annotated[str | None, Local()] = None
    environment: Annotated[str | Environment, Local("yaml", "environment")]
    environment_variables: Annotated[Texts, AfterValidator(variables)] = {}
    resources: NodeResources | None = None
    distribution: Distribution | None = None


def fitted(wanted: ComponentInput, value: Scalar) -> Scalar:
    """`value` as the input's type has it: `'0.1'` is a number where a number is wanted.

    Raises ValueError that goes on after the input's name.
    """
    found = _typed(wanted.type, value)
    if wanted.enum is not None and found not in [_typed(wanted.type, each) for each in wanted.enum]:
        raise ValueError(f"{value!r} is none of {', '.join(map(repr, wanted.enum))}")
    if isinstance(found, int | float) and not isinstance(found, bool):
        if wanted.min is not None and found < wanted.min:
            raise ValueError(f"{value!r} is less than min {wanted.min:g}")
        if wanted.max is not None and found > wanted.max:
            raise ValueError(f"{value!r} is more than max {wanted.max:g}")
    return found


def _typed(kind: str, value: Scalar) -> Scalar:
    try:
        match kind, value:
            case "string", _:
                return str(value)
            case "boolean", bool():
                return value
            case "boolean", str() if value.casefold() in {"true", "false"}:
                return value.casefold() == "true"
            case "integer", int() | str() if not isinstance(value, bool):
                return int(value)
            case "integer", float() if value.is_integer():
                return int(value)
            case "number", int() | float() | str() if not isinstance(value, bool):
                return value if not isinstance(value, str) else float(value)
    except ValueError:
        pass
    raise ValueError(f"{value!r} is not of the type {kind}")


def named(values: Any) -> Any:
    """Names of inputs, outputs and steps. Raises ValueError for one that no expression could name."""
    for name in values if isinstance(values, Mapping) else ():
        if not name.isascii() or not name.replace("_", "a").replace("-", "a").isalnum():
            raise ValueError(f"{str(name)[:80]!r} is not a name: letters, digits, '_' and '-'")
    return values


def nothing_is_empty(value: Any) -> Any:
    """`inputs:` alone means that there are none."""
    return {} if value is None else value


def nulls_are_empty(value: Any) -> Any:
    """And `outputs: {x: }` means the defaults."""
    value = nothing_is_empty(value)
    return {key: {} if inner is None else inner for key, inner in value.items()} if isinstance(value, dict) else value


Inputs = Annotated[
    dict[str, ComponentInput],
    BeforeValidator(named),
    BeforeValidator(nothing_is_empty, json_schema_input_type=dict[str, ComponentInput] | None),
]
Outputs = Annotated[
    dict[str, ComponentOutput],
    BeforeValidator(named),
    BeforeValidator(nulls_are_empty, json_schema_input_type=dict[str, ComponentOutput | None] | None),
]
Variables = Annotated[Texts, AfterValidator(variables)]
