"""atelier online-endpoint …"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import alerts, common, completion, local_serving, printing, provisioning, rollouts
from app.cli.client import Client, in_workspace, named, part, refusal
from app.cli.local_serving import Local, LocalClient
from app.cli.provisioning import NothingToWait, NoWait
from services.core.errors import Invalid

app = typer.Typer(help="Online endpoints: addresses that answer at once.", no_args_is_help=True)
FOLDER = "/online-endpoints"
app.add_typer(rollouts.app, name="rollout")
app.add_typer(alerts.app, name="alert")
app.command()(rollouts.rollback)
COLUMNS = ("name", "provisioning_state", "auth_mode", "traffic", "scoring_uri", "creation_context.created_at")
REQUEST_COLUMNS = ("TimeGenerated", "Method", "DeploymentName", "ResponseCode", "TotalDurationMs", "XRequestId")
CHANGEABLE = ("description", "tags", "properties", "traffic", "mirror_traffic", "sticky")
LONGEST_ANSWER = 600
MODEL = "azureml-model-deployment"
Name = Annotated[
    str,
    typer.Option("--name", "-n", help="Name of the endpoint.", autocompletion=completion.of("online-endpoints")),
]
File = Annotated[str, typer.Option("--file", "-f", help="The endpoint's YAML file; - reads standard input.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="field.field=value; changes what the file says.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Traffic = Annotated[
    list[str] | None, typer.Option("--traffic", "-r", help='Percent by deployment, such as "blue=90 green=10".')
]
Mirror = Annotated[
    list[str] | None,
    typer.Option("--mirror-traffic", "-m", help='Percent of requests to copy, such as "green=10"; "" copies none.'),
]


@app.command()
def create(
    file: File = "",
    name: Name = "",
    auth_mode: Annotated[str, typer.Option("--auth-mode", help="key or aml_token.")] = "",
    tags: Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")] = None,
    set_: Settings = None,
    no_wait: NothingToWait = False,
    web: Annotated[bool, typer.Option("--web", help="Open it in the browser.")] = False,
    local: Local = False,
) -> None:
    """Creates an endpoint and prints it; deployments are added to it."""
    value = {"name": name, "auth_mode": auth_mode}
    spec = read(file, [*(set_ or []), *(f"tags.{tag}" for tag in tags or [])], value)
    with local_serving.studio(local=local) as client:
        made = client.ask("POST", in_workspace(FOLDER), json={"spec": spec})
        if web:
            opened(made)
        printing.show(made)


@app.command("list")
def listed(
    search: Annotated[str, typer.Option(help="Part of a name.")] = "",
    max_results: Annotated[int, typer.Option("--max-results", min=0, help="At most so many; 0 for all.")] = 0,
    local: Local = False,
) -> None:
    """Lists endpoints."""
    with local_serving.studio(local=local) as client:
        found = client.all(in_workspace(FOLDER), params={"search": search}, most=max_results)
        printing.show(found, COLUMNS)


@app.command()
def show(
    name: Name,
    web: Annotated[bool, typer.Option("--web", help="Open it in the browser.")] = False,
    local: Local = False,
) -> None:
    """Shows one endpoint: its address, its state and how its traffic is shared out."""
    with local_serving.studio(local=local) as client:
        found = client.ask("GET", path(name))
        if web:
            opened(found)
        printing.show(found)


@app.command()
def update(
    name: Name = "",
    file: File = "",
    traffic: Traffic = None,
    mirror_traffic: Mirror = None,
    sticky: Annotated[
        str | None, typer.Option("--sticky", help='Header that keeps a caller on one deployment; "" for none.')
    ] = None,
    description: Annotated[str | None, typer.Option(help="A new description.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")] = None,
    set_: Settings = None,
    no_wait: NothingToWait = False,
) -> None:
    """Changes how traffic is shared out, the description or tags; traffic moves at once and loses no request."""
    from app.cli.workspaces import details
    from services.specs import overrides

    client = Client()
    written = read(file, [], {"name": name}) if file else {}
    name = name or str(written.get("name", ""))
    change = {key: written[key] for key in CHANGEABLE if key in written}
    if traffic is not None:
        change["traffic"] = percents(traffic, "--traffic")
    if mirror_traffic is not None:
        change["mirror_traffic"] = percents(mirror_traffic, "--mirror-traffic")
    if sticky is not None:
        change["sticky"] = sticky
    change |= details(None, description, tags)
    if set_:
        now = client.ask("GET", path(name))
        before = {key: now[key] for key in CHANGEABLE if now.get(key) is not None}
        after = overrides.changed({**before, **change}, set_)
        change |= {key: after[key] for key in after if after[key] != before.get(key)}
    printing.show(client.ask("PATCH", path(name), json=change))


@app.command()
def delete(name: Name, yes: Yes = False, no_wait: NoWait = False, local: Local = False) -> None:
    """Deletes an endpoint with its deployments."""
    named(name, "endpoint")
    if not yes:
        printing.confirm(f"Delete endpoint '{name}' with its deployments?")
    with local_serving.studio(local=local, works=True) as client:
        client.ask("DELETE", path(name))
        if local or not no_wait:
            provisioning.until_gone(client, path(name))


@app.command()
def invoke(
    name: Name,
    request_file: Annotated[
        str, typer.Option("--request-file", "-r", help="The file with the request; - reads standard input.")
    ] = "",
    deployment_name: Annotated[
        str, typer.Option("--deployment-name", "-d", help="Ask this deployment, whatever the traffic says.")
    ] = "",
    content_type: Annotated[str, typer.Option("--content-type", help="Of what is sent.")] = "application/json",
    local: Local = False,
) -> None:
    """Sends a request and prints the answer; exits with 1 when the model or the endpoint refused."""
    if not request_file:
        raise Invalid("An endpoint is asked something.", where="--request-file")
    body = _body(request_file)
    with local_serving.studio(local=local) as client:
        if isinstance(client, LocalClient):
            answer = client.scored(named(name, "endpoint"), deployment_name, body, content_type)
        else:
            answer = client.reached(
                "POST",
                path(name, "/invoke"),
                content=body,
                params={"deployment": deployment_name} if deployment_name else None,
                headers={"Content-Type": content_type},
                timeout=LONGEST_ANSWER,
            )
    is_asked = MODEL in answer.headers
    if answer.status_code >= 400 and not is_asked:
        raise refusal(answer)
    if common.chosen.query:
        printing.show(answer.json())
        return
    sys.stdout.buffer.write(answer.content if answer.content.endswith(b"\n") else answer.content + b"\n")
    sys.stdout.flush()
    if answer.status_code >= 400:
        printing.note(f"Error: deployment '{answer.headers[MODEL]}' was asked, and the answer is {answer.status_code}.")
        raise typer.Exit(1)


@app.command("get-credentials")
def get_credentials(name: Name) -> None:
    """Prints the keys that open it, or a token and when it expires."""
    client = Client()
    found = client.ask("GET", path(name))
    printing.show(client.ask("POST", path(name, "/list-keys" if found["auth_mode"] == "key" else "/token")))


@app.command("regenerate-keys")
def regenerate_keys(
    name: Name,
    key_type: Annotated[str, typer.Option("--key-type", help="primary or secondary.")] = "primary",
    yes: Yes = False,
    no_wait: NothingToWait = False,
) -> None:
    """Makes a key anew; who calls with the old one is refused from then on."""
    if not yes and sys.stdin.isatty():
        printing.confirm(f"Make the {key_type} key of '{name}' anew?")
    printing.show(Client().ask("POST", path(name, "/regenerate-keys"), json={"key_type": key_type.lower()}))


@app.command()
def start(name: Name) -> None:
    """Starts the deployments of an endpoint that was stopped."""
    printing.show(Client().ask("POST", path(name, "/start")))


@app.command()
def stop(name: Name) -> None:
    """Stops an endpoint: it keeps all but its containers, and answers 503 until it is started."""
    printing.show(Client().ask("POST", path(name, "/stop")))


@app.command()
def requests(
    name: Name,
    deployment_name: Annotated[str, typer.Option("--deployment-name", "-d", help="Only of this deployment.")] = "",
    code: Annotated[list[int] | None, typer.Option("--code", help="Only answered with it; may be repeated.")] = None,
    max_results: Annotated[int, typer.Option("--max-results", min=1, help="At most so many.")] = 50,
) -> None:
    """Lists what was asked and answered, the newest first."""
    asked = {"deployment": deployment_name, "code": code or [], "limit": min(max_results, 200)}
    printing.show(Client().all(path(name, "/requests"), params=asked, most=max_results), REQUEST_COLUMNS)


def path(name: str, rest: str = "") -> str:
    """Where REST has it. Raises Invalid without a name."""
    return in_workspace(f"{FOLDER}/{part(named(name, 'endpoint'))}{rest}")


def read(file: str, settings: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """What the file says, with what was given beside it; checked before anything is sent."""
    from app.cli import reading
    from services.specs import overrides, source
    from services.specs.endpoints import OnlineEndpoint
    from services.specs.problems import checked

    written, _ = reading.source(file) if file else (source.load("{}"), Path.cwd())
    value = overrides.apply(dict(written.value), settings) | {key: each for key, each in given.items() if each}
    spec = checked(OnlineEndpoint, value, written)
    if not spec.name:
        raise Invalid("An endpoint needs a name.", where=written.where(("name",)) if file else "--name")
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def percents(words: list[str], flag: str) -> dict[str, int]:
    """`blue=90 green=10`, in one word or several. Raises Invalid naming the flag."""
    found: dict[str, int] = {}
    for word in (piece for text in words for piece in text.replace(",", " ").split()):
        name, equals, value = word.partition("=")
        if not equals or not name or not value.removesuffix("%").isdecimal():
            raise Invalid(f"'{word}' is not a share of the traffic.", where=flag, hint="Write deployment=percent.")
        found[name] = int(value.removesuffix("%"))
    return found


def opened(found: dict[str, Any]) -> None:
    """In the browser of this machine; the link is said for machines without one."""
    import webbrowser

    link = found["studio_uri"]
    printing.note(f"Web View: {link}")
    webbrowser.open(link)


def _body(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as cause:
        raise Invalid(f"'{file}' cannot be read: {cause.strerror}.", where="--request-file") from cause
