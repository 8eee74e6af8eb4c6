"""atelier schema …"""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.cli import printing

app = typer.Typer(help="JSON schemas of the YAML files, for editors.", no_args_is_help=True)
COLUMNS = ("name", "noun", "title", "file")


@app.command("list")
def listed() -> None:
    """Lists the kinds of files that have a schema."""
    from services import schemas

    printing.show(schemas.listed(), COLUMNS)


@app.command()
def show(
    name: Annotated[str, typer.Option("--name", "-n", help="The kind, such as commandJob.")],
) -> None:
    """Prints one schema."""
    from services import schemas

    print(json.dumps(schemas.schema(name), indent=2, ensure_ascii=False))


@app.command()
def export(
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where to.")] = Path("schemas"),
) -> None:
    """Writes every schema into a folder, one file a kind."""
    from services import schemas

    output_dir.mkdir(parents=True, exist_ok=True)
    rows = schemas.listed()
    for row in rows:
        text = json.dumps(schemas.schema(row["name"]), indent=2, ensure_ascii=False)
        (output_dir / row["file"]).write_text(text + "\n", encoding="utf-8")
    printing.note(f"{len(rows)} schemas in {output_dir.resolve()}")
