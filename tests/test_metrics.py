"""Metrics: what the tee took is summed up, drawn and listed; what it lost comes back from MLflow. On both databases."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services import experiments, jobs, metric_healing, metrics, runs
from services.core.errors import Unavailable
from services.engines.fake_tracking import FakeTracking
from services.engines.tracking import Logged, RunFacts
from services.metric_tee import Tee, summarised
from services.specs.jobs import CommandJob
from services.store import metrics as store
from services.store.columns import Series
from services.store.metrics import Point, Run, Summary
from services.store.rows import Job
from services.studio import mlflow_workspace
from tests.conftest import Stage

RUN = "a" * 32


@pytest.fixture
def tee(stage: Stage) -> Iterator[Tee]:
    made = Tee(stage.studio)
    yield made
    made.close()


@pytest.fixture
def tracking(stage: Stage) -> FakeTracking:
    made = FakeTracking()
    made.ensure_workspace(mlflow_workspace(stage.lab.id))
    return made


def loss(*values: float, start: int = 0) -> list[Point]:
    return [Point("loss", value, 1000 + at, start + at) for at, value in enumerate(values)]


def row(stage: Stage, run_id: str = RUN, **fields: object) -> Run:
    return Run.model_validate({"run_id": run_id, "workspace_id": stage.lab.id, "experiment_id": "1", **fields})


def with_run(stage: Stage, name: str, run_id: str = RUN) -> None:
    """A job of that name in the experiment `iris`, MLflow's number 1."""
    with stage.scope() as scope:
        spec = {"command": "x", "environment": {"image": "python:3.11"}, "name": name, "experiment_name": "iris"}
        job = jobs.submit(scope, CommandJob.model_validate(spec))
        scope.session.get_one(Job, job.id).run_id = run_id
        experiments.get(scope, "iris").mlflow_id = "1"
        metric_healing.note_run(scope.session, job, run_id, "1", 1000)


def kept_by(tracking: FakeTracking, stage: Stage, points: list[Point], status: str = "FINISHED") -> None:
    """As MLflow has it."""
    latest = {each.key: Logged(each.value, each.time, each.step) for each in points}
    facts = RunFacts(RUN, "1", "one", status, 1000, 2000, metrics=latest, params={"p": "q"}, tags={"t": "u"})
    tracking.runs[mlflow_workspace(stage.lab.id), RUN] = facts
    for key in latest:
        tracking.points[RUN, key] = [Logged(p.value, p.time, p.step) for p in points if p.key == key]


def test_ticks_add_up(stage: Stage, tee: Tee):
    with_run(stage, "one")
    for part in (loss(0.5, float("nan")), loss(-2.0, 9.0, start=2), loss(1.0, start=4)):
        tee.points(RUN, part)
        tee.flush()
    tee.params(RUN, {"depth": "3"})
    tee.tags(RUN, {"a": "b", "c": "d"})
    tee.untagged(RUN, "c")
    tee.flush()
    with stage.scope(write=False) as scope:
        found = metrics.summary(scope, "one")
        (line,) = metrics.history(scope, "one", ["loss"])
    (one,) = found.metrics
    assert (one.last, one.last_step, one.min, one.max, one.count) == (1.0, 4, -2.0, 9.0, 5)
    assert (found.params, found.tags) == ({"depth": "3"}, {"a": "b"})
    np.testing.assert_array_equal(line.value, [0.5, float("nan"), -2.0, 9.0, 1.0])


def test_a_run_that_begins_and_ends_within_a_tick_keeps_its_parent_and_its_job(stage: Stage, tee: Tee):
    tee.run(row(stage, job_id="job", parent_run_id="b" * 32, name="child"))
    tee.run(row(stage, name="child", status="FINISHED", end_time=5))
    tee.flush()
    with stage.studio.database.session(write=False) as session:
        kept = session.get_one(Run, RUN)
    assert (kept.job_id, kept.parent_run_id, kept.status) == ("job", "b" * 32, "FINISHED")


