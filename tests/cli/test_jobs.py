"""atelier job …: submitted, followed, downloaded, changed and deleted, as in the cloud."""

import io
import threading
from pathlib import Path

import pytest

from services import jobs
from services.store.rows import Job
from tests.api.conftest import LOG, eventually
from tests.cli.conftest import Terminal

JOB = "command: echo hello\nenvironment:\n  image: debian:12\n"


@pytest.fixture
def job_file(terminal: Terminal) -> str:
    Path("job.yml").write_text(JOB)
    return "job.yml"


def ended(terminal: Terminal, name: str, status: str = "Completed") -> Job:
    """A job of Ben's that has ended so."""
    job = terminal.house.job(name)
    with terminal.house.stage.scope() as scope:
        row = scope.session.get_one(Job, job.id)
        row.status, row.exit_code = status, 0 if status == "Completed" else 3
        row.message = "" if status == "Completed" else "The command ended with exit code 3."
    return job


def test_a_job_is_printed_as_the_clouds_command_line_prints_it(terminal: Terminal, job_file: str) -> None:
    job = terminal.ok("job", "create", "--file", job_file, "--name", "first")
    assert (job["name"], job["status"], job["type"]) == ("first", "Queued", "command")
    assert job["experiment_name"] == "experiments"  # the folder it was submitted from
    assert job["services"]["Studio"]["endpoint"].endswith("/job?ws=lab&job=first")
    assert job["creation_context"]["created_by"] == "ben"
    assert "warnings" not in job


def test_a_name_alone_for_a_shell_variable(terminal: Terminal, job_file: str) -> None:
    said = terminal.run("job", "create", "-f", job_file, "--query", "name", "-o", "tsv", "-n", "for-shell")
    assert said.out == "for-shell\n"


def test_settings_change_what_the_file_says(terminal: Terminal, job_file: str) -> None:
    settings = ["--set", "display_name=Shown", "tags.team=ml", "tags.round=1", "--set", "environment_variables.A=b=c"]
    job = terminal.ok("job", "create", "-f", job_file, *settings, "--set", "limits.timeout=60")
    assert (job["display_name"], job["tags"]) == ("Shown", {"team": "ml", "round": "1"})
    assert (job["environment_variables"], job["limits"]) == ({"A": "b=c"}, {"timeout": 60})


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("display_name", "'display_name' is not a setting. Write --set name.name=value."),
        ("=x", "'=x' is not a setting."),
        ("command.x=1", "'command' is 'echo hello' and has no fields."),
        ("comand=x", "Unknown field 'comand' (line 1). Did you mean 'command'?"),
        ("command[9]=x", "'command' is 'echo hello' and has no fields."),
        ("limits.timeout=soon", "limits.timeout must be a whole number, not 'soon'."),
    ],
)
def test_a_setting_that_cannot_be_is_said(terminal: Terminal, job_file: str, setting: str, said: str) -> None:
    answer = terminal.run("job", "create", "-f", job_file, "--set", setting)
    assert answer.code == 2
    assert said in answer.err


def test_a_file_from_standard_input(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(JOB.encode())))
    assert terminal.ok("job", "create", "-f", "-")["command"] == "echo hello"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("missing.yml", "File 'missing.yml' was not found."),
        (".", "'.' is a folder; name the YAML file in it."),
        ("", "A file has a name."),
    ],
)
def test_what_is_no_file_is_said(terminal: Terminal, file: str, said: str) -> None:
    answer = terminal.run("job", "create", "--file", file)
    assert answer.code == 2
    assert said in answer.err


def test_nothing_is_sent_before_the_file_is_right(terminal: Terminal) -> None:
    Path("job.yml").write_text(JOB + "colour: red\nlimits:\n  timeout: soon\n")
    answer = terminal.run("job", "create", "-f", "job.yml", "-n", "never")
    assert answer.code == 2
    assert "job.yml:4: Unknown field 'colour' (line 4)." in answer.err
    assert "job.yml:6: limits.timeout must be a whole number" in answer.err
    assert terminal.run("job", "show", "-n", "never").code == 3


