"""Somebody at a terminal: the command line in this process against a studio on a real port, and as a program."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from tests.api.conftest import House, opened
from tests.conftest import make_stage
from tests.launched import PROGRAM, Said

VARIABLES = ("HOME", "ENDPOINT", "TOKEN", "WORKSPACE", "PORT", "HOST", "ENGINE", "DATABASE_URL", "DEBUG")


@dataclass
class Terminal:
    """Where Ben works, unless somebody else sits down."""

    house: House
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    home: Path

    def sit(self, name: str) -> None:
        self.patch.setenv("ATELIER_TOKEN", self.house.token(name))

    def run(self, *words: str) -> Said:
        self.capture.readouterr()
        code: Any = None
        with contextlib.suppress(SystemExit):
            try:
                main(words)
            except SystemExit as end:
                code = end.code
                raise
        out, err = self.capture.readouterr()
        return Said(int(code or 0), out, err)

    def ok(self, *words: str) -> Any:
        """The answer's JSON of a call that must succeed."""
        said = self.run(*words, "-o", "json")
        assert said.code == 0, said.err
        return said.document if said.out else None


def program(*words: str, **variables: str) -> "subprocess.Popen[bytes]":
    """The command line as a process of its own, in the environment of this test."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    return subprocess.Popen(
        [*PROGRAM, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    stage = make_stage(tmp_path_factory.mktemp("studio") / "home")
    with opened(stage) as made:
        yield made
    stage.studio.close()


@pytest.fixture
def terminal(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """In an empty folder, with a home of its own."""
    for name in VARIABLES:
        monkeypatch.delenv(f"ATELIER_{name}", raising=False)
    made = Terminal(house, monkeypatch, capsys, tmp_path / "own")
    monkeypatch.setenv("ATELIER_HOME", str(made.home))
    monkeypatch.setenv("ATELIER_ENDPOINT", house.url)
    monkeypatch.setenv("ATELIER_WORKSPACE", "lab")
    made.sit("ben")
    (tmp_path / "experiments").mkdir()
    monkeypatch.chdir(tmp_path / "experiments")
    return made
