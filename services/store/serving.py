"""Rows of what serves models: endpoints, deployments, the replicas that answer, and rollouts from one to another."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from services.core.names import new_id
from services.core.states import ProvisioningState, ReplicaState, RolloutState
from services.store.rows import _at, _created, _json, _stamped


class Endpoint(SQLModel, table=True):
    """An address: of `kind` online it answers at once, of kind batch it takes files and answers with a job.

    `desired` is run, stop or delete. `traffic` and `mirror_traffic` are percent by deployment name, and
    `previous_traffic` is what stood before its last change. `sticky` names the request header whose value keeps a
    caller on one deployment, empty: none. `key_hashes` are the SHA-256 of `primary` and `secondary`; the keys
    themselves are in the vault as `endpoint/<id>/primary`. `alerts` are specs.rollouts.Alert. `samples` are request
    bodies that people keep to try it with, by name.
    """

    __table_args__ = (UniqueConstraint("workspace_id", "kind", "folded"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str = Field(index=True)
    kind: str
    name: str
    folded: str
    auth_mode: str = "key"
    description: str = ""
    tags: dict[str, str] = _json()
    properties: dict[str, str] = _json()
    compute: str = ""
    traffic: dict[str, int] = _json()
    previous_traffic: dict[str, int] = _json()
    mirror_traffic: dict[str, int] = _json()
    sticky: str = ""
    default_deployment: str = ""
    key_hashes: dict[str, str] = _json()
    alerts: list[dict[str, Any]] = _json(list)
    samples: dict[str, str] = _json()
    desired: str = "run"
    provisioning_state: ProvisioningState = Field(default=ProvisioningState.Succeeded, sa_type=String)
    message: str = ""
    created_at: datetime = _created()
    created_by: str = ""
    updated_at: datetime = _stamped()
    revision: int = 1


class Deployment(SQLModel, table=True):
    """A model and what runs it, behind an endpoint of the same `kind`.

    `spec` is what the person wrote; `resolved` what it came to (model, code, server). `generation` counts the
    changes that need new replicas, `serving_generation` is of those that answer: they differ while an update is
    under way, and after one that failed. `launches` is what replicas are started from, by generation: of the one
    that serves, and of the one that is made ready. `instance_count` is how many are wanted now. `is_asleep`: scaled
    to zero, `woken_at` is when a request last asked for it. `reason` is a word for programs, `message` for people.
    """

    __table_args__ = (UniqueConstraint("endpoint_id", "folded"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str = Field(index=True)
    endpoint_id: str = Field(index=True)
    kind: str
    name: str
    folded: str
    type: str = ""
    description: str = ""
    tags: dict[str, str] = _json()
    properties: dict[str, str] = _json()
    spec: dict[str, Any] = _json()
    resolved: dict[str, Any] = _json()
    launches: dict[str, Any] = _json()
    model_id: str | None = Field(default=None, index=True)
    environment_id: str | None = Field(default=None, index=True)
    snapshot_id: str | None = None
    build_id: str | None = Field(default=None, index=True)
    image: str = ""
    digest: str = ""
    generation: int = 1
    serving_generation: int = 0
    instance_count: int = 1
    wants_all_traffic: bool = False
    desired: str = "run"
    provisioning_state: ProvisioningState = Field(default=ProvisioningState.Creating, sa_type=String)
    reason: str = ""
    message: str = ""
    failures: int = 0
    not_before: datetime | None = _at()
    is_asleep: bool = False
    woken_at: datetime | None = _at()
    cold_start_ms: int = 0
    lock_token: str = ""
    lock_expires_at: datetime | None = _at()
    created_at: datetime = _created()
    created_by: str = ""
    updated_at: datetime = _stamped()
    revision: int = 1


class Replica(SQLModel, table=True):
    """One container of a deployment. Only a Ready one is sent requests, at `host`:`port` as this host sees it.

    Every attempt is a replica of its own: one that ended is never started again. `attempt` counts those that stood
    in the same place (`ordinal`) before it.
    """

    __table_args__ = (Index("ix_replica_of", "deployment_id", "state"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str = Field(index=True)
    deployment_id: str
    generation: int
    ordinal: int
    attempt: int = 1
    engine: str = ""
    container_name: str = ""
    container_id: str = ""
    host: str = ""
    port: int = 0
    state: ReplicaState = Field(default=ReplicaState.Creating, sa_type=String)
    message: str = ""
    exit_code: int | None = None
    created_at: datetime = _created()
    started_at: datetime | None = _at()
    ready_at: datetime | None = _at()
    draining_at: datetime | None = _at()
    ended_at: datetime | None = _at()


class Rollout(SQLModel, table=True):
    """Traffic that moves from what had it to `target` step by step; `before` is the traffic to come back to.

    `spec` is a specs.rollouts.Rollout. `step` is the one that bakes now, since `step_at`.
    """

    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str = Field(index=True)
    endpoint_id: str = Field(index=True)
    target: str
    spec: dict[str, Any] = _json()
    before: dict[str, int] = _json()
    state: RolloutState = Field(default=RolloutState.Running, sa_type=String)
    step: int = 0
    step_at: datetime = _stamped()
    message: str = ""
    created_at: datetime = _created()
    created_by: str = ""
    finished_at: datetime | None = _at()
