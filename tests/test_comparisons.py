"""Comparisons of runs: distances to a baseline, what differs, and what is known of two of them. On both databases."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from services import comparisons, experiments, jobs, metric_healing
from services.core.errors import Denied, Invalid, NotFound
from services.core.states import JobStatus
from services.metric_tee import Tee
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace
from services.store.metrics import Point, Run
from services.store.rows import Job
from services.studio import Scope
from services.workspaces import create
from tests.conftest import Stage

IDS = {name: f"{place:032x}" for place, name in enumerate("abcdefghij", 1)}


@pytest.fixture
def tee(stage: Stage) -> Iterator[Tee]:
    made = Tee(stage.studio)
    yield made
    made.close()


def job(scope: Scope, name: str, run_id: str = "", **changes: Any) -> Job:
    """A job of the experiment `iris`, MLflow's number 1, with a run when an id is given."""
    spec = {"command": "python train.py", "environment": {"image": "debian:12"}, "name": name, **changes}
    row = jobs.submit(scope, CommandJob.model_validate({"experiment_name": "iris", **spec}))
    experiments.get(scope, "iris").mlflow_id = "1"
    if run_id:
        row.status, row.run_id = JobStatus.Completed, run_id
        metric_healing.note_run(scope.session, row, run_id, "1", 1000)
    return row


def logged(
    tee: Tee,
    stage: Stage,
    run_id: str,
    metrics: Mapping[str, list[float]] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    **fields: Any,
) -> None:
    """A run of a plain MLflow script."""
    said = {"experiment_id": "1", "status": "FINISHED", "start_time": 1000, **fields}
    tee.run(Run.model_validate({"run_id": run_id, "workspace_id": stage.lab.id, **said}))
    for key, values in (metrics or {}).items():
        tee.points(run_id, [Point(key, value, step, step) for step, value in enumerate(values)])
    tee.params(run_id, params or {})
    tee.tags(run_id, tags or {})
    tee.flush()


def test_the_baseline_stands_first_and_others_say_how_far_they_are(stage: Stage, tee: Tee):
    for name, loss, accuracy in (("a", 0.4, 0.8), ("b", 0.2, 0.8), ("c", 0.6, 0.9)):
        logged(tee, stage, IDS[name], {"loss": [9.0, loss], "accuracy": [accuracy], "nothing": [math.nan]})
    logged(tee, stage, IDS["d"], {"accuracy": [math.nan]})
    with stage.scope(write=False) as scope:
        found = comparisons.compare_runs(scope, [IDS[name] for name in "abcd"], baseline=IDS["b"])
    assert [run.id for run in found.runs] == [IDS[name] for name in "bacd"]
    rows = {row.key: row for row in found.metrics}
    loss = rows["loss"].cells
    assert [cell.value for cell in loss] == [0.2, 0.4, 0.6, None]
    assert [cell.is_better for cell in loss] == [None, False, False, None]
    assert [cell.is_best for cell in loss] == [True, False, False, False]
    assert loss[1].delta == pytest.approx(0.2)
    assert loss[1].relative == pytest.approx(1.0)
    accuracy = rows["accuracy"].cells
    assert [(cell.is_better, cell.is_nan) for cell in accuracy] == [
        (None, False),
        (None, False),
        (True, False),
        (None, True),
    ]
    assert [rows[key].is_higher_better for key in ("loss", "accuracy")] == [False, True]
    assert [cell.value for cell in rows["nothing"].cells] == [None] * 4


@pytest.mark.parametrize(("aggregate", "values"), [("last", [2.0, 7.0]), ("min", [1.0, 7.0]), ("max", [3.0, 7.0])])
def test_what_is_compared_of_a_metric_is_chosen(stage: Stage, tee: Tee, aggregate: str, values: list[float]):
    logged(tee, stage, IDS["a"], {"score": [3.0, 1.0, 2.0]})
    logged(tee, stage, IDS["b"], {"score": [7.0]})
    with stage.scope(write=False) as scope:
        found = comparisons.compare_runs(scope, [IDS["a"], IDS["b"]], aggregate=aggregate)
        with pytest.raises(Invalid):
            comparisons.compare_runs(scope, [IDS["a"], IDS["b"]], aggregate="median")
    assert [cell.value for cell in found.metrics[0].cells] == values


