"""Two hundred jobs at once: none lost, none twice, none said to have failed that did not."""

from collections import Counter

import pytest

from services import jobs
from services.core.states import TERMINAL
from tests.faults.rig import Rig, eventually

pytestmark = [pytest.mark.docker, pytest.mark.slow]
JOBS = 200


@pytest.mark.timeout(600)
def test_two_hundred_jobs_at_once_all_end_as_they_should(rig: Rig) -> None:
    worker = rig.worker()
    good = [rig.submit(lines=2, pause=0) for _ in range(JOBS - 20)]
    bad = [rig.submit(f"echo {code}; exit {code}") for code in range(1, 21)]
    eventually(lambda: _under_way(rig) == 0, "all have ended", seconds=500)
    assert Counter(str(rig.job(name).status) for name in good) == {"Completed": len(good)}
    assert [rig.job(name).exit_code for name in bad] == list(range(1, 21))
    assert [fault for name in good for fault in rig.faults(name, lines=2)] == []
    eventually(lambda: not rig.leftovers(), "nothing is left")
    rig.stop(worker)


def _under_way(rig: Rig) -> int:
    with rig.stage.scope(write=False) as scope:
        counts = jobs.counted(scope)
    return sum(count for status, count in counts.items() if status not in TERMINAL)
