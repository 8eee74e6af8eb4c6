"""atelier import mlflow …, atelier export mlflow …"""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from app.cli import common, printing
from app.cli.client import endpoint, token
from services.core.errors import AtelierError

if TYPE_CHECKING:
    from services.engines.mlflow_copy import Copier, Report
    from services.engines.mlflow_servers import Server

importing = typer.Typer(help="Brings in what was recorded elsewhere.", no_args_is_help=True)
exporting = typer.Typer(help="Takes out what was recorded here.", no_args_is_help=True)
PROGRAM = ("-m", "app.tracking_server")
INTERRUPTED = 130
Experiments = Annotated[list[str] | None, typer.Option("--experiment", help="Only this one; may be repeated.")]
NoArtifacts = Annotated[bool, typer.Option("--no-artifacts", help="Leave files out.")]


@importing.command("mlflow")
def import_mlflow(
    source: Annotated[
        str, typer.Option("--from", help="A folder mlruns, a SQLite file or its URL, or the address of a server.")
    ],
    experiment: Experiments = None,
    no_artifacts: NoArtifacts = False,
    artifacts: Annotated[
        list[Path] | None, typer.Option("--artifacts", help="Where files lie that are not beside it; may be repeated.")
    ] = None,
) -> None:
    """Copies MLflow's runs, their files and registered models into the workspace; started again, it goes on.

    A server is asked with MLFLOW_TRACKING_TOKEN, or with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    from app.cli import wire  # noqa: F401 (before the engines load all of httpx)
    from services.engines import mlflow_servers
    from services.engines.mlflow_copy import Copier

    with closing(_studio()) as target:
        _opening(source)
        with mlflow_servers.opened(source, PROGRAM, more=artifacts or ()) as origin:
            copier = Copier(origin, target, with_files=not no_artifacts, tell=printing.note)
            _copied(copier, experiment or [])


@exporting.command("mlflow")
def export_mlflow(
    target: Annotated[str, typer.Option("--to", help="The address of a server, or a folder, which is made.")],
    experiment: Experiments = None,
    no_artifacts: NoArtifacts = False,
) -> None:
    """Copies the workspace's runs, their files and registered models to MLflow; started again, it goes on.

    A folder gets mlflow.db and artifacts, as 'mlflow server' takes them.
    """
    from app.cli import wire  # noqa: F401
    from services.engines import mlflow_servers
    from services.engines.mlflow_copy import Copier

    with closing(_studio()) as source:
        _opening(target)
        is_server = urlsplit(target).scheme in {"http", "https"}
        ends = mlflow_servers.opened(target, PROGRAM) if is_server else mlflow_servers.made(Path(target), PROGRAM)
        with ends as there:
            copier = Copier(source, there, with_files=not no_artifacts, allows_slashes=True, tell=printing.note)
            _copied(copier, experiment or [])


def _studio() -> "Server":
    """The workspace, as MLflow's clients reach it."""
    from services.engines.mlflow_servers import Server

    workspace, url = common.workspace(), endpoint()
    headers = {"Authorization": f"Bearer {token(url)}", "X-MLFLOW-WORKSPACE": workspace, "User-Agent": "atelier-cli"}
    return Server(f"{url}/mlflow", f"{urlsplit(url).hostname}-{workspace}", headers)


def _opening(place: str) -> None:
    printing.note(f"Opening {place.rpartition('@')[2]} …")  # a password before the @ is nobody else's business


def _copied(copier: "Copier", experiments: list[str]) -> None:
    """Prints the report whatever happens; what was copied by then stays."""
    try:
        report = copier.copy(experiments)
    except (KeyboardInterrupt, AtelierError) as end:
        copier.report.is_interrupted = True
        if isinstance(end, AtelierError):
            copier.report.fail("the copy", end)
        _told(copier.report)
        printing.note("It was interrupted: the same command goes on from here.")
        raise typer.Exit(end.exit_code if isinstance(end, AtelierError) else INTERRUPTED) from None
    _told(report)
    if report.failed:
        raise typer.Exit(1)


def _told(report: "Report") -> None:
    if not common.chosen.is_for_people:
        printing.show(asdict(report))
        return
    printing.show({key: value for key, value in asdict(report).items() if isinstance(value, int) and value})
    for note in report.notes:
        printing.note(f"Note: {note}")
    for each in report.failed:
        printing.note(f"Error: {each['what']}: {each['why']}")
