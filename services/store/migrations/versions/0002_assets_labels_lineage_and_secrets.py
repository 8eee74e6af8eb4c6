"""Assets, labels, lineage and secrets."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from services.store.types import Json, UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("version", AutoString(), nullable=False),
        sa.Column("type", AutoString(), nullable=False),
        sa.Column("is_anonymous", sa.Boolean(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.Column("path", AutoString(), nullable=False),
        sa.Column("snapshot_id", AutoString(), nullable=True),
        sa.Column("spec", Json(), nullable=False),
        sa.Column("facts", Json(), nullable=False),
        sa.Column("description", AutoString(), nullable=False),
        sa.Column("tags", Json(), nullable=False),
        sa.Column("properties", Json(), nullable=False),
        sa.Column("stage", AutoString(), nullable=False),
        sa.Column("job_id", AutoString(), nullable=True),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("updated_at", UtcDateTime(length=27), nullable=False),
        sa.Column("archived_at", UtcDateTime(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "kind", "name", "version"),
    )
    op.create_index("ix_asset_content", "asset", ["workspace_id", "kind", "hash"])
    op.create_index("ix_asset_created_at", "asset", ["created_at"])
    op.create_index("ix_asset_job_id", "asset", ["job_id"])
    op.create_index("ix_asset_latest", "asset", ["workspace_id", "kind", "name", "created_at"])
    empty = "CAST('{}' AS JSONB)" if op.get_bind().dialect.name == "postgresql" else "'{}'"
    op.execute(
        "INSERT INTO asset (id, workspace_id, kind, name, version, type, is_anonymous, hash, path, spec, facts,"  # noqa: S608
        " description, tags, properties, stage, created_at, created_by, updated_at, archived_at)"
        " SELECT id, workspace_id, 'environment', name, version, '', is_anonymous, hash, '', spec,"
        f" {empty}, description, tags, {empty}, '', created_at, created_by, created_at, archived_at FROM environment"
    )
    op.drop_table("environment")
    op.create_table(
        "asset_label",
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("label", AutoString(), nullable=False),
        sa.Column("version", AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "kind", "name", "label"),
    )
    op.create_table(
        "edge",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("source_kind", AutoString(), nullable=False),
        sa.Column("source_id", AutoString(), nullable=False),
        sa.Column("target_kind", AutoString(), nullable=False),
        sa.Column("target_id", AutoString(), nullable=False),
        sa.Column("role", AutoString(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "source_kind", "source_id", "target_kind", "target_id", "role"),
    )
    op.create_index("ix_edge_target", "edge", ["workspace_id", "target_kind", "target_id"])
    op.create_table(
        "secret",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "name", "version"),
    )
    op.create_index("ix_secret_key_version", "secret", ["key_version"])
    op.add_column("build", sa.Column("desired", AutoString(), nullable=False, server_default="build"))
    op.add_column("datastore", sa.Column("is_read_only", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("datastore", sa.Column("secret", AutoString(), nullable=False, server_default=""))
    op.add_column("datastore", sa.Column("report", Json(), nullable=False, server_default="{}"))
    op.add_column(
        "datastore",
        sa.Column("updated_at", UtcDateTime(length=27), nullable=False, server_default="1970-01-01T00:00:00.000000Z"),
    )
    op.execute("UPDATE datastore SET updated_at = created_at")


def downgrade() -> None:
    """Data assets, components, models, lineage and secrets are lost: the tables before knew none."""
    with op.batch_alter_table("datastore") as batch_op:
        for name in ("updated_at", "report", "secret", "is_read_only"):
            batch_op.drop_column(name)
    with op.batch_alter_table("build") as batch_op:
        batch_op.drop_column("desired")
    op.create_table(
        "environment",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("version", AutoString(), nullable=False),
        sa.Column("is_anonymous", sa.Boolean(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.Column("spec", Json(), nullable=False),
        sa.Column("description", AutoString(), nullable=False),
        sa.Column("tags", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("archived_at", UtcDateTime(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "name", "version"),
    )
    op.create_index("ix_environment_hash", "environment", ["hash"])
    op.create_index("ix_environment_created_at", "environment", ["created_at"])
    op.execute(
        "INSERT INTO environment (id, workspace_id, name, version, is_anonymous, hash, spec, description, tags,"
        " created_at, created_by, archived_at) SELECT id, workspace_id, name, version, is_anonymous, hash, spec,"
        " description, tags, created_at, created_by, archived_at FROM asset WHERE kind = 'environment'"
    )
    for name in ("secret", "edge", "asset_label", "asset"):
        op.drop_table(name)
