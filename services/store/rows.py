"""What happened: one table a noun, no behaviour, no relationships, the spec kept inside as JSON."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, String, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from services.core.names import new_id
from services.core.states import AssetKind, JobStatus, ProvisioningState
from services.core.times import now
from services.store.types import Json, UtcDateTime


def _at(*, index: bool = False, nullable: bool = True) -> Any:
    return Field(default=None, sa_type=UtcDateTime, nullable=nullable, index=index)


def _created() -> Any:
    return Field(default_factory=now, sa_type=UtcDateTime, nullable=False, index=True)


def _stamped() -> Any:
    return Field(default_factory=now, sa_type=UtcDateTime, nullable=False)


def _json(kind: Any = dict) -> Any:
    return Field(default_factory=kind, sa_type=Json, nullable=False)


class Fact(SQLModel, table=True):
    """What one process wants the others to know: engine facts, heartbeats, ports."""

    name: str = Field(primary_key=True)
    value: dict[str, Any] = _json()
    at: datetime = _created()


class Principal(SQLModel, table=True):
    """A person or a service that may be allowed something."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True)
    display_name: str = ""
    kind: str = "user"
    created_at: datetime = _created()
    disabled_at: datetime | None = _at()


class RoleAssignment(SQLModel, table=True):
    """`scope` is "/" for the whole install, else a workspace id."""

    __tablename__ = "role_assignment"
    __table_args__ = (UniqueConstraint("principal_id", "role", "scope"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    principal_id: str = Field(index=True)
    role: str
    scope: str
    created_at: datetime = _created()


class Session(SQLModel, table=True):
    """A signed-in browser; `id` is the SHA-256 of its cookie, never the cookie."""

    id: str = Field(primary_key=True)
    principal_id: str = Field(index=True)
    address: str = ""
    agent: str = ""
    created_at: datetime = _created()
    seen_at: datetime = _created()
    expires_at: datetime = _at(nullable=False)


class Token(SQLModel, table=True):
    """`kind` is api, job (bound to one run), endpoint (opens one) or sign-in (one use).

    Only the secret's SHA-256 is kept.
    """

    id: str = Field(default_factory=new_id, primary_key=True)
    kind: str
    secret_hash: str = Field(unique=True)
    principal_id: str = Field(index=True)
    workspace_id: str | None = None
    job_id: str | None = Field(default=None, index=True)
    endpoint_id: str | None = Field(default=None, index=True)
    description: str = ""
    created_at: datetime = _created()
    expires_at: datetime | None = _at()
    used_at: datetime | None = _at()
    revoked_at: datetime | None = _at()


class Workspace(SQLModel, table=True):
    """The place where a group works. `folded` is the name without case, kept unique until purged."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str
    folded: str = Field(unique=True)
    display_name: str = ""
    description: str = ""
    resource_group: str = ""
    tags: dict[str, str] = _json()
    provisioning_state: ProvisioningState = Field(default=ProvisioningState.Succeeded, sa_type=String)
    created_at: datetime = _created()
    created_by: str = ""
    updated_at: datetime = _created()
    deleted_at: datetime | None = _at()
    purge_at: datetime | None = _at()
    revision: int = 1


class Datastore(SQLModel, table=True):
    """A place for data. `spec` says where it is, without secrets; the four that come with a workspace are folders.

    `secret` names what opens it in the vault; `report` is what the probe found when it was last tried.
    """

    __table_args__ = (UniqueConstraint("workspace_id", "name"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str
    name: str
    type: str = "folder"
    spec: dict[str, Any] = _json()
    description: str = ""
    tags: dict[str, str] = _json()
    is_default: bool = False
    is_read_only: bool = False
    secret: str = ""
    report: dict[str, Any] = _json()
    created_at: datetime = _created()
    created_by: str = ""
    updated_at: datetime = _stamped()


class Asset(SQLModel, table=True):
    """One version of a data asset, environment, component or model; immutable but for description, tags, labels.

    `hash` is of the content: the same name and version with another one is refused. `path` is where the content
    is: a datastore's URI, any other URI as it was given, or empty (environments and components lie in `spec` and
    `snapshot_id`). `spec` is what makes it what it is; `facts` what was found out about it (size, flavours).
    Anonymous ones are shared by content.
    """

    __table_args__ = (
        UniqueConstraint("workspace_id", "kind", "name", "version"),
        Index("ix_asset_latest", "workspace_id", "kind", "name", "created_at"),
        Index("ix_asset_content", "workspace_id", "kind", "hash"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str
    kind: AssetKind = Field(sa_type=String)
    name: str
    version: str
    type: str = ""
    is_anonymous: bool = False
    hash: str
    path: str = ""
    snapshot_id: str | None = None
    spec: dict[str, Any] = _json()
    facts: dict[str, Any] = _json()
    description: str = ""
    tags: dict[str, str] = _json()
    properties: dict[str, str] = _json()
    stage: str = ""
    job_id: str | None = Field(default=None, index=True)
    created_at: datetime = _created()
    created_by: str = ""
    updated_at: datetime = _stamped()
    archived_at: datetime | None = _at()


class AssetLabel(SQLModel, table=True):
    """A name for one version that can move: `champion`. `latest` is no row: it is the most recently created."""

    __tablename__ = "asset_label"
    workspace_id: str = Field(primary_key=True)
    kind: AssetKind = Field(sa_type=String, primary_key=True)
    name: str = Field(primary_key=True)
    label: str = Field(primary_key=True)
    version: str


class Edge(SQLModel, table=True):
    """Where something came from: an asset that a job read, or a job that made an asset.

    An end is ("job", job id), (asset kind, asset id), or ("uri", the URI itself) for data that nobody registered.
    Written in the transaction that makes it true; `role` is the input's or output's name.
    """

    __table_args__ = (
        UniqueConstraint("workspace_id", "source_kind", "source_id", "target_kind", "target_id", "role"),
        Index("ix_edge_target", "workspace_id", "target_kind", "target_id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    workspace_id: str
    source_kind: str
    source_id: str
    target_kind: str
    target_id: str
    role: str = ""
    created_at: datetime = _stamped()


class Secret(SQLModel, table=True):
    """A value sealed with a key of its own, which the master key wraps; `name` is what refers to it.

    `sealed` and `wrapped` are AES-256-GCM with their nonces in front; `key_version` says which master key.
    """

    __table_args__ = (UniqueConstraint("workspace_id", "name", "version"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str
    name: str
    version: int = 1
    key_version: int = Field(default=1, index=True)
    wrapped: bytes
    sealed: bytes
    created_at: datetime = _stamped()
    created_by: str = ""
    deleted_at: datetime | None = _at()


class Build(SQLModel, table=True):
    """One environment made ready on one engine, found again by the content hash of its definition."""

    __table_args__ = (UniqueConstraint("workspace_id", "engine", "hash"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str
    engine: str
    hash: str
    wish: dict[str, Any] = _json()
    status: str = "Queued"
    image: str = ""
    digest: str = ""
    size: int = 0
    packages: list[str] = _json(list)
    desired: str = "build"
    error: str = ""
    attempt: int = 0
    not_before: datetime | None = _at()
    lock_token: str = ""
    lock_expires_at: datetime | None = _at()
    created_at: datetime = _created()
    started_at: datetime | None = _at()
    finished_at: datetime | None = _at()


class Snapshot(SQLModel, table=True):
    """Immutable files found by content: code, build contexts and uploaded data."""

    workspace_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    files: int = 0
    size: int = 0
    created_at: datetime = _created()


class Experiment(SQLModel, table=True):
    """Runs that belong together; 1:1 with MLflow's experiment of the same name."""

    __table_args__ = (UniqueConstraint("workspace_id", "name"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str
    name: str
    mlflow_id: str | None = Field(default=None, index=True)
    description: str = ""
    tags: dict[str, str] = _json()
    created_at: datetime = _created()
    created_by: str = ""
    archived_at: datetime | None = _at()


class View(SQLModel, table=True):
    """How somebody wants to see runs, by name; a shared one is everybody's to open and its owner's to change.

    `experiment` is the name of one, or empty for the whole workspace; `body` a specs.views.ViewBody.
    """

    __table_args__ = (UniqueConstraint("workspace_id", "experiment", "owner_id", "name"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str
    experiment: str = ""
    owner_id: str
    name: str
    is_shared: bool = False
    body: dict[str, Any] = _json()
    created_at: datetime = _stamped()
    created_by: str = ""
    updated_at: datetime = _stamped()
    revision: int = 1


class Board(SQLModel, table=True):
    """The sections and tiles of a dashboard, kept by content: a link that names one shows the same for ever."""

    workspace_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    body: dict[str, Any] = _json()
    created_at: datetime = _stamped()


class Job(SQLModel, table=True):
    """A job and its current attempt, by the row contract: any crash is repaired from it and the engine.

    `desired` is run or cancel; `spec` is what the person wrote; `resolved` what it came to (command,
    inputs, outputs, image, digest). `run_id` is MLflow's; a job's own name is accepted in its place.
    """

    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        Index("ix_job_listed", "workspace_id", "archived_at", "created_at"),
        Index(
            "ix_job_live",
            "status",
            sqlite_where=text("collected_at IS NULL"),
            postgresql_where=text("collected_at IS NULL"),
        ),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    workspace_id: str = Field(index=True)
    name: str
    type: str = "command"
    display_name: str = ""
    description: str = ""
    experiment_id: str = Field(index=True)
    experiment_name: str
    tags: dict[str, str] = _json()
    properties: dict[str, str] = _json()
    spec: dict[str, Any] = _json()
    source: str = ""
    compute: str = ""
    snapshot_id: str | None = None
    environment_id: str | None = Field(default=None, index=True)
    build_id: str | None = Field(default=None, index=True)
    deployment_id: str | None = Field(default=None, index=True)
    resolved: dict[str, Any] = _json()
    git: dict[str, Any] = _json()

    status: JobStatus = Field(default=JobStatus.NotStarted, sa_column=Column(String, nullable=False))
    reason: str = ""
    message: str = ""
    warning: str = ""
    desired: str = "run"
    canceled_by: str = ""
    cancel_requested_at: datetime | None = _at()

    attempt: int = 0
    not_before: datetime | None = _at()
    lock_token: str = ""
    lock_expires_at: datetime | None = _at(index=True)
    engine: str = ""
    container_id: str = ""
    container_name: str = ""
    exit_code: int | None = None
    run_id: str | None = Field(default=None, index=True)

    created_at: datetime = _created()
    created_by: str = Field(default="", index=True)
    started_at: datetime | None = _at()
    finished_at: datetime | None = _at()
    collected_at: datetime | None = _at()
    archived_at: datetime | None = _at()
    deleted_at: datetime | None = _at()
    starred: bool = False
    revision: int = 1


class Event(SQLModel, table=True):
    """Timeline, audit log and test evidence; the message is past tense and short."""

    __table_args__ = (Index("ix_event_subject", "workspace_id", "kind", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _created()
    principal: str = ""
    workspace_id: str | None = None
    kind: str
    name: str
    message: str
    reason: str = ""
    request_id: str = ""


class IdempotencyKey(SQLModel, table=True):
    """The answer already given to a request that may be sent again."""

    __tablename__ = "idempotency_key"
    key: str = Field(primary_key=True)
    principal_id: str = Field(primary_key=True)
    request_hash: str
    status: int = 0
    answer: dict[str, Any] = _json()
    created_at: datetime = _created()
