"""Environments at the command line: built, given up, explained, looked into, and their room taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from services import environments
from services.store.rows import Build
from tests.cli.conftest import Terminal

LOG = "=== Build of 'env:1'\none\nERROR: No matching distribution found for nope==1\n"


@pytest.fixture
def env(terminal: Terminal) -> Iterator[str]:
    """A name of its own for every test; the workers of this house build with Docker."""
    terminal.house.stage.studio.say("engine", {"kind": "docker"})
    name = f"env-{terminal.home.parent.name.replace('_', '-')}"[:60]
    terminal.ok("environment", "create", "--name", name, "--image", f"debian:{abs(hash(name)) % 9999}")
    yield name
    with terminal.house.stage.scope() as scope:
        for row in scope.session.exec(select(Build)):
            scope.session.delete(row)


def built(terminal: Terminal, name: str, status: str, log: str = "", **facts: object) -> None:
    """As if a worker had built it."""
    with terminal.house.stage.scope() as scope:
        row = environments.get(scope, name)
        build = Build(workspace_id=row.workspace_id, engine="docker", hash=row.hash, status=status, **facts)
        scope.session.add(build)
        path: Path = environments.build_log(scope, build)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log)


def test_a_build_is_asked_for_and_given_up(terminal: Terminal, env: str):
    assert terminal.ok("environment", "build", "--name", env)["build_status"] == "Queued"
    again = terminal.run("environment", "build", "--name", env)
    assert (again.code, "is being built" in again.err) == (5, True)
    assert terminal.ok("environment", "cancel", "--name", env)["name"] == env


def test_a_failed_build_is_explained(terminal: Terminal, env: str):
    built(terminal, env, "Failed", LOG)
    said = terminal.ok("environment", "diagnose", "--name", env)
    assert (said["code"], said["number"]) == ("NoVersion", 3)
    assert terminal.run("environment", "log", "--name", env).out == LOG


def test_what_is_installed_is_printed_as_a_requirements_file(terminal: Terminal, env: str):
    built(terminal, env, "Succeeded", packages=["numpy==1.26.4", "six==1.16.0"])
    assert terminal.run("environment", "packages", "--name", env).out == "numpy==1.26.4\nsix==1.16.0\n"
    assert terminal.ok("environment", "show", "--name", env)["packages"] == ["numpy==1.26.4", "six==1.16.0"]
    assert terminal.run("environment", "packages").code == 2
    assert terminal.run("environment", "packages", "--job", "nobody").code == 3


def test_a_log_of_nothing_is_not_waited_for(terminal: Terminal, env: str):
    assert terminal.run("environment", "log", "--name", env).code == 3


def test_the_curated_ones_are_listed(terminal: Terminal):
    assert "sklearn-1.5" in {each["name"] for each in terminal.ok("environment", "curated")}


def test_room_is_taken_back_after_a_look(terminal: Terminal, env: str):
    built(terminal, env, "Succeeded", image="atelier/env-x:1", size=5_000_000)
    assert terminal.ok("environment", "disk")[0]["stays_because"] == f"'{env}:1' is not archived"
    assert terminal.ok("environment", "prune", "--dry-run") == []
    shown = terminal.run("environment", "prune", "--all", "--dry-run")
    assert "5 MB come free" in shown.err
    assert _desired(terminal, env) == "build"
    unsaid = terminal.run("environment", "prune", "--all")
    assert unsaid.code != 0, "nobody is there to be asked"
    assert _desired(terminal, env) == "build"
    assert terminal.run("environment", "prune", "--all", "--yes").code == 0
    assert _desired(terminal, env) == "discard"


def _desired(terminal: Terminal, name: str) -> str:
    with terminal.house.stage.scope(write=False) as scope:
        found = environments.build_of(scope, environments.get(scope, name))
        assert found is not None
        return found.desired
