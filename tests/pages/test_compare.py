"""The screen that puts runs beside each other: what is chosen is in the address, and no name breaks out."""

from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.ui import compare_table
from services import comparisons, experiments, jobs, metric_healing
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


@pytest.mark.parametrize(
    "tab",
    ["metrics", "charts", "params", "tags", *comparisons.SECTIONS[2:], "significance", "changed"],
)
def test_every_tab_opens_and_nothing_breaks_out(compared: Stage, opened: Opened, tab: str) -> None:
    for only in ("", "1"):
        test = opened("compare", runs=RUNS, tab=tab, only=only)
        assert not test.exception
        assert "This page could not be shown" not in said(test)
        assert "<img" not in html(test)
        assert "4 runs" in said(test)


def test_two_jobs_show_their_code_and_none_of_their_secrets(compared: Stage, opened: Opened) -> None:
    with compared.scope() as scope:
        for name, token in (("three", "hush-hush"), ("four", "hush")):
            job(scope, name, environment_variables={"TOKEN": token}, display_name=seed.HOSTILE)
    words = said(opened("compare", runs="one,two", tab="code"))
    assert "RATE = 0.1" in words
    assert "RATE = 0.2" in words
    assert "train.py" in words
    test = opened("compare", runs="three,four", tab="environment")
    assert "another value" in said(test)
    assert "hush" not in said(test)
    assert "<img" not in html(test)
    assert "Nothing differs" in said(opened("compare", runs="three,four", tab="code", only="1"))
    assert "What was installed is not known" in said(opened("compare", runs="three,four", tab="environment", only="1"))


def test_what_changed_leads_to_the_comparison_with_the_last_good_run(compared: Stage, opened: Opened) -> None:
    with compared.scope() as scope:
        for place in (1, 2):
            scope.session.get_one(Run, f"{place:032x}").status = "FINISHED"
    words = said(opened("compare", runs="one,two", tab="changed"))
    assert "File train.py changed." in words
    assert "Parameter rate is 0.2 and was 0.1." in words
    assert "runs=one%2Ctwo&amp;tab=code&amp;baseline=one&amp;other=two&amp;only=1" in words


def test_groups_are_tested_when_they_are_large_enough(compared: Stage, opened: Opened) -> None:
    tee = Tee(compared.studio)
    for place in range(6):
        run_id = f"{place + 20:032x}"
        tee.run(Run(run_id=run_id, workspace_id=compared.lab.id, experiment_id="1", name=f"s{place}"))
        tee.points(run_id, [Point("accuracy", 0.8 + place / 100 + (0.1 if place > 2 else 0), 0, 0)])
        tee.params(run_id, {"lr": str(place // 3), "seed": str(place % 3)})
    tee.close()
    names = ",".join(f"{place + 20:032x}" for place in range(6))
    words = said(opened("compare", runs=names, tab="significance"))
    assert "Welch" in words
    assert "n = 3 and 3" in words
    assert "Taken for seeds and left out: seed" in words
    assert "Mann–Whitney" in said(opened("compare", runs=names, tab="significance", test="mann-whitney"))


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
