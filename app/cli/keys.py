"""atelier keys …: the master key of the studio on this machine, which opens its secrets."""

import typer

from app.cli import printing
from app.cli.studio import Home, opened

app = typer.Typer(help="The master key that opens the secrets of the studio on this machine.", no_args_is_help=True)


@app.command()
def show(home: Home = None) -> None:
    """Says where the key is and whether every secret opens with it, never the key; exits with 1 when one does not."""
    from services import secrets

    with opened(home, exists=True) as studio:
        found = secrets.checked(studio)
    printing.show({"path": found.path, "version": found.version, "secrets": found.secrets, "unopened": found.unopened})
    if found.unopened:
        raise typer.Exit(1)


@app.command()
def rotate(home: Home = None) -> None:
    """Makes a new master key and moves every secret to it; safe to repeat, and while the studio runs."""
    from services import secrets

    with opened(home, exists=True) as studio:
        moved = secrets.rotate(studio)
        version = secrets.checked(studio).version
    printing.show({"version": version, "moved": moved})
