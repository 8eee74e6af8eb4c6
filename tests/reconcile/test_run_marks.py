"""What people wrote on runs reaches MLflow, whatever it says meanwhile."""

import pytest

from services import metric_healing
from services.engines.fake_tracking import FakeTracking
from services.reconcile.run_marks import RunMarks
from services.store import metrics as store
from services.studio import mlflow_workspace
from tests.conftest import Stage
from tests.test_run_marks import change, marks, wishes


@pytest.fixture
def tracking(stage: Stage) -> FakeTracking:
    made = FakeTracking()
    made.ensure_workspace(mlflow_workspace(stage.lab.id))
    return made


@pytest.fixture
def worker(stage: Stage, tracking: FakeTracking) -> RunMarks:
    return RunMarks(stage.studio, lambda: tracking)


@pytest.fixture
def run(stage: Stage, tracking: FakeTracking) -> str:
    """A run that both know."""
    where = mlflow_workspace(stage.lab.id)
    tags = {"team": "vision"}
    experiment = tracking.ensure_experiment(where, "iris")
    made = tracking.ensure_run(where, experiment, job_id="", name="one", user="ben", start_time=1, tags=tags)
    metric_healing._noted(stage.studio, stage.lab.id, tracking.run(where, made))
    return made


def theirs(stage: Stage, tracking: FakeTracking, run: str) -> dict[str, str]:
    return {
        key: value
        for key, value in tracking.run(mlflow_workspace(stage.lab.id), run).tags.items()
        if key != "atelier.job"
    }


def test_mlflow_is_told_once(stage: Stage, tracking: FakeTracking, worker: RunMarks, run: str):
    change(stage, run, tags={"team": None, "data": "v2"}, note="good", is_starred=True)
    worker.look()
    assert theirs(stage, tracking, run) == {"data": "v2", "mlflow.note.content": "good", "atelier.starred": "true"}
    assert wishes(stage) == {}
    assert marks(stage, run).tags == {"data": "v2"}
    tracking.silent = True
    worker.look()


def test_a_silent_mlflow_is_told_later(stage: Stage, tracking: FakeTracking, worker: RunMarks, run: str):
    tracking.silent = True
    change(stage, run, tags={"team": "audio"})
    worker.look()
    assert wishes(stage) == {"team": "set"}
    tracking.silent = False
    worker.look()
    assert (wishes(stage), theirs(stage, tracking, run)) == ({}, {"team": "audio"})


def test_a_run_that_is_gone_there_is_wished_for_no_more(
    stage: Stage, tracking: FakeTracking, worker: RunMarks, run: str
):
    change(stage, run, tags={"team": None, "data": "v2"})
    tracking.delete_run(mlflow_workspace(stage.lab.id), run)
    worker.look()
    assert wishes(stage) == {}


def test_the_copy_at_a_runs_end_takes_nothing_back(stage: Stage, tracking: FakeTracking, worker: RunMarks, run: str):
    change(stage, run, tags={"team": None, "data": "v2"})
    metric_healing._noted(stage.studio, stage.lab.id, tracking.run(mlflow_workspace(stage.lab.id), run))
    assert marks(stage, run).tags == {"data": "v2"}
    worker.look()
    metric_healing._noted(stage.studio, stage.lab.id, tracking.run(mlflow_workspace(stage.lab.id), run))
    assert marks(stage, run).tags == {"data": "v2"}


def test_a_client_that_was_last_is_right_in_the_end(
    stage: Stage, tracking: FakeTracking, worker: RunMarks, run: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.reconcile.run_marks.AGAIN_SECONDS", -1.0)
    change(stage, run, tags={"team": "audio", "data": "v2"})
    worker.look()
    where = mlflow_workspace(stage.lab.id)
    tracking.tag_run(where, run, "team", "theirs")
    tracking.tag_run(where, run, "data", None)
    with stage.scope() as scope:  # what the copy brings late
        store.save_tags(scope.session, [(run, "team", "older")])
    worker.look()
    assert marks(stage, run).tags == {"team": "theirs"}
