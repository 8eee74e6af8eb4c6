"""The care for metrics: MLflow's database is analysed now and then, what was archived long ago is thinned."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from services import experiments, jobs, metric_healing, metrics
from services.core.times import now
from services.engines.fake_tracking import FakeTracking
from services.engines.native_metrics import REVISION
from services.engines.tracking import Logged, RunFacts
from services.reconcile.metrics import GREW_BY, Metrics
from services.specs.jobs import CommandJob
from services.store.columns import POINT, ROLLED
from services.store.metrics import checked, ensure_keys
from services.store.rows import Job
from services.studio import mlflow_workspace
from tests.conftest import Stage

RUN = "a" * 32
LONG = 10_000


@pytest.fixture
def database(lite: Stage) -> Iterator[sqlite3.Connection]:
    """MLflow's, as far as it is looked at."""
    with closing(sqlite3.connect(lite.studio.folders.mlflow, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (REVISION,))
        connection.execute("CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan)")
        connection.execute("CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid)")
        yield connection


def write(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("BEGIN")
    rows = [("loss", 1.0, 0, "a", at, 0) for at in range(count)]
    connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


def learnt(connection: sqlite3.Connection) -> str:
    """What SQLite knows of the index of metrics; empty while nothing was analysed."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone() is None:
        return ""
    row = connection.execute("SELECT stat FROM sqlite_stat1 WHERE idx = 'index_metrics_run_uuid'").fetchone()
    return str(row[0])


def test_mlflows_database_is_analysed_at_first_and_after_many_writes(lite: Stage, database: sqlite3.Connection):
    write(database, 100)
    care = Metrics(lite.studio)
    care.look()
    first = learnt(database)
    write(database, 10)
    care.look()
    few = learnt(database)
    write(database, GREW_BY)
    care.look()
    assert first.startswith("100 ")
    assert few == first
    assert learnt(database) not in {"", first}


def test_a_database_that_is_written_just_now_is_analysed_later(lite: Stage, database: sqlite3.Connection):
    write(database, 100)
    care = Metrics(lite.studio)
    database.execute("BEGIN IMMEDIATE")
    care.look()
    database.execute("COMMIT")
    before = learnt(database)
    care.look()
    assert (before, learnt(database)[:4]) == ("", "100 ")


def test_a_database_of_another_revision_and_none_at_all_are_left_alone(lite: Stage, database: sqlite3.Connection):
    database.execute("UPDATE alembic_version SET version_num = 'other'")
    Metrics(lite.studio).look()
    assert learnt(database) == ""
    Path(lite.studio.folders.mlflow).unlink()
    Metrics(lite.studio).look()
    assert not lite.studio.folders.mlflow.exists()


def a_long_run(stage: Stage, name: str, run_id: str = RUN) -> int:
    """An ended job with a line of ten thousand points, which was compared; the number of its key."""
    values = np.random.default_rng(3).normal(size=LONG)
    with stage.scope() as scope:
        spec = {"command": "x", "environment": {"image": "python:3.11"}, "name": name, "experiment_name": name}
        job = jobs.submit(scope, CommandJob.model_validate(spec))
        scope.session.get_one(Job, job.id).run_id = run_id
        experiments.get(scope, name).mlflow_id = name
        metric_healing.note_run(scope.session, job, run_id, name, 1000)
        key = ensure_keys(scope.session, ["loss"])["loss"]
    points = np.zeros(LONG, POINT)
    points["key"], points["step"], points["time"], points["value"] = key, range(LONG), range(LONG), values
    stage.studio.history.append({run_id: points})
    tracking = FakeTracking()
    tracking.ensure_workspace(mlflow_workspace(stage.lab.id))
    latest = {"loss": Logged(float(values[-1]), LONG - 1, LONG - 1)}
    facts = RunFacts(run_id, name, name, "FINISHED", 1000, 2000, metrics=latest)
    tracking.runs[mlflow_workspace(stage.lab.id), run_id] = facts
    rows = zip(points["value"].tolist(), points["time"].tolist(), points["step"].tolist(), strict=True)
    tracking.points[run_id, "loss"] = [Logged(*row) for row in rows]
    metric_healing.heal(stage.studio, tracking, stage.lab.id, run_id, thorough=True)
    return key


def archive(stage: Stage, name: str, days: int) -> None:
    with stage.scope() as scope:
        job = jobs.get(scope, name)
        job.archived_at = now() - timedelta(days=days)
        scope.session.add(job)


def cared(stage: Stage, days: int) -> None:
    stage.studio.settings.thin_archived_after_days = days
    care = Metrics(stage.studio)
    for _ in range(3):
        care.thin()


def test_what_was_archived_long_ago_keeps_its_shape_and_its_summary_and_says_so(stage: Stage):
    key = a_long_run(stage, "old")
    history = stage.studio.history
    whole = history.series(RUN, key)
    drawn = history.series(RUN, key, max_points=1000)
    archive(stage, "old", days=31)
    cared(stage, days=30)
    thin = history.series(RUN, key)
    assert history.thinned([RUN]) == {RUN}
    assert len(thin) <= ROLLED
    assert (thin.value.min(), thin.value.max()) == (whole.value.min(), whole.value.max())
    np.testing.assert_array_equal(history.series(RUN, key, max_points=1000).value, drawn.value)
    with stage.scope(write=False) as scope:
        assert [each.count for each in metrics.summary(scope, "old").metrics] == [LONG]
        assert metrics.thinned(scope, ["old"]) == ["old"]


@pytest.mark.parametrize(("archived", "after"), [(29, 30), (400, 0)])
def test_what_was_archived_lately_and_everything_without_the_setting_stays_whole(
    lite: Stage, archived: int, after: int
):
    key = a_long_run(lite, "late")
    archive(lite, "late", archived)
    cared(lite, after)
    assert lite.studio.history.counts(RUN) == {key: LONG}


def test_runs_of_an_archived_experiment_are_thinned_too(lite: Stage):
    a_long_run(lite, "experiment")
    with lite.scope() as scope:
        row = experiments.get(scope, "experiment")
        row.archived_at = now() - timedelta(days=10)
        scope.session.add(row)
    cared(lite, 5)
    assert lite.studio.history.thinned([RUN]) == {RUN}


def test_a_run_that_is_not_compared_yet_is_not_thinned(lite: Stage):
    key = a_long_run(lite, "open")
    archive(lite, "open", 10)
    with lite.studio.database.session(write=True) as session:
        session.connection().exec_driver_sql("UPDATE run SET is_checked = 0")
    cared(lite, 5)
    assert lite.studio.history.counts(RUN) == {key: LONG}
    with lite.studio.database.session(write=True) as session:
        checked(session, RUN)
    cared(lite, 5)
    assert lite.studio.history.thinned([RUN]) == {RUN}


def test_what_somebody_has_restored_is_not_thinned_again(lite: Stage):
    key = a_long_run(lite, "kept")
    archive(lite, "kept", 10)
    history = lite.studio.history
    points = np.zeros(LONG, POINT)
    points["key"], points["step"] = key, range(LONG)
    cared(lite, 5)
    history.replace(RUN, points)
    history.restored(RUN)
    cared(lite, 5)
    assert history.thinned([RUN]) == set()
    assert history.counts(RUN) == {key: LONG}
