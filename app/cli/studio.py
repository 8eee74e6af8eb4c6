"""atelier up | down | status | doctor | db …: the studio on this machine."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from app import presence
from app.cli import common, printing
from services.core.errors import Conflict, EngineError, NotFound, Unavailable

if TYPE_CHECKING:
    from services.studio import Settings, Studio

READY_SECONDS = 120.0
DOWN_SECONDS = 20.0
POLL_SECONDS = 0.1
Home = Annotated[Path | None, typer.Option(help="Where everything lies; ATELIER_HOME.")]
database = typer.Typer(help="The database of the studio on this machine.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    for command in (up, down, status, doctor):
        app.command()(command)
    app.add_typer(database, name="db")


def up(
    host: Annotated[str, typer.Option(help="Address to listen on; ATELIER_HOST.")] = "",
    port: Annotated[int, typer.Option(help="Port to listen on; ATELIER_PORT.")] = 0,
    home: Home = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once the studio is ready.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Starts the studio and keeps it running: web, worker and tracking."""
    from app import supervisor

    settings = _settings(home, host=host, port=port)
    if detach:
        _detached(settings, no_browser=no_browser)
        return

    def started(url: str, link: str) -> None:
        _announced(url, link, no_browser=no_browser)
        threading.Thread(target=_told_when_ready, args=(settings,), daemon=True).start()

    supervisor.up(settings, on_ready=started)


def down(home: Home = None) -> None:
    """Stops the studio in order; jobs that run go on, and are found again by the next start."""
    folder = _folder(home)
    found = presence.running(folder)
    if not found:
        printing.note(f"No studio runs on {folder}.")
        return
    os.kill(int(found["pid"]), signal.SIGTERM)
    if not _until(lambda: not presence.running(folder), DOWN_SECONDS):
        raise EngineError(
            f"The studio (process {found['pid']}) did not stop in {DOWN_SECONDS:.0f} s.",
            hint=f"Look at {folder / 'logs'}.",
        )
    printing.note("Stopped. Jobs that run go on; the next start finds them.")


def status(
    home: Home = None,
    sign_in: Annotated[bool, typer.Option("--sign-in", help="Adds a link that signs a browser in once.")] = False,
) -> None:
    """Says whether the studio runs, and how its parts fare; exits with 1 when it does not run."""
    folder = _folder(home)
    found = presence.running(folder)
    if not found:
        printing.show({"status": "not running", "home": str(folder)})
        printing.note("Start one with: atelier up --detach")
        raise typer.Exit(1)
    ready = _readiness(str(found["url"]))
    printing.show(
        {
            "status": ready.pop("status", "starting"),
            "url": found["url"],
            "scoring": found.get("scoring", ""),
            "home": str(folder),
            "pid": found["pid"],
            "started_at": found["started_at"],
            "processes": found.get("children", {}),
            "parts": ready,
            **({"sign_in": _sign_in_link(home, str(found["url"]))} if sign_in else {}),
        }
    )


def _sign_in_link(home: Path | None, url: str) -> str:
    from services import sessions

    with opened(home) as studio:
        return f"{url}/auth/sign-in?token={sessions.issue_sign_in(studio)}"


def doctor(home: Home = None) -> None:
    """Looks at this machine and at the studio on it: what is missing, and how to get it; exits with 1 for a problem."""
    from app import checkup

    rows = [
        {"check": each.check, "state": each.state, "found": each.found, "remedy": each.remedy}
        for each in checkup.all_of(_settings(home))
    ]
    printing.show(rows, ("check", "state", "found", "remedy"))
    if any(row["state"] == "problem" for row in rows):
        raise typer.Exit(1)


@database.command("upgrade")
def upgrade(home: Home = None) -> None:
    """Brings the tables to this release; a SQLite database is copied first."""
    from services.store import migrate

    with opened(home) as studio:
        printing.show({"revision": migrate.upgrade(studio.database)})


@database.command("check")
def check(home: Home = None) -> None:
    """Says what is wrong with the tables or the file; exits with 1 when something is."""
    from services.store import migrate

    with opened(home, exists=True) as studio:
        problems = migrate.check(studio.database)
    printing.show({"status": "ok" if not problems else "problem", "problems": problems})
    if problems:
        raise typer.Exit(1)


