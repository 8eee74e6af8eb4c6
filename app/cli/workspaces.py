"""atelier workspace …"""

from typing import Annotated, Any

import typer

from app.cli import common, completion, printing
from app.cli.client import Client, named, part
from services.core.errors import Invalid, NotFound

# In the cloud's files; there is nothing of the kind here.
CLOUD_ONLY = frozenset(
    {
        "$schema",
        "type",
        "location",
        "hbi_workspace",
        "storage_account",
        "container_registry",
        "key_vault",
        "application_insights",
        "identity",
        "public_network_access",
        "image_build_compute",
        "managed_network",
        "customer_managed_key",
        "primary_user_assigned_identity",
        "workspace_hub",
        "system_datastores_auth_mode",
        "allow_roleassignment_on_rg",
    }
)
app = typer.Typer(help="Workspaces: the place where a group works.", no_args_is_help=True)
COLUMNS = ("name", "display_name", "description", "created_by", "created_at")
Name = Annotated[
    str | None,
    typer.Option("--name", "-n", help="Name of the workspace.", autocompletion=completion.workspaces),
]
Tags = Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")]


@app.command()
def create(
    name: Name = None,
    display_name: Annotated[str, typer.Option(help="Shown instead of the name.")] = "",
    description: Annotated[str, typer.Option(help="What the workspace is for.")] = "",
    tags: Tags = None,
    file: Annotated[str, typer.Option("--file", "-f", help="YAML file with the same fields.")] = "",
) -> None:
    """Creates a workspace; a name is enough."""
    body: dict[str, object] = {}
    if file:
        body = _read(file)
    given = {"name": name or common.chosen.workspace, "display_name": display_name, "description": description}
    body |= {key: value for key, value in given.items() if value}
    body |= {"tags": pairs(tags)} if tags else {}
    printing.show(Client().ask("POST", "/workspaces", json=body))


@app.command("list")
def listed(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that can still be recovered.")] = False,
) -> None:
    """Lists the workspaces that you can open."""
    printing.show(Client().all("/workspaces", params={"deleted": deleted}), COLUMNS)


@app.command()
def show(name: Name = None) -> None:
    """Shows one workspace."""
    printing.show(Client().ask("GET", f"/workspaces/{part(_named(name))}"))


@app.command()
def update(
    name: Name = None,
    display_name: Annotated[str | None, typer.Option(help="Shown instead of the name.")] = None,
    description: Annotated[str | None, typer.Option(help="What the workspace is for.")] = None,
    tags: Tags = None,
) -> None:
    """Changes what is given."""
    change = details(display_name, description, tags)
    printing.show(Client().ask("PATCH", f"/workspaces/{part(_named(name))}", json=change))


@app.command()
def delete(
    name: Name = None,
    purge: Annotated[
        bool, typer.Option("--purge", "--permanently-delete", help="For good, with all it holds.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes a workspace; it can be recovered for 14 days, unless it is purged."""
    if name is None and not common.chosen.workspace:
        raise Invalid("Which workspace?", hint="Name it with --name; the default one is never taken for this.")
    name = _named(name)
    if not yes:
        printing.confirm(f"Delete workspace '{name}'{' for good' if purge else ''}?")
    client = Client()
    try:
        client.ask("DELETE", f"/workspaces/{part(name)}")
    except NotFound:  # deleted before: it is still there to be purged
        if not purge:
            raise
    if purge:
        client.ask("POST", f"/workspaces/{part(name)}/purge")


@app.command()
def recover(name: Name = None) -> None:
    """Brings a deleted workspace back."""
    printing.show(Client().ask("POST", f"/workspaces/{part(_named(name))}/recover"))


def details(display_name: str | None, description: str | None, tags: list[str] | None) -> dict[str, Any]:
    """What a call to change something for people sends: only what was given."""
    change: dict[str, Any] = {}
    if display_name is not None:
        change["display_name"] = display_name
    if description is not None:
        change["description"] = description
    if tags:
        change["tags"] = pairs(tags)
    return change


def pairs(words: list[str]) -> dict[str, str]:
    """`key=value` words, several in one word too. Raises Invalid."""
    found = {}
    for word in (piece for text in words for piece in text.split()):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Invalid(f"'{word}' is not key=value.", where="--tags")
        found[key] = value
    return found


def _named(name: str | None) -> str:
    return common.workspace() if name is None else named(name)


def _read(file: str) -> dict[str, object]:
    """The file's fields; those that only the cloud has are said and left out. Raises Invalid."""
    from app.cli import reading
    from services.specs.problems import checked
    from services.specs.workspaces import Workspace

    written, _ = reading.source(file)
    value = {key: each for key, each in written.value.items() if key not in CLOUD_ONLY}
    if aside := sorted(written.value.keys() - value.keys() - {"$schema"}):
        printing.note(f"Note: only the cloud has {', '.join(aside)}.")
    return checked(Workspace, value, written).model_dump(exclude_defaults=True)
