"""Alembic's entrance; `services.store.migrate` hands the connection in."""

from typing import Literal

from alembic import context
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from services.store import metrics, rows, serving
from services.store.migrate import VERSION_TABLE

TABLES = (rows, metrics, serving)


def rendered(kind: str, value: object, _context: object) -> str | Literal[False]:
    """SQLModel's plain text column by its own name, which the template imports."""
    return "AutoString()" if kind == "type" and isinstance(value, AutoString) and not value.length else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    render_item=rendered,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
