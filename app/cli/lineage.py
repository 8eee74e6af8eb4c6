"""atelier lineage …"""

from typing import Annotated, Any

import typer

from app.cli import common, printing
from app.cli.client import Client, in_workspace, named, part
from services.core.errors import Invalid

app = typer.Typer(help="Lineage: where things came from and what came of them.", no_args_is_help=True)
KINDS = ("job", "data", "environment", "component", "model", "uri")
COLUMNS = ("level", "kind", "label", "version", "status", "type", "snapshot", "digest", "hash")
SHORT = 12


@app.command()
def show(
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the job or asset, or the URI itself.")],
    kind: Annotated[str, typer.Option("--kind", "-k", help="job, data, environment, component, model or uri.")] = "job",
    version: Annotated[str, typer.Option("--version", "-v", help="The asset's; the latest when left out.")] = "",
    direction: Annotated[str, typer.Option("--direction", help="up, down or both.")] = "both",
    levels: Annotated[int, typer.Option("--levels", help="How far to go, at most 20.")] = 3,
) -> None:
    """Shows what something came from (levels below zero) and what came of it."""
    if kind not in KINDS:
        raise Invalid(f"'{kind}' has no lineage.", where="--kind", hint=f"One of: {', '.join(KINDS)}.")
    key = name if kind == "uri" else named(name, kind)
    at = in_workspace(f"/lineage/{kind}/{part(f'{key}:{version}' if version else key)}")
    graph = Client().ask("GET", at, params={"direction": direction, "levels": levels})
    if not common.chosen.is_for_people:
        printing.show(graph)
        return
    printing.show([_line(node) for node in sorted(graph["nodes"], key=lambda node: node["level"])], COLUMNS)
    if not graph["is_whole"]:
        printing.note("There is more than is shown: ask for fewer levels, or from a nearer place.")


@app.command()
def compare(
    name: Annotated[str, typer.Option("--name", "-n", help="Name of a job.")],
    other: Annotated[str, typer.Option("--other", help="Name of the job that it is compared with.")],
) -> None:
    """Shows what changed between two jobs: parameters, inputs, code, environment, packages, git."""
    compared(name, other)


def compared(name: str, other: str) -> None:
    """Prints what differs between two jobs; `atelier job compare` does too."""
    at = in_workspace(f"/lineage/jobs/{part(named(name, 'job'))}/compare/{part(named(other, 'job'))}")
    found = Client().ask("GET", at)
    if not common.chosen.is_for_people:
        printing.show(found)
        return
    lines = [{"what": title, **change} for title, changes in found["changes"].items() for change in changes]
    if not lines:
        printing.note("Nothing differs.")
        return
    printing.show(lines, ("what", "name", "before", "after"))


def _line(node: dict[str, Any]) -> dict[str, Any]:
    """Hashes as long as people compare them."""
    return {**node, **{key: node[key].removeprefix("sha256:")[:SHORT] for key in ("snapshot", "digest", "hash")}}
