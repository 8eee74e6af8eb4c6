"""atelier data …: sent or named by URI, listed, downloaded byte for byte, looked at, compared."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Terminal

IRIS = "length,species\n" + "".join(f"{place / 10},{'ab'[place % 2]}\n" for place in range(30))


@pytest.fixture
def folder(terminal: Terminal) -> Path:
    """Two files, and a YAML file beside them that names the folder."""
    made = Path("sample data")
    (made / "deep é").mkdir(parents=True)
    (made / "iris.csv").write_text(IRIS)
    (made / "deep é" / "#1 100 .bin").write_bytes(bytes(range(256)))
    Path("data.yml").write_text("name: sample\ntype: uri_folder\npath: ./sample data/\ndescription: Some.\n")
    return made


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_folder_is_sent_and_comes_back_byte_for_byte(terminal: Terminal, folder: Path) -> None:
    first = terminal.ok("data", "create", "--file", "data.yml", "--name", "bytes")
    assert (first["name"], first["version"], first["files"], first["description"]) == ("bytes", "1", 2, "Some.")
    assert terminal.ok("data", "create", "-f", "data.yml", "-n", "bytes", "-v", "1")["id"] == first["id"]
    said = terminal.run("data", "download", "--name", "bytes", "--version", "1", "-p", "got")
    assert (said.code, said.out) == (0, "")
    assert "2 files in" in said.err
    assert contents(Path("got/bytes")) == contents(folder)


def test_an_older_version_is_downloaded_by_number_and_by_label(terminal: Terminal, folder: Path) -> None:
    terminal.ok("data", "create", "-f", "data.yml", "-n", "aged")
    (folder / "iris.csv").write_text("new")
    assert terminal.ok("data", "create", "-f", "data.yml", "-n", "aged")["version"] == "2"
    terminal.ok("data", "label", "-n", "aged", "-v", "1", "-l", "gold")
    for words, text in ((("-v", "1"), IRIS), (("-l", "gold"), IRIS), ((), "new"), (("-l", "latest"), "new")):
        assert terminal.run("data", "download", "-n", "aged", "-p", "got", *words).code == 0
        assert Path("got/aged/iris.csv").read_text() == text
    assert [each["version"] for each in terminal.ok("data", "list", "-n", "aged")] == ["2", "1"]


def test_a_uri_is_kept_as_it_is(terminal: Terminal) -> None:
    uri = "wasbs://box@account.blob.core.windows.net/iris.csv"
    made = terminal.ok("data", "create", "--name", "far", "--type", "uri_file", "--path", uri)
    assert made["path"] == uri
    changed = terminal.ok("data", "update", "-n", "far", "--set", "tags.team=a", "--set", "description=Far")
    assert (changed["tags"], changed["description"]) == ({"team": "a"}, "Far")
    assert terminal.run("data", "download", "-n", "far").code == 2


def test_what_show_prints_creates_an_equal_one(terminal: Terminal, folder: Path) -> None:
    terminal.ok("data", "create", "-f", "data.yml", "-n", "round")
    said = terminal.run("data", "show", "-n", "round", "-o", "yaml")
    Path("again.yml").write_text(said.out)
    assert terminal.ok("data", "create", "-f", "again.yml") == yaml.safe_load(said.out)


@pytest.mark.parametrize(
    ("words", "code", "words_of_it"),
    [
        (("--name", "x"), 2, "--file"),
        (("--path", "nowhere"), 2, "name"),
        (("--name", "x", "--path", "nowhere"), 2, "was not found"),
        (("--name", "x", "--path", "sample data/iris.csv"), 2, "uri_file"),
        (("--name", "x", "--path", "sample data", "--type", "uri_file"), 2, "uri_folder"),
        (("--name", "x", "--path", "sample data", "--type", "mltable"), 2, "MLTable"),
        (("--name", "x", "--path", "/"), 2, "sent whole"),
        (("--name", "x", "--path", "https://x.org/a", "--type", "csv"), 2, "type"),
        (("--file", "data.yml", "--set", "path=./other"), 2, "data.yml"),
        (("--file", "data.yml", "--set", "colour=red"), 2, "colour"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(
    terminal: Terminal, folder: Path, words: tuple[str, ...], code: int, words_of_it: str
) -> None:
    said = terminal.run("data", "create", *words)
    assert said.code == code
    assert words_of_it in said.err


def test_the_first_rows_are_shown_as_a_table_and_as_a_document(terminal: Terminal, folder: Path) -> None:
    terminal.ok("data", "create", "-f", "data.yml", "-n", "seen")
    table = terminal.run("data", "preview", "-n", "seen", "--rows", "2", "-o", "table").out.splitlines()
    assert [line.split() for line in table] == [
        ["Length", "Species"],
        ["------", "-------"],
        ["0.0", "a"],
        ["0.1", "b"],
    ]
    found = terminal.ok("data", "preview", "-n", "seen", "--path", "iris.csv")
    assert (found["kind"], found["columns"][0]) == ("table", {"name": "length", "type": "number"})
    assert terminal.run("data", "preview", "-n", "seen", "--path", "../x").code in {2, 3}


def test_a_profile_has_a_line_for_each_column(terminal: Terminal, folder: Path) -> None:
    terminal.ok("data", "create", "-f", "data.yml", "-n", "profiled")
    said = terminal.run("data", "profile", "-n", "profiled", "-o", "table")
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["length", "species"]
    assert "30 rows, 2 columns" in said.err
    assert terminal.ok("data", "profile", "-n", "profiled")["rows"] == 30


def test_what_is_no_table_has_no_profile_and_it_is_said_why(terminal: Terminal, folder: Path) -> None:
    Path("text").mkdir()
    Path("text/readme.txt").write_text("hello")
    terminal.ok("data", "create", "--name", "text", "--path", "text")
    said = terminal.run("data", "profile", "-n", "text")
    assert said.code == 2
    assert "table" in said.err


def test_two_versions_are_compared(terminal: Terminal, folder: Path) -> None:
    terminal.ok("data", "create", "-f", "data.yml", "-n", "compared")
    (folder / "iris.csv").write_text("length,colour\n1,red\n")
    terminal.ok("data", "create", "-f", "data.yml", "-n", "compared")
    said = terminal.run("data", "diff", "-n", "compared", "--with", "1", "-o", "table")
    assert said.code == 0, said.err
    told = {" ".join(line.split()[:3]) for line in said.out.splitlines()}
    assert {"rows 30 1", "column added colour", "column removed species", "file changed iris.csv"} <= told
    found = terminal.ok("data", "diff", "-n", "compared", "-v", "2", "--with", "1")
    assert (found["old_rows"], found["new_rows"]) == (30, 1)
    assert terminal.run("data", "diff", "-n", "compared").code == 2


def test_one_that_is_used_is_not_deleted_and_one_that_is_not_is(terminal: Terminal, folder: Path) -> None:
    terminal.ok("data", "create", "-f", "data.yml", "-n", "used")
    job = {
        "command": "ls ${{inputs.in}}",
        "environment": {"image": "debian:12"},
        "inputs": {"in": {"type": "uri_folder", "path": "azureml:used:1"}},
    }
    Path("job.yml").write_text(json.dumps(job))
    name = terminal.ok("job", "create", "-f", "job.yml")["name"]
    said = terminal.run("data", "delete", "-n", "used", "-v", "1", "--yes")
    assert said.code == 5
    assert name in said.err
    terminal.ok("data", "create", "-f", "data.yml", "-n", "unused")
    assert terminal.run("data", "delete", "-n", "unused", "-v", "1", "--yes").code == 0
    assert terminal.run("data", "show", "-n", "unused").code == 3
