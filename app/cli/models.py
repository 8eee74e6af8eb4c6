"""atelier model …"""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import assets, completion, model_deploy, printing
from app.cli.client import Client, in_workspace, part
from services.core.errors import Invalid

app = typer.Typer(help="Models: named versions of what training left behind.", no_args_is_help=True)
COLUMNS = ("name", "version", "type", "stage", "job_name", "description", "creation_context.created_at")
NOUN = "model"
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the model.", autocompletion=completion.of("models"))]


@app.command()
def create(
    file: Annotated[str, typer.Option("--file", "-f", help="The model's YAML file; - reads standard input.")] = "",
    name: Name = "",
    version: assets.NewVersion = "",
    type: Annotated[str, typer.Option("--type", "-t", help="custom_model, mlflow_model or triton_model.")] = "",
    path: Annotated[
        str,
        typer.Option("--path", "-p", help="A local file or folder, which is sent, a job's output or any other URI."),
    ] = "",
    description: Annotated[str, typer.Option("--description", "-d", help="What it is.")] = "",
    stage: Annotated[str, typer.Option("--stage", help="Such as Production.")] = "",
    tags: Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field.field=value; changes what the file says.")
    ] = None,
) -> None:
    """Creates a version; local files are sent, and the type is told from them when it is left out."""
    from app.cli import reading, upload
    from services.specs import local, overrides, source
    from services.specs.models import Model
    from services.specs.problems import checked

    if not file and not path:
        raise Invalid("A model needs a --file, or a --name and a --path.")
    written, base = reading.source(file) if file else (source.load("{}"), Path.cwd())
    if path and not local.is_uri(path):
        path = str(Path(path.removeprefix("file:")).expanduser().absolute())
    given = {"name": name, "version": version, "type": type, "path": path, "description": description, "stage": stage}
    value = dict(written.value)
    value = overrides.apply(value, [*(set_ or []), *(f"tags.{tag}" for tag in tags or [])])
    spec = checked(Model, value | {key: each for key, each in given.items() if each}, written)
    if not spec.name:
        raise Invalid("A model needs a name.", where=written.where(("name",)) if file else "--name")
    client = Client()
    body = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    if not local.is_uri(spec.path):
        here = local.existing(spec.path, base, written.where(("path",)) if file and not path else "--path")
        body["path"] = upload.model(client, here, what=spec.name)
    printing.show(client.ask("POST", in_workspace("/models"), json={"spec": body}))


assets.shared(app, NOUN, "models", COLUMNS)
app.command()(model_deploy.deploy)


@app.command()
def download(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    download_path: assets.Target = Path(),
) -> None:
    """Downloads its files to DIR/NAME."""
    client = Client()
    at, target = assets.settled(client, "models", name, version, label, noun=NOUN), download_path / name
    count = assets.downloaded(client, f"{at}/files", target)
    printing.note(f"{assets.files(count)} in {target.resolve()}")


@app.command()
def approve(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    note: Annotated[str, typer.Option("--note", help="Why it may be used.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Takes an earlier approval back.")] = False,
) -> None:
    """Notes that a version may be used, by whom and why."""
    client = Client()
    body = {"note": note, "withdraw": withdraw}
    printing.show(
        client.ask("POST", f"{assets.settled(client, 'models', name, version, label, noun=NOUN)}/approve", json=body)
    )


@app.command()
def compare(
    name: Name,
    versions: Annotated[str, typer.Option("--versions", help="Two or more, such as 1,2.")],
) -> None:
    """Shows versions beside each other: metrics, parameters, signature and files."""
    from app.cli import common

    client = Client()
    found = client.all(in_workspace(f"/models/{part(name)}/compare"), params={"versions": versions})
    if not common.chosen.is_for_people:
        printing.show(found)
        return
    lines = [
        {"what": what, "name": key, **{each["version"]: each[what].get(key) for each in found}}
        for what in ("metrics", "params", "files")
        for key in sorted({key for each in found for key in each[what]})
    ]
    printing.show(lines, ("what", "name", *(each["version"] for each in found)))
