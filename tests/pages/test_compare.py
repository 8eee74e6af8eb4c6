"""The screen that puts runs beside each other: what is chosen is in the address, and no name breaks out."""

from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.ui import compare_table
from services import experiments, jobs, metric_healing
from services.core.states import JobStatus
from services.metric_tee import Tee
from services.specs.jobs import CommandJob
from services.store.columns import Series
from services.store.metrics import Point, Run
from services.store.rows import Job
from services.studio import Scope
from tests.conftest import Stage
from tests.pages import seed
from tests.pages.conftest import Opened, said

CODE = {"one": "import mlflow\n\nRATE = 0.1\nprint(RATE)\n", "two": "import mlflow\n\nRATE = 0.2\nprint(RATE)\n"}


def job(scope: Scope, name: str, **changes: Any) -> Job:
    spec = {"command": "python train.py", "environment": {"image": "debian:12"}, "name": name, **changes}
    return jobs.submit(scope, CommandJob.model_validate(spec))


@pytest.fixture
def compared(house: Stage) -> Stage:
    """Two jobs with runs, code and logs of their own, and two runs from elsewhere with hostile names."""
    tee = Tee(house.studio)
    with house.scope() as scope:
        for place, name in enumerate(("one", "two")):
            row = job(scope, name, inputs={"rate": 0.1 * (place + 1)}, experiment_name="iris")
            row.status, row.run_id, row.snapshot_id = JobStatus.Completed, f"{place + 1:032x}", f"{place + 1:064x}"
            folder = scope.studio.folders.snapshot(row.workspace_id, row.snapshot_id)
            folder.mkdir(parents=True)
            (folder / "train.py").write_text(CODE[name])
            experiments.get(scope, "iris").mlflow_id = "1"
            metric_healing.note_run(scope.session, row, row.run_id, "1", 1000 + place)
    for place, name in enumerate((seed.HOSTILE, "plain")):
        run_id = f"{place + 10:032x}"
        tee.run(Run(run_id=run_id, workspace_id=house.lab.id, experiment_id="1", name=name, status="FINISHED"))
        tee.tags(run_id, {seed.HOSTILE: seed.HOSTILE})
    for place, number in enumerate((1, 2, 10, 11)):
        run_id = f"{number:032x}"
        tee.points(run_id, [Point("loss", 1 / (step + 1 + place), step, step) for step in range(5)])
        tee.points(run_id, [Point(seed.HOSTILE, 1.0, 0, 0)])
        tee.params(run_id, {"depth": str(3 if place < 2 else 4), seed.HOSTILE: seed.HOSTILE})
    tee.close()
    return house


RUNS = f"one,two,{10:032x},{11:032x}"


def html(test: AppTest) -> str:
    return "".join(str(element.proto.body) for element in test.get("html"))


def test_it_says_where_runs_are_chosen(house: Stage, opened: Opened) -> None:
    assert "Choose runs to compare" in said(opened("compare"))
    assert "Choose runs to compare" in said(opened("compare", runs="one"))


@pytest.mark.parametrize("tab", ["metrics", "params", "tags"])
def test_every_tab_opens_and_nothing_breaks_out(compared: Stage, opened: Opened, tab: str) -> None:
    for only in ("", "1"):
        test = opened("compare", runs=RUNS, tab=tab, only=only)
        assert not test.exception
        assert "This page could not be shown" not in said(test)
        assert "<img" not in html(test)
        assert "4 runs" in said(test)


def test_links_of_two_jobs_still_open(compared: Stage, opened: Opened) -> None:
    test = opened("compare", before="one", after="two")
    assert test.query_params["runs"] == "one,two"
    assert test.query_params["baseline"] == "one"
    assert "before" not in test.query_params


def test_what_is_not_here_is_said(compared: Stage, opened: Opened) -> None:
    assert "was not found" in said(opened("compare", runs="one,nobody"))
    assert "Not here, or no more: nobody" in said(opened("compare", runs="one,two,nobody"))


def test_a_course_is_drawn_inside_its_frame_and_without_gaps() -> None:
    steps = np.arange(4)
    lines = {
        "a": Series(steps, steps, np.array([0.0, np.nan, 1.797e308, -1.797e308])),
        "b": Series(steps[:1], steps[:1], np.array([5.0])),
        "c": Series(steps[:1], steps[:1], np.array([np.nan])),
    }
    drawn = dict(compare_table.drawn(lines, ["b", "a", "c"]))
    assert set(drawn) == {0, 1}
    assert len(drawn[1]) == 6
    assert all(0 <= x <= compare_table.WIDTH for x in drawn[1][::2])
    assert all(0 <= y <= compare_table.HEIGHT for y in drawn[1][1::2])