def test_code_and_local_inputs_travel_with_the_job(terminal: Terminal) -> None:
    Path("src").mkdir()
    Path("src/train.py").write_text("print(1)")
    Path("iris.csv").write_text("1,2\n")
    Path("job.yml").write_text(
        JOB + "code: src\ninputs:\n  iris:\n    type: uri_file\n    path: iris.csv\n  rate: 0.1\n"
    )
    job = terminal.ok("job", "create", "-f", "job.yml")
    assert job["code"].startswith("azureml:")
    assert job["inputs"]["iris"]["path"].startswith("azureml://")
    assert job["inputs"]["iris"]["path"].endswith("/iris.csv")


def test_a_warning_is_said_beside_the_document(terminal: Terminal) -> None:
    Path("job.yml").write_text(JOB + "environment_variables:\n  MLFLOW_RUN_ID: mine\n")
    answer = terminal.run("job", "create", "-f", "job.yml", "-o", "json")
    assert "Note: Environment variable MLFLOW_RUN_ID is set by the studio" in answer.err
    assert answer.document["status"] == "Queued"


def test_the_log_is_streamed_and_the_end_is_the_exit_code(terminal: Terminal) -> None:
    ended(terminal, "good")
    answer = terminal.run("job", "stream", "--name", "good")
    assert answer.code == 0
    assert "RunId: good\nWeb View: http" in answer.out
    assert "\none\ntwo\n" in answer.out
    assert answer.out.endswith("Execution Summary\n=================\nRunId: good\nStatus: Completed\n")


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_a_job_that_did_not_complete_ends_the_stream_with_1(terminal: Terminal, status: str) -> None:
    ended(terminal, f"bad-{status}", status)
    answer = terminal.run("job", "stream", "-n", f"bad-{status}")
    assert answer.code == 1
    assert f"Error: the job is {status}: The command ended with exit code 3." in answer.err


def test_lines_arrive_while_the_job_runs(terminal: Terminal, job_file: str) -> None:
    """Followed from its submission; somebody else writes its log and ends it."""
    house = terminal.house

    def work() -> None:
        client = house.bearer("ben")
        eventually(lambda: client.get("/api/v1/workspaces/lab/jobs/live").status_code == 200, "it was not submitted")
        with house.stage.scope() as scope:
            row = jobs.get(scope, "live")
        house.write(row, LOG, b"step 1\nstep 2\n")
        house.end(row)

    worker = threading.Thread(target=work)
    worker.start()
    answer = terminal.run(
        "job", "create", "-f", job_file, "-n", "live", "--stream", "-o", "json", "--query", "[name,status]"
    )
    worker.join()
    assert answer.document == ["live", "Completed"]  # one document; the log went beside it
    assert "step 1\nstep 2\n" in answer.err


