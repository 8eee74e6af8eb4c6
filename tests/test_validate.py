"""`atelier validate`: any file, without a studio; a problem has its file, line and field."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from tests.launched import PROGRAM, ROOT
from tests.specs.written import WRITTEN

JOB = "command: ls\nenvironment: azureml:e:1\n"


class Desk:
    """Files in a folder, and what is said about them."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capture = folder, capture

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.yml").write_text(text)

    def run(self, *words: str) -> tuple[int, str, str]:
        self.capture.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["validate", *words])
        said = self.capture.readouterr()
        return int(end.value.code or 0), said.out, said.err

    def rows(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self.run(*words, "-o", "json")
        return code, json.loads(out)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


def test_a_good_file_is_named_with_its_kind(desk: Desk) -> None:
    desk.write(job=JOB)
    assert desk.run("job.yml") == (0, "ok     job.yml  (commandJob)\n", "1 file, 0 wrong\n")


def test_every_problem_has_its_line(desk: Desk) -> None:
    desk.write(job=JOB.replace("command", "comand") + "limits:\n  timeout: soon\n")
    code, rows = desk.rows("job.yml")
    assert code == 2
    (row,) = rows
    assert (row["kind"], row["ok"]) == ("commandJob", False)
    found = {(each["line"], each["field"]) for each in row["problems"]}
    assert {(1, "comand"), (4, "limits.timeout")} <= found
    _, out, err = desk.run("job.yml")
    assert "job.yml:1: Unknown field 'comand' (line 1). Did you mean 'command'?" in out
    assert err == "1 file, 1 wrong\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", None, "Expected a mapping at top level"),
        ("a: b: c\n", 1, "This is not YAML"),
        ("a: 1\na: 2\n", 2, "Field 'a' given twice (lines 1, 2)"),
        ("a: !!python/object:os.system {}\n", 1, "Tag not allowed"),
        ("type: spark\nentry: {}\n", 1, "Spark jobs are not run by this version."),
        ("services: {}\nnetworks: {}\n", 1, "no kind of file that is known here"),
    ],
)
def test_a_file_that_is_nothing_of_ours_is_wrong_when_it_is_named(desk: Desk, text: str, line: int, said: str) -> None:
    desk.write(x=text)
    code, (row,) = desk.rows("x.yml")
    (problem,) = row["problems"]
    assert (code, problem["line"]) == (2, line)
    assert said in problem["message"]


def test_a_folder_is_walked_and_foreign_files_are_passed_over(desk: Desk) -> None:
    desk.write(jobs__a=JOB, jobs__deep__b=JOB, compose="services: {}\nnetworks: {}\n", bad="type: comand\n")
    desk.write(**{".hidden__c": "type: comand\n"})
    code, rows = desk.rows(".")
    assert code == 2
    assert [(row["file"], row["ok"]) for row in rows] == [
        ("bad.yml", False),
        ("jobs/a.yml", True),
        ("jobs/deep/b.yml", True),
    ]
    assert desk.rows("jobs")[0] == 0


def test_patterns_are_followed_where_no_shell_did(desk: Desk) -> None:
    desk.write(jobs__a=JOB, jobs__deep__b=JOB)
    code, rows = desk.rows("jobs/**/*.yml")
    assert (code, [row["file"] for row in rows]) == (0, ["jobs/a.yml", "jobs/deep/b.yml"])
    code, _, err = desk.run("nothing*.yml")
    assert (code, err) == (2, "Error: File 'nothing*.yml' was not found.\n")


def test_what_a_file_names_must_be_beside_it(desk: Desk) -> None:
    desk.write(
        sub__job=JOB + "code: src\ninputs:\n  d: {type: uri_file, path: ../rows.csv}\n",
        sub__deployment="name: blue\nendpoint_name: e-1\nmodel: {path: model.pkl}\n"
        "code_configuration: {code: src, scoring_script: score.py}\n",
        sub__env="image: python:3.11\nconda_file: conda.yaml\n",
    )
    _, rows = desk.rows("sub")
    assert {each["field"] for row in rows for each in row["problems"]} == {
        "code",
        "inputs.d.path",
        "model.path",
        "code_configuration.code",
        "conda_file",
    }
    (desk.folder / "sub" / "src").mkdir()
    _, rows = desk.rows("sub/deployment.yml")
    assert "'score.py' was not found in the code" in rows[0]["problems"][1]["message"]
    (desk.folder / "sub" / "src" / "score.py").touch()
    (desk.folder / "sub" / "model.pkl").touch()
    (desk.folder / "sub" / "conda.yaml").write_text("dependencies: [python=3.11]\n")
    (desk.folder / "rows.csv").touch()
    assert desk.rows("sub")[0] == 0


