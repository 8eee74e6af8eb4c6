"""atelier run: lists with chosen columns, filters whose errors point at the place, files, and what people write."""

import csv
import io
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.api.conftest import House
from tests.cli.conftest import Terminal
from tests.recorded import recorded

A, B = "a" * 32, "b" * 32


@pytest.fixture(scope="module", autouse=True)
def _two(house: House) -> None:
    loss = {"loss": [0.5, 0.1], "val.loss": [0.3]}
    recorded(house.stage, A, loss, params={"lr": "0.1"}, tags={"team": "vision"})
    recorded(house.stage, B, {"loss": [float("nan")]}, experiment="wine", params={"lr": "=1+1"}, status="FAILED")


def test_runs_are_listed_with_the_columns_asked_for(terminal: Terminal):
    words = ("--columns", "min(metrics.loss),at(metrics.loss, 0),params.lr", "--metric", "val.loss")
    rows = terminal.ok("run", "list", *words, "--order-by", "params.lr")
    assert [row["cells"] for row in rows] == [
        {"min(metrics.loss)": 0.1, "at(metrics.loss, 0)": 0.5, "params.lr": "0.1", "metrics.val.loss": 0.3},
        {"min(metrics.loss)": "NaN", "at(metrics.loss, 0)": "NaN", "params.lr": "=1+1", "metrics.val.loss": None},
    ]
    head, _, first, *_ = terminal.run("run", "list", *words, "--order-by", "params.lr", "-o", "table").out.splitlines()
    assert head.split()[:4] == ["Id", "Name", "Status", "Experiment"]
    assert head.endswith("params.lr  metrics.val.loss")
    assert first.split()[-2:] == ["0.1", "0.3"]


def test_filters_and_experiments_choose_runs(terminal: Terminal):
    assert [row["id"] for row in terminal.ok("run", "list", "--filter", "metrics.loss < 0.2")] == [A]
    assert [row["id"] for row in terminal.ok("run", "list", "--experiment-name", "wine")] == [B]
    assert [row["id"] for row in terminal.ok("run", "list", "--search", "run b")] == [B]
    assert len(terminal.ok("run", "list", "--max-results", "1")) == 1
    assert "1 of 2 runs" in terminal.run("run", "list", "--max-results", "1", "-o", "table").err


def test_a_wrong_filter_is_shown_with_a_caret_below_the_place(terminal: Terminal):
    said = terminal.run("run", "list", "--filter", "metrics.loss < and")
    assert said.code == 2
    first, shown, caret, *_ = said.err.splitlines()
    assert first.startswith("Error: filter:16: ")
    assert shown[caret.index("^") :] == "and"


def test_one_run_is_shown_to_people_and_to_programs(terminal: Terminal):
    assert terminal.ok("run", "show", "--name", A)["metrics"]["loss"]["min"] == 0.1
    text = terminal.run("run", "show", "--name", A, "-o", "table").out
    assert "params.lr  0.1" in text
    assert "metrics.loss  0.1  (step 1, 0.1 to 0.5)" in text
    assert terminal.run("run", "show", "--name", "nobody").code == 3


def test_all_runs_are_taken_out_as_files(terminal: Terminal, tmp_path: Path):
    rows = list(csv.DictReader(io.StringIO(terminal_bytes(terminal, "run", "export", "--columns", "params.lr"))))
    assert {row["params.lr"] for row in rows} == {"0.1", "'=1+1"}
    terminal.run("run", "export", "--metric", "loss", "--file", str(tmp_path / "runs.parquet"))
    assert pyarrow.parquet.read_table(tmp_path / "runs.parquet").num_rows == 2
    assert terminal.run("run", "export", "--file", "runs.xls").code == 2
    assert terminal.run("run", "export", "--filter", "?", "--file", str(tmp_path / "x.csv")).code == 2
    assert not (tmp_path / "x.csv").exists()


def test_people_write_on_a_run(terminal: Terminal):
    marks = terminal.ok("run", "update", "--name", A, "--tags", "team=", "owner=ben", "--star", "--note", "# Good")
    assert (marks["tags"], marks["is_starred"], marks["note"]) == ({"owner": "ben"}, True, "# Good")
    assert terminal.ok("run", "update", "--name", A, "--no-star")["is_starred"] is False
    assert terminal.run("run", "update", "--name", A, "--color", "red").code == 2
    terminal.sit("cleo")
    assert terminal.run("run", "update", "--name", A, "--star").code == 4


def terminal_bytes(terminal: Terminal, *words: str) -> str:
    """What a program of its own says: bytes go past what the test captures."""
    from tests.cli.conftest import program

    process = program(*words, ATELIER_TOKEN=terminal.house.token("ben"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.decode("utf-8-sig")
