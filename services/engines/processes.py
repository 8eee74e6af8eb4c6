"""Jobs as plain processes of this host: no isolation, one user, for where no container engine answers.

What a job is lies in `home/processes/<name>`: its wish, its process and, in the end, its exit code, written by
a small shell around the job, so that all of it outlives this process.
"""

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from services.core.errors import Conflict, EngineError, NotFound
from services.core.times import iso, now
from services.engines import listings, pip_settings
from services.engines.containers import (
    INSTALL,
    KIND,
    PORT,
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
from services.engines.files import parts_of, remove_tree
from services.engines.virtual_environments import VirtualEnvironments

MARK = "ATELIER_PROCESS"
POLL_SECONDS = 0.1
# $1 is the folder of the process; the rest is the command. Who comes second (a start that was repeated after a
# crash) finds the number of the first and leaves.
_AROUND = (
    'folder=$1; shift; set -C; { echo $$ >"$folder/pid"; } 2>/dev/null || exit 0; set +C; '
    '"$@"; echo $? >"$folder/exit.part"; mv "$folder/exit.part" "$folder/exit"'
)


class ProcessEngine:
    """Of one install, with its files below `home`."""

    kind: Literal["docker", "process", "fake"] = "process"

    def __init__(self, *, install: str, home: Path) -> None:
        self.install, self.home = install, home.resolve()
        self._folder = self.home / "processes"
        self._environments = VirtualEnvironments(self.home)

    def info(self) -> EngineInfo:
        return EngineInfo(
            name="local",
            kind="process",
            version=platform.release(),
            api_version="",
            started_at=datetime.fromtimestamp(psutil.boot_time(), UTC),
            cpus=os.cpu_count() or 1,
            memory=psutil.virtual_memory().total,
            gateway=None,
            isolates=False,
            warnings=("Jobs run as plain processes of this host, without isolation: for one trusted user.",),
        )

    def seen(self, mount: Mount) -> str:
        return str(self._farm(mount) if _wants_sorting(mount) else mount.source)

    def seen_code(self, code: WorkingCopy) -> str:
        return str(code.changes / "upper")

    def create(self, wish: Container) -> str:
        folder = self._of(wish.name)
        try:
            folder.mkdir(parents=True)
        except FileExistsError as cause:
            raise Conflict(f"A process named '{wish.name}' exists already.") from cause
        farms = [mount for mount in wish.mounts if _wants_sorting(mount)]
        for mount in farms:
            listings.farm(mount.source, self._farm(mount), str(mount.source))
        if wish.code is not None:
            _copied(wish.code)
        targets = {mount.target: self.seen(mount) for mount in wish.mounts}
        port = _free_port() if wish.port is not None else None
        state = {
            "labels": {INSTALL: self.install, **wish.labels},
            "command": [_replaced(word, targets) for word in wish.command],
            "working_dir": wish.working_dir or (self.seen_code(wish.code) if wish.code else str(folder)),
            "environment": {
                **self._surroundings(wish),
                **wish.environment,
                **({PORT: str(port)} if port else {}),
                MARK: self._mark(wish.name),
            },
            "port": port,
            "farms": [str(self._farm(mount)) for mount in farms],
            "created_at": iso(now()),
        }
        _write(folder / "state.json", state)
        return wish.name

    def start(self, id: str) -> None:
        folder, state = self._own(id)
        if (folder / "pid").exists():
            return
        process = subprocess.Popen(
            ["sh", "-c", _AROUND, "sh", str(folder), *state["command"]],
            cwd=state["working_dir"],
            env=state["environment"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while _pid(folder) is None and process.poll() is None:
            time.sleep(0.001)

    def inspect(self, name_or_id: str) -> Found:
        folder, state = self._state(name_or_id)
        known = _Known(name_or_id, name_or_id, state["labels"])
        pid = _pid(folder)
        if pid is None:
            return known.found("created")
        at = datetime.fromtimestamp((folder / "pid").stat().st_mtime, UTC)
        if not (folder / "exit").exists() and self._runs(pid, name_or_id):
            return known.found("running", started_at=at, pid=pid)
        if not (folder / "exit").exists():
            return known.found("dead", started_at=at)
        code = int((folder / "exit").read_text())
        ended = datetime.fromtimestamp((folder / "exit").stat().st_mtime, UTC)
        return known.found("exited", exit_code=code, started_at=at, finished_at=max(at, ended))

    def found(self, labels: Mapping[str, str]) -> list[Found]:
        rows = []
        for folder in sorted(self._folder.glob("*")):
            with suppress(NotFound):
                row = self.inspect(folder.name)
                if all(row.labels.get(key) == value for key, value in {INSTALL: self.install, **labels}.items()):
                    rows.append(row)
        return rows

    def stop(self, id: str, *, grace: float) -> None:
        folder, _ = self._own(id)
        for signal_, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            left = self._processes(id, without=_pid(folder))
            for process in left:
                with suppress(psutil.Error):
                    process.send_signal(signal_)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                if self.inspect(id).status != "running" and not self._processes(id):
                    return
                time.sleep(0.02)

    def remove(self, id: str) -> None:
        with suppress(NotFound):
            self.stop(id, grace=0)
            for place in self._state(id)[1].get("farms", ()):
                shutil.rmtree(place, ignore_errors=True)
            remove_tree(self._of(id))

    def ended(self) -> Iterator[Ended]:
        told = {row.name for row in self.found({}) if row.status in {"exited", "dead"}}
        while True:
            for row in self.found({}):
                is_told = row.labels.get(KIND) in {"job", "replica"} and row.name not in told
                if is_told and row.status in {"exited", "dead"}:
                    told.add(row.name)
                    yield Ended(row.id, row.name, row.labels)
            time.sleep(POLL_SECONDS)

    def sample(self, id: str) -> Sample:
        self._state(id)
        cpu, memory, read, written = 0.0, 0, 0, 0
        processes = self._processes(id)
        for process in processes:
            with suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
                memory += process.memory_info().rss
                io = process.io_counters()
                read, written = read + io.read_bytes, written + io.write_bytes
        return Sample(now(), cpu, memory, None, 0, 0, read, written, len(processes))

    def address(self, id: str) -> tuple[str, int]:
        port = self._state(id)[1].get("port") if self.inspect(id).status == "running" else None
        if port is None:
            raise NotFound(f"Process '{id}' has no address.")
        return "127.0.0.1", int(port)

    def output(self, id: str, tail: int) -> str:
        self._state(id)
        return ""

    def image(self, wish: BuildWish) -> Image | None:
        return self._environments.image(wish)

    def build(self, wish: BuildWish, log: Path) -> Image:
        there = self.image(wish) if wish.anew else None
        if there is not None and self._is_used(there.reference):
            raise BuildFailed("A job is running in this environment.", hint="Build it again when the job has ended.")
        return self._environments.build(wish, log)

    def abandon(self, hash: str) -> None:
        self._environments.abandon(hash)

    def packages(self, image: Image) -> Sequence[str]:
        return self._environments.packages(Path(image.reference))

    def stored(self) -> Sequence[Stored]:
        return [
            Stored(image.reference, image.digest, image.size, self._is_used(image.reference))
            for image in self._environments.stored()
        ]

    def discard(self, reference: str) -> None:
        if not self._is_used(reference):
            self._environments.discard(Path(reference))

    def sweep(self, keep_holders: Sequence[str]) -> int:
        return 0

    def _is_used(self, reference: str) -> bool:
        running = [row for row in self.found({}) if row.status in {"created", "running"}]
        return any(self._state(row.name)[1]["environment"].get("VIRTUAL_ENV") == reference for row in running)

    def _of(self, name: str) -> Path:
        return self._folder / "/".join(parts_of(name))

    def _state(self, name: str) -> tuple[Path, dict[str, Any]]:
        folder = self._of(name)
        state = _read(folder / "state.json")
        if state is None:
            raise NotFound(f"No process is named '{name}'.")
        return folder, state

    def _own(self, name: str) -> tuple[Path, dict[str, Any]]:
        """For what changes it: nothing of another install is ever touched."""
        folder, state = self._state(name)
        if state["labels"].get(INSTALL) != self.install:
            raise EngineError("This process is not of this install and is left alone.")
        return folder, state

    def _farm(self, mount: Mount) -> Path:
        place = listings.TMPFS / f"atelier-{os.getuid()}-{self.install}" / "process"
        return place / mount.target.strip("/").replace("/", "_")

    def _surroundings(self, wish: Container) -> dict[str, str]:
        """What any program needs; nothing of the studio's own environment, which may hold secrets."""
        settings = pip_settings.for_containers(self.home)
        certificate = next((mount.source for mount in settings.mounts if mount.target == pip_settings.CA), None)
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "HOME", "USER") if name in os.environ}
        variables = {
            name: str(certificate) if value == pip_settings.CA else value
            for name, value in settings.environment.items()
        }
        path = f"{Path(wish.image) / 'bin'}:{os.environ.get('PATH', os.defpath)}"
        return {"LANG": "C.UTF-8", **kept, **variables, "PATH": path, "VIRTUAL_ENV": wish.image}

    def _runs(self, pid: int, name: str) -> bool:
        """Whether that number is still this job's, not another process that was given it."""
        try:
            process = psutil.Process(pid)
            with suppress(psutil.TimeoutExpired, ChildProcessError):
                process.wait(timeout=0)  # a child of ours that ended stays a zombie until asked
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self._mark(name)
        except psutil.Error:
            return False

    def _mark(self, name: str) -> str:
        return f"{self.install}:{name}"

    def _processes(self, name: str, *, without: int | None = None) -> list[psutil.Process]:
        """All that carry the mark of this job, also those that left its session."""
        mark, found = self._mark(name), []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                is_mine = process.pid != without and process.environ().get(MARK) == mark
                if is_mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@dataclass(frozen=True)
class _Known:
    id: str
    name: str
    labels: Mapping[str, str]

    def found(self, status: Literal["created", "running", "exited", "dead"], **facts: Any) -> Found:
        return Found(self.id, self.name, self.labels, status, **facts)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _copied(code: WorkingCopy) -> None:
    upper = code.changes / "upper"
    if code.snapshot is not None:
        shutil.copytree(code.snapshot, upper, symlinks=True, dirs_exist_ok=True)
    upper.mkdir(parents=True, exist_ok=True)
    for link, target in code.links.items():
        place = upper / link
        # What the code has under that name is hidden, as it is below a container's mount.
        if place.is_dir() and not place.is_symlink():
            remove_tree(place)
        place.unlink(missing_ok=True)
        place.symlink_to(target)


def _wants_sorting(mount: Mount) -> bool:
    return mount.sorted and mount.read_only and mount.source.is_dir() and listings.needs_sorting(mount.source)


def _replaced(word: str, targets: Mapping[str, str]) -> str:
    return targets.get(word, word)


def _pid(folder: Path) -> int | None:
    try:
        return int((folder / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: Path, value: object) -> None:
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)
    part.replace(path)
