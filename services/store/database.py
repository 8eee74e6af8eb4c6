"""The database: opened with the promises we need, asked cheaply whether anything changed."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.pool import QueuePool
from sqlmodel import Session

from services.core.errors import Conflict, Unavailable

CHANNEL = "atelier"
BUSY_SECONDS = 10


class Database:
    """One engine. `url` is SQLAlchemy's; plain `postgresql://` is taken to mean psycopg."""

    def __init__(self, url: str) -> None:
        self.url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.is_sqlite = self.url.startswith("sqlite")
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgres(self.url)

    @property
    def path(self) -> Path | None:
        """The SQLite file."""
        return Path(self.engine.url.database or "") if self.is_sqlite else None

    @contextmanager
    def session(self, *, write: bool) -> Iterator[Session]:
        """One transaction: commits on the way out, rolls back on any raise.

        Writers take SQLite's lock at once (a deferred one could fail half-way); readers never block and
        cannot write. Raises Unavailable when the database is locked, full or gone, Conflict when another was
        first with the same name.
        """
        try:
            with self.engine.connect() as connection:
                connection = connection.execution_options(atelier_write=write)
                with Session(connection, expire_on_commit=False) as session:
                    try:
                        if write:
                            session.connection()  # takes the lock now: BEGIN is otherwise left to the first statement
                        yield session
                        if write:
                            session.flush()
                            if not self.is_sqlite:
                                connection.execute(text(f"NOTIFY {CHANNEL}"))
                            session.commit()
                    except BaseException:
                        session.rollback()
                        raise
        except exc.OperationalError as cause:
            raise Unavailable(_explained(cause), hint="Try again in a moment.") from cause
        except exc.IntegrityError as cause:
            if "unique" not in str(cause.orig).lower():
                raise
            raise Conflict("Somebody made the same at the same moment.", hint="Look again, then try again.") from cause

    def watch(self) -> "Watch":
        return Watch(self)

    def close(self) -> None:
        self.engine.dispose()


class Watch:
    """Waits for a change by anybody: `PRAGMA data_version` costs no query, LISTEN no polling."""

    def __init__(self, database: Database) -> None:
        self._sqlite: sqlite3.Connection | None = None
        self._postgres: psycopg.Connection[Any] | None = None
        if database.is_sqlite:
            self._sqlite = sqlite3.connect(str(database.path), check_same_thread=False)
            self._seen = self._version()
        else:
            url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._postgres = psycopg.connect(url, autocommit=True)
            self._postgres.execute(f"LISTEN {CHANNEL}")

    def changed(self, seconds: float) -> bool:
        """SQLite: whether anything was committed since the last call (returns at once).
        PostgreSQL: waits up to `seconds` for a notification."""
        if self._sqlite is not None:
            version = self._version()
            changed, self._seen = version != self._seen, version
            return changed
        assert self._postgres is not None  # noqa: S101 (one of the two is open)
        return bool(list(self._postgres.notifies(timeout=seconds, stop_after=1)))

    def close(self) -> None:
        for connection in (self._sqlite, self._postgres):
            if connection is not None:
                connection.close()

    def _version(self) -> int:
        assert self._sqlite is not None  # noqa: S101
        return int(self._sqlite.execute("PRAGMA data_version").fetchone()[0])


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
        poolclass=QueuePool,
        pool_size=16,
        max_overflow=32,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine, "connect")
    def opened(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
        )

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("atelier_write", True)
        connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if write else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgres(url: str) -> Engine:
    engine = create_engine(
        url, pool_size=10, max_overflow=20, pool_pre_ping=True, json_serializer=_dumps, json_deserializer=_loads
    )

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if not connection.get_execution_options().get("atelier_write", True):
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    return engine


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _loads(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _explained(cause: exc.OperationalError) -> str:
    text_ = str(cause.orig)
    if "locked" in text_:
        return f"The database has been locked by another process for {BUSY_SECONDS} seconds."
    if "full" in text_:
        return "The disk that holds the database is full."
    if "readonly" in text_:
        raise cause
    return "The database does not answer."
