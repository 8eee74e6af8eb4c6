"""atelier metrics check and rebuild: what differs from MLflow's record is found, said and mended."""

import json
from collections.abc import Iterator

import numpy as np
import pytest

import app.api.metrics as door
from services import metric_healing
from services.engines.fake_tracking import FakeTracking
from services.engines.tracking import Logged, RunFacts
from services.store.columns import POINT
from services.store.metrics import ENDED, Run, ensure_keys, save_run
from services.studio import mlflow_workspace
from tests.cli.conftest import Terminal

COUNT = 3000


@pytest.fixture
def tracking(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTracking]:
    made = FakeTracking()
    made.ensure_workspace(mlflow_workspace(terminal.house.stage.lab.id))
    monkeypatch.setattr(door, "tracking", lambda studio: made)
    monkeypatch.setattr(door, "SECONDS", 0.0)  # every answer is one run, so that pages are walked through
    yield made
    with terminal.house.stage.studio.database.session(write=True) as session:
        for _, run_id in made.runs:
            session.connection().exec_driver_sql("DELETE FROM run WHERE run_id = ?", (run_id,))


def a_run(terminal: Terminal, tracking: FakeTracking, letter: str, status: str = "FINISHED") -> str:
    """In MLflow, and here as it is there."""
    stage = terminal.house.stage
    run_id, workspace = letter * 32, mlflow_workspace(stage.lab.id)
    tracking.runs[workspace, run_id] = RunFacts(run_id, "1", f"run-{letter}", status, 1000, 2000)
    values = np.sin(np.arange(COUNT) / 50)
    tracking.log(workspace, run_id, [("loss", Logged(float(values[at]), at, at)) for at in (0, 1, COUNT - 1)])
    tracking.points[run_id, "loss"] = [Logged(float(value), at, at) for at, value in enumerate(values)]
    with stage.studio.database.session(write=True) as session:
        row = Run(run_id=run_id, workspace_id=stage.lab.id, experiment_id="1", name=f"run-{letter}", status=status)
        save_run(session, row)
        ensure_keys(session, ["loss"])
    if status in ENDED:
        metric_healing.rebuild(stage.studio, tracking, stage.lab.id, run_id)
    return run_id


def key(terminal: Terminal) -> int:
    with terminal.house.stage.studio.database.session(write=True) as session:
        return ensure_keys(session, ["loss"])["loss"]


def spoil(terminal: Terminal, run_id: str) -> None:
    """A point in the middle is another, as no count and no latest value tells."""
    history = terminal.house.stage.studio.history
    series = history.series(run_id, key(terminal))
    points = np.zeros(len(series), POINT)
    points["key"], points["step"], points["time"], points["value"] = (
        key(terminal),
        series.step,
        series.time,
        series.value,
    )
    points["value"][1234] += 0.001
    history.replace(run_id, points)


def test_where_all_is_equal_nothing_is_said_and_running_runs_wait(terminal: Terminal, tracking: FakeTracking):
    a_run(terminal, tracking, "a")
    a_run(terminal, tracking, "b")
    a_run(terminal, tracking, "c", status="RUNNING")
    report = terminal.ok("metrics", "check", "--thorough")
    assert report == {"checked": 2, "running": 1, "thinned": 0, "mended": 0, "differing": []}


def test_a_lost_point_is_found_and_mended(terminal: Terminal, tracking: FakeTracking):
    a_run(terminal, tracking, "a")
    run_id = a_run(terminal, tracking, "b")
    terminal.house.stage.studio.history.drop(run_id)
    said = terminal.run("metrics", "check", "-o", "json")
    (found,) = json.loads(said.out)["differing"]
    assert (said.code, found["run"]) == (1, run_id)
    assert found["differences"] == [f"the summary of 'loss' tells of {COUNT} points, its history has 0"]
    assert terminal.ok("metrics", "rebuild")["mended"] == 1
    assert terminal.ok("metrics", "check")["differing"] == []


def test_a_point_that_is_another_is_found_by_the_thorough(terminal: Terminal, tracking: FakeTracking):
    run_id = a_run(terminal, tracking, "a")
    spoil(terminal, run_id)
    assert terminal.ok("metrics", "check", "--run", run_id)["differing"] == []
    said = terminal.run("metrics", "check", "--run", run_id, "--thorough", "-o", "table")
    assert said.code == 1
    assert "'loss' lacks 1 of MLflow's points and has 1 others" in said.err
    assert terminal.ok("metrics", "rebuild", "--run", run_id)["mended"] == 1
    assert terminal.ok("metrics", "check", "--run", run_id, "--thorough")["differing"] == []


def test_a_thinned_run_is_no_difference_and_becomes_whole_by_its_name(terminal: Terminal, tracking: FakeTracking):
    history = terminal.house.stage.studio.history
    run_id = a_run(terminal, tracking, "a")
    assert history.thin(run_id)
    report = terminal.ok("metrics", "check", "--thorough")
    assert (report["thinned"], report["differing"]) == (1, [])
    assert terminal.ok("metrics", "rebuild", "--thorough")["mended"] == 0
    assert history.thinned([run_id]) == {run_id}
    assert terminal.ok("metrics", "rebuild", "--run", run_id)["mended"] == 1
    assert history.thinned([run_id]) == set()
    assert history.counts(run_id) == {key(terminal): COUNT}
    assert not history.thin(run_id)


def test_who_only_reads_may_check_and_not_rebuild(terminal: Terminal, tracking: FakeTracking):
    a_run(terminal, tracking, "a")
    terminal.sit("cleo")
    assert terminal.ok("metrics", "check")["checked"] == 1
    assert terminal.run("metrics", "rebuild").code == 4
    assert terminal.run("metrics", "check", "--run", "nowhere").code == 3
