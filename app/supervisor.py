"""The supervisor: starts tracking, web, worker and gateway, restarts what falls over, and stops them in order."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from app import presence
from app.forked import Forked, can_fork
from app.gateway import address
from app.orphan import VARIABLE
from services import sessions
from services.core.errors import AtelierError, Conflict, Denied
from services.core.times import iso, now
from services.engines import tracking
from services.store import migrate
from services.store.rows import Event
from services.studio import Settings, Studio

log = logging.getLogger("atelier.supervisor")
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
STEADY_SECONDS = 30.0
PATIENCE = 10.0
STOP_SECONDS = {"web": 4.0, "worker": 8.0, "tracking": 2.0}  # 15 s in all, by promise
DRAIN_SECONDS = 14.0  # of the gateway, meanwhile
REPLACED_SECONDS = 3.0
LEFTOVER_SECONDS = 10.0
LOG_BYTES = 20 << 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass
class Child:
    """One process: the module that it runs and with what, and how it fares; `after` holds back its first start.

    `kept` are descriptors of this process that it is given under the same numbers.
    """

    name: str
    module: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], bool] | None = None
    kept: Sequence[int] = ()
    process: subprocess.Popen[bytes] | Forked | None = None
    started: float = 0.0
    wait: float = FIRST_WAIT
    due: float = 0.0


class Supervisor:
    """Of the children in the order in which they start; they stop the other way round, web first."""

    def __init__(self, home: Path, children: Sequence[Child], say: Callable[[str, str], None]) -> None:
        self.home, self.children, self._say = home, list(children), say
        self._stopping, self._renewing = threading.Event(), threading.Event()
        self._old: list[tuple[float, subprocess.Popen[bytes] | Forked]] = []

    def start(self) -> None:
        """The children that wait for nothing, as copies of this process while it has nothing open and no threads."""
        for child in self.children:
            if child.after is None:
                self._start(child, copied=can_fork())
            else:
                child.due = time.monotonic() + PATIENCE

    def run(self) -> None:
        """Until `stop` is called."""
        while not self._stopping.wait(0.1):
            for child in self.children:
                self._look(child)
            self._renew()
        self._stop_all()

    def stop(self) -> None:
        self._stopping.set()

    def renew(self) -> None:
        """By SIGUSR1: starts a second gateway; the first ends when it has answered what it has."""
        self._renewing.set()

    def pids(self) -> dict[str, int]:
        return {child.name: child.process.pid for child in self.children if child.process is not None}

    def _start(self, child: Child, *, copied: bool = False) -> None:
        path = self.home / "logs" / f"{child.name}.log"
        path.parent.mkdir(exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        environment = {**os.environ, **child.environment, VARIABLE: str(os.getpid())}
        with path.open("ab") as file:
            if copied:
                child.process = Forked(child.module, environment, file.fileno(), child.kept)
            else:
                child.process = subprocess.Popen(
                    [sys.executable, "-m", child.module, *child.arguments],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                    pass_fds=child.kept,
                )
        child.started = time.monotonic()
        self._noted()

    def _look(self, child: Child) -> None:
        at = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                if at - child.started > STEADY_SECONDS:
                    child.wait = FIRST_WAIT
                return
            child.process, child.due = None, at + child.wait
            text = f"The {child.name} process ended ({_how(code)}) and is started again in {child.wait:g} s"
            log.warning("%s", text)
            self._say(child.name, text)
            child.wait = min(LONGEST_WAIT, child.wait * 2)
        elif at >= child.due or (child.after is not None and child.after()):
            child.after = None
            self._start(child)

    def _renew(self) -> None:
        """The old one goes on until the new one has had the time to listen: both take from the same socket."""
        at = time.monotonic()
        if self._renewing.is_set():
            self._renewing.clear()
            for child in self.children:
                if child.kept and child.process is not None:
                    self._old.append((at + REPLACED_SECONDS, child.process))
                    self._start(child)
        for due, process in self._old:
            if process.poll() is None and at > due:
                _signalled(process, signal.SIGTERM)
        self._old = [(due, process) for due, process in self._old if process.poll() is None]

    def _noted(self) -> None:
        presence.add(self.home, children=self.pids())

    def _stop_all(self) -> None:
        """Web first, so that nobody asks for what is going; containers are not touched, and the gateway answers
        what it has meanwhile."""
        began = time.monotonic()
        draining = [child.process for child in self.children if child.kept and child.process is not None]
        draining += [process for _, process in self._old]
        for process in draining:
            _signalled(process, signal.SIGTERM)
        for name in ("web", "worker", "tracking"):
            for child in self.children:
                if child.name == name and child.process is not None:
                    _stopped(child.process, STOP_SECONDS[name])
        for process in draining:
            _stopped(process, max(0.5, began + DRAIN_SECONDS - time.monotonic()))
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                _stopped(child.process, 1.0)


def _signalled(process: subprocess.Popen[bytes] | Forked, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _stopped(process: subprocess.Popen[bytes] | Forked, seconds: float) -> None:
    """The process and what it started itself (MLflow's server has workers)."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            _signalled(process, number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        break
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def up(settings: Settings, *, on_ready: Callable[[str, str], None] | None = None) -> None:
    """Runs the studio in this process until it is told to stop.

    `on_ready` is called with the studio's address and a sign-in link. Raises Conflict when it runs already
    or its port is taken, Denied for an address that is not safe to listen on.
    """
    check_address(settings)
    home = settings.home
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    lock = FileLock(home / "studio.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as cause:
        raise _runs_already(home) from cause
    try:
        _wait_for_leftovers(home)
        require_port(settings)
        _run(settings, on_ready)
    finally:
        presence.forget(home)
        lock.release()


def require_free(settings: Settings) -> None:
    """Raises what `up` would raise, before anything is started."""
    check_address(settings)
    if presence.running(settings.home):
        raise _runs_already(settings.home)
    _wait_for_leftovers(settings.home)
    require_port(settings)


def _wait_for_leftovers(home: Path) -> None:
    """They leave by themselves (app/orphan.py); who has not in time is killed, or it would hold the port."""
    _, alive = psutil.wait_procs(presence.left_behind(home), timeout=LEFTOVER_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=1.0)


def check_address(settings: Settings) -> None:
    if settings.host not in LOOPBACK and not settings.behind_proxy:
        raise Denied(
            f"The studio does not listen on {settings.host}: whoever reaches it could run programs here.",
            hint="Put a proxy with TLS in front of it and say so with ATELIER_BEHIND_PROXY=true.",
        )
    address.check(settings)


def require_port(settings: Settings) -> None:
    """Raises Conflict naming who has the port, or that of the gateway where the settings name one."""
    _require(settings.host, settings.port, "--port")
    if settings.gateway_port:
        if settings.gateway_port == settings.port:
            raise Conflict(
                f"Port {settings.port} cannot be the studio's and the gateway's.",
                hint="Choose another with ATELIER_GATEWAY_PORT.",
            )
        _require(address.host(settings), settings.gateway_port, "ATELIER_GATEWAY_PORT")


def _require(host: str, port: int, named: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as cause:
            raise Conflict(
                f"Port {port} is taken by {_holder(port)}.",
                hint=f"Choose another with {named}, or stop that program.",
            ) from cause


def _runs_already(home: Path) -> Conflict:
    found = presence.running(home)
    return Conflict(
        f"A studio runs already on this home: {found.get('url', home)}.",
        hint="Open that one, stop it with 'atelier down', or give the new one another folder with --home.",
    )


def _run(settings: Settings, on_ready: Callable[[str, str], None] | None) -> None:
    studio = Studio(settings)
    migrate.upgrade(studio.database)
    owner = sessions.ensure_owner(studio)
    url = f"http://{'127.0.0.1' if settings.host in LOOPBACK else settings.host}:{settings.port}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        tracking_port = probe.getsockname()[1]
    studio.say("tracking", {"url": f"http://127.0.0.1:{tracking_port}", "pid": 0})
    before = studio.fact("scoring")
    listening = address.bound(settings, int(before.value.get("port", 0)) if before is not None else 0)
    scoring = {"url": address.url(settings, listening.getsockname()[1]), "port": listening.getsockname()[1]}
    studio.say("scoring", scoring)
    supervisor = Supervisor(settings.home, _children(settings, tracking_port, listening), _sayer(studio))
    presence.say(
        settings.home,
        url=url,
        host=settings.host,
        port=settings.port,
        scoring=scoring["url"],
        started_at=iso(now()),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGUSR1, lambda *_: supervisor.renew())
    link = f"{url}/auth/sign-in?token={sessions.issue_sign_in(studio, owner)}"
    studio.close()  # nothing open is passed on
    supervisor.start()
    if on_ready is not None:
        on_ready(url, link)
    supervisor.run()
    listening.close()
    studio.close()


def _children(settings: Settings, tracking_port: int, listening: socket.socket) -> list[Child]:
    ours = {
        "ATELIER_HOME": str(settings.home),
        "ATELIER_HOST": settings.host,
        "ATELIER_PORT": str(settings.port),
        "ATELIER_ENGINE": settings.engine,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTHONUNBUFFERED": "1",
    }
    arguments, extra = tracking.command(settings.home, tracking_port)
    return [
        Child("web", "app.server", environment=ours),
        Child("worker", "app.worker", environment=ours),
        Child(
            "gateway",
            "app.gateway.__main__",
            environment={**ours, address.VARIABLE: str(listening.fileno())},
            kept=(listening.fileno(),),
        ),
        Child(
            "tracking",
            "app.tracking_server",
            arguments[3:],
            {**ours, **extra},
            after=lambda: _listens(settings),  # it takes long to start, and the first page must not wait for it
        ),
    ]


def _listens(settings: Settings) -> bool:
    try:
        with socket.create_connection((settings.host, settings.port), timeout=0.2):
            return True
    except OSError:
        return False


def _sayer(studio: Studio) -> Callable[[str, str], None]:
    def say(name: str, message: str) -> None:
        try:
            with studio.database.session(write=True) as session:
                session.add(Event(principal="atelier", kind="process", name=name, message=message))
        except AtelierError as cause:
            log.warning("The event could not be written: %s", cause)

    return say


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                return f"'{process.name()}' (process {connection.pid})"
    except psutil.Error:
        pass
    return f"another program ('ss -ltnp sport = :{port}' as root says which)"
