"""What `atelier doctor` looks at: the machine, the engine and the studio on it, each with its remedy."""

import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import psutil

from app import presence, supervisor
from services.core.errors import AtelierError, EngineError
from services.core.times import now
from services.engines.containers import Container, EngineInfo
from services.engines.docker import DockerEngine
from services.engines.interpreters import interpreters
from services.store import migrate
from services.studio import Settings, Studio

State = Literal["ok", "warning", "problem"]
OLDEST_PYTHON, OLDEST_API = (3, 11), (1, 41)
GIB = 1 << 30
DISK_LOW, DISK_OUT = 20 * GIB, 2 * GIB
MEMORY_LOW = 4 * GIB
CLOCK_SECONDS = 5.0
PROBE_SECONDS = 20.0
EARLIEST_YEAR = 2025


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, what was found, and what to do when it is not well."""

    check: str
    state: State
    found: str
    remedy: str = ""


def all_of(settings: Settings) -> list[Finding]:
    """Every check, in the order in which a person would put things right. Changes nothing that lasts."""
    engine, about_engine = _engine(settings)
    info = engine.info() if engine is not None else None
    return [
        _python(),
        _permissions(settings.home),
        _disk(settings.home),
        _memory(),
        _clock(engine),
        *about_engine,
        *(_docker(engine, info) if engine is not None and info is not None else []),
        _port(settings),
        _database(settings),
        _tracking(settings),
    ]


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", "problem", found, "Atelier needs Python 3.11 or newer.")
    others = ", ".join(one.version for one in interpreters())
    return Finding("Python", "ok", f"{found}; environments can be made for {others}")


def _permissions(home: Path) -> Finding:
    if not home.exists():
        parent = next(path for path in home.parents if path.exists())
        if os.access(parent, os.W_OK):
            return Finding("Home", "ok", f"{home} is made by the first start")
        return Finding("Home", "problem", f"{parent} cannot be written", "Choose another folder: ATELIER_HOME=…")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("Home", "problem", f"{home} cannot be written by this user", f"sudo chown -R $(id -un) {home}")
    open_to = [
        path for path in (home, home / "token", home / "master.key") if path.exists() and path.stat().st_mode & 0o77
    ]
    if open_to:
        names = " ".join(map(str, open_to))
        return Finding("Home", "problem", f"others of this machine may read {names}", f"chmod go-rwx {names}")
    return Finding("Home", "ok", f"{home}, for this user only")


def _disk(home: Path) -> Finding:
    place = next(path for path in (home, *home.parents) if path.exists())
    usage = shutil.disk_usage(place)
    found = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} at {place}"
    remedy = "Free some space; 'docker system df' shows what images take."
    if usage.free < DISK_OUT:
        return Finding("Disk", "problem", found, remedy)
    return Finding("Disk", "warning", found, remedy) if usage.free < DISK_LOW else Finding("Disk", "ok", found)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} GiB available of {memory.total / GIB:.1f}"
    if memory.available < MEMORY_LOW:
        return Finding(
            "Memory", "warning", found, "Jobs may be killed for memory: give them limits (config set job_memory=2g)."
        )
    return Finding("Memory", "ok", found)


def _clock(engine: DockerEngine | None) -> Finding:
    """Against the engine's own, and against the machine's time service where it says anything."""
    at = now()
    if at.year < EARLIEST_YEAR:
        return Finding("Clock", "problem", f"it says {at:%Y-%m-%d}", "Set the clock: timedatectl set-ntp true")
    if engine is not None:
        away = abs((engine.clock() - now()).total_seconds())
        if away > CLOCK_SECONDS:
            return Finding(
                "Clock", "warning", f"{away:.0f} s away from the engine's", "Synchronise both machines with NTP."
            )
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
        if said == "no":
            return Finding(
                "Clock", "warning", f"{at:%Y-%m-%d %H:%M:%S} UTC, not synchronised", "timedatectl set-ntp true"
            )
    return Finding("Clock", "ok", f"{at:%Y-%m-%d %H:%M:%S} UTC")


def _engine(settings: Settings) -> tuple[DockerEngine | None, list[Finding]]:
    """The Docker engine when it answers, and what to say of engines."""
    if settings.engine == "process":
        remedy = "Jobs are not isolated from this machine; 'atelier config set engine=docker' asks for containers."
        return None, [Finding("Engine", "warning", "plain processes, as configured", remedy)]
    engine = DockerEngine(install="doctor", home=settings.home)
    try:
        info = engine.info()
    except EngineError as cause:
        state: State = "problem" if settings.engine == "docker" else "warning"
        remedy = (
            "Install Docker (Debian: apt install docker.io), start it, and let this user reach it: usermod -aG docker."
        )
        return None, [Finding("Engine", state, f"{cause.message} Jobs run as plain processes.", remedy)]
    found = f"Docker {info.version}, API {info.api_version}, {info.cpus} cores, {info.memory / GIB:.1f} GiB"
    if tuple(map(int, info.api_version.split("."))) < OLDEST_API:
        return engine, [Finding("Engine", "problem", found, "Update Docker: API 1.41 (20.10) or newer is needed.")]
    for warning in info.warnings:
        return engine, [Finding("Engine", "warning", f"{found}. {warning}", "Give this machine a /dev/shm.")]
    return engine, [Finding("Engine", "ok", found)]


def _docker(engine: DockerEngine, info: EngineInfo) -> list[Finding]:
    """Base images, and the way from a container back to this host."""
    there = engine.images.bases()
    remedy = "atelier environment bootstrap (the first job does it too)"
    if not there:
        return [
            Finding("Base images", "warning", "none yet", remedy),
            Finding(
                "Gateway", "warning", f"{info.gateway or 'none'}, not tried: there is no image to try it with", remedy
            ),
        ]
    versions = {reference.rpartition(":")[2].partition("-")[0] for reference in there}
    told = ", ".join(sorted(versions, key=lambda version: [int(part) for part in version.split(".")]))
    return [Finding("Base images", "ok", f"Python {told}"), _gateway(engine, info, there[-1])]


def _gateway(engine: DockerEngine, info: EngineInfo, image: str) -> Finding:
    """Asked from a real container: firewalls that drop what comes from the bridge are found no other way."""
    if info.gateway is None:
        return Finding("Gateway", "problem", "the engine has no bridge", "Start dockerd without --bridge=none.")
    remedy = "Let the firewall pass what comes from the Docker bridge: iptables -I INPUT -i docker0 -j ACCEPT"
    try:
        with _greeting(info.gateway) as (port, word):
            said = _asked_from_inside(engine, image, port, word)
    except OSError as cause:
        return Finding(
            "Gateway",
            "problem",
            f"{info.gateway} is no address of this host: {cause}",
            "Set public_url for a remote engine.",
        )
    except AtelierError as cause:
        return Finding("Gateway", "problem", cause.message, remedy)
    if not said:
        return Finding("Gateway", "problem", f"containers do not reach {info.gateway}", remedy)
    return Finding("Gateway", "ok", f"containers reach this host at {info.gateway}")


@contextmanager
def _greeting(address: str) -> Iterator[tuple[int, str]]:
    """Something that answers every caller with a word nobody else knows."""
    word = secrets.token_hex(8)
    with socket.create_server((address, 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = server.accept()
                    with caller:
                        caller.sendall(word.encode())

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], word


def _asked_from_inside(engine: DockerEngine, image: str, port: int, word: str) -> bool:
    script = (
        "import socket,sys; s=socket.create_connection(('host.docker.internal',int(sys.argv[1])),5); "
        "sys.exit(s.recv(64).decode()!=sys.argv[2])"
    )
    name = f"atelier-doctor-{secrets.token_hex(4)}"
    wish = Container(
        name=name, image=image, command=["python3", "-c", script, str(port), word], labels={"atelier.kind": "probe"}
    )
    try:
        id_ = engine.create(wish)
        engine.start(id_)
        end = time.monotonic() + PROBE_SECONDS
        while engine.inspect(id_).status == "running" and time.monotonic() < end:
            time.sleep(0.1)
        return engine.inspect(id_).exit_code == 0
    finally:
        engine.remove(name)
        engine.sweep([])


def _port(settings: Settings) -> Finding:
    running = presence.running(settings.home)
    if running:
        return Finding("Port", "ok", f"the studio runs at {running['url']}")
    try:
        supervisor.require_port(settings)
    except AtelierError as cause:
        return Finding("Port", "problem", cause.message, cause.hint or "")
    return Finding("Port", "ok", f"{settings.host}:{settings.port} is free")


def _database(settings: Settings) -> Finding:
    if not settings.database_url and not (settings.home / "atelier.db").exists():
        return Finding("Database", "ok", "made by the first start")
    kind = "PostgreSQL" if settings.database_url else "SQLite"
    try:
        with closing(Studio(settings)) as studio:
            problems = migrate.check(studio.database)
    except Exception as cause:  # noqa: BLE001 (whatever a broken database says is the finding)
        return Finding(
            "Database",
            "problem",
            f"{kind}: {cause}".splitlines()[0][:200],
            "Is it running, and is ATELIER_DATABASE_URL right?",
        )
    if problems:
        return Finding("Database", "problem", f"{kind}: {problems[0]}", "atelier db upgrade, or restore a backup")
    return Finding("Database", "ok", f"{kind}, whole and of this release")


def _tracking(settings: Settings) -> Finding:
    running = presence.running(settings.home)
    if not running:
        return Finding("Tracking", "ok", "starts with the studio")
    try:
        said = httpx.get(f"{running['url']}/readyz", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return Finding(
            "Tracking", "problem", f"{running['url']} does not answer", f"Look at {settings.home / 'logs' / 'web.log'}"
        )
    if said.get("tracking") != "ready":
        return Finding(
            "Tracking", "warning", str(said.get("tracking")), f"Look at {settings.home / 'logs' / 'tracking.log'}"
        )
    return Finding("Tracking", "ok", "MLflow answers behind the studio")
