"""A command with a typed interface, as people write it: in a file of its own, or inside of a pipeline's step."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.core.errors import Invalid
from services.specs import expressions
from services.specs.environments import Environment
from services.specs.fields import AssetName, Description, Flag, Kept, Local, Texts, Version
from services.specs.interfaces import Distribution, Inputs, NodeResources, Outputs
from services.specs.jobs import COMMAND_LIMIT


class Interfaced(Kept):
    """What every component has: a name, a version, and what goes in and comes out."""

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


class CommandComponent(Interfaced):
    """A command with inputs and outputs. `code` and `additional_includes` are paths, relative to the file."""

    type: Literal["command"] = "command"
    command: str = Field(min_length=1, max_length=COMMAND_LIMIT)
    code: Annotated[str | None, Local()] = None
    additional_includes: Annotated[list[str], Local()] = []
    environment: Annotated[str | Environment, Local("yaml", "environment")]
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
