"""A workspace as people write it: a name is enough."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.specs.fields import Flag, Texts


class Workspace(BaseModel):
    """`name` 2–63 letters, digits, '-' and '_'."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    display_name: str = ""
    description: str = Field(default="", max_length=10_000)
    resource_group: str = Field(default="", max_length=255)
    tags: dict[str, str] = {}


class WorkspaceFile(Workspace):
    """A workspace's YAML file. What concerns only the cloud (places, networks, keys) is read and means nothing here."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    tags: Texts = {}
    location: str | None = None
    hbi_workspace: Flag | None = None
    storage_account: str | None = None
    container_registry: str | None = None
    key_vault: str | None = None
    application_insights: str | None = None
    customer_managed_key: dict[str, Any] | None = None
    image_build_compute: str | None = None
    public_network_access: str | None = None
    managed_network: dict[str, Any] | None = None
    identity: dict[str, Any] | None = None


class WorkspaceUpdate(BaseModel):
    """What may change afterwards; what is left out stays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    display_name: str | None = None
    description: str | None = Field(default=None, max_length=10_000)
    resource_group: str | None = Field(default=None, max_length=255)
    tags: dict[str, str] | None = None
