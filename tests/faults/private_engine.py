"""A Docker engine of our own in a network namespace of its own: it may be killed, hung and restarted at will."""

import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from services.core.errors import AtelierError
from services.engines.docker.connection import connect

PROGRAMS = ("dockerd", "containerd", "unshare", "nsenter", "ip")
START_SECONDS = 60


def missing() -> str:
    """Why there can be no private engine here; empty when there can."""
    if os.geteuid() != 0:
        return "a private Docker engine needs root"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(absent)}: not installed" if absent else ""


class PrivateEngine:
    """`dockerd` with its own data, socket, containerd and bridge; the network namespace outlives restarts.

    Never without that namespace: a second engine would take the host's bridge and its rules with it.
    """

    def __init__(self, *, live_restore: bool = False) -> None:
        self.root = Path("/tmp") / f"atelier-engine-{uuid.uuid4().hex[:8]}"  # short: socket paths have a limit
        self.root.mkdir(mode=0o700)
        self.url = f"unix://{self.root / 'sock'}"
        self.live_restore = live_restore
        self._space = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"])
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log = (self.root / "log").open("ab")

    @property
    def socket(self) -> Path:
        return self.root / "sock"

    @property
    def client(self) -> Any:
        """A fresh connection: the last one may lead to an engine that was killed."""
        return connect(self.url, seconds=30)

    def start(self) -> None:
        """Returns when it answers."""
        name = self.root.name
        (self.root / "pid").unlink(missing_ok=True)  # of one that was killed
        arguments = ["dockerd", "--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec")]
        arguments += ["-H", self.url, "--pidfile", str(self.root / "pid"), "--log-level", "warn"]
        arguments += ["--containerd-namespace", name, "--containerd-plugins-namespace", f"{name}-plugins"]
        arguments += ["--live-restore"] if self.live_restore else []
        self._daemon = subprocess.Popen(
            ["nsenter", "-t", str(self._space.pid), "-n", *arguments], stdout=self._log, stderr=self._log
        )
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._daemon.poll() is None, (self.root / "log").read_text()[-3000:]
            assert time.monotonic() < until, "the private engine does not answer"
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return bool(connect(self.url, seconds=2).ping())
        except AtelierError:
            return False

    def kill(self) -> None:
        """As a crash would: no farewell to anybody."""
        self._ended(signal.SIGKILL)

    def stop(self) -> None:
        """In good order; without live-restore it takes its containers with it."""
        self._ended(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Nothing of it is left: containers, mounts, processes, files."""
        if self._daemon is None or self._daemon.poll() is not None:
            self.start()
        client = self.client
        for found in client.containers(all=True):
            client.remove_container(found["Id"], force=True, v=True)
        self.stop()
        self._space.kill()
        self._space.wait()
        self._log.close()
        for point in sorted(_mounts_below(self.root), reverse=True):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.root)

    def _ended(self, number: signal.Signals) -> None:
        assert self._daemon is not None
        record = self.root / "exec" / "containerd" / "containerd.pid"
        containerd = int(record.read_text()) if record.exists() else 0
        self._daemon.send_signal(number)
        self._daemon.wait(60)
        while containerd and _is_alive(containerd):  # it goes down with its parent
            time.sleep(0.02)
        record.unlink(missing_ok=True)  # a dead one that nobody reaped yet would be taken for alive


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mounts_below(root: Path) -> list[str]:
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{root}/")]
