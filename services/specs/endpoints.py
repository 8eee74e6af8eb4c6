"""An endpoint as people write it: the address that answers, whatever stands behind it."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from services.specs.fields import Description, Spec, Texts, Whole, caseless
from services.specs.jobs import JobInputs, JobOutputs

_NAME = re.compile(r"\A[a-zA-Z](?:[a-zA-Z0-9-]{1,30}[a-zA-Z0-9])\Z", re.ASCII)


def endpoint_name(name: str) -> str:
    """The name itself. Raises ValueError naming the rule."""
    if not _NAME.match(name):
        raise ValueError(
            f"{name[:80]!r} is not a name for an endpoint or a deployment: 3–32 letters, digits and '-', "
            "starting with a letter and not ending with '-'"
        )
    return name


EndpointName = Annotated[
    str,
    AfterValidator(endpoint_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]$"}),
]
Percent = Annotated[Whole, Field(ge=0, le=100)]


AuthMode = Annotated[Literal["key", "aml_token", "aad_token"], caseless("key", "aml_token", "aad_token")]


class OnlineEndpoint(Spec):
    """An address that answers at once. `traffic` says how much of it each deployment gets, in percent."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: EndpointName | None = None
    auth_mode: AuthMode = "key"
    traffic: dict[str, Percent] = {}
    mirror_traffic: dict[str, Percent] = {}
    compute: str | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    public_network_access: str | None = None
    identity: dict[str, Any] | None = None

    @model_validator(mode="after")
    def shared_out(self) -> "OnlineEndpoint":
        total = sum(self.traffic.values())
        if total not in {0, 100}:
            raise ValueError(f"traffic: the percentages sum to 0 or 100, not to {total}")
        return self


class Defaults(Spec):
    """Which deployment answers when none is named."""

    deployment_name: str | None = None


class BatchEndpoint(Spec):
    """An address that takes whole files and answers with a job."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: EndpointName | None = None
    auth_mode: AuthMode = "aad_token"
    defaults: Defaults | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    identity: dict[str, Any] | None = None


class Invocation(Spec):
    """What a batch endpoint is called with: inputs and outputs by name, as in a job."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    inputs: JobInputs
    outputs: JobOutputs = {}
