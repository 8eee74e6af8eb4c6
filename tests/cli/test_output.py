"""What is printed: formats, queries, errors beside documents, narrow and plain terminals."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import PROGRAM, Terminal, program


@pytest.fixture(autouse=True)
def two_jobs(terminal: Terminal) -> None:
    known = {job["name"] for job in terminal.ok("job", "list")}
    for name in ("shown-a", "shown-b"):
        if name not in known:
            terminal.house.job(name)


def on_a_terminal(*words: str, columns: int = 80, **variables: str) -> str:
    """What a person sees who runs the command in a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen([*PROGRAM, *words], env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, seen
    return seen.decode().replace("\r\n", "\n")


def test_json_is_what_a_pipe_gets(terminal: Terminal) -> None:
    assert json.loads(terminal.run("job", "show", "-n", "shown-a").out)["name"] == "shown-a"


def test_yaml(terminal: Terminal) -> None:
    assert yaml.safe_load(terminal.run("job", "show", "-n", "shown-a", "-o", "yaml").out)["name"] == "shown-a"


def test_tsv_has_one_row_a_line_and_nothing_in_the_way(terminal: Terminal) -> None:
    query = "[?starts_with(name, 'shown-')].[name, status, start_time == null]"
    said = terminal.run("job", "list", "--query", query, "-o", "tsv")
    assert said.out == "shown-b\tCompleted\tFalse\nshown-a\tCompleted\tFalse\n"
    assert terminal.run("job", "show", "-n", "shown-a", "--query", "name", "--output", "tsv").out == "shown-a\n"
    assert terminal.run("job", "show", "-n", "shown-a", "--query", "nothing", "-o", "tsv").out == ""


def test_a_table_has_titles_and_a_line_below(terminal: Terminal) -> None:
    lines = terminal.run("job", "list", "-o", "table").out.splitlines()
    assert re.split(r"  +", lines[0]) == [
        "Name",
        "Display name",
        "Status",
        "Experiment name",
        "Created at",
        "Created by",
    ]
    assert set(lines[1]) == {"-", " "}
    assert any(line.startswith("shown-a ") for line in lines[2:])


def test_a_table_of_nothing_says_so(terminal: Terminal) -> None:
    assert terminal.run("job", "list", "--search", "no such", "-o", "table").out == "Nothing here yet.\n"


def test_none_prints_nothing(terminal: Terminal) -> None:
    assert terminal.run("job", "list", "-o", "none").out == ""


@pytest.mark.parametrize("words", [["-ojson"], ["-o=json"], ["--output=json"], ["--out", "json"], ["-o", "jsonc"]])
def test_a_format_is_chosen_in_many_ways(terminal: Terminal, words: list[str]) -> None:
    assert isinstance(json.loads(terminal.run(*words, "job", "list").out), list)
    assert isinstance(json.loads(terminal.run("job", "list", *words).out), list)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "xml"], "--output: 'xml' is no output format. One of: json, jsonc, yaml, table, tsv, none."),
        (["-o"], "-o needs a value."),
        (["--query", "[?"], "--query: This is no JMESPath:"),
        (["--quer"], "--query needs a value."),
        (["--nothing"], "No such option: --nothing."),
        (["--serch", "x"], "No such option: --serch. Did you mean '--search'?"),
        (["--s", "x"], "--s could mean --search, --status, --subscription."),
        (["surplus"], "surplus"),
    ],
)
def test_a_flag_that_cannot_be_is_said_in_one_line(terminal: Terminal, words: list[str], said: str) -> None:
    answer = terminal.run("job", "list", *words)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1
    assert answer.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jobs", "list"], "No such command 'jobs'. Did you mean 'job'?"),
        (["job", "creat"], "No such command 'creat'. Did you mean 'create'?"),
        (["job", "create"], "Missing option '--file' / '-f'."),
    ],
)
def test_an_unknown_command_names_the_nearest(terminal: Terminal, words: list[str], said: str) -> None:
    answer = terminal.run(*words)
    assert answer.code == 2
    assert said in answer.err
    assert "--help' shows what there is." in answer.err


