"""atelier online-endpoint rollout … and rollback."""

from typing import Annotated, Any

import typer

from app.cli import completion, printing
from app.cli.client import Client, in_workspace, named, part
from services.core.errors import Invalid, NotFound

app = typer.Typer(help="Rollouts: traffic that moves to a deployment step by step.", no_args_is_help=True)
COLUMNS = ("id", "deployment", "state", "percent", "message", "creation_context.created_at")
Name = Annotated[
    str,
    typer.Option("--name", "-n", help="Name of the endpoint.", autocompletion=completion.of("online-endpoints")),
]


@app.command()
def start(
    name: Name,
    deployment: Annotated[str, typer.Option("--deployment-name", "-d", help="The deployment that gets traffic.")] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="YAML of a rollout; - reads standard input.")] = "",
    type: Annotated[str, typer.Option("--type", "-t", help="canary or linear.")] = "",
    percent: Annotated[int, typer.Option("--percent", help="Of the first step, or more with each step.")] = 0,
    steps: Annotated[str, typer.Option("--steps", help="All percents, such as 10,50,100.")] = "",
    bake_seconds: Annotated[int, typer.Option("--bake-seconds", help="Seconds that each step must go well.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, such as alarms.p95_ms=200; changes the file.")
    ] = None,
) -> None:
    """Starts to move the traffic; it comes back by itself when the new deployment answers badly."""
    from app.cli import reading
    from services.specs import overrides, source
    from services.specs.problems import checked
    from services.specs.rollouts import Rollout

    written = reading.source(file)[0] if file else source.load("{}")
    given: dict[str, Any] = {"deployment": deployment, "type": type, "percent": percent, "bake_seconds": bake_seconds}
    given["steps"] = _whole(steps)
    value = overrides.apply(dict(written.value), set_ or [])
    spec = checked(Rollout, value | {key: each for key, each in given.items() if each}, written)
    body = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    printing.show(Client().ask("POST", _at(name, "rollouts"), json=body))


@app.command("list")
def listed(name: Name) -> None:
    """Lists an endpoint's rollouts, newest first."""
    printing.show(Client().all(_at(name, "rollouts")), COLUMNS)


@app.command()
def show(
    name: Name, rollout: Annotated[str, typer.Option("--id", help="Which one; the latest by itself.")] = ""
) -> None:
    """Shows one: its step, when the next is due, and why it ended."""
    client = Client()
    if rollout:
        printing.show(client.ask("GET", _at(name, f"rollouts/{part(rollout)}")))
        return
    latest = client.all(_at(name, "rollouts"), most=1)
    if not latest:
        raise NotFound(f"Endpoint '{name}' had no rollout yet.")
    printing.show(latest[0])


@app.command()
def promote(
    name: Name, full: Annotated[bool, typer.Option("--full", help="To the end at once, not to the next step.")] = False
) -> None:
    """Takes the next step of the running rollout without waiting."""
    printing.show(Client().ask("POST", _at(name, "rollouts/promote"), json={"full": full}))


@app.command()
def cancel(name: Name) -> None:
    """Ends the running rollout; the traffic stays as it is."""
    printing.show(Client().ask("POST", _at(name, "rollouts/cancel")))


def rollback(name: Name) -> None:
    """Brings the traffic back: to before the running rollout, or to before the last change."""
    printing.show(Client().ask("POST", _at(name, "rollback")))


def _whole(steps: str) -> list[int]:
    try:
        return [int(each) for each in steps.replace(" ", "").split(",") if each]
    except ValueError as cause:
        raise Invalid(f"'{steps[:80]}' are no percents, such as 10,50,100.", where="--steps") from cause


def _at(name: str, path: str) -> str:
    return in_workspace(f"/online-endpoints/{part(named(name, 'endpoint'))}/{path}")