def test_a_step_is_held_to_its_components_interface(desk: Desk) -> None:
    component = "name: c\nversion: 1\n" + JOB + "inputs:\n  rows: {type: uri_folder}\n  n: {type: integer, max: 9}\n"
    desk.write(
        parts__c=component,
        flow="type: pipeline\njobs:\n  a:\n    component: ./parts/c.yml\n    inputs: {n: 10, more: 1}\n",
    )
    _, rows = desk.rows("flow.yml")
    assert [each["message"] for each in rows[0]["problems"]] == [
        "jobs.a.inputs: the component needs the input 'rows' (uri_folder)",
        "jobs.a.inputs: input 'n': 10 is more than max 9",
    ]
    assert {each["line"] for each in rows[0]["problems"]} == {5}


def test_a_file_that_is_named_must_be_right_and_of_the_right_kind(desk: Desk) -> None:
    desk.write(
        broken="name: c\ncomand: ls\nenvironment: azureml:e:1\nversion: 1\n",
        rows="name: rows\npath: https://example.org/x.csv\ntype: uri_file\n",
        flow="type: pipeline\njobs:\n  a: {component: ./broken.yml}\n  b: {component: file:./rows.yml}\n",
        loop="trigger: {type: cron, expression: '0 * * * *'}\ncreate_job: ./loop.yml\n",
    )
    _, rows = desk.rows("flow.yml", "loop.yml")
    first, second = (each["message"] for each in rows[0]["problems"])
    assert "'./broken.yml' is not right" in first
    assert "Did you mean 'command'?" in first
    assert "'file:./rows.yml' is a data asset, and a component is meant" in second
    assert len(rows[1]["problems"]) <= 1


def test_standard_input_is_a_file_too(desk: Desk) -> None:
    done = subprocess.run(
        [*PROGRAM, "validate", "-"], input=JOB, capture_output=True, text=True, cwd=desk.folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "ok     <stdin>  (commandJob)\n"), done.stderr


def test_nothing_heavy_is_loaded(desk: Desk) -> None:
    heavy = ("streamlit", "fastapi", "sqlmodel", "sqlalchemy", "mlflow", "pandas", "numpy", "httpx", "docker", "duckdb")
    desk.write(job=JOB)
    code = (
        "import sys\nfrom app.cli import main\ntry: main(['validate', 'job.yml'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=desk.folder, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_file_of_every_kind_is_good(desk: Desk) -> None:
    for name, text in WRITTEN.items():
        (desk.folder / f"{name}.yml").write_text(text)
    (desk.folder / "score.py").touch()
    code, rows = desk.rows(".")
    assert [row for row in rows if not row["ok"]] == []
    assert (code, len(rows)) == (0, len(WRITTEN))


def test_the_census_is_good_but_for_files_that_are_not_there(desk: Desk, census: Path) -> None:
    _, rows = desk.rows(str(census))
    assert len(rows) >= 60
    messages = [each["message"] for row in rows for each in row["problems"]]
    assert [said for said in messages if "was not found" not in said] == []


def test_a_chain_of_files_has_an_end(desk: Desk) -> None:
    for n in range(200):
        step = f"jobs:\n  a: {{type: pipeline, component: ./f{n + 1}.yml}}\n"
        desk.write(**{f"f{n}": f"type: pipeline\nname: f{n}\nversion: 1\n{step}"})
    desk.write(f200="type: pipeline\nname: last\nversion: 1\njobs:\n  a: {component: azureml:x}\n")
    code, (row,) = desk.rows("f0.yml")
    assert code == 2
    assert "chain of more than 20 files" in row["problems"][0]["message"]
    assert desk.rows("f195.yml")[0] == 0
