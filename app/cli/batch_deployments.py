"""atelier batch-deployment …"""

from typing import Annotated, Any

import typer

from app.cli import completion, printing
from app.cli.batch_endpoints import Most, Settings, path
from app.cli.client import Client, named, part
from app.cli.jobs import COLUMNS as JOB_COLUMNS
from app.cli.provisioning import NothingToWait
from services.core.errors import Invalid

app = typer.Typer(help="Batch deployments: models behind a batch endpoint.", no_args_is_help=True)
COLUMNS = ("name", "is_default", "model", "environment", "provisioning_state", "creation_context.created_at")
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the deployment.")]
Endpoint = Annotated[
    str,
    typer.Option(
        "--endpoint-name", "-e", help="Name of the endpoint.", autocompletion=completion.of("batch-endpoints")
    ),
]
Default = Annotated[bool, typer.Option("--set-default", help="It is invoked when no deployment is named.")]


@app.command()
def create(
    file: Annotated[str, typer.Option("--file", "-f", help="The deployment's YAML file; - reads standard input.")],
    name: Name = "",
    endpoint_name: Endpoint = "",
    set_default: Default = False,
    set_: Settings = None,
    no_wait: NothingToWait = False,
) -> None:
    """Creates a deployment and prints it; local code and models are sent."""
    client = Client()
    endpoint, body = _sent(client, file, set_ or [], name, endpoint_name)
    body["set_default"] = set_default
    printing.show(client.ask("POST", path(endpoint, "/deployments"), json=body))


@app.command("list")
def listed(endpoint_name: Endpoint) -> None:
    """Lists the deployments of an endpoint."""
    printing.show(Client().all(path(endpoint_name, "/deployments")), COLUMNS)


@app.command()
def show(name: Name, endpoint_name: Endpoint) -> None:
    """Shows one deployment: its model, its environment and how files are worked on."""
    printing.show(Client().ask("GET", _path(endpoint_name, name)))


@app.command()
def update(
    file: Annotated[str, typer.Option("--file", "-f", help="What it is to be from now on.")] = "",
    name: Name = "",
    endpoint_name: Endpoint = "",
    set_default: Default = False,
    set_: Settings = None,
    no_wait: NothingToWait = False,
) -> None:
    """Changes a deployment: by a file, by --set of single fields, or to be the default."""
    from services.specs import overrides

    client = Client()
    if file:
        endpoint, body = _sent(client, file, set_ or [], name, endpoint_name)
        body["set_default"] = set_default
        printing.show(client.ask("PUT", _path(endpoint, body["spec"]["name"]), json=body))
        return
    if not set_ and not set_default:
        raise Invalid("There is nothing to change.", hint="Give a --file, a --set or --set-default.")
    changes = {"spec": overrides.apply({}, set_ or []), "set_default": set_default}
    printing.show(client.ask("PATCH", _path(endpoint_name, name), json=changes))


@app.command()
def delete(
    name: Name,
    endpoint_name: Endpoint,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: NothingToWait = False,
) -> None:
    """Deletes a deployment; its jobs stay. Not the default one while there are others."""
    at = _path(endpoint_name, name)
    if not yes:
        printing.confirm(f"Delete deployment '{name}' of batch endpoint '{endpoint_name}'?")
    Client().ask("DELETE", at)


@app.command("list-jobs")
def list_jobs(name: Name, endpoint_name: Endpoint, max_results: Most = 50) -> None:
    """Lists the jobs of one deployment, the newest first."""
    asked = {"deployment": named(name, "deployment"), "limit": max_results}
    printing.show(Client().all(path(endpoint_name, "/jobs"), params=asked, most=max_results), JOB_COLUMNS)


def _path(endpoint: str, name: str) -> str:
    return path(endpoint, f"/deployments/{part(named(name, 'deployment'))}")


def _sent(client: Client, file: str, settings: list[str], name: str, endpoint: str) -> tuple[str, dict[str, Any]]:
    """The endpoint's name and the body, once all that lies here is sent. Raises Invalid before that."""
    from app.cli import reading, upload
    from services.specs import local, overrides

    written, base = reading.source(file)
    value = overrides.apply(dict(written.value), settings)
    value |= {key: each for key, each in {"name": name, "endpoint_name": endpoint}.items() if each}
    found = local.batch_deployment(written, base, value)
    if not found.spec.name:
        raise Invalid("A deployment needs a name.", where=written.where(("name",)))
    if not found.spec.endpoint_name:
        raise Invalid("Which endpoint?", where="--endpoint-name")
    return found.spec.endpoint_name, upload.deployment(client, found)
