"""atelier metrics …"""

from typing import Annotated, Any

import typer

from app.cli import common, printing
from app.cli.client import Client, in_workspace

app = typer.Typer(help="Metrics: the copy that makes pages fast, held to MLflow's record.", no_args_is_help=True)
RunName = Annotated[str, typer.Option("--run", help="Only this one: a job's name or a run's id.")]
Thorough = Annotated[bool, typer.Option("--thorough", help="Compare every point, not counts and extremes alone.")]
DIFFERS = 1


@app.command()
def check(run: RunName = "", thorough: Thorough = False) -> None:
    """Compares what lists and charts show with MLflow's record; exit code 1 when anything differs."""
    report = _all("check", run, thorough)
    _shown(report)
    if report["differing"]:
        printing.note("'atelier metrics rebuild' takes MLflow's record for what differs.")
        raise typer.Exit(DIFFERS)


@app.command()
def rebuild(run: RunName = "", thorough: Thorough = False) -> None:
    """Mends what differs from MLflow's record; with --run that run is read anew, whole again if it was thinned."""
    _shown(_all("rebuild", run, thorough))


def _all(verb: str, run: str, thorough: bool) -> dict[str, Any]:
    """Page after page, since each answers within seconds."""
    client, at = Client(), in_workspace(f"/metrics:{verb}")
    report: dict[str, Any] = {"checked": 0, "running": 0, "thinned": 0, "mended": 0, "differing": []}
    after = ""
    while True:
        asked = {"run": run, "after": after, "thorough": thorough}
        page = client.ask("GET", at, params=asked) if verb == "check" else client.ask("POST", at, json=asked)
        report = {key: value + page[key] for key, value in report.items()}
        after = page["next"]
        if not after:
            return report


def _shown(report: dict[str, Any]) -> None:
    if not common.chosen.is_for_people:
        printing.show(report)
        return
    for each in report["differing"]:
        for difference in each["differences"]:
            printing.note(f"{each['name'] or each['run']}: {difference}.")
    printing.show({**report, "differing": len(report["differing"])})