def test_the_job_opens_in_the_browser(terminal: Terminal, job_file: str, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/visited\n')
    browser.chmod(0o755)
    (tmp_path / "xdg-open").symlink_to(browser)
    terminal.patch.setenv("PATH", str(tmp_path), prepend=":")
    terminal.patch.setenv("BROWSER", str(browser))
    said = terminal.run("job", "create", "-f", job_file, "--web", "-n", "seen")
    assert "Web View: http" in said.err
    visited = tmp_path / "visited"
    eventually(lambda: visited.exists() and "job=seen" in visited.read_text(), "no browser was opened")


def test_jobs_are_listed_newest_first_and_filtered(terminal: Terminal) -> None:
    for name in ("filter-a", "filter-b"):
        ended(terminal, name)
    ended(terminal, "filter-c", "Failed")
    assert terminal.ok("job", "list", "--search", "filter-", "--query", "[].name") == [
        "filter-c",
        "filter-b",
        "filter-a",
    ]
    assert terminal.ok("job", "list", "--search", "filter-", "--status", "Failed", "--query", "[].name") == ["filter-c"]
    assert len(terminal.ok("job", "list", "--max-results", "2")) == 2
    assert len(terminal.ok("job", "list", "-r", "0", "--search", "filter-")) == 3
    assert terminal.run("job", "list", "--status", "Faild").code == 2
    assert terminal.run("job", "list", "-r", "-5").code == 2
    assert terminal.ok("job", "list", "--experiment-name", "nothing of the kind") == []


def test_an_archived_job_is_hidden_until_it_is_restored(terminal: Terminal) -> None:
    ended(terminal, "of-yesterday")
    assert terminal.run("job", "archive", "-n", "of-yesterday").code == 0
    assert terminal.ok("job", "list", "--search", "of-yesterday") == []
    assert [
        job["archived"] for job in terminal.ok("job", "list", "--search", "of-yesterday", "--include-archived")
    ] == [True]
    assert terminal.run("job", "restore", "-n", "of-yesterday").code == 0
    assert len(terminal.ok("job", "list", "--search", "of-yesterday")) == 1


def test_a_job_is_changed(terminal: Terminal) -> None:
    ended(terminal, "renamed")
    job = terminal.ok(
        "job", "update", "-n", "renamed", "--display-name", "New", "--description", "-x", "--tags", "a=1", "b=2"
    )
    assert (job["display_name"], job["description"], job["tags"]) == ("New", "-x", {"a": "1", "b": "2"})
    job = terminal.ok("job", "update", "-n", "renamed", "--set", "tags.c=3", "--set", "display_name=Newer")
    assert (job["display_name"], job["tags"]) == ("Newer", {"a": "1", "b": "2", "c": "3"})
    refused = terminal.run("job", "update", "-n", "renamed", "--set", "command=x")
    assert (refused.code, "Unknown field 'command'" in refused.err) == (2, True)
    assert "'nothing' is not key=value." in terminal.run("job", "update", "-n", "renamed", "--tags", "nothing").err


def test_a_running_job_is_cancelled_and_an_ended_one_is_not(terminal: Terminal) -> None:
    terminal.house.job("busy", over=False)
    assert terminal.ok("job", "cancel", "--name", "busy")["name"] == "busy"
    ended(terminal, "done")
    answer = terminal.run("job", "cancel", "--name", "done")
    assert (answer.code, answer.err) == (5, "Error: Job 'done' is Completed and cannot be canceled.\n")


def test_metrics_of_a_job_without_any(terminal: Terminal) -> None:
    ended(terminal, "no-metrics")
    assert terminal.ok("job", "metrics", "-n", "no-metrics") == []


def test_artifacts_are_downloaded(terminal: Terminal, tmp_path: Path) -> None:
    job = ended(terminal, "full")
    terminal.house.write(job, "outputs/deep/model.bin", b"\0\1" * 70_000)
    answer = terminal.run("job", "download", "-n", "full", "-p", str(tmp_path / "got"))
    assert answer.code == 0
    assert "2 files in" in answer.err
    assert (tmp_path / "got/artifacts/outputs/deep/model.bin").read_bytes() == b"\0\1" * 70_000
    assert (tmp_path / "got/artifacts/user_logs/std_log.txt").read_bytes() == b"one\ntwo\n"


def test_an_output_that_is_not_there_is_named(terminal: Terminal, tmp_path: Path) -> None:
    ended(terminal, "outputless")
    answer = terminal.run("job", "download", "-n", "outputless", "--output-name", "model", "-p", str(tmp_path / "got"))
    assert answer.code == 3
    assert "has no output 'model'" in answer.err
    assert not (tmp_path / "got").exists()


def test_everything_and_one_output_exclude_each_other(terminal: Terminal) -> None:
    answer = terminal.run("job", "download", "-n", "any", "--all", "--output-name", "model")
    assert (answer.code, answer.err) == (2, "Error: Either everything (--all) or one output (--output-name).\n")


def test_a_job_is_deleted_when_it_is_meant(terminal: Terminal) -> None:
    ended(terminal, "gone")
    asked = terminal.run("job", "delete", "-n", "gone")
    assert (asked.code, asked.err) == (2, "Error: Nobody can be asked here. Say --yes when it is meant.\n")
    assert terminal.run("job", "delete", "-n", "gone", "--yes").code == 0
    assert terminal.run("job", "show", "-n", "gone").code == 3


@pytest.mark.parametrize("name", ["", " ", "..", "a/b"])
def test_an_empty_variable_of_a_script_means_no_job(terminal: Terminal, name: str) -> None:
    for verb in ("show", "cancel", "archive", "delete", "download", "stream"):
        answer = terminal.run("job", verb, "--name", name, *(["--yes"] if verb == "delete" else []))
        assert (answer.code, answer.err) == (2, f"Error: --name: '{name}' is no name of a job.\n")


def test_who_only_looks_may_not_submit(terminal: Terminal, job_file: str) -> None:
    terminal.sit("cleo")
    answer = terminal.run("job", "create", "-f", job_file)
    assert answer.code == 4
    assert answer.err.startswith("Error: ")
    assert "jobs/write" in answer.err


def test_who_is_outside_does_not_learn_of_the_workspace(terminal: Terminal) -> None:
    terminal.sit("dan")
    assert terminal.run("job", "list").code == 3
