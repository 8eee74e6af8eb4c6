"""A compute target as people write it. Sizes, places and networks of the cloud are read and mean nothing here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from services.specs.fields import UNSPOKEN, Description, Flag, Secret, Spec, Texts, Whole


class SshSettings(Spec):
    """Who may sign in, and with what."""

    model_config = ConfigDict(hide_input_in_errors=True)

    admin_username: str | None = None
    admin_password: Secret | None = None
    ssh_key_value: str | None = None
    ssh_private_key_file: str | None = None
    ssh_port: Whole | None = Field(default=None, ge=1, le=65535)


class _Compute(Spec):
    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: str | None = Field(default=None, min_length=1, max_length=255)
    description: Description | None = None
    tags: Texts = {}
    location: str | None = None
    identity: dict[str, Any] | None = None


class AmlCompute(_Compute):
    """A cluster that grows with its queue. `idle_time_before_scale_down` is in seconds."""

    type: Literal["amlcompute"]
    size: str | None = None
    tier: Literal["dedicated", "low_priority"] | None = None
    min_instances: Whole = Field(default=0, ge=0, le=10_000)
    max_instances: Whole = Field(default=4, ge=0, le=10_000)
    idle_time_before_scale_down: Whole = Field(default=120, ge=0, le=86_400 * 30)
    ssh_settings: Annotated[SshSettings | None, UNSPOKEN] = None
    ssh_public_access_enabled: Flag | None = None
    network_settings: dict[str, Any] | None = None
    enable_node_public_ip: Flag | None = None

    @model_validator(mode="after")
    def sound(self) -> "AmlCompute":
        if self.min_instances > self.max_instances:
            raise ValueError(f"min_instances {self.min_instances} is more than max_instances {self.max_instances}")
        return self


class ComputeInstance(_Compute):
    """One machine for one person."""

    type: Literal["computeinstance"]
    size: str | None = None
    ssh_settings: Annotated[SshSettings | None, UNSPOKEN] = None
    ssh_public_access_enabled: Flag | None = None
    network_settings: dict[str, Any] | None = None
    enable_node_public_ip: Flag | None = None
    schedules: dict[str, Any] | None = None
    setup_scripts: dict[str, Any] | None = None
    create_on_behalf_of: dict[str, Any] | None = None
    idle_time_before_shutdown: str | None = None
    idle_time_before_shutdown_minutes: Whole | None = Field(default=None, ge=1)
    custom_applications: list[dict[str, Any]] | None = None


class KubernetesCompute(_Compute):
    """A namespace of a Kubernetes cluster."""

    type: Literal["kubernetes"]
    resource_id: str | None = None
    namespace: str | None = None


class VirtualMachineCompute(_Compute):
    """A machine that is reached by SSH."""

    type: Literal["virtualmachine"]
    resource_id: str | None = None
    ssh_settings: Annotated[SshSettings | None, UNSPOKEN] = None


Compute = AmlCompute | ComputeInstance | KubernetesCompute | VirtualMachineCompute
KINDS: Mapping[str, type[Compute]] = {
    "amlcompute": AmlCompute,
    "computeinstance": ComputeInstance,
    "kubernetes": KubernetesCompute,
    "virtualmachine": VirtualMachineCompute,
}
