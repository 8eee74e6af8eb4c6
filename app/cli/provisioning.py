"""Waits for what the worker makes true: a deployment that comes up, or something that goes away."""

import time
from typing import Annotated, Any

import typer

from app.cli import printing
from app.cli.client import Client
from services.core.errors import NotFound

NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is done.")]
NothingToWait = Annotated[bool, typer.Option("--no-wait", help="Accepted: there is nothing to wait for.")]
UNDER_WAY = ("Creating", "Updating", "Deleting")
POLL_SECONDS = 0.25


def provisioned(client: Client, at: str) -> dict[str, Any]:
    """The deployment once it is Succeeded. Says what it waits for, each reason once; leaves with 1 when it Failed."""
    said = ""
    try:
        while True:
            found: dict[str, Any] = client.ask("GET", at)
            if found["provisioning_state"] not in UNDER_WAY:
                break
            now = f"{found['provisioning_state']}: {found['message']}" if found["message"] else ""
            if now and now != said:
                printing.note(now)
                said = now
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        printing.note("\nIt goes on by itself: 'atelier online-deployment show' says how far it is.")
        raise
    if found["provisioning_state"] == "Failed":
        name, endpoint = found["name"], found["endpoint_name"]
        printing.fail(
            found["message"] or "The deployment failed.",
            code=found["reason"] or "DeploymentFailed",
            hint=f"'atelier online-deployment get-logs -n {name} -e {endpoint}' shows its log.",
        )
        raise typer.Exit(1)
    return found


def until_gone(client: Client, at: str) -> None:
    """Returns when REST does not find it any more."""
    while True:
        try:
            client.ask("GET", at)
        except NotFound:
            return
        time.sleep(POLL_SECONDS)
