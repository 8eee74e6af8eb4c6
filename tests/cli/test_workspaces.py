"""atelier workspace … and atelier environment …"""

from pathlib import Path

import pytest

from tests.cli.conftest import Terminal


@pytest.fixture(autouse=True)
def ada_sits_here(terminal: Terminal) -> None:
    terminal.sit("ada")
    terminal.patch.delenv("ATELIER_WORKSPACE")


def test_a_name_is_enough(terminal: Terminal) -> None:
    made = terminal.ok("workspace", "create", "--name", "plain")
    assert (made["name"], made["display_name"], made["provisioning_state"]) == ("plain", "plain", "Succeeded")
    assert "plain" in terminal.ok("workspace", "list", "--query", "[].name")


def test_a_file_of_the_clouds(terminal: Terminal) -> None:
    Path("ws.yml").write_text("$schema: https://x\nname: filed\nlocation: eastus\ntags:\n  team: ml\n")
    answer = terminal.run("workspace", "create", "-f", "ws.yml", "--description", "From a file", "-o", "json")
    assert (answer.document["name"], answer.document["description"]) == ("filed", "From a file")
    assert answer.document["tags"] == {"team": "ml"}
    assert answer.err == "Note: only the cloud has location.\n"


def test_a_misspelt_field_of_a_file(terminal: Terminal) -> None:
    Path("ws.yml").write_text("name: typo\ndescripton: x\n")
    answer = terminal.run("workspace", "create", "-f", "ws.yml")
    assert answer.code == 2
    assert "ws.yml:2: Unknown field 'descripton' (line 2). Did you mean 'description'?" in answer.err


def test_a_name_that_cannot_be_and_one_that_is_taken(terminal: Terminal) -> None:
    assert terminal.run("workspace", "create", "-n", "with space").code == 2
    assert terminal.run("workspace", "create").code == 2
    assert terminal.run("workspace", "create", "-n", "lab").code == 5
    assert terminal.run("workspace", "show", "-n", "nowhere").code == 3


def test_what_is_given_is_changed(terminal: Terminal) -> None:
    terminal.ok("workspace", "create", "-n", "changing", "--description", "before", "--tags", "a=1")
    made = terminal.ok("workspace", "update", "-n", "changing", "--display-name", "After", "--tags", "b=2", "c=x=y")
    assert (made["display_name"], made["description"], made["tags"]) == ("After", "before", {"b": "2", "c": "x=y"})


def test_a_workspace_is_deleted_and_comes_back(terminal: Terminal) -> None:
    terminal.ok("workspace", "create", "-n", "phoenix")
    assert terminal.run("workspace", "delete", "-n", "phoenix").code == 2  # nobody can be asked
    assert terminal.run("workspace", "delete", "-n", "phoenix", "--yes").code == 0
    assert terminal.run("workspace", "show", "-n", "phoenix").code == 3
    assert "phoenix" in terminal.ok("workspace", "list", "--deleted", "--query", "[].name")
    assert terminal.ok("workspace", "recover", "-n", "phoenix")["provisioning_state"] == "Succeeded"
    assert terminal.run("workspace", "recover", "-n", "phoenix").code == 5


def test_for_good_also_when_it_was_deleted_before(terminal: Terminal) -> None:
    terminal.ok("workspace", "create", "-n", "ash")
    terminal.run("workspace", "delete", "-n", "ash", "-y")
    assert terminal.run("workspace", "delete", "-n", "ash", "-y", "--purge").code == 0
    answer = terminal.run("workspace", "recover", "-n", "ash")
    assert (answer.code, "is being purged" in answer.err) == (5, True)


def test_the_default_workspace_is_never_deleted_by_accident(terminal: Terminal) -> None:
    terminal.run("config", "set", "workspace=lab")
    for words in (["--yes"], ["--name", "", "--yes"]):
        assert terminal.run("workspace", "delete", *words).code == 2
    assert terminal.ok("workspace", "show")["name"] == "lab"


def test_who_only_looks_may_not_delete(terminal: Terminal) -> None:
    terminal.sit("cleo")
    answer = terminal.run("workspace", "delete", "-n", "lab", "--yes")
    assert (answer.code, "workspaces/delete" in answer.err) == (4, True)
    assert terminal.run("workspace", "delete", "-n", "lab", "--yes", "--purge").code == 4


def test_environments_have_versions(terminal: Terminal) -> None:
    terminal.run("config", "set", "workspace=lab")
    Path("conda.yml").write_text("dependencies: [python=3.11, numpy]\n")
    Path("env.yml").write_text("name: trees\nimage: python:3.11\nconda_file: conda.yml\n")
    first = terminal.ok("environment", "create", "--file", "env.yml")
    assert (first["name"], first["version"]) == ("trees", "1")
    second = terminal.ok("environment", "create", "-n", "trees", "--image", "python:3.12", "-v", "2")
    assert second["version"] == "2"
    assert terminal.ok("environment", "show", "-n", "trees")["version"] == "2"
    assert terminal.ok("environment", "show", "-n", "trees", "--label", "latest")["version"] == "2"
    assert terminal.ok("environment", "show", "-n", "trees", "-v", "1")["version"] == "1"
    assert [row["version"] for row in terminal.ok("environment", "list", "-n", "trees")] == ["2", "1"]
    assert terminal.run("environment", "archive", "-n", "trees", "-v", "1").code == 0
    assert terminal.run("environment", "restore", "-n", "trees", "-v", "1").code == 0
    assert "trees" in terminal.ok("environment", "list", "--query", "[].name")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "An environment needs a --file or an --image."),
        (["--file", "a.yml", "--image", "python:3.11"], 2, "Either a --file or an --image"),
        (["--image", "; rm"], 2, "not a valid image reference"),
        (["--file", "nowhere.yml"], 2, "was not found"),
        (["--image", "python:3.11", "--conda-file", "nowhere.yml"], 2, "was not found"),
    ],
)
def test_an_environment_that_cannot_be(terminal: Terminal, words: list[str], code: int, said: str) -> None:
    answer = terminal.run("environment", "create", "-w", "lab", "-n", "never", *words)
    assert answer.code == code
    assert said in answer.err


def test_a_version_with_other_content_is_refused(terminal: Terminal) -> None:
    terminal.patch.setenv("ATELIER_WORKSPACE", "lab")
    create = ["environment", "create", "-n", "fixed", "-v", "1", "--image"]
    assert terminal.run(*create, "python:3.11").code == 0
    assert terminal.run(*create, "python:3.11").code == 0  # the same again is nothing new
    assert terminal.run(*create, "python:3.12").code == 5
