"""atelier online-deployment …"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import completion, local_serving, printing, provisioning
from app.cli.client import Client, named, part
from app.cli.local_serving import Local
from app.cli.online_endpoints import Settings, Yes, opened, path
from app.cli.provisioning import NoWait
from services.core.errors import Invalid

if TYPE_CHECKING:
    from services.specs.deployments import OnlineDeployment
    from services.specs.local import LocalDeployment

app = typer.Typer(help="Online deployments: models behind an online endpoint.", no_args_is_help=True)
COLUMNS = ("name", "provisioning_state", "model", "instance_type", "instance_count", "message")
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the deployment.")]
Endpoint = Annotated[
    str,
    typer.Option(
        "--endpoint-name", "-e", help="Name of its endpoint.", autocompletion=completion.of("online-endpoints")
    ),
]
File = Annotated[str, typer.Option("--file", "-f", help="The deployment's YAML file; - reads standard input.")]


@app.command()
def create(
    file: File,
    name: Name = "",
    endpoint_name: Endpoint = "",
    all_traffic: Annotated[
        bool, typer.Option("--all-traffic", help="Gets all of the traffic once it answers; else it gets none.")
    ] = False,
    set_: Settings = None,
    no_wait: NoWait = False,
    web: Annotated[bool, typer.Option("--web", help="Open its endpoint in the browser.")] = False,
    local: Local = False,
) -> None:
    """Creates a deployment and waits until it answers; local code and models are sent."""
    found = read(file, set_ or [], name, endpoint_name, local=local)
    with local_serving.studio(local=local, works=True) as client:
        body = {**sent(client, found), "all_traffic": all_traffic}
        endpoint = body["spec"].pop("endpoint_name")
        made = client.ask("POST", deployment_path(endpoint), json=body)
        if web:
            opened(client.ask("GET", path(endpoint)))
        is_waiting = local or not no_wait
        printing.show(provisioning.provisioned(client, deployment_path(endpoint, made["name"])) if is_waiting else made)


@app.command()
def update(
    file: Annotated[str, typer.Option("--file", "-f", help="What it is to be from now on, as when created.")] = "",
    name: Name = "",
    endpoint_name: Endpoint = "",
    set_: Settings = None,
    no_wait: NoWait = False,
    local: Local = False,
) -> None:
    """Changes a deployment; the old containers answer until the new ones are ready."""
    from services.specs import overrides

    if not file and not set_:
        raise Invalid("What is to change? Name a --file or --set field=value.", where="--set")
    found = read(file, set_ or [], name, endpoint_name, local=local) if file else None
    with local_serving.studio(local=local, works=True) as client:
        if found is not None:
            body = sent(client, found)
            endpoint = body["spec"].pop("endpoint_name")
            changed = client.ask("PUT", deployment_path(endpoint, body["spec"]["name"]), json=body)
        else:
            endpoint, spec = endpoint_name, overrides.apply({}, set_ or [])
            changed = client.ask("PATCH", deployment_path(endpoint, name), json={"spec": spec})
        at, is_waiting = deployment_path(endpoint, changed["name"]), local or not no_wait
        printing.show(provisioning.provisioned(client, at) if is_waiting else changed)


@app.command("list")
def listed(endpoint_name: Endpoint, local: Local = False) -> None:
    """Lists the deployments of an endpoint."""
    with local_serving.studio(local=local) as client:
        printing.show(client.all(deployment_path(endpoint_name)), COLUMNS)


@app.command()
def show(name: Name, endpoint_name: Endpoint, local: Local = False) -> None:
    """Shows one deployment: what it runs, its state, and why it is not well."""
    with local_serving.studio(local=local) as client:
        printing.show(client.ask("GET", deployment_path(endpoint_name, name)))


@app.command()
def delete(
    name: Name, endpoint_name: Endpoint, yes: Yes = False, no_wait: NoWait = False, local: Local = False
) -> None:
    """Deletes a deployment that has no traffic."""
    if not yes:
        printing.confirm(f"Delete deployment '{name}' of endpoint '{endpoint_name}'?")
    with local_serving.studio(local=local, works=True) as client:
        at = deployment_path(endpoint_name, name)
        client.ask("DELETE", at)
        if local or not no_wait:
            provisioning.until_gone(client, at)


@app.command("get-logs")
def get_logs(
    name: Name,
    endpoint_name: Endpoint,
    lines: Annotated[int, typer.Option("--lines", "-l", min=1, help="At most so many of the last lines.")] = 5000,
    container: Annotated[
        str, typer.Option("--container", "-c", help="inference-server or storage-initializer.")
    ] = "inference-server",
    replica: Annotated[str, typer.Option("--replica", help="Of this instance; the newest when left out.")] = "",
    local: Local = False,
) -> None:
    """Prints what a container of it has printed."""
    asked = {"lines": lines, "container": container, **({"replica": replica} if replica else {})}
    with local_serving.studio(local=local) as client:
        sys.stdout.write(client.answer("GET", deployment_path(endpoint_name, name, "/logs"), params=asked).text)


def read(
    file: str, settings: list[str], name: str, endpoint_name: str, *, local: bool = False
) -> "LocalDeployment[OnlineDeployment]":
    """What the file says, checked. Raises Invalid also when it says neither which deployment nor of which endpoint."""
    from app.cli import reading
    from services.specs import local as files
    from services.specs import overrides

    written, base = reading.source(file)
    value = overrides.apply(dict(written.value), settings)
    value |= {key: each for key, each in {"name": name, "endpoint_name": endpoint_name}.items() if each}
    found = files.deployment(written, base, local_serving.brought(value) if local else value)
    named(found.spec.name or "", "deployment")
    named(found.spec.endpoint_name or "", "endpoint")
    return found


def sent(client: Client, found: "LocalDeployment[OnlineDeployment]") -> dict[str, Any]:
    """What REST takes; scripts find their folder under the name that it has here."""
    from app.cli import upload

    return {"code_name": found.code.name if found.code is not None else "", **upload.deployment(client, found)}


def deployment_path(endpoint: str, name: str | None = None, rest: str = "") -> str:
    below = f"/{part(named(name, 'deployment'))}{rest}" if name is not None else ""
    return path(endpoint, f"/deployments{below}")
