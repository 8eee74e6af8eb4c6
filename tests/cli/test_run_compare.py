"""atelier run compare and run changes: a table for people, the whole document for programs."""

import pytest

from services import experiments, jobs, metric_healing
from services.core.states import JobStatus
from services.metric_tee import Tee
from services.specs.jobs import CommandJob
from services.store.metrics import Point, Run
from services.store.rows import Job
from tests.cli.conftest import Terminal


@pytest.fixture
def two(terminal: Terminal, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two jobs with runs, of this test alone."""
    stage, own = terminal.house.stage, f"{abs(hash(request.node.name)):x}"[:8]
    names, tee = (f"one-{own}", f"two-{own}"), Tee(stage.studio)
    for place, name in enumerate(names):
        run_id = f"{own}{place:024x}"
        with stage.scope(stage.ben) as scope:
            spec = {
                "command": f"echo {name}",
                "environment": {"image": "debian:12"},
                "inputs": {"rate": place, "same": 1},
            }
            job = jobs.submit(scope, CommandJob.model_validate({**spec, "name": name, "experiment_name": own}))
            row = scope.session.get_one(Job, job.id)
            row.run_id, row.status = run_id, JobStatus.Completed
            experiments.get(scope, own).mlflow_id = own
            metric_healing.note_run(scope.session, row, run_id, own, 1000 + place)
            scope.session.get_one(Run, run_id).status = "FINISHED"
        tee.points(run_id, [Point("loss", 0.5 + place / 4, 1, 1)])
    tee.close()
    return names


def test_runs_stand_beside_each_other(terminal: Terminal, two: tuple[str, str]) -> None:
    words = ("run", "compare", "--name", two[0], "--name", two[1])
    said = terminal.run(*words, "-o", "table").out
    assert two[0] in said
    lines = {tuple(line.split()) for line in said.splitlines()}
    assert ("metric", "loss", "0.5", "*", "0.75", "(+50.0%)") in lines
    assert ("param", "rate", "0", "1") in lines
    assert ("param", "same", "1", "1") in lines
    assert "same" not in terminal.run(*words, "--differences-only", "-o", "table").out
    found = terminal.ok(*words, "--baseline", two[1])
    assert [run["id"] for run in found["runs"]] == [two[1], two[0]]


def test_sections_are_printed_as_patches(terminal: Terminal, two: tuple[str, str]) -> None:
    words = ("run", "compare", "-n", two[0], "-n", two[1], "--section", "code", "--section", "params")
    said = terminal.run(*words, "-o", "table").out
    assert f"Code: {two[0]} → {two[1]}" in said
    assert f"echo {two[1]}" in said


def test_what_changed_since_it_went_well_is_told(terminal: Terminal, two: tuple[str, str]) -> None:
    said = terminal.run("run", "changes", "--name", two[1], "-o", "table")
    assert "Parameter rate is 1 and was 0." in said.out
    assert terminal.ok("run", "changes", "--name", two[1])["good"] == two[0]
    assert "No run of this experiment" in terminal.run("run", "changes", "--name", two[0], "-o", "table").err


def test_what_is_not_there_is_said(terminal: Terminal, two: tuple[str, str]) -> None:
    assert terminal.run("run", "compare", "-n", two[0], "-n", "nobody").code == 3
    assert terminal.run("run", "compare", "-n", two[0]).code == 2
    assert terminal.run("run", "changes", "-n", "nobody").code == 3
