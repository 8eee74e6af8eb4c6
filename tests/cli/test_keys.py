"""The master key on the command line: looked at without being shown, and changed."""

from services import secrets
from tests.cli.conftest import Terminal


def key_of(terminal: Terminal) -> str:
    return (terminal.house.stage.studio.folders.home / "master.key").read_text().split()[1]


def test_the_master_key_is_looked_at_and_changed(terminal: Terminal) -> None:
    home = str(terminal.house.stage.studio.folders.home)
    with terminal.house.stage.scope() as scope:
        secrets.put(scope, "door", "sesame")
    first = key_of(terminal)
    assert terminal.ok("keys", "show", "--home", home)["secrets"] == {"1": 1}
    assert terminal.ok("keys", "rotate", "--home", home) == {"version": 2, "moved": 1}
    said = terminal.run("keys", "show", "--home", home, "-o", "json")
    assert said.document["unopened"] == 0
    assert first not in said.out
    assert key_of(terminal) not in said.out
    with terminal.house.stage.scope() as scope:
        assert secrets.reveal(scope, "door") == "sesame"


def test_a_missing_master_key_is_said(terminal: Terminal) -> None:
    home = terminal.house.stage.studio.folders.home
    with terminal.house.stage.scope() as scope:
        secrets.put(scope, "door", "sesame")
    kept = (home / "master.key").read_bytes()
    (home / "master.key").unlink()
    said = terminal.run("keys", "show", "--home", str(home))
    (home / "master.key").write_bytes(kept)
    assert (said.code, "is missing" in said.err) == (6, True)
