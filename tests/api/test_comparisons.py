"""Comparisons over REST: numbers that JSON can carry, sections of two runs, and what is wrong with a question."""

import math

import pytest

from services import experiments, jobs, metric_healing
from services.core.states import JobStatus
from services.metric_tee import Tee
from services.specs.jobs import CommandJob
from services.store.metrics import Point, Run
from services.store.rows import Job
from tests.api.conftest import HELLO, House

RUNS = "/api/v1/workspaces/lab/runs"


@pytest.fixture
def two(house: House) -> list[str]:
    """Two jobs with runs; the second lost its loss."""
    stage, names = house.stage, ["first", "second"]
    tee = Tee(stage.studio)
    for place, name in enumerate(names):
        run_id = f"{place + 1:032x}"
        with stage.scope() as scope:
            spec = {**HELLO, "name": name, "inputs": {"rate": place}, "experiment_name": "iris"}
            job = jobs.submit(scope, CommandJob.model_validate(spec))
            row = scope.session.get_one(Job, job.id)
            row.run_id, row.status = run_id, JobStatus.Completed
            experiments.get(scope, "iris").mlflow_id = "1"
            metric_healing.note_run(scope.session, row, run_id, "1", 1000 + place)
            scope.session.get_one(Run, run_id).status = "FINISHED"
        tee.points(run_id, [Point("loss", math.nan if place else 0.5, 1, 1), Point("accuracy", place + 1.0, 1, 1)])
    tee.close()
    return names


def test_runs_are_compared(house: House, two: list[str]) -> None:
    ada = house.bearer("ada")
    found = ada.get(f"{RUNS}:compare", params={"run": two, "baseline": "second", "section": ["params", "logs"]}).json()
    assert [run["id"] for run in found["runs"]] == ["second", "first"]
    rows = {row["key"]: row for row in found["metrics"]}
    assert rows["accuracy"]["cells"][1] == {
        "value": 1.0, "is_nan": False, "delta": -1.0, "relative": -0.5, "is_better": False, "is_best": False,
    }  # fmt: skip
    assert [cell["is_nan"] for cell in rows["loss"]["cells"]] == [True, False]
    assert [row["values"] for row in found["params"]] == [["1", "0"]]
    assert [section["name"] for section in found["sections"]] == ["params", "logs"]
    line = found["sections"][0]["parts"][0]["lines"][0]
    assert line == {"name": "rate", "before": "1", "after": "0", "differs": True}


def test_what_changed_and_whether_it_is_luck_are_told(house: House, two: list[str]) -> None:
    ada = house.bearer("ada")
    changes = ada.get(f"{RUNS}/second/changes").json()
    assert (changes["good"], [each["name"] for each in changes["changes"]]) == ("first", ["rate"])
    luck = ada.get(f"{RUNS}:significance", params={"run": two, "metric": "accuracy"}).json()
    assert [group["values"] for group in luck["groups"]] == [{"params.rate": "0"}, {"params.rate": "1"}]
    assert luck["tests"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (":compare?run=first&run=second&aggregate=median", 422),
        (":compare?run=first&run=second&section=weather", 422),
        (":compare?run=first", 422),
        (":compare", 422),
        (":compare?run=first&run=nobody", 404),
        (":significance?run=first&run=second&metric=loss&group_by=banana", 422),
        (":significance?run=first&run=second&metric=loss&test=bayes", 422),
        ("/nobody/changes", 404),
    ],
)
def test_what_is_wrong_with_a_question_is_said(house: House, two: list[str], path: str, status: int) -> None:
    answer = house.bearer("ada").get(f"{RUNS}{path}")
    assert answer.status_code == status
    assert answer.json()["code"] in {"Invalid", "NotFound"}
