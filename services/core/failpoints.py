"""Places where a test may kill the process: `ATELIER_CRASH_AT=after_create:3` means the third time there."""

import os
import signal
from collections import Counter

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Kills this process with SIGKILL when the environment asks for it here and now."""
    wanted = os.environ.get("ATELIER_CRASH_AT")
    if not wanted:
        return
    place, _, count = wanted.partition(":")
    if place == name:
        _reached[name] += 1
        if _reached[name] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