def test_long_flags_may_be_shortened(terminal: Terminal) -> None:
    assert terminal.run("job", "show", "--na", "shown-a", "--que", "name", "--out", "tsv").out == "shown-a\n"
    assert terminal.run("-w", "lab", "job", "list", "--max", "1", "--que", "length(@)").out == "1\n"


def test_what_belongs_to_the_cloud_alone_is_passed_over(terminal: Terminal) -> None:
    assert terminal.run("job", "list", "-g", "my-group", "--subscription", "mine", "--workspace-name", "lab").code == 0


def test_an_error_is_a_line_and_where_asked_for_a_document(terminal: Terminal) -> None:
    answer = terminal.run("job", "show", "-n", "nowhere", "-o", "json")
    assert answer.err == "Error: Job 'nowhere' was not found in workspace 'lab'.\n"
    assert answer.document["error"] == {
        "code": "NotFound",
        "message": "Job 'nowhere' was not found in workspace 'lab'.",
    }
    assert terminal.run("job", "show", "-n", "nowhere").out == ""


def test_every_problem_of_a_file_is_in_the_document(terminal: Terminal) -> None:
    Path("job.yml").write_text("comand: x\n")
    answer = terminal.run("job", "create", "-f", "job.yml", "-o", "json")
    assert answer.err.count("\n") == 1
    assert answer.document["error"]["target"] == "job.yml:1"
    assert len(answer.document["error"]["details"]) == 3


def test_a_traceback_only_for_who_asks(terminal: Terminal) -> None:
    assert "Traceback" not in terminal.run("job", "show", "-n", "nowhere").err
    assert "Traceback" in terminal.run("job", "show", "-n", "nowhere", "--debug").err


def test_a_person_sees_a_table_that_fits(terminal: Terminal) -> None:
    seen = on_a_terminal("job", "list", columns=40)
    assert "shown-a" in seen
    assert max(map(len, seen.splitlines())) <= 40
    assert "…" in seen


def test_help_fits_too(terminal: Terminal) -> None:
    assert max(map(len, on_a_terminal("job", "create", "--help", columns=60).splitlines())) <= 60


def test_colours_on_a_terminal_unless_unwanted(terminal: Terminal) -> None:
    coloured = on_a_terminal("job", "show", "-n", "shown-a", "-o", "jsonc")
    assert '\033[34m"name"\033[0m: \033[32m"shown-a"\033[0m' in coloured
    plain = on_a_terminal("job", "show", "-n", "shown-a", "-o", "jsonc", NO_COLOR="1")
    assert json.loads(plain)["name"] == "shown-a"
    assert json.loads(re.sub(r"\033\[\d+m", "", coloured)) == json.loads(plain)
    assert "\033" not in on_a_terminal("job", "list")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_is_not_utf8_gets_what_it_can_show(terminal: Terminal, encoding: str) -> None:
    terminal.ok("job", "update", "-n", "shown-a", "--display-name", "Größe 日本")
    for kind in ("json", "yaml", "table", "tsv"):
        process = program("job", "show", "-n", "shown-a", "-o", kind, PYTHONIOENCODING=encoding)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        if kind == "json":
            assert json.loads(out.decode(encoding))["display_name"] == "Größe 日本"


def test_a_reader_that_leaves_early_is_no_fault(terminal: Terminal) -> None:
    process = program("job", "list", "-o", "json")
    assert process.stdout is not None
    process.stdout.close()  # as `head` does when it has seen enough
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() in {0, 1}


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_stop_it(terminal: Terminal) -> None:
    terminal.house.job("kept", over=False)
    process = program("job", "stream", "-n", "kept")
    assert process.stdout is not None
    while b"Web View" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert b"The job goes on. 'atelier job cancel -n kept' stops it." in err
    assert b"Traceback" not in err
    assert terminal.ok("job", "show", "-n", "kept", "--query", "status") == "Queued"
