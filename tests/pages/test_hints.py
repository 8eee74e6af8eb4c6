"""What pages offer for the command line is understood by it."""

import shlex

import pytest
from click import Command, Context, Group

from app.cli import tree
from tests.conftest import Stage
from tests.pages.conftest import Opened
from tests.pages.test_runs import lab

__all__ = ["lab"]
RUNS = ",".join(f"7{place:031x}" for place in range(2))
PLACES = {
    "runs": {"filter": "params.lr = 0.1 and tags.team ~ 'vis'", "columns": "min(metrics.loss),params.lr"},
    "experiment": {"experiment": "digits"},
    "run": {"run": f"7{0:031x}"},
    "compare": {"runs": RUNS},
    "jobs": {},
    "models": {},
    "data": {},
    "environments": {},
    "components": {},
}


def understood(line: str) -> None:
    """Raises click's UsageError for what the command line does not know."""
    _, *words = shlex.split(line)
    command: Command = tree()
    context = Context(command, info_name="atelier")
    while isinstance(command, Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
        context = Context(command, info_name=name, parent=context)
    command.make_context(command.name, words, parent=context.parent)


@pytest.mark.parametrize("screen", PLACES)
def test_hints_are_commands(lab: Stage, opened: Opened, screen: str):
    test = opened(screen, **PLACES[screen])
    lines = [line for code in test.get("code") for line in str(code.value).splitlines()]
    hints = [line for line in lines if line.startswith("atelier ")]
    assert hints
    for line in hints:
        understood(line)
