"""Killed at every step of the row contract, and anywhere else: nothing lost, nothing twice, nothing left."""

import pytest

from tests.faults.cycles import SUITE, Cycle
from tests.faults.rig import Rig

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.mark.parametrize("cycle", SUITE, ids=str)
def test_a_crash_loses_nothing_and_repeats_nothing(rig: Rig, cycle: Cycle) -> None:
    try:
        assert cycle.run(rig).faults == []
    finally:
        rig.end()


def test_the_suite_has_forty_cycles_and_every_row_of_the_matrix() -> None:
    assert len(SUITE) == 40
    assert {cycle.row for cycle in SUITE} >= {f"F{n}" for n in range(1, 14)}
