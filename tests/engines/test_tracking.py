"""What may be asked of tracking: the same promises by MLflow itself and by the fake."""

import socket
import uuid

import pytest

from services.core.errors import NotFound, Unavailable
from services.engines.fake_tracking import FakeTracking
from services.engines.tracking import HttpTracking, Tracking


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


def test_tags_of_a_run_are_set_and_taken_away_again(tracking: Tracking, workspace: str) -> None:
    _, run = new_run(tracking, workspace)
    for _ in range(2):
        tracking.tag_run(workspace, run, "mlflow.note.content", "é" * 8000)
        tracking.tag_run(workspace, run, "team", None)
    tags = tracking.run(workspace, run).tags
    assert tags["mlflow.note.content"] == "é" * 8000
    assert "team" not in tags
    with pytest.raises(NotFound):
        tracking.tag_run(workspace, "0" * 32, "team", "x")
    tracking.tag_run(workspace, "0" * 32, "team", None)


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


def registered(tracking: Tracking, workspace: str, **tags: str) -> str:
    uri = "azureml://datastores/workspaceblobstore/paths/x"
    return tracking.register(workspace, "iris", source=uri, run_id="", description="petals", tags=tags).version


def test_versions_are_counted_and_no_number_is_given_twice(tracking: Tracking, workspace: str) -> None:
    assert tracking.aliases_of(workspace, "iris") is None
    assert tracking.versions(workspace, "iris") == []
    assert [registered(tracking, workspace), registered(tracking, workspace)] == ["1", "2"]
    for _ in range(2):
        tracking.unregister(workspace, "iris", "2")
    assert registered(tracking, workspace) == "3"
    assert [each.version for each in tracking.versions(workspace)] == ["1", "3"]
    with pytest.raises(NotFound):
        tracking.download_uri(workspace, "iris", "2")


def test_a_version_says_what_it_was_told(tracking: Tracking, workspace: str) -> None:
    registered(tracking, workspace, team="x")
    tracking.describe(workspace, "iris", "1", "other")
    tracking.move_stage(workspace, "iris", "1", "Staging")
    tracking.tag(workspace, "iris", "1", "rows", "150")
    tracking.tag(workspace, "iris", "1", "team", None)
    (found,) = tracking.versions(workspace, "iris")
    assert (found.description, found.stage, dict(found.tags)) == ("other", "Staging", {"rows": "150"})
    assert found.source == tracking.download_uri(workspace, "iris", "1")
    tracking.move_stage(workspace, "iris", "1", "")
    assert tracking.versions(workspace, "iris")[0].stage == ""


def test_aliases_move_and_go_with_their_version(tracking: Tracking, workspace: str) -> None:
    registered(tracking, workspace)
    registered(tracking, workspace)
    for version in ("1", "2"):
        tracking.alias(workspace, "iris", "champion", version)
    assert tracking.aliases(workspace) == {"iris": {"champion": "2"}}
    tracking.alias(workspace, "iris", "other", "1")
    tracking.alias(workspace, "iris", "other", None)
    tracking.unregister(workspace, "iris", "2")
    assert tracking.aliases_of(workspace, "iris") == {}


def test_another_workspaces_models_are_not_seen(tracking: Tracking, workspace: str) -> None:
    registered(tracking, workspace)
    other = f"ws-{uuid.uuid4().hex[:16]}"
    tracking.ensure_workspace(other)
    assert tracking.aliases(other) == {}
    assert tracking.versions(other) == []
