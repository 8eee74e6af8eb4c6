"""Migrations: Alembic with our own version table, so that nobody else's can be mistaken for it."""

import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, exc
from sqlmodel import SQLModel

from services.core.errors import Conflict, EngineError, Invalid
from services.store import metrics, rows, serving
from services.store.database import Database

VERSION_TABLE = "atelier_alembic_version"
TABLES = (rows, metrics, serving)  # importing them fills SQLModel.metadata


def upgrade(database: Database) -> str:
    """Brings the schema to this release, idempotently; the revision. SQLite is backed up first when it changes.

    Raises Conflict when the database was made by a newer release.
    """
    head = _head()
    with _opened(database) as connection:
        found = _current(connection)
        if found == head:
            return head
        _refuse_unknown(found)
    if found is not None and database.is_sqlite:
        backup(database, Path(f"{database.path}.before-{head}"))
    with _opened(database) as connection:
        command.upgrade(_config(connection), "head")
    return head


def check(database: Database) -> list[str]:
    """What is wrong with the schema or the file, as sentences; empty when all is well."""
    problems = []
    with _opened(database) as connection:
        found = _current(connection)
        if found != _head():
            problems.append(f"The database is at revision {found or 'none'}, this release needs {_head()}.")
        elif differences := _differences(connection):
            problems += [f"The schema differs: {difference}" for difference in differences]
        if database.is_sqlite:
            result = connection.exec_driver_sql("PRAGMA quick_check").scalar()
            if result != "ok":
                problems.append(f"SQLite's check says: {result}")
    return problems


def _differences(connection: Connection) -> list[object]:
    """From what the rows say; SQLite does not tell of indexes on expressions, which are taken for right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*expression-based index")
        return list(compare_metadata(_context(connection), SQLModel.metadata))


def backup(database: Database, target: Path) -> Path:
    """A consistent copy of the SQLite file while it is in use. Raises Invalid on PostgreSQL."""
    if database.path is None:
        raise Invalid("This backup is for SQLite.", hint="Use pg_dump for PostgreSQL.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with closing(sqlite3.connect(database.path)) as source, closing(sqlite3.connect(part)) as copy:
        try:
            source.backup(copy)
        except sqlite3.DatabaseError as cause:
            part.unlink(missing_ok=True)
            raise EngineError(f"The database cannot be copied: {cause}.") from cause
    part.chmod(0o600)
    part.replace(target)
    return target


@contextmanager
def _opened(database: Database) -> Iterator[Connection]:
    """Raises EngineError for what is no database, and for one that does not answer."""
    try:
        with database.engine.begin() as connection:
            yield connection
    except exc.DatabaseError as cause:
        said = str(cause.orig).strip().splitlines()[0].rstrip(".")
        hint = (
            "Put a backup in its place." if database.is_sqlite else "Is it running, and is ATELIER_DATABASE_URL right?"
        )
        raise EngineError(f"The database cannot be used: {said}.", hint=hint) from cause


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _head() -> str:
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "compare_type": False, "target_metadata": SQLModel.metadata}
    )


def _current(connection: Connection) -> str | None:
    return _context(connection).get_current_revision()


def _refuse_unknown(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise Conflict(
            f"The database is at revision {found}, which this release does not know.",
            hint="It was made by a newer release: start that one, or restore a backup.",
        )


def revise(why: str) -> None:
    """Writes the migration that turns the latest schema into what the rows say now, for a person to read over."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        upgrade(database)
        with database.engine.begin() as connection:
            number = f"{int(_head()) + 1:04d}"
            command.revision(_config(connection), message=why, autogenerate=True, rev_id=number)
        database.close()


if __name__ == "__main__":
    revise(sys.argv[1])
