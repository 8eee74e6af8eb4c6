"""A job's log as it is printed, until the job has ended; a studio that restarts meanwhile is waited for."""

import sys
import time
from typing import TYPE_CHECKING, Any

from app.cli import printing
from app.cli.client import Client, in_workspace, part
from services.core.errors import Unavailable

if TYPE_CHECKING:
    import httpx

ENDED = ("Completed", "Failed", "Canceled")
POLL_SECONDS = 0.25
PATIENCE_SECONDS = 60.0


def followed(client: Client, job: dict[str, Any], *, aside: bool) -> dict[str, Any]:
    """The ended job. Its log goes to standard output, or `aside` to standard error: then the other is a document."""
    out = sys.stderr if aside else sys.stdout
    path = in_workspace(f"/jobs/{part(job['name'])}")
    offset, status = 0, ""
    try:
        print(f"RunId: {job['name']}\nWeb View: {job['services']['Studio']['endpoint']}\n", file=out, flush=True)
        while True:
            answer = _asked(client, f"{path}/log", offset)
            if answer.content:
                out.buffer.write(answer.content)
                out.buffer.flush()
            offset = int(answer.headers["X-Log-Offset"])
            if answer.headers["X-Log-End"] == "true":
                break
            if not answer.content:
                status = status if offset else _said(client, path, status)
                time.sleep(POLL_SECONDS)
        ended: dict[str, Any] = client.ask("GET", path)
    except KeyboardInterrupt:
        printing.note(f"\nThe job goes on. 'atelier job cancel -n {job['name']}' stops it.")
        raise
    print(f"\nExecution Summary\n=================\nRunId: {ended['name']}\nStatus: {ended['status']}", file=out)
    if ended["warning"]:
        print(f"Warning: {ended['warning']}", file=out)
    out.flush()
    return ended


def _asked(client: Client, path: str, offset: int) -> "httpx.Response":
    """The log from there on. Raises Unavailable when the studio stays away."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return client.answer("GET", path, params={"offset": offset})
        except Unavailable:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_SECONDS)


def _said(client: Client, path: str, before: str) -> str:
    """While nothing is printed yet: what the job waits for, each reason once."""
    job = client.ask("GET", path)
    now = f"{job['status']}: {job['reason']}" if job["reason"] else str(job["status"])
    if now != before and job["status"] not in ENDED:
        printing.note(now)
    return now
