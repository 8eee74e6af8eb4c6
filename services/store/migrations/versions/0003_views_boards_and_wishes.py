"""Views, boards, directions of metrics, wishes on tags; long parameters on PostgreSQL."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from services.store.types import Json, UtcDateTime

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


BEGINNING = "substr(value, 1, 100)"


def upgrade() -> None:
    op.create_table(
        "board",
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("body", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "direction",
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("metric", AutoString(), nullable=False),
        sa.Column("is_higher_better", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "metric"),
    )
    op.create_table(
        "view",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("workspace_id", AutoString(), nullable=False),
        sa.Column("experiment", AutoString(), nullable=False),
        sa.Column("owner_id", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("body", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(length=27), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("updated_at", UtcDateTime(length=27), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "experiment", "owner_id", "name"),
    )
    op.create_index("ix_run_newest", "run", ["workspace_id", "start_time", "run_id"])
    op.drop_index("ix_param_sorted", "param")
    op.create_index("ix_param_listed", "param", ["key_id", sa.text(BEGINNING), "run_id"])
    op.create_index("ix_param_number", "param", ["key_id", "num", "run_id"])
    op.add_column("tag", sa.Column("wish", AutoString(), nullable=False, server_default=""))
    op.create_index("ix_tag_listed", "tag", ["key", sa.text(BEGINNING), "run_id"])
    wished = sa.text("wish <> ''")
    op.create_index("ix_tag_wished", "tag", ["wish"], sqlite_where=wished, postgresql_where=wished)


def downgrade() -> None:
    op.drop_index("ix_run_newest", "run")
    op.drop_index("ix_tag_wished", "tag")
    op.drop_index("ix_tag_listed", "tag")
    op.drop_column("tag", "wish")
    op.drop_index("ix_param_number", "param")
    op.drop_index("ix_param_listed", "param")
    op.create_index("ix_param_sorted", "param", ["key_id", "value", "run_id"])
    op.drop_table("view")
    op.drop_table("direction")
    op.drop_table("board")
