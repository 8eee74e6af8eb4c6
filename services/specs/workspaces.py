"""A workspace as people write it: a name is enough."""

from pydantic import BaseModel, ConfigDict, Field


class Workspace(BaseModel):
    """`name` 2–63 letters, digits, '-' and '_'."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    display_name: str = ""
    description: str = Field(default="", max_length=10_000)
    resource_group: str = Field(default="", max_length=255)
    tags: dict[str, str] = {}


class WorkspaceUpdate(BaseModel):
    """What may change afterwards; what is left out stays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    display_name: str | None = None
    description: str | None = Field(default=None, max_length=10_000)
    resource_group: str | None = Field(default=None, max_length=255)
    tags: dict[str, str] | None = None
