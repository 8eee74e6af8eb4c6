"""atelier workspace …"""

from typing import Annotated

import typer

from app.cli import common
from app.cli.client import Client, part
from services.core.errors import Invalid

app = typer.Typer(help="Workspaces: the place where a group works.", no_args_is_help=True)
COLUMNS = ("name", "display_name", "description", "created_by", "created_at")
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the workspace.")]
Tags = Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")]


@app.command()
def create(
    name: Name = "",
    display_name: Annotated[str, typer.Option(help="Shown instead of the name.")] = "",
    description: Annotated[str, typer.Option(help="What the workspace is for.")] = "",
    tags: Tags = None,
    file: Annotated[str, typer.Option("--file", "-f", help="YAML file with the same fields.")] = "",
) -> None:
    """Creates a workspace; a name is enough."""
    body: dict[str, object] = {}
    if file:
        from pathlib import Path

        from services.specs.source import load_file

        known = {"name", "display_name", "description", "tags", "resource_group"}
        body = {key: value for key, value in load_file(Path(file)).value.items() if key in known}
    given = {"name": name or common.chosen.workspace, "display_name": display_name, "description": description}
    body |= {key: value for key, value in given.items() if value}
    body |= {"tags": pairs(tags)} if tags else {}
    common.show(Client().ask("POST", "/workspaces", json=body))


@app.command("list")
def listed(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that can still be recovered.")] = False,
) -> None:
    """Lists the workspaces that you can open."""
    common.show(Client().all("/workspaces", params={"deleted": deleted}), COLUMNS)


@app.command()
def show(name: Name = "") -> None:
    """Shows one workspace."""
    common.show(Client().ask("GET", f"/workspaces/{part(_named(name))}"))


@app.command()
def update(
    name: Name = "",
    display_name: Annotated[str | None, typer.Option(help="Shown instead of the name.")] = None,
    description: Annotated[str | None, typer.Option(help="What the workspace is for.")] = None,
    tags: Tags = None,
) -> None:
    """Changes what is given."""
    change: dict[str, object] = {}
    if display_name is not None:
        change["display_name"] = display_name
    if description is not None:
        change["description"] = description
    if tags:
        change["tags"] = pairs(tags)
    common.show(Client().ask("PATCH", f"/workspaces/{part(_named(name))}", json=change))


@app.command()
def delete(
    name: Name = "",
    purge: Annotated[
        bool, typer.Option("--purge", "--permanently-delete", help="For good, with all it holds.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes a workspace; it can be recovered for 14 days, unless it is purged."""
    name = _named(name)
    if not yes:
        typer.confirm(f"Delete workspace '{name}'{' for good' if purge else ''}?", abort=True, err=True)
    client = Client()
    try:
        client.ask("DELETE", f"/workspaces/{part(name)}")
    except Exception:
        if not purge:
            raise
    if purge:
        client.ask("POST", f"/workspaces/{part(name)}/purge")


@app.command()
def recover(name: Name = "") -> None:
    """Brings a deleted workspace back."""
    common.show(Client().ask("POST", f"/workspaces/{part(_named(name))}/recover"))


def pairs(words: list[str]) -> dict[str, str]:
    """`key=value` words, several in one word too. Raises Invalid."""
    found = {}
    for word in (piece for text in words for piece in text.split()):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Invalid(f"'{word}' is not key=value.", where="--tags")
        found[key] = value
    return found


def _named(name: str) -> str:
    return name or common.workspace()