def test_a_tick_that_cannot_be_written_is_written_with_the_next(
    stage: Stage, tee: Tee, monkeypatch: pytest.MonkeyPatch
):
    with_run(stage, "one")

    def full(points: object) -> None:
        raise Unavailable("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(stage.studio.history, "append", full)
        tee.points(RUN, loss(1.0))
        tee.flush()
    tee.points(RUN, loss(2.0, start=1))
    tee.flush()
    with stage.scope(write=False) as scope:
        assert metrics.history(scope, "one", ["loss"])[0].value.tolist() == [1.0, 2.0]
        assert [each.count for each in metrics.summary(scope, "one").metrics] == [2]


def test_a_deleted_run_is_left_out_of_lists_until_it_is_active_again(stage: Stage, tee: Tee):
    with_run(stage, "one")
    shown = []
    for stage_word in ("deleted", "active"):
        tee.moved(RUN, stage_word)
        tee.flush()
        with stage.scope(write=False) as scope:
            shown.append([each.run_id for each in runs.listed(scope).rows])
    assert shown == [[], [RUN]]


def test_runs_are_drawn_together_by_either_name(stage: Stage, tee: Tee):
    for letter, value in (("a", 3.0), ("c", 1.0), ("d", None)):
        with_run(stage, f"job-{letter}", letter * 32)
        if value is not None:
            tee.points(letter * 32, loss(value))
    tee.flush()
    with stage.scope(write=False) as scope:
        compared = metrics.compare(scope, ["job-c", "job-d", "job-a"], "loss")
        by_id = metrics.compare(scope, ["c" * 32, "e" * 32], "loss")
    assert list(compared) == ["job-c", "job-a"]
    assert list(by_id) == ["c" * 32]


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_an_ended_run_that_lacks_points_is_read_again_once(
    stage: Stage, tracking: FakeTracking, monkeypatch: pytest.MonkeyPatch, status: str
):
    monkeypatch.setattr(metric_healing, "PATIENCE_SECONDS", 0)
    with_run(stage, "one")
    kept_by(tracking, stage, loss(1.0, 5.0, 2.0), status)
    with stage.studio.database.session(write=True) as session:
        store.save_run(session, row(stage, name="one", status=status))
    assert metric_healing.check(stage.studio, tracking, since=0) == 1
    assert metric_healing.check(stage.studio, tracking, since=0) == 0
    with stage.scope(write=False) as scope:
        found = metrics.summary(scope, "one")
        assert metrics.history(scope, "one", ["loss"])[0].value.tolist() == [1.0, 5.0, 2.0]
    assert [(each.max, each.last, each.count) for each in found.metrics] == [(5.0, 2.0, 3)]
    assert (found.params, found.tags) == ({"p": "q"}, {"t": "u"})


def test_a_hole_in_the_middle_is_found_in_runs_that_began_before_a_restart(
    stage: Stage, tee: Tee, tracking: FakeTracking
):
    with_run(stage, "one")
    every = loss(1.0, 5.0, 2.0)
    kept_by(tracking, stage, every)
    tee.run(row(stage, status="FINISHED", start_time=1000))
    tee.points(RUN, [every[0], every[2]])
    tee.flush()
    assert metric_healing.check(stage.studio, tracking, since=2000) == 1
    with stage.scope(write=False) as scope:
        assert metrics.history(scope, "one", ["loss"])[0].value.tolist() == [1.0, 5.0, 2.0]


def test_late_points_have_their_run_compared_again(stage: Stage, tee: Tee, tracking: FakeTracking):
    with_run(stage, "one")
    kept_by(tracking, stage, loss(1.0))
    tee.run(row(stage, status="FINISHED"))
    tee.points(RUN, loss(1.0))
    tee.flush()
    assert metric_healing.check(stage.studio, tracking, since=0) == 1
    tee.points(RUN, loss(1.0))
    tee.flush()
    assert metric_healing.check(stage.studio, tracking, since=0) == 1
    with stage.scope(write=False) as scope:
        assert [each.count for each in metrics.summary(scope, "one").metrics] == [1]


def test_a_run_that_mlflow_does_not_have_is_asked_for_once(stage: Stage, tracking: FakeTracking):
    with stage.studio.database.session(write=True) as session:
        store.save_run(session, row(stage, status="FINISHED"))
    assert [metric_healing.check(stage.studio, tracking) for _ in range(2)] == [1, 0]


def test_without_mlflow_nothing_counts_as_compared(stage: Stage, tracking: FakeTracking):
    with stage.studio.database.session(write=True) as session:
        store.save_run(session, row(stage, status="FINISHED"))
    kept_by(tracking, stage, loss(1.0))
    tracking.silent = True
    with pytest.raises(Unavailable):
        metric_healing.check(stage.studio, tracking)
    tracking.silent = False
    assert metric_healing.check(stage.studio, tracking) == 1


def test_the_end_of_a_run_that_a_crash_hid_is_asked_for(stage: Stage, tracking: FakeTracking):
    with stage.studio.database.session(write=True) as session:
        store.save_run(session, row(stage))
    kept_by(tracking, stage, loss(1.0), "FAILED")
    metric_healing.refresh(stage.studio, tracking)
    with stage.studio.database.session(write=False) as session:
        assert session.get_one(Run, RUN).status == "FAILED"


odd = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1.0, float("nan")])
logged = st.tuples(st.integers(-2, 3), st.integers(0, 2), odd)


@settings(max_examples=200, deadline=None)
@given(st.lists(logged, min_size=1, max_size=60), st.integers(1, 4))
def test_a_series_summed_up_at_once_is_the_same_as_point_by_point(rows: list[tuple[int, int, float]], times: int):
    """Long enough for arrays when it is repeated; the sign of a zero is nobody's."""
    rows = rows * times * 10
    one = Summary(RUN, 1)
    for step, at, value in rows:
        one.add(value, at, step)
    steps, ats, values = (list(column) for column in zip(*rows, strict=True))
    series = Series(np.array(steps, np.int64), np.array(ats, np.int64), np.array(values))
    assert summarised(RUN, 1, series) == one
