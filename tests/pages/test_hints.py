"""What pages offer for the command line is understood by it."""

import shlex
import sys

import pytest

from app.cli import main
from tests.conftest import Stage
from tests.pages import serving_seed
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
    "endpoints": {},
    "new_endpoint": {"kind": "batch"},
}


def is_understood(line: str) -> bool:
    """Options are read before help is given, and one that nobody knows is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*shlex.split(line), "--help"])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code in {0, None}


def test_what_nobody_knows_is_no_command():
    assert is_understood("atelier run list --filter 'params.lr = 1'")
    assert not is_understood("atelier run list --format csv")
    assert not is_understood("atelier run lists")


def test_hints_of_an_endpoint_are_commands(house: Stage, opened: Opened):
    serving_seed.lived_in(house)
    for name in ("flowers", "empty"):
        lines = [line for code in opened("endpoint", name=name).get("code") for line in str(code.value).splitlines()]
        assert [line for line in lines if line.startswith("atelier ") and not is_understood(line)] == []
        assert [line for line in lines if "online-endpoint update" in line]


@pytest.mark.parametrize("screen", PLACES)
def test_hints_are_commands(lab: Stage, opened: Opened, screen: str):
    test = opened(screen, **PLACES[screen])
    lines = [line for code in test.get("code") for line in str(code.value).splitlines()]
    hints = [line for line in lines if line.startswith("atelier ")]
    assert hints
    assert [line for line in hints if not is_understood(line)] == []
