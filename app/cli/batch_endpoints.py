"""atelier batch-endpoint …"""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import completion, printing
from app.cli.client import Client, in_workspace, named, part
from app.cli.jobs import COLUMNS as JOB_COLUMNS
from app.cli.provisioning import NothingToWait
from services.core.errors import Invalid

app = typer.Typer(help="Batch endpoints: addresses that take whole files and answer with a job.", no_args_is_help=True)
FOLDER = "/batch-endpoints"
COLUMNS = ("name", "defaults.deployment_name", "provisioning_state", "scoring_uri", "creation_context.created_at")
Name = Annotated[
    str, typer.Option("--name", "-n", help="Name of the endpoint.", autocompletion=completion.of("batch-endpoints"))
]
File = Annotated[str, typer.Option("--file", "-f", help="The endpoint's YAML file; - reads standard input.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="field.field=value; changes what the file says.")]
Tags = Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")]
Most = Annotated[int, typer.Option("--max-results", "-r", min=1, max=1000, help="At most so many.")]


@app.command()
def create(
    file: File = "",
    name: Name = "",
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    tags: Tags = None,
    set_: Settings = None,
    no_wait: NothingToWait = False,
) -> None:
    """Creates an endpoint and prints it; deployments are added to it."""
    spec = _read(file, [*(set_ or []), *(f"tags.{tag}" for tag in tags or [])], name, description)
    printing.show(Client().ask("POST", in_workspace(FOLDER), json={"spec": spec}))


@app.command("list")
def listed(
    search: Annotated[str, typer.Option(help="Part of a name.")] = "",
    max_results: Annotated[int, typer.Option("--max-results", min=0, help="At most so many; 0 for all.")] = 0,
) -> None:
    """Lists endpoints."""
    found = Client().all(in_workspace(FOLDER), params={"search": search}, most=max_results)
    printing.show(found, COLUMNS)


@app.command()
def show(name: Name) -> None:
    """Shows one endpoint: its address and its default deployment."""
    printing.show(Client().ask("GET", path(name)))


@app.command()
def update(
    name: Name = "",
    file: File = "",
    defaults: Annotated[
        str | None, typer.Option("--defaults", help='deployment_name=NAME is the default from now on; "" is none.')
    ] = None,
    description: Annotated[str | None, typer.Option(help="A new description.")] = None,
    tags: Tags = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="defaults.deployment_name=…, description=…, tags.key=value.")
    ] = None,
    no_wait: NothingToWait = False,
) -> None:
    """Changes the default deployment, the description or tags."""
    from app.cli.workspaces import details
    from services.specs import overrides

    client = Client()
    written = _read(file, [], name, "") if file else {}
    name = name or str(written.get("name", ""))
    value: dict[str, Any] = {
        key: written[key] for key in ("description", "tags", "properties", "defaults") if key in written
    }
    if set_:
        now = client.ask("GET", path(name))
        value = overrides.changed({"tags": now["tags"], "properties": now["properties"], **value}, set_)
    value |= details(None, description, tags)
    if defaults is not None:
        value["defaults"] = {"deployment_name": defaults.removeprefix("deployment_name=")}
    told = value.pop("defaults", None)
    if told is not None:
        value["default_deployment"] = (told or {}).get("deployment_name") or ""
    printing.show(client.ask("PATCH", path(name), json=value))


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: NothingToWait = False,
) -> None:
    """Deletes an endpoint with its deployments; its jobs and their results stay."""
    at = path(name)
    if not yes:
        printing.confirm(f"Delete batch endpoint '{name}' with its deployments?")
    Client().ask("DELETE", at)


@app.command()
def invoke(
    name: Name,
    deployment_name: Annotated[
        str, typer.Option("--deployment-name", "-d", help="This deployment, instead of the default one.")
    ] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="A YAML file with inputs and outputs.")] = "",
    input: Annotated[
        str, typer.Option("--input", help="A local path, which is sent, a URI, a datastore's path or azureml:NAME.")
    ] = "",
    input_type: Annotated[str, typer.Option("--input-type", help="uri_folder, uri_file or mltable.")] = "",
    inputs: Annotated[
        list[str] | None, typer.Option("--inputs", help="NAME.path=…, NAME.type=…; may be repeated.")
    ] = None,
    outputs: Annotated[list[str] | None, typer.Option("--outputs", help="score.path=…; may be repeated.")] = None,
    output_path: Annotated[
        str, typer.Option("--output-path", help="Where the results go: azureml://datastores/NAME/paths/….")
    ] = "",
    mini_batch_size: Annotated[int | None, typer.Option("--mini-batch-size", "-m", help="Files at once.")] = None,
    instance_count: Annotated[
        int | None, typer.Option("--instance-count", "-c", help="Times as many processes at once.")
    ] = None,
    job_name: Annotated[str, typer.Option("--job-name", help="Name of the job; made up when left out.")] = "",
    experiment_name: Annotated[str, typer.Option(help="Where the job belongs; the endpoint when left out.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="output_file_name=…, retry_settings.timeout=…; for this job alone."),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", "-s", help="Follow the log until the job ends.")] = False,
) -> None:
    """Starts a job over files and prints it."""
    from app.cli import invocation
    from services.specs import overrides

    client = Client()
    at = path(name, "/invoke")
    body = invocation.read(client, file, input, input_type, inputs or [], outputs or [], output_path)
    settings = overrides.apply({}, set_ or [])
    if mini_batch_size is not None:
        settings["mini_batch_size"] = mini_batch_size
    told = {
        "deployment_name": deployment_name,
        "instance_count": instance_count,
        "job_name": job_name,
        "experiment_name": experiment_name,
        "settings": settings,
    }
    job = client.ask("POST", at, json={**body, **{key: value for key, value in told.items() if value}})
    invocation.followed(client, job) if stream else printing.show(job)


@app.command("list-jobs")
def list_jobs(name: Name, max_results: Most = 50) -> None:
    """Lists the jobs of its deployments, the newest first."""
    printing.show(Client().all(path(name, "/jobs"), params={"limit": max_results}, most=max_results), JOB_COLUMNS)


def path(name: str, rest: str = "") -> str:
    """Where REST has it. Raises Invalid without a name."""
    return in_workspace(f"{FOLDER}/{part(named(name, 'endpoint'))}{rest}")


def _read(file: str, settings: list[str], name: str, description: str) -> dict[str, Any]:
    """What the file says, with what was given beside it; checked before anything is sent."""
    from app.cli import reading
    from services.specs import overrides, source
    from services.specs.endpoints import BatchEndpoint
    from services.specs.problems import checked

    written, _ = reading.source(file) if file else (source.load("{}"), Path.cwd())
    given = {"name": name, "description": description}
    value = overrides.apply(dict(written.value), settings) | {key: each for key, each in given.items() if each}
    spec = checked(BatchEndpoint, value, written)
    if not spec.name:
        raise Invalid("An endpoint needs a name.", where=written.where(("name",)) if file else "--name")
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
