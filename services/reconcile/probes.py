"""Whether replicas answer: asked often until they are ready, then as their probes say. One slow one delays no other."""

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from services.core.states import ReplicaState
from services.reconcile.serving_launch import Asked
from services.specs.deployments import Probe

_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})\b")
_LONGEST_LINE = 1024
QUICK, SOON, LATER = 0.1, 0.25, 1.0
"""Seconds between two questions to one that is starting: in its first 15 seconds, its first minute, and then."""


@dataclass
class Watched:
    """One replica: where to ask and how often; `failures` and `successes` in a row."""

    replica: str
    deployment: str
    state: ReplicaState
    host: str
    port: int
    readiness: Asked
    liveness: Asked
    ready_probe: Probe
    live_probe: Probe
    since: float = field(default_factory=time.monotonic)
    next_at: float = 0.0
    failures: int = 0
    successes: int = 0
    is_asked: bool = False


class Probes:
    """`ready` is told of a replica and its deployment by id, `unhealthy` and `missed` of a replica with why."""

    def __init__(
        self,
        pool: Executor,
        *,
        ready: Callable[[str, str], None],
        unhealthy: Callable[[str, str], None],
        missed: Callable[[str, str], None],
    ) -> None:
        self._pool, self._ready, self._unhealthy, self._missed = pool, ready, unhealthy, missed
        self._watched: dict[str, Watched] = {}
        self._lock = threading.Lock()

    def knows(self, replica: str, state: ReplicaState) -> bool:
        found = self._watched.get(replica)
        return found is not None and found.state == state

    def watch(self, one: Watched) -> None:
        with self._lock:
            self._watched[one.replica] = one

    def keep(self, replicas: set[str]) -> None:
        """Forgets all others."""
        with self._lock:
            self._watched = {id_: one for id_, one in self._watched.items() if id_ in replicas}

    def look(self) -> None:
        """Asks those whose time has come."""
        at = time.monotonic()
        with self._lock:
            due = [one for one in self._watched.values() if not one.is_asked and one.next_at <= at]
            for one in due:
                one.is_asked = True
        for one in due:
            self._pool.submit(self._asked, one)

    def _asked(self, one: Watched) -> None:
        try:
            if one.state == ReplicaState.Starting:
                self._of_starting(one)
            else:
                self._of_ready(one)
        finally:
            one.is_asked = False

    def _of_starting(self, one: Watched) -> None:
        why = answers(one.host, one.port, one.readiness, one.ready_probe)
        one.successes = one.successes + 1 if why is None else 0
        age = time.monotonic() - one.since
        one.next_at = time.monotonic() + (QUICK if age < 15 else SOON if age < 60 else LATER)
        if one.successes >= one.ready_probe.success_threshold:
            one.state, one.successes = ReplicaState.Ready, 0
            one.next_at = time.monotonic() + one.live_probe.period
            self._ready(one.replica, one.deployment)

    def _of_ready(self, one: Watched) -> None:
        one.next_at = time.monotonic() + one.live_probe.period
        why = answers(one.host, one.port, one.liveness, one.live_probe)
        if why is None and one.readiness != one.liveness:
            why = answers(one.host, one.port, one.readiness, one.ready_probe)
        if why is None:
            one.failures = 0
            return
        one.failures += 1
        if one.failures >= one.live_probe.failure_threshold:
            one.state = ReplicaState.Unhealthy
            one.next_at = float("inf")
            self._unhealthy(one.replica, f"Unhealthy: It failed {one.failures} probes in a row; the last: {why}.")
        elif one.failures == 1:
            self._missed(one.replica, why)


def answers(host: str, port: int, asked: Asked, probe: Probe) -> str | None:
    """None when it does; else why not."""
    port = port if host == "127.0.0.1" or asked.port == 0 else asked.port
    try:
        if not asked.path:
            with socket.create_connection((host, port), timeout=probe.timeout):
                return None
        status = _status(host, port, asked, probe)
    except TimeoutError:
        return f"no answer in {probe.timeout} s"
    except (OSError, http.client.HTTPException, ValueError) as cause:  # ValueError: a path or method that is none
        return str(cause) or type(cause).__name__
    return None if 200 <= status < 400 else f"HTTP {status}"


def _status(host: str, port: int, asked: Asked, probe: Probe) -> int:
    connection: http.client.HTTPConnection
    if (probe.scheme or "").lower() == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=probe.timeout, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=probe.timeout)
    try:
        connection.request(asked.method, asked.path if asked.path.startswith("/") else f"/{asked.path}")
        return _first_line(connection.sock, time.monotonic() + probe.timeout)
    finally:
        connection.close()


def _first_line(answer: socket.socket, until: float) -> int:
    """The status. However slowly its bytes drip, it takes no longer than until then; the rest is not read."""
    said = b""
    while b"\n" not in said and len(said) < _LONGEST_LINE:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        answer.settimeout(left)
        piece = answer.recv(_LONGEST_LINE)
        if not piece:
            raise ConnectionResetError("It closed the connection without an answer")
        said += piece
    found = _STATUS.match(said)
    if found is None:
        raise http.client.BadStatusLine(repr(said[:40]))
    return int(found[1])
