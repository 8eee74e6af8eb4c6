"""Leases: one holder at a time, a dead one is noticed at once, a living one is left alone."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.reconcile import leases
from services.store.rows import Build
from tests.conftest import Stage


@pytest.fixture
def another() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A living process with the token that it would write."""
    program = "from services.reconcile import leases; print(leases.new_token(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.kill()


def test_a_living_holder_is_left_alone_and_a_dead_one_is_not(
    lite: Stage, another: tuple[str, "subprocess.Popen[str]"]
) -> None:
    token, process = another
    row = _held_by(lite, token)
    assert not leases.is_gone(token)
    assert not _claimed(lite, row, "mine")
    process.kill()
    process.wait()
    assert leases.is_gone(token)
    assert _claimed(lite, row, "mine")


def test_another_process_with_the_same_number_is_another_holder() -> None:
    host, pid, born, rest = leases.new_token().split("|")
    assert not leases.is_gone(f"{host}|{pid}|{born}|{rest}")
    assert leases.is_gone(f"{host}|{pid}|{int(born) - 1}|{rest}")


def test_a_holder_on_another_machine_is_believed_until_its_lease_ends(lite: Stage) -> None:
    token = "elsewhere|1|1|x"
    row = _held_by(lite, token)
    assert not leases.is_gone(token)
    assert not _claimed(lite, row, "mine")


def _held_by(stage: Stage, token: str) -> str:
    build = Build(workspace_id=stage.lab.id, engine="fake", hash="x")
    with stage.studio.database.session(write=True) as session:
        session.add(build)
        session.flush()
        assert leases.claim(session, build, token)
        return build.id


def _claimed(stage: Stage, build_id: str, token: str) -> bool:
    with stage.studio.database.session(write=True) as session:
        build = session.get(Build, build_id)
        assert build is not None
        return leases.claim(session, build, token)
