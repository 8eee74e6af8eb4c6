"""Alembic's entrance; `services.store.migrate` hands the connection in."""

from alembic import context
from sqlmodel import SQLModel

from services.store import metrics, rows
from services.store.migrate import VERSION_TABLE

TABLES = (rows, metrics)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
