"""What something costs: seconds on the clock, and seconds of processor of whole trees of processes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import psutil


@dataclass(frozen=True)
class Cost:
    """`cpu` is user and system time together."""

    wall: float
    cpu: float

    def per(self, count: int) -> "Cost":
        """Of one of `count` equal things."""
        return Cost(self.wall / count, self.cpu / count)


Number: TypeAlias = Cost | float


def number(value: Number, unit: str) -> float:
    """The one figure that is compared."""
    if isinstance(value, Cost):
        return value.cpu if unit == "cpu" else value.wall
    return value


class Meter:
    """Runs from the moment it is made; `pids` are the roots of the trees (this process, when none is named)."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids or (os.getpid(),)
        self._cpu, self._wall = cpu_seconds(*self._pids), time.perf_counter()

    def read(self) -> Cost:
        wall = time.perf_counter()
        return Cost(wall - self._wall, cpu_seconds(*self._pids) - self._cpu)


@contextmanager
def metered(*pids: int) -> Iterator[list[Cost]]:
    """`with metered(pid) as costs: …`, then `costs[0]`."""
    meter, costs = Meter(*pids), []
    yield costs
    costs.append(meter.read())


def cpu_seconds(*pids: int) -> float:
    """User and system seconds of these processes, of those below them, and of those that they have waited for."""
    return sum(_own(process) for process in tree(*pids))


def tree(*pids: int) -> list[psutil.Process]:
    """These processes and all below them, each once."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            root = psutil.Process(pid)
            found |= {each.pid: each for each in (root, *root.children(recursive=True))}
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def memory(*pids: int) -> float:
    """Megabytes of these trees, what they share counted once (PSS)."""
    total = 0.0
    for process in tree(*pids):
        try:
            total += process.memory_full_info().pss / 1e6
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def _own(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
