"""atelier lineage … and atelier job compare: lines for people, the whole document for programs."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal

URI = "https://host.invalid/a%20b/c.csv?x=1&y=2"
JOB = """
command: {command}
environment: {{image: "debian:12"}}
inputs:
  table: {{type: uri_file, path: "azureml:{data}:1"}}
  more: {{type: uri_file, path: "{uri}"}}
  rate: {rate}
"""


@pytest.fixture
def names(terminal: Terminal, request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """A data asset and two jobs that read it, of this test alone."""
    own = request.node.name.removeprefix("test_")[:20].strip("_")
    Path("a.csv").write_text(f"{own}\n1\n")
    terminal.ok("data", "create", "-n", own, "--type", "uri_file", "--path", "a.csv")
    made = []
    for command, rate in (("echo a", 1), ("echo b", 2)):
        Path("job.yml").write_text(JOB.format(command=command, rate=rate, data=own, uri=URI))
        made.append(terminal.ok("job", "create", "-f", "job.yml")["name"])
    return own, made[0], made[1]


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_what_came_of_a_version_is_a_table(terminal: Terminal, names: tuple[str, str, str]) -> None:
    data, one, other = names
    said = terminal.run("lineage", "show", "--kind", "data", "--name", data, "--version", "1", "-o", "table")
    head = lines(said.out)[0]
    assert head[:3] == ["Level", "Kind", "Label"]
    assert "{" not in said.out
    jobs = {words[2] for words in lines(said.out) if words[:2] == ["1", "job"]}
    assert jobs == {one, other}
    assert terminal.run("lineage", "show", "-k", "data", "-n", data, "-v", "9").code == 3


def test_a_program_gets_the_whole_graph_with_and_without_asking(
    terminal: Terminal, names: tuple[str, str, str]
) -> None:
    _, one, _ = names
    asked = terminal.ok("lineage", "show", "-n", one)
    assert json.loads(terminal.run("lineage", "show", "-n", one).out) == asked
    assert {edge["role"] for edge in asked["edges"]} >= {"table", "more", "environment"}
    assert all(len(node["hash"]) == 64 for node in asked["nodes"] if node["kind"] == "data")


def test_a_uri_is_asked_about_as_it_is_written(terminal: Terminal, names: tuple[str, str, str]) -> None:
    graph = terminal.ok("lineage", "show", "--kind", "uri", "--name", URI)
    assert graph["root"] == f"uri/{URI}"
    assert {names[1], names[2]} <= {node["name"] for node in graph["nodes"]}


def test_both_commands_say_what_changed(terminal: Terminal, names: tuple[str, str, str]) -> None:
    _, one, other = names
    said = terminal.run("job", "compare", one, other, "-o", "table")
    assert lines(said.out)[0] == ["What", "Name", "Before", "After"]
    assert ["parameters", "rate", "1", "2"] in lines(said.out)
    assert said.out == terminal.run("lineage", "compare", "-n", one, "--other", other, "-o", "table").out
    assert set(terminal.ok("job", "compare", one, other)["changes"]) == {"command", "parameters"}
    same = terminal.run("job", "compare", one, one, "-o", "table")
    assert (same.code, same.out, "Nothing differs" in same.err) == (0, "", True)
    assert terminal.run("job", "compare", one, "nobody").code == 3
