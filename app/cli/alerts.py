"""atelier online-endpoint alert …"""

from typing import Annotated, Any

import typer

from app.cli import completion, printing
from app.cli.client import Client, in_workspace, named, part
from services.core.errors import Invalid, NotFound

app = typer.Typer(help="Alerts: who is told when an endpoint goes wrong.", no_args_is_help=True)
COLUMNS = ("name", "on", "threshold", "window", "webhook", "mail")
Name = Annotated[
    str,
    typer.Option("--name", "-n", help="Name of the endpoint.", autocompletion=completion.of("online-endpoints")),
]


@app.command("set")
def put(
    name: Name,
    file: Annotated[
        str,
        typer.Option("--file", "-f", help="YAML of one alert, the webhook in it; - reads standard input."),
    ] = "",
    alert_name: Annotated[str, typer.Option("--alert-name", help="How the alert is called.")] = "",
    on: Annotated[str, typer.Option("--on", help="failed, error_rate or p95.")] = "",
    threshold: Annotated[float | None, typer.Option("--threshold", help="Percent of requests, or ms.")] = None,
    window: Annotated[int, typer.Option("--window", help="Seconds that are looked at.")] = 0,
    mail: Annotated[list[str] | None, typer.Option("--mail", help="Who gets mail; may be repeated.")] = None,
) -> None:
    """Adds an alert, or changes the one of that name. A webhook's address is a secret and stands in a file only."""
    from app.cli import reading
    from services.specs import source
    from services.specs.problems import checked
    from services.specs.rollouts import Alert

    client, at = Client(), _at(name)
    written = reading.source(file)[0] if file else source.load("{}")
    given = {"name": alert_name, "on": on, "threshold": threshold, "window": window, "mail": mail}
    value = {**written.value, **{key: each for key, each in given.items() if each not in (None, "", 0, [])}}
    if not value.get("name"):
        raise Invalid("An alert needs a name.", where="--alert-name")
    known = {str(each["name"]).casefold(): each for each in client.all(at)}
    called = str(value["name"]).casefold()
    spec = checked(Alert, {**known.get(called, {}), **value}, written)
    changed = {**known, called: spec.model_dump(mode="json")}
    printing.show(_put(client, at, list(changed.values())), COLUMNS)


@app.command("list")
def listed(name: Name) -> None:
    """Lists an endpoint's alerts; of webhooks only the host."""
    printing.show(Client().all(_at(name)), COLUMNS)


@app.command()
def delete(name: Name, alert_name: Annotated[str, typer.Option("--alert-name", help="Which one.")]) -> None:
    """Tells nobody any more."""
    client, at = Client(), _at(name)
    known = client.all(at)
    kept = [each for each in known if str(each["name"]).casefold() != alert_name.casefold()]
    if len(kept) == len(known):
        raise NotFound(f"Endpoint '{name}' has no alert '{alert_name[:80]}'.")
    _put(client, at, kept)


def _put(client: Client, at: str, alerts: list[Any]) -> Any:
    return client.ask("PUT", at, json={"alerts": alerts})["value"]


def _at(name: str) -> str:
    return in_workspace(f"/online-endpoints/{part(named(name, 'endpoint'))}/alerts")