def test_only_what_differs_is_left(stage: Stage, tee: Tee):
    logged(tee, stage, IDS["a"], {"x": [1.0], "y": [1.0], "n": [math.nan]}, {"p": "1", "q": "1"}, {"t": "1", "u": "1"})
    logged(tee, stage, IDS["b"], {"x": [1.0], "y": [2.0], "n": [math.nan]}, {"p": "1", "q": "2"}, {"t": "1"})
    with stage.scope(write=False) as scope:
        names = [IDS["a"], IDS["b"]]
        everything = comparisons.compare_runs(scope, names)
        different = comparisons.compare_runs(scope, names, only_differing=True)
        searched = comparisons.compare_runs(scope, names, search="Y", limit=1)
    assert [row.key for row in everything.metrics] == ["n", "x", "y"]
    assert [row.key for row in different.metrics] == ["y"]
    assert [(row.key, row.values) for row in different.params] == [("q", ["1", "2"])]
    assert [(row.key, row.values) for row in different.tags] == [("u", ["1", None])]
    assert [row.key for row in searched.metrics] == ["y"]
    assert everything.totals == {"metrics": 3, "params": 2, "tags": 2}


def test_what_a_job_was_given_counts_as_a_parameter_that_it_did_not_log(stage: Stage, tee: Tee):
    with stage.scope() as scope:
        job(scope, "one", IDS["a"], inputs={"rate": 0.1, "depth": 3}, tags={"team": "red"})
        job(scope, "two", inputs={"rate": 0.2})
    tee.params(IDS["a"], {"rate": "0.15"})
    tee.flush()
    with stage.scope(write=False) as scope:
        found = comparisons.compare_runs(scope, ["two", IDS["a"]])
    assert [run.id for run in found.runs] == ["two", "one"]
    assert [(row.key, row.values) for row in found.params] == [("depth", [None, "3"]), ("rate", ["0.2", "0.15"])]
    assert [(row.key, row.values) for row in found.tags] == [("team", [None, "red"])]


def test_a_run_has_one_name_however_it_is_asked_for(stage: Stage, tee: Tee):
    with stage.scope() as scope:
        made = job(scope, "one", IDS["a"])
    logged(tee, stage, IDS["b"], job_id=made.id, parent_run_id=IDS["a"], name="fold 1")
    with stage.scope(write=False) as scope:
        found = comparisons.sides(scope, [IDS["a"], "one", IDS["b"], "nobody"])
        heads = comparisons.compare_runs(scope, ["one", IDS["b"]]).runs
    assert [side.name for side in found] == ["one", IDS["b"]]
    assert [side.is_own for side in found] == [True, False]
    assert found[1].job is not None
    assert [(head.label, head.job, head.experiment) for head in heads] == [
        ("one", "one", "iris"),
        ("fold 1", "", "iris"),
    ]


def test_who_may_compare_what(stage: Stage, tee: Tee):
    with stage.scope(workspace=None) as scope:
        create(scope, Workspace(name="other"))
    with stage.scope(workspace="other") as scope:
        job(scope, "theirs", IDS["c"])
    for name in "ab":
        logged(tee, stage, IDS[name])
    with stage.scope(write=False) as scope:
        told = comparisons.compare_runs(scope, [IDS["a"], IDS["b"], "theirs", IDS["c"]])
        assert told.missing == ["theirs", IDS["c"]]
        with pytest.raises(NotFound):
            comparisons.compare_runs(scope, [IDS["a"], "theirs"])
        with pytest.raises(Invalid):
            comparisons.compare_runs(scope, [IDS["a"], IDS["a"]])
        with pytest.raises(Invalid):
            comparisons.compare_runs(scope, [f"r{place}" for place in range(201)])
    with stage.scope(stage.cleo, write=False) as scope:
        assert len(comparisons.compare_runs(scope, [IDS["a"], IDS["b"]]).runs) == 2
    with stage.studio.scope(stage.dan, None) as scope, pytest.raises(Denied):
        comparisons.compare_runs(scope, [IDS["a"], IDS["b"]])


def test_courses_are_short_and_keep_their_extremes(stage: Stage, tee: Tee):
    logged(tee, stage, IDS["a"], {"loss": [float(-1000 if step == 777 else step) for step in range(2000)]})
    logged(tee, stage, IDS["b"], {"other": [1.0]})
    with stage.scope(write=False) as scope:
        found = comparisons.sparks(scope, [IDS["a"], IDS["b"]], ["loss", "nothing"])
    assert set(found) == {"loss"}
    assert set(found["loss"]) == {IDS["a"]}
    line = found["loss"][IDS["a"]]
    assert len(line) <= comparisons.POINTS
    assert (line.value.min(), line.value.max(), line.value[-1]) == (-1000, 1999, 1999)


def test_other_runs_are_found_by_their_words(stage: Stage, tee: Tee):
    with stage.scope() as scope:
        job(scope, "one", IDS["a"], display_name="Swift otter")
    logged(tee, stage, IDS["b"], name="plain", start_time=5000)
    with stage.scope(write=False) as scope:
        assert [run.id for run in comparisons.candidates(scope, [])] == [IDS["b"], "one"]
        assert [run.id for run in comparisons.candidates(scope, ["one"])] == [IDS["b"]]
        assert [run.id for run in comparisons.candidates(scope, [], search="OTTER")] == ["one"]
        assert len(comparisons.candidates(scope, [], search="iris")) == 2
