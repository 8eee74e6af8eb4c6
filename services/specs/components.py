"""A component as people write it: a step with a typed interface, to be used in many jobs."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from services.core.errors import Invalid
from services.specs import expressions
from services.specs.environments import Environment
from services.specs.fields import AssetName, Description, Flag, Spec, Texts, Version
from services.specs.interfaces import Distribution, Inputs, NodeResources, Outputs
from services.specs.jobs import COMMAND_LIMIT
from services.specs.problems import chosen
from services.specs.source import Source


class _Component(Spec):
    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: AssetName | None = None
    version: Version | None = None
    display_name: str | None = Field(default=None, max_length=255)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    is_deterministic: Flag = True
    inputs: Inputs = {}
    outputs: Outputs = {}


class CommandComponent(_Component):
    """A command with inputs and outputs. `code` and `additional_includes` are paths, relative to the file."""

    type: Literal["command"] = "command"
    command: str = Field(min_length=1, max_length=COMMAND_LIMIT)
    code: str | None = None
    additional_includes: list[str] = []
    environment: str | Environment
    resources: NodeResources | None = None
    distribution: Distribution | None = None

    @model_validator(mode="after")
    def defined(self) -> "CommandComponent":
        optional = {name: wanted.optional for name, wanted in self.inputs.items()}
        try:
            expressions.check(self.command, inputs=optional, outputs=self.outputs)
        except Invalid as cause:
            raise ValueError(str(cause)) from cause
        return self


Component = CommandComponent
KINDS: Mapping[str, type[Component]] = {"command": CommandComponent}


def component(value: Any, source: Source | None = None) -> Component:
    """`value` as the spec that its `type` names; without one it is a command. Raises Invalid."""
    return chosen(KINDS, value, source, what="component", default="command")
