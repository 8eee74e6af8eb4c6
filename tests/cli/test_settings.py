"""Which studio, which workspace, whose token; and what the command line is made of."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from app.cli import tree
from tests.cli.conftest import PROGRAM, Terminal, program
from tests.conftest import free_port

HEAVY = ("mlflow", "streamlit", "pandas", "sqlalchemy", "sqlmodel", "numpy", "docker", "fastapi", "rich", "alembic")


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = [(path, group)]
    for name, command in group.commands.items():
        inner = (*path, name)
        found += commands(command, inner) if isinstance(command, TyperGroup) else [(inner, command)]
    return found


@pytest.mark.parametrize(
    ("path", "command"), commands(tree()), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_every_flag_says_what_it_is_for(path: tuple[str, ...], command: Any) -> None:
    assert command.help, path
    for parameter in command.params:
        assert getattr(parameter, "help", ""), (path, parameter.name)


@pytest.mark.parametrize(
    "words", [["--help"], ["job", "list"], ["status"], ["config", "list"], ["job", "create", "--help"]]
)
def test_what_is_asked_often_loads_nothing_heavy(terminal: Terminal, words: list[str]) -> None:
    script = (
        "import sys\n"
        "from app.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        f"finally:\n    print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 1}, done.stderr
    assert done.stderr.splitlines()[-1] == ""


def test_help_of_a_noun_alone(terminal: Terminal) -> None:
    for words in ([], ["job"], ["workspace"]):
        assert "Commands:" in terminal.run(*words).out


def test_the_release_is_told(terminal: Terminal) -> None:
    assert terminal.run("--version").out == f"{version('atelier-studio')}\n"


def test_completion_knows_nouns_verbs_and_names(terminal: Terminal) -> None:
    terminal.house.job("completed-by-tab")

    def completed(line: str, place: int) -> list[str]:
        process = program(COMP_WORDS=line, COMP_CWORD=str(place), _ATELIER_COMPLETE="complete_bash")
        out, err = process.communicate()
        assert err == b""
        return out.decode().split()

    assert "job" in completed("atelier j", 1)
    assert {"create", "cancel"} <= set(completed("atelier job c", 2))
    assert "completed-by-tab" in completed("atelier job show --name comp", 4)


def test_no_studio_runs(terminal: Terminal) -> None:
    terminal.patch.delenv("ATELIER_ENDPOINT")
    answer = terminal.run("job", "list", "-o", "json")
    assert answer.code == 6
    assert answer.err == "Error: No studio is running. Start one with: atelier up --detach\n"
    assert answer.document["error"]["code"] == "Unavailable"


def test_no_studio_answers(terminal: Terminal) -> None:
    port = free_port()
    terminal.patch.setenv("ATELIER_ENDPOINT", f"http://127.0.0.1:{port}")
    answer = terminal.run("job", "list")
    assert answer.code == 6
    assert f"No studio answers at http://127.0.0.1:{port}." in answer.err


@pytest.mark.parametrize("address", ["nonsense", "ftp://127.0.0.1", "http://", "http://[x"])
def test_an_address_that_is_none(terminal: Terminal, address: str) -> None:
    terminal.patch.setenv("ATELIER_ENDPOINT", address)
    answer = terminal.run("job", "list")
    assert answer.code == 2
    assert f"ATELIER_ENDPOINT: '{address.rstrip('/')}' is no address of a studio" in answer.err


def test_plain_http_behind_an_https_address(terminal: Terminal) -> None:
    terminal.patch.setenv("ATELIER_ENDPOINT", terminal.house.url.replace("http://", "https://"))
    answer = terminal.run("job", "list")
    assert (answer.code, "certificate" in answer.err) == (6, True)


def test_an_unknown_token(terminal: Terminal) -> None:
    terminal.patch.setenv("ATELIER_TOKEN", "atl_0_wrong")
    answer = terminal.run("job", "list")
    assert answer.code == 4
    assert "The studio does not know this token. Set ATELIER_TOKEN" in answer.err


def test_the_owners_token_is_used_on_this_machine_and_sent_nowhere_else(terminal: Terminal) -> None:
    terminal.home.mkdir()
    (terminal.home / "token").write_text(terminal.house.token("ada") + "\n")
    terminal.patch.delenv("ATELIER_TOKEN")
    assert terminal.run("job", "list").code == 0
    terminal.patch.setenv("ATELIER_ENDPOINT", "http://studio.example")
    answer = terminal.run("job", "list")
    assert (answer.code, "There is no token to sign in with at http://studio.example." in answer.err) == (4, True)


def test_the_workspace_comes_from_the_flag_then_the_variable_then_the_configuration(terminal: Terminal) -> None:
    terminal.sit("ada")
    for name in ("by-flag", "by-variable", "by-config"):
        terminal.run("workspace", "create", "-n", name)
    assert terminal.run("config", "set", "workspace=by-config").code == 0
    terminal.patch.setenv("ATELIER_WORKSPACE", "by-variable")
    assert terminal.ok("workspace", "show", "-w", "by-flag")["name"] == "by-flag"
    assert terminal.ok("workspace", "show")["name"] == "by-variable"
    terminal.patch.delenv("ATELIER_WORKSPACE")
    assert terminal.ok("workspace", "show")["name"] == "by-config"
    terminal.run("config", "set", "workspace=")
    answer = terminal.run("job", "list")
    assert answer.code == 2
    assert "atelier config set workspace=NAME" in answer.err
    assert terminal.run("job", "list", "-w", "nowhere").code == 3


def test_settings_are_kept_and_listed(terminal: Terminal) -> None:
    terminal.run("config", "set", "workspace=lab", "port=8777", f"endpoint={terminal.house.url}")
    rows = {row["key"]: row["value"] for row in terminal.ok("config", "list")}
    assert rows == {"workspace": "lab", "port": "8777", "endpoint": terminal.house.url}
    terminal.patch.delenv("ATELIER_ENDPOINT")
    assert terminal.run("job", "list").code == 0


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("workspac=lab", "'workspac' is not a setting. Did you mean 'workspace'?"),
        ("xyz=1", "'xyz' is not a setting. Known: workspace,"),
        ("workspace", "'workspace' is not key=value."),
    ],
)
def test_a_setting_that_is_none(terminal: Terminal, word: str, said: str) -> None:
    answer = terminal.run("config", "set", word)
    assert answer.code == 2
    assert said in answer.err


def test_a_broken_configuration_is_named(terminal: Terminal) -> None:
    terminal.home.mkdir()
    (terminal.home / "config.toml").write_text("workspace = \n")
    terminal.patch.delenv("ATELIER_WORKSPACE")
    answer = terminal.run("job", "list")
    assert answer.code == 2
    assert "config.toml' cannot be read" in answer.err


def test_status_where_nothing_runs(terminal: Terminal) -> None:
    answer = terminal.run("status", "-o", "json")
    assert answer.code == 1
    assert answer.document == {"status": "not running", "home": str(terminal.home)}
    assert terminal.run("down").code == 0


@pytest.mark.parametrize("verb", ["check", "backup"])
def test_there_is_no_database_before_the_first_start(terminal: Terminal, verb: str) -> None:
    answer = terminal.run("db", verb)
    assert answer.code == 3
    assert answer.err == f"Error: There is no database in '{terminal.home}' yet. The first 'atelier up' makes it.\n"
    assert not terminal.home.exists()


def test_the_program_itself(terminal: Terminal) -> None:
    done = subprocess.run([*PROGRAM, "job", "show", "-n", "nowhere"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
