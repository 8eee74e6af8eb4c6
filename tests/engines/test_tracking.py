"""What may be asked of tracking: the same promises by MLflow itself and by the fake."""

import socket
import uuid

import pytest

from services.core.errors import NotFound, Unavailable
from services.engines.tracking import FakeTracking, HttpTracking, Tracking


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.slow)])
def tracking(request: pytest.FixtureRequest) -> Tracking:
    if request.param == "fake":
        return FakeTracking()
    return HttpTracking(request.getfixturevalue("mlflow_server"))


@pytest.fixture
def workspace(tracking: Tracking) -> str:
    name = f"ws-{uuid.uuid4().hex[:16]}"
    tracking.ensure_workspace(name)
    return name


def new_run(tracking: Tracking, workspace: str, job: str = "job1") -> tuple[str, str]:
    experiment = tracking.ensure_experiment(workspace, "iris")
    run = tracking.ensure_run(
        workspace, experiment, job_id=job, name="first", user="ada", start_time=1000, tags={"team": "x"}
    )
    return experiment, run


def test_everything_is_made_once(tracking: Tracking, workspace: str) -> None:
    tracking.ensure_workspace(workspace)
    first, again = new_run(tracking, workspace), new_run(tracking, workspace)
    assert first == again
    assert new_run(tracking, workspace, "job2")[1] != first[1]


def test_a_run_says_what_it_was_given(tracking: Tracking, workspace: str) -> None:
    experiment, run = new_run(tracking, workspace)
    facts = tracking.run(workspace, run)
    assert (facts.experiment_id, facts.name, facts.status, facts.start_time) == (experiment, "first", "RUNNING", 1000)
    assert facts.tags["team"] == "x"
    assert facts.tags["atelier.job"] == "job1"


def test_a_run_ends_and_may_end_again(tracking: Tracking, workspace: str) -> None:
    _, run = new_run(tracking, workspace)
    for _ in range(2):
        tracking.end_run(workspace, run, "FAILED", 2000)
    facts = tracking.run(workspace, run)
    assert (facts.status, facts.end_time) == ("FAILED", 2000)


def test_another_workspace_sees_nothing(tracking: Tracking, workspace: str) -> None:
    _, run = new_run(tracking, workspace)
    other = f"ws-{uuid.uuid4().hex[:16]}"
    tracking.ensure_workspace(other)
    with pytest.raises(NotFound):
        tracking.run(other, run)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(tracking: Tracking, workspace: str) -> None:
    _, run = new_run(tracking, workspace)
    for _ in range(2):
        tracking.delete_run(workspace, run)
    for _ in range(2):
        tracking.delete_workspace(workspace)
    tracking.ensure_workspace(workspace)
    with pytest.raises(NotFound):
        tracking.run(workspace, run)


def test_a_silent_server_is_unavailable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    silent = HttpTracking(f"http://127.0.0.1:{port}")
    assert not silent.answers()
    with pytest.raises(Unavailable):
        silent.ensure_workspace("ws-x")
