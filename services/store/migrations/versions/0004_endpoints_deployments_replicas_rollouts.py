"""Endpoints, deployments, their replicas and rollouts; tokens of endpoints, jobs of deployments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from services.store.types import Json, UtcDateTime

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("folded", AutoString(), nullable=False),
        sa.Column("type", AutoString(), nullable=False),
        sa.Column("description", AutoString(), nullable=False),
        sa.Column("tags", Json(), nullable=False),
        sa.Column("properties", Json(), nullable=False),
        sa.Column("spec", Json(), nullable=False),
        sa.Column("resolved", Json(), nullable=False),
        sa.Column("launches", Json(), nullable=False),
        sa.Column("model_id", AutoString(), nullable=True),
        sa.Column("environment_id", AutoString(), nullable=True),
        sa.Column("snapshot_id", AutoString(), nullable=True),
        sa.Column("build_id", AutoString(), nullable=True),
        sa.Column("image", AutoString(), nullable=False),
        sa.Column("digest", AutoString(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("serving_generation", sa.Integer(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("wants_all_traffic", sa.Boolean(), nullable=False),
        sa.Column("desired", AutoString(), nullable=False),
        sa.Column("provisioning_state", sa.String(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("message", AutoString(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(length=27), nullable=True),
        sa.Column("is_asleep", sa.Boolean(), nullable=False),
        sa.Column("woken_at", UtcDateTime(length=27), nullable=True),
        sa.Column("cold_start_ms", sa.Integer(), nullable=False),
        sa.Column("lock_token", AutoString(), nullable=False),
        sa.Column("lock_expires_at", UtcDateTime(length=27), nullable=True),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("updated_at", UtcDateTime(length=27), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("endpoint_id", "folded"),
    )
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deployment_build_id"), ["build_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_endpoint_id"), ["endpoint_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_environment_id"), ["environment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_model_id"), ["model_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_workspace_id"), ["workspace_id"], unique=False)

    op.create_table(
        "endpoint",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("folded", AutoString(), nullable=False),
        sa.Column("auth_mode", AutoString(), nullable=False),
        sa.Column("description", AutoString(), nullable=False),
        sa.Column("tags", Json(), nullable=False),
        sa.Column("properties", Json(), nullable=False),
        sa.Column("compute", AutoString(), nullable=False),
        sa.Column("traffic", Json(), nullable=False),
        sa.Column("previous_traffic", Json(), nullable=False),
        sa.Column("mirror_traffic", Json(), nullable=False),
        sa.Column("sticky", AutoString(), nullable=False),
        sa.Column("default_deployment", AutoString(), nullable=False),
        sa.Column("key_hashes", Json(), nullable=False),
        sa.Column("alerts", Json(), nullable=False),
        sa.Column("samples", Json(), nullable=False),
        sa.Column("desired", AutoString(), nullable=False),
        sa.Column("provisioning_state", sa.String(), nullable=False),
        sa.Column("message", AutoString(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("updated_at", UtcDateTime(length=27), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "kind", "folded"),
    )
    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_endpoint_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_endpoint_workspace_id"), ["workspace_id"], unique=False)

    op.create_table(
        "replica",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("deployment_id", AutoString(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("engine", AutoString(), nullable=False),
        sa.Column("container_name", AutoString(), nullable=False),
        sa.Column("container_id", AutoString(), nullable=False),
        sa.Column("host", AutoString(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", AutoString(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("started_at", UtcDateTime(length=27), nullable=True),
        sa.Column("ready_at", UtcDateTime(length=27), nullable=True),
        sa.Column("draining_at", UtcDateTime(length=27), nullable=True),
        sa.Column("ended_at", UtcDateTime(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("replica", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_replica_created_at"), ["created_at"], unique=False)
        batch_op.create_index("ix_replica_of", ["deployment_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_replica_workspace_id"), ["workspace_id"], unique=False)

    op.create_table(
        "rollout",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("target", AutoString(), nullable=False),
        sa.Column("spec", Json(), nullable=False),
        sa.Column("before", Json(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_at", UtcDateTime(length=27), nullable=False),
        sa.Column("message", AutoString(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("finished_at", UtcDateTime(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rollout_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_rollout_endpoint_id"), ["endpoint_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rollout_workspace_id"), ["workspace_id"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deployment_id", AutoString(), nullable=True))
        batch_op.create_index(batch_op.f("ix_job_deployment_id"), ["deployment_id"], unique=False)

    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.add_column(sa.Column("endpoint_id", AutoString(), nullable=True))
        batch_op.create_index(batch_op.f("ix_token_endpoint_id"), ["endpoint_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_token_endpoint_id"))
        batch_op.drop_column("endpoint_id")

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_deployment_id"))
        batch_op.drop_column("deployment_id")

    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rollout_workspace_id"))
        batch_op.drop_index(batch_op.f("ix_rollout_endpoint_id"))
        batch_op.drop_index(batch_op.f("ix_rollout_created_at"))

    op.drop_table("rollout")
    with op.batch_alter_table("replica", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_replica_workspace_id"))
        batch_op.drop_index("ix_replica_of")
        batch_op.drop_index(batch_op.f("ix_replica_created_at"))

    op.drop_table("replica")
    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_endpoint_workspace_id"))
        batch_op.drop_index(batch_op.f("ix_endpoint_created_at"))

    op.drop_table("endpoint")
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deployment_workspace_id"))
        batch_op.drop_index(batch_op.f("ix_deployment_model_id"))
        batch_op.drop_index(batch_op.f("ix_deployment_environment_id"))
        batch_op.drop_index(batch_op.f("ix_deployment_endpoint_id"))
        batch_op.drop_index(batch_op.f("ix_deployment_created_at"))
        batch_op.drop_index(batch_op.f("ix_deployment_build_id"))

    op.drop_table("deployment")
