"""atelier secret …"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli import printing
from app.cli.client import Client, in_workspace, named, part
from services.core.errors import Invalid

app = typer.Typer(
    help="Secrets of a workspace: values that are put in and never shown, for ${{secrets.NAME}}.", no_args_is_help=True
)
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the secret.")]


@app.command("set")
def set_(
    name: Name,
    file: Annotated[str, typer.Option("--file", "-f", help="The file with the value, to the last byte.")] = "",
) -> None:
    """Puts a value in, a new version of it when there is one; asked for, or read from standard input or a file."""
    printing.show(Client().ask("PUT", _path(name), json={"value": _value(file)}))


@app.command("list")
def listed() -> None:
    """Lists names; values are never shown."""
    printing.show(Client().all(in_workspace("/secrets")), ("name", "version", "created_at", "created_by"))


@app.command()
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Removes a secret; what refers to it does not start any more."""
    if not yes:
        printing.confirm(f"Delete secret '{name}'?")
    Client().ask("DELETE", _path(name))


def _value(file: str) -> str:
    """Never from the command line itself, which everybody on the machine can read."""
    if file:
        try:
            return Path(file).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as cause:
            raise Invalid(f"'{file}' cannot be read: {cause}.", where="--file") from cause
    if sys.stdin.isatty():
        return str(typer.prompt("Value", hide_input=True, err=True))
    return sys.stdin.read().removesuffix("\n")


def _path(name: str) -> str:
    return in_workspace(f"/secrets/{part(named(name, 'secret'))}")