@database.command("backup")
def backup(
    target: Annotated[Path | None, typer.Argument(help="File to write; by default in HOME/backups.")] = None,
    home: Home = None,
) -> None:
    """Copies the SQLite database while it is in use."""
    from services.core.times import now
    from services.store import migrate

    with opened(home, exists=True) as studio:
        path = target or studio.folders.home / "backups" / f"atelier-{now():%Y%m%dT%H%M%SZ}.db"
        if path.exists():
            raise Conflict(f"'{path}' exists already.")
        made = migrate.backup(studio.database, path)
    printing.show({"path": str(made.resolve()), "size": made.stat().st_size})


def _folder(home: Path | None) -> Path:
    """The home of this call; what reads ATELIER_HOME later in this process, and its children, get the same."""
    if home is not None:
        os.environ["ATELIER_HOME"] = str(home.expanduser().resolve())
    return common.home().expanduser().resolve()


def _settings(home: Path | None, *, host: str = "", port: int = 0) -> "Settings":
    """As the flags say, before the environment and config.toml; children are started with the same."""
    from pydantic import ValidationError

    from services.core.errors import Invalid
    from services.studio import Settings

    given: dict[str, Any] = {"home": _folder(home)}
    given |= {name: value for name, value in (("host", host), ("port", port)) if value}
    try:
        return Settings(**given)
    except ValidationError as cause:
        first = cause.errors()[0]
        raise Invalid(f"{first['msg']}: {first['input']!r}.", where=".".join(map(str, first["loc"]))) from cause


class opened:  # noqa: N801 (reads as what it does)
    """The studio's database without the studio."""

    def __init__(self, home: Path | None, *, exists: bool = False) -> None:
        from services.studio import Studio

        settings = _settings(home)
        if exists and not settings.database_url and not (settings.home / "atelier.db").exists():
            raise NotFound(f"There is no database in '{settings.home}' yet.", hint="The first 'atelier up' makes it.")
        self._studio = Studio(settings)

    def __enter__(self) -> "Studio":
        return self._studio

    def __exit__(self, *_: object) -> None:
        self._studio.close()


def _detached(settings: "Settings", *, no_browser: bool) -> None:
    """A supervisor of its own session; this process waits until jobs can be submitted."""
    from app import supervisor
    from services import sessions
    from services.studio import Studio

    supervisor.require_free(settings)
    log = settings.home / "logs" / "supervisor.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = ["up", "--no-browser", "--home", str(settings.home), "--host", settings.host, "--port", str(settings.port)]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from app.cli import main; main()", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
        )
    if not _until(lambda: process.poll() is not None or _is_ready(settings), READY_SECONDS):
        raise Unavailable(f"The studio is not ready after {READY_SECONDS:.0f} s.", hint="'atelier status' says why.")
    if process.poll() is not None:
        raise EngineError(f"The studio did not start. {_last_line(log)}", hint=f"{log} says more.")
    studio = Studio(settings)
    link = f"{settings.local_url}/auth/sign-in?token={sessions.issue_sign_in(studio)}"
    printing.note(_how_jobs_run(studio))
    studio.close()
    _announced(settings.local_url, link, no_browser=no_browser)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1].removeprefix("Error: ")[:500] if lines else ""


def _how_jobs_run(studio: "Studio") -> str:
    """In one sentence, for the person who has just started it."""
    fact = studio.fact("engine")
    if fact is None or fact.value.get("kind") == "process":
        return "No Docker engine is used: jobs run as plain processes, without isolation from this machine."
    return f"Jobs run in containers (Docker {fact.value.get('version')})."


def _told_when_ready(settings: "Settings") -> None:
    from services.studio import Studio

    if _until(lambda: _is_ready(settings), READY_SECONDS):
        studio = Studio(settings)
        printing.note(f"Ready. {_how_jobs_run(studio)}")
        studio.close()


def _announced(url: str, link: str, *, no_browser: bool) -> None:
    print(f"Atelier: {url}\nSign in: {link}", flush=True)
    if not no_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
        threading.Thread(target=_shown, args=(url, link), daemon=True).start()


def _shown(url: str, link: str) -> None:
    import webbrowser

    if _until(lambda: bool(_asked(f"{url}/healthz")), READY_SECONDS):
        webbrowser.open(link)


def _is_ready(settings: "Settings") -> bool:
    return _readiness(settings.local_url).get("status") == "ready"


def _readiness(url: str) -> dict[str, Any]:
    return _asked(f"{url}/readyz")


def _asked(url: str) -> dict[str, Any]:
    """Asked many times while the studio starts: by what costs least."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=3)
    try:
        connection.request("GET", where.path)
        said: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return said


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True
