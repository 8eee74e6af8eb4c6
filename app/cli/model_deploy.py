"""atelier model deploy NAME:VERSION: endpoint, deployment and traffic in one go."""

from typing import Annotated, Any

import typer

from app.cli import completion, printing, provisioning
from app.cli.client import Client, in_workspace, part
from app.cli.online_deployments import deployment_path
from app.cli.online_endpoints import FOLDER, path
from app.cli.provisioning import NoWait
from services.core.errors import Invalid, NotFound


def deploy(
    model: Annotated[
        str, typer.Argument(help="NAME, NAME:VERSION or NAME@LABEL.", autocompletion=completion.of("models"))
    ],
    endpoint_name: Annotated[
        str,
        typer.Option("--endpoint-name", "-e", help="Made when needed; named like the model when left out."),
    ] = "",
    name: Annotated[str, typer.Option("--name", "-n", help="Of the deployment; made up when left out.")] = "",
    instance_type: Annotated[str, typer.Option("--instance-type", help="A size, such as Standard_DS2_v2.")] = "",
    instance_count: Annotated[int, typer.Option("--instance-count", min=1, help="How many answer.")] = 1,
    traffic: Annotated[
        int, typer.Option("--traffic", min=0, max=100, help="Percent that it gets once it answers.")
    ] = 100,
    no_wait: NoWait = False,
) -> None:
    """Deploys a registered MLflow model to an endpoint, which is made when needed, and gives it traffic."""
    if no_wait and traffic not in {0, 100}:
        raise Invalid("Only all of the traffic, or none, can be given without waiting.", where="--traffic")
    client = Client()
    found = client.ask("GET", _version(model))
    endpoint = endpoint_name or _spoken(found["name"])
    before = _ensured(client, endpoint)
    if 0 < traffic < 100 and not before:
        raise Invalid("Nobody else is there to get the rest of the traffic.", where="--traffic", hint="Say 100.")
    taken = {row["name"] for row in client.all(deployment_path(endpoint))}
    spec: dict[str, Any] = {
        "name": name or _free(_spoken(f"{found['name'][:20]}-{found['version'][:8]}"), taken),
        "model": f"azureml:{found['name']}:{found['version']}",
        "instance_count": instance_count,
        **({"instance_type": instance_type} if instance_type else {}),
    }
    made = client.ask("POST", deployment_path(endpoint), json={"spec": spec, "all_traffic": traffic == 100})
    if not no_wait:
        made = provisioning.provisioned(client, deployment_path(endpoint, made["name"]))
        if 0 < traffic < 100:
            shared = _shared(before, made["name"], traffic)
            client.ask("PATCH", path(endpoint), json={"traffic": shared})
    at = client.ask("GET", path(endpoint))
    printing.note(f"{at['scoring_uri']}\nAsk it: atelier online-endpoint invoke -n {endpoint} -r request.json")
    printing.show(made)


def _ensured(client: Client, endpoint: str) -> dict[str, int]:
    """How its traffic is shared out now; the endpoint is made when it is not there."""
    try:
        found = client.ask("GET", path(endpoint))
    except NotFound:
        found = client.ask("POST", in_workspace(FOLDER), json={"spec": {"name": endpoint}})
    return {each: share for each, share in found["traffic"].items() if share}


def _shared(before: dict[str, int], name: str, percent: int) -> dict[str, int]:
    """The rest stays shared out as it was; whoever has most takes what rounding leaves."""
    total, rest = sum(before.values()), 100 - percent
    shares = {each: share * rest // total for each, share in before.items()}
    shares[max(shares, key=shares.__getitem__)] += rest - sum(shares.values())
    return {**shares, name: percent}


def _version(model: str) -> str:
    """Where REST has it: NAME:VERSION, NAME@LABEL, and the latest of NAME."""
    text = model.removeprefix("azureml:")
    name, at, label = text.partition("@")
    if at and label != "latest":
        return in_workspace(f"/models/{part(name)}/labels/{part(label)}")
    name, _, version = name.partition(":")
    return in_workspace(f"/models/{part(name)}/versions/{part(version or 'latest')}")


def _spoken(name: str) -> str:
    """A model's name as the name of an endpoint: letters, digits and dashes, 3 to 32, a letter first."""
    kept = "".join(each if each.isascii() and each.isalnum() else "-" for each in name).strip("-").lower()
    kept = "-".join(piece for piece in kept.split("-") if piece)
    kept = kept if kept[:1].isalpha() else f"m-{kept}".rstrip("-")
    return kept[:32].rstrip("-").ljust(3, "x")


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while (wanted := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return wanted
