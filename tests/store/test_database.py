"""The database: one transaction an intent, readers that cannot write, a cheap wake-up."""

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import exc
from sqlmodel import select

from services.core.errors import Conflict, Unavailable
from services.store import database as module
from services.store import migrate
from services.store.database import Database
from services.store.rows import Fact
from tests.conftest import Stage


def test_what_raises_leaves_nothing_behind(stage: Stage):
    def half_done() -> None:
        with stage.studio.database.session(write=True) as session:
            session.add(Fact(name="half", value={"a": 1}))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    with stage.studio.database.session(write=False) as session:
        assert session.get(Fact, "half") is None


def test_a_reader_cannot_write(stage: Stage):
    with stage.studio.database.session(write=False) as session:
        session.add(Fact(name="sneaked", value={}))
        with pytest.raises(exc.DBAPIError):
            session.flush()


def test_a_watch_wakes_up_on_anothers_commit(stage: Stage):
    watch = stage.studio.database.watch()
    try:
        assert not watch.changed(0.01)

        def write() -> None:
            with stage.studio.database.session(write=True) as session:
                session.merge(Fact(name="news", value={"n": 1}))

        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
        assert any(watch.changed(0.5) for _ in range(10))
        assert not watch.changed(0.01)
    finally:
        watch.close()


def test_concurrent_writers_wait_for_each_other(stage: Stage):
    def count() -> None:
        for _ in range(20):
            with stage.studio.database.session(write=True) as session:
                row = session.exec(select(Fact).where(Fact.name == "counter").with_for_update()).one()
                row.value = {"n": row.value["n"] + 1}
                session.add(row)

    with stage.studio.database.session(write=True) as session:
        session.add(Fact(name="counter", value={"n": 0}))
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stage.studio.database.session(write=False) as session:
        assert session.get_one(Fact, "counter").value == {"n": 80}


def test_a_locked_database_is_unavailable_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    database = Database(f"sqlite:///{tmp_path / 'atelier.db'}")
    migrate.upgrade(database)
    holder = sqlite3.connect(tmp_path / "atelier.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(Unavailable, match="locked"), database.session(write=True):
            pass
    finally:
        holder.close()
        database.close()


def test_sqlite_keeps_what_it_committed(lite: Stage):
    with lite.studio.database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_upgrading_twice_changes_nothing_and_the_schema_is_that_of_the_rows(stage: Stage):
    assert migrate.upgrade(stage.studio.database) == migrate.upgrade(stage.studio.database)
    assert migrate.check(stage.studio.database) == []


def test_a_database_of_a_newer_release_is_refused(lite: Stage):
    with lite.studio.database.engine.begin() as connection:
        connection.execute(
            sqlalchemy.table(migrate.VERSION_TABLE, sqlalchemy.column("version_num"))
            .update()
            .values(version_num="9999")
        )
    with pytest.raises(Conflict, match="newer release"):
        migrate.upgrade(lite.studio.database)


def test_a_backup_is_whole_and_private(lite: Stage, tmp_path: Path):
    made = migrate.backup(lite.studio.database, tmp_path / "backups" / "a.db")
    copy = Database(f"sqlite:///{made}")
    assert migrate.check(copy) == []
    assert made.stat().st_mode & 0o777 == 0o600
    copy.close()
