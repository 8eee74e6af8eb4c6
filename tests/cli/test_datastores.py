"""Datastores on the command line: from YAML to files, without a word of what opens them."""

import base64
from pathlib import Path

import yaml

from tests.cli.conftest import Terminal

KEY = base64.b64encode(b"canary" * 8).decode()
BLOB = f"""
$schema: https://azuremlschemas.azureedge.net/latest/azureBlob.schema.json
name: blob_example
type: azure_blob
account_name: mytestblobstore
container_name: data-container
credentials:
  account_key: {KEY}
"""


def written(terminal: Terminal, text: str, name: str = "store.yml") -> str:
    Path(name).write_text(text)
    return name


def shelf(terminal: Terminal, name: str) -> Path:
    """A folder that an admin has opened, registered under that name."""
    root = terminal.home.parent / "open"
    (root / name / "sub").mkdir(parents=True)
    (root / name / "a.txt").write_text("hello")
    (root / name / "sub" / "b c.txt").write_text("inner")
    terminal.house.stage.studio.settings.data_roots = str(root)
    text = yaml.safe_dump({"name": name, "type": "folder", "path": str(root / name)})
    terminal.ok("datastore", "create", "-f", written(terminal, text))
    return root / name


def test_the_clouds_yaml_registers_and_its_key_is_never_shown(terminal: Terminal) -> None:
    file = written(terminal, BLOB)
    said = [
        terminal.run("datastore", "create", "--file", file, "-o", "json"),
        terminal.run("datastore", "show", "--name", "blob_example", "-o", "yaml"),
        terminal.run("datastore", "list", "-o", "table"),
        terminal.run("datastore", "list", "-o", "json"),
    ]
    assert [each.code for each in said] == [0, 0, 0, 0]
    assert all(KEY not in each.out + each.err for each in said)
    assert "account_key" in said[2].out
    again = terminal.run("datastore", "create", "--file", file)
    assert again.code == 0
    assert terminal.run("datastore", "delete", "--name", "blob_example", "--yes").code == 0


def test_a_file_is_changed_on_the_way(terminal: Terminal) -> None:
    file = written(terminal, BLOB.replace("name: blob_example\n", ""))
    made = terminal.ok("datastore", "create", "-f", file, "-n", "other", "--set", "container_name=c2", "tags.a=1")
    assert (made["name"], made["container_name"], made["tags"]) == ("other", "c2", {"a": "1"})
    terminal.ok("datastore", "delete", "-n", "other", "-y")


def test_a_mistake_is_named_with_its_line_and_without_the_secret(terminal: Terminal) -> None:
    for wrong in (
        BLOB.replace("account_key", "account_kei"),
        BLOB.replace(f"account_key: {KEY}", f"account_key: [{KEY}]"),
        BLOB.replace("account_name: mytestblobstore\n", ""),
        BLOB.replace("azure_blob", "azure_blobb"),
    ):
        said = terminal.run("datastore", "create", "-f", written(terminal, wrong), "-o", "json")
        assert said.code == 2
        assert "store.yml" in said.err
        assert KEY not in said.out + said.err


def test_description_tags_and_authentication_change(terminal: Terminal) -> None:
    terminal.ok("datastore", "create", "-f", written(terminal, BLOB))
    changed = terminal.ok("datastore", "update", "-n", "blob_example", "--set", "description=ours", "tags.team=a")
    assert (changed["description"], changed["tags"]) == ("ours", {"team": "a"})
    file = written(terminal, f"credentials:\n  sas_token: sv=1&sig={KEY}\n", "auth.yml")
    said = terminal.run("datastore", "update", "-n", "blob_example", "-f", file, "-o", "json")
    assert said.document["authentication"] == {"type": "sas_token"}
    assert KEY not in said.out + said.err
    assert terminal.run("datastore", "update", "-n", "blob_example").code == 2
    assert terminal.run("datastore", "update", "-n", "blob_example", "-f", written(terminal, "a: b\n")).code == 2
    terminal.ok("datastore", "delete", "-n", "blob_example", "-y")


def test_a_folder_is_tried_browsed_and_downloaded(terminal: Terminal, tmp_path: Path) -> None:
    shelf(terminal, "shelf")
    rows = terminal.ok("datastore", "test", "-n", "shelf")
    assert {row["outcome"] for row in rows} == {"ok"}
    assert [row["path"] for row in terminal.ok("datastore", "browse", "-n", "shelf")] == ["a.txt", "sub"]
    inner = terminal.ok("datastore", "browse", "-n", "shelf", "--path", "sub")
    assert [row["path"] for row in inner] == ["sub/b c.txt"]
    got = tmp_path / "got"
    assert terminal.ok("datastore", "download", "-n", "shelf", "-p", "a.txt", "--download-path", str(got))["files"] == 1
    assert (
        terminal.ok("datastore", "download", "-n", "shelf", "-p", "", "--download-path", str(got / "all"))["files"] == 2
    )
    assert ((got / "a.txt").read_text(), (got / "all" / "sub" / "b c.txt").read_text()) == ("hello", "inner")
    assert terminal.run("datastore", "download", "-n", "shelf", "-p", "nope", "--download-path", str(got)).code == 3


def test_the_default_is_kept_and_a_used_one_stays(terminal: Terminal) -> None:
    shelf(terminal, "rack")
    assert terminal.ok("datastore", "set-default", "-n", "rack")["is_default"]
    said = terminal.run("datastore", "delete", "-n", "rack", "-y")
    assert (said.code, "is the default" in said.err) == (5, True)
    terminal.ok("datastore", "set-default", "-n", "workspaceblobstore")
    terminal.ok("datastore", "delete", "-n", "rack", "-y")
    assert terminal.run("datastore", "show", "-n", "rack").code == 3


def test_a_trial_that_fails_is_an_exit_code(terminal: Terminal) -> None:
    text = BLOB + "endpoint: http://127.0.0.1:9/x\n"
    made = terminal.ok("datastore", "create", "-f", written(terminal, text), "--validate")
    assert made["report"]["passed"] is False
    said = terminal.run("datastore", "test", "-n", "blob_example", "-o", "json")
    assert (said.code, said.document[0]["outcome"]) == (1, "failed")
    assert KEY not in said.out + said.err
    terminal.ok("datastore", "delete", "-n", "blob_example", "-y")
