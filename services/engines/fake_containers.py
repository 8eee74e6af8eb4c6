"""An engine in memory, for tests of those who use one; it keeps the same promises as the real ones.

Of commands it understands `sleep N` and `exit N`. Whatever has a port serves until it is told, at the address that
`reached_at` answers, unless `fate` names the exit code with which it ends at once. A test may also end a container
by hand, make the engine silent, or lose what it runs.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from services.core.errors import Conflict, NotFound, Unavailable
from services.core.times import now
from services.engines.containers import (
    INSTALL,
    BuildCanceled,
    BuildFailed,
    BuildWish,
    Container,
    Ended,
    EngineInfo,
    Found,
    Image,
    Mount,
    Sample,
    Stored,
    WorkingCopy,
)

_TERM, _KILL = 143, 137


class FakeEngine:
    """`created` counts calls, so that tests can say how often something was started."""

    kind: Literal["docker", "process", "fake"] = "fake"

    def __init__(self, *, install: str = "fake") -> None:
        self.install = install
        self.silent = False
        self.broken_builds: set[str] = set()
        self.long_builds: set[str] = set()
        self.built: dict[str, Image] = {}
        self.created: list[Container] = []
        self.started: list[str] = []
        self._abandoned: set[str] = set()
        self._lock = threading.RLock()
        self._there: dict[str, Found] = {}
        self._wishes: dict[str, Container] = {}
        self.fate: Callable[[Container], int | None] = lambda wish: None
        self.reached_at: Callable[[Container], tuple[str, int]] = lambda wish: ("127.0.0.1", wish.port or 0)
        self.said: dict[str, str] = {}
        self._ends: dict[str, tuple[datetime, int]] = {}
        self._events: queue.Queue[Ended] = queue.Queue()

    def info(self) -> EngineInfo:
        self._answering()
        return EngineInfo("fake", "fake", "1", "1", None, 2, 1 << 32, None, isolates=True)

    def seen(self, mount: Mount) -> str:
        return mount.target

    def seen_code(self, code: WorkingCopy) -> str:
        return code.target

    def create(self, wish: Container) -> str:
        with self._lock:
            self._answering()
            if wish.name in self._there:
                raise Conflict(f"A container named '{wish.name}' exists already.")
            labels = {INSTALL: self.install, **wish.labels}
            self._there[wish.name] = Found(wish.name, wish.name, labels, "created")
            self._wishes[wish.name] = wish
            self.created.append(wish)
            return wish.name

    def start(self, id: str) -> None:
        with self._lock:
            found = self.inspect(id)
            if found.status != "created":
                return
            self.started.append(id)
            self._there[id] = replace(found, status="running", started_at=now(), pid=len(self.started))
            seconds, code = self._course(self._wishes[id])
            if seconds is not None:
                self._ends[id] = (now() + timedelta(seconds=seconds), code)
                self.inspect(id)

    def _course(self, wish: Container) -> tuple[float | None, int]:
        """How long it runs and how it ends."""
        if wish.port is None or wish.labels.get("atelier.kind") != "replica":
            return _read(wish.command)
        code = self.fate(wish)
        return (None, 0) if code is None else (0.0, code)

    def inspect(self, name_or_id: str) -> Found:
        with self._lock:
            self._answering()
            if name_or_id not in self._there:
                raise NotFound(f"No container is named '{name_or_id}'.")
            end = self._ends.get(name_or_id)
            if end is not None and end[0] <= now() and self._there[name_or_id].status == "running":
                self.end(name_or_id, end[1], at=end[0])
            return self._there[name_or_id]

    def found(self, labels: Mapping[str, str]) -> list[Found]:
        with self._lock:
            self._answering()
            rows = [self.inspect(name) for name in list(self._there)]
            return [row for row in rows if all(row.labels.get(key) == value for key, value in labels.items())]

    def stop(self, id: str, *, grace: float) -> None:
        if self.inspect(id).status == "running":
            self.end(id, _TERM if grace > 0 else _KILL)

    def remove(self, id: str) -> None:
        with self._lock:
            self._answering()
            self._there.pop(id, None)
            self._ends.pop(id, None)

    def ended(self) -> Iterator[Ended]:
        while True:
            self._answering()
            for row in self.found({}):
                self.inspect(row.name)
            try:
                yield self._events.get(timeout=0.02)
            except queue.Empty:
                continue

    def sample(self, id: str) -> Sample:
        if self.inspect(id).status != "running":
            raise NotFound("It does not run.")
        return Sample(now(), 1.0, 1 << 20, None, 0, 0, 0, 0)

    def address(self, id: str) -> tuple[str, int]:
        wish = self._wishes[id] if self.inspect(id).status == "running" else None
        if wish is None or wish.port is None:
            raise NotFound("It has no address.")
        return self.reached_at(wish)

    def output(self, id: str, tail: int) -> str:
        self.inspect(id)
        return "".join(self.said.get(id, "").splitlines(keepends=True)[-tail:])

    def image(self, wish: BuildWish) -> Image | None:
        self._answering()
        return self.built.get(wish.hash)

    def build(self, wish: BuildWish, log: Path) -> Image:
        if not wish.anew and (ready := self.image(wish)) is not None:
            return ready
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"building {wish.hash}\n")
        while wish.hash in self.long_builds:
            if wish.hash in self._abandoned:
                self._abandoned.discard(wish.hash)
                raise BuildCanceled
            time.sleep(0.01)
        if wish.hash in self.broken_builds:
            raise BuildFailed("A step of the Dockerfile failed: it was told to.")
        packages = tuple(each for each in wish.requirements if "==" in each)
        self.built[wish.hash] = Image(f"fake/{wish.hash}", f"sha256:{wish.hash}", 1, packages)
        return self.built[wish.hash]

    def abandon(self, hash: str) -> None:
        self._answering()
        if hash in self.long_builds:
            self._abandoned.add(hash)

    def packages(self, image: Image) -> Sequence[str]:
        self._answering()
        return next((each.packages for each in self.built.values() if each.reference == image.reference), ())

    def stored(self) -> Sequence[Stored]:
        self._answering()
        used = {self._wishes[name].image for name in self._there}
        return [Stored(each.reference, each.digest, 1000, each.reference in used) for each in self.built.values()]

    def discard(self, reference: str) -> None:
        self._answering()
        if any(self._wishes[name].image == reference for name in self._there):
            return
        self.built = {key: image for key, image in self.built.items() if image.reference != reference}

    def sweep(self, keep_holders: Sequence[str]) -> int:
        return 0

    def end(self, name: str, code: int, *, at: datetime | None = None, oom_killed: bool = False) -> None:
        """Ends a running container, for instance with `oom_killed=True`."""
        with self._lock:
            found = self._there[name]
            self._there[name] = replace(
                found, status="exited", exit_code=code, finished_at=at or now(), pid=None, oom_killed=oom_killed
            )
            self._events.put(Ended(name, name, found.labels))

    def lose(self, name: str) -> None:
        """Somebody removed it behind our back."""
        with self._lock:
            del self._there[name]

    def _answering(self) -> None:
        if self.silent:
            raise Unavailable("The engine does not answer.")


def _read(command: Sequence[str]) -> tuple[float | None, int]:
    """How long it runs (None: until it is told) and how it ends."""
    seconds, code = 0.0, 0
    for part in command[-1].split(";"):
        word, _, value = part.strip().partition(" ")
        if word == "wait":
            return None, 0
        if word == "sleep":
            seconds += float(value)
        elif word == "exit":
            code = int(value)
    return seconds, code
