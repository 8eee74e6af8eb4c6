"""atelier component …"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import assets, completion, printing
from app.cli.client import Client, in_workspace

if TYPE_CHECKING:
    from services.specs.local_components import LocalComponent

app = typer.Typer(help="Components: steps with a typed interface.", no_args_is_help=True)
NOUN = "component"
COLUMNS = ("name", "version", "type", "display_name", "description", "creation_context.created_at")
Name = Annotated[
    str, typer.Option("--name", "-n", help="Name of the component.", autocompletion=completion.of("components"))
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="field.field=value; may be repeated.")]


@app.command()
def create(
    file: Annotated[str, typer.Option("--file", "-f", help="The component's YAML file; - reads standard input.")],
    name: Name = "",
    version: assets.NewVersion = "",
    set_: Settings = None,
) -> None:
    """Creates a version; its code, what it includes and the components that its steps name are sent along."""
    from app.cli import reading
    from services.specs import local_components, overrides

    written, base = reading.source(file)
    given = {key: value for key, value in {"name": name, "version": version}.items() if value}
    value = overrides.apply(dict(written.value), set_ or []) | given
    printing.show(_made(Client(), local_components.component(written, base, value)))


assets.shared(app, NOUN, "components", COLUMNS)


@app.command()
def use(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="inputs.rate=0.1, inputs.data.path=azureml:iris:1, outputs.model.name=m."),
    ] = None,
    display_name: Annotated[str, typer.Option(help="How the job is shown.")] = "",
    experiment_name: Annotated[str, typer.Option(help="Where the job belongs.")] = "",
) -> None:
    """Submits a job that does what the component does, with these values."""
    from services.specs import overrides

    value = overrides.apply({"inputs": {}, "outputs": {}}, set_ or [])
    more = {"display_name": display_name, "experiment_name": experiment_name}
    body = {**value, "job": {key: each for key, each in more.items() if each}}
    client = Client()
    printing.show(
        client.ask("POST", f"{assets.settled(client, 'components', name, version, label, noun=NOUN)}/jobs", json=body)
    )


@app.command()
def download(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    download_path: assets.Target = Path(),
) -> None:
    """Downloads it to DIR/NAME: the file `component.yml`, and its code beside that; `create -f` makes it elsewhere."""
    from services.specs import source

    client = Client()
    at, target = assets.settled(client, "components", name, version, label, noun=NOUN), download_path / name
    shown, count = client.ask("GET", at), assets.downloaded(client, f"{at}/code", target / "code")
    told = {"id", "creation_context", "archived", "version"}
    written = {key: value for key, value in shown.items() if key not in told and value not in ({}, [], "", None)}
    for place in (written, written.get("task"), written.get("trial")):
        if isinstance(place, dict) and "code" in place:
            place["code"] = "./code"
    target.mkdir(parents=True, exist_ok=True)
    (target / "component.yml").write_text(source.dump(written), encoding="utf-8")
    printing.note(f"{target.resolve() / 'component.yml'} and {assets.files(count)}")


def _made(client: Client, local: "LocalComponent", *, is_anonymous: bool = False) -> dict[str, Any]:
    """Files first, then the components that its steps name by a path, then itself."""
    from app.cli import upload

    for kind, found in (("code", local.code), ("context", local.contexts)):
        for each in found:
            upload.send_manifest(client, each, kind)
    for place, inner in local.parts.items():
        local.put(place, _made(client, inner, is_anonymous=True)["id"])
    body = {"spec": local.written, "is_anonymous": is_anonymous}
    made: dict[str, Any] = client.ask("POST", in_workspace("/components"), json=body)
    return made
