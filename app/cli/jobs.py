"""atelier job …"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from app.cli import common, completion, following, printing
from app.cli.client import Client, in_workspace, named, part
from app.cli.workspaces import details
from services.core.errors import Invalid

app = typer.Typer(help="Jobs: what runs.", no_args_is_help=True)
METRIC_COLUMNS = ("metric", "last", "step", "min", "max", "count")
COLUMNS = (
    "name",
    "display_name",
    "status",
    "experiment_name",
    "creation_context.created_at",
    "creation_context.created_by",
)
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the job.", autocompletion=completion.jobs)]


@app.command()
def create(
    file: Annotated[str, typer.Option("--file", "-f", help="The job's YAML file; - reads standard input.")],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the job; made up when left out.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field.field=value; changes what the file says.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", "-s", help="Follow the log until the job ends.")] = False,
    web: Annotated[bool, typer.Option("--web", help="Open the job in the browser.")] = False,
) -> None:
    """Submits a job and prints it."""
    from app.cli import submission

    client = Client()
    job = submission.submitted(client, file, set_ or [], name)
    for warning in job.pop("warnings", []):
        printing.note(f"Note: {warning}")
    if web:
        _opened(job)
    if not stream:
        printing.show(job)
        return
    ended = following.followed(client, job, aside=common.chosen.is_document)
    if common.chosen.is_document:
        printing.show(ended)
    _leave_by(ended)


@app.command()
def show(name: Name, web: Annotated[bool, typer.Option("--web", help="Open it in the browser.")] = False) -> None:
    """Shows one job."""
    job = Client().ask("GET", _path(name))
    if web:
        _opened(job)
    printing.show(job)


@app.command("list")
def listed(
    max_results: Annotated[int, typer.Option("--max-results", "-r", help="At most so many; 0 means all.")] = 50,
    search: Annotated[str, typer.Option(help="Part of a name.")] = "",
    status: Annotated[list[str] | None, typer.Option(help="Only with this status; may be repeated.")] = None,
    experiment_name: Annotated[str, typer.Option(help="Only of this experiment.")] = "",
    include_archived: Annotated[bool, typer.Option("--include-archived", help="Archived ones too.")] = False,
) -> None:
    """Lists jobs, the newest first."""
    asked: dict[str, Any] = {
        "search": search,
        "status": status or [],
        "experiment_name": experiment_name,
        "include_archived": include_archived,
        "limit": min(max_results, 200) or 200,
    }
    printing.show(Client().all(in_workspace("/jobs"), params=asked, most=max_results), COLUMNS)


@app.command()
def stream(name: Name) -> None:
    """Follows the log of a job; exits with 1 when the job failed."""
    client = Client()
    _leave_by(following.followed(client, client.ask("GET", _path(name)), aside=False))


@app.command()
def metrics(name: Name) -> None:
    """Shows the metrics that a job has logged: last, least and greatest value of each."""
    found = Client().ask("GET", _path(name, "/metrics"))["metrics"]
    printing.show([{"metric": key, **each} for key, each in found.items()], METRIC_COLUMNS)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="Name of a job.", autocompletion=completion.jobs)],
    after: Annotated[str, typer.Argument(help="Name of the job that it is compared with.")],
) -> None:
    """Shows what changed between two jobs: parameters, inputs, code, environment, packages, git."""
    from app.cli import lineage

    lineage.compared(before, after)


@app.command()
def cancel(name: Name) -> None:
    """Stops a job: TERM, then KILL."""
    printing.show(Client().ask("POST", _path(name, "/cancel")))


@app.command()
def download(
    name: Name,
    everything: Annotated[bool, typer.Option("--all", help="Artifacts and every named output.")] = False,
    output_name: Annotated[str, typer.Option("--output-name", help="Only this output.")] = "",
    download_path: Annotated[Path, typer.Option("--download-path", "-p", help="Where to.")] = Path(),
) -> None:
    """Downloads artifacts to DIR/artifacts and outputs to DIR/named-outputs/NAME."""
    if everything and output_name:
        raise Invalid("Either everything (--all) or one output (--output-name).")
    client = Client()
    job = client.ask("GET", _path(name))
    outputs = [output_name] if output_name else list(job["outputs"]) if everything else []
    count = 0
    if not output_name:
        count += _saved(client, _path(name, "/files"), download_path / "artifacts")
    for each in outputs:
        count += _saved(client, _path(name, f"/outputs/{part(each)}/files"), download_path / "named-outputs" / each)
    printing.note(f"{count} {'file' if count == 1 else 'files'} in {download_path.resolve()}")


@app.command()
def archive(name: Name) -> None:
    """Hides a job from lists."""
    Client().ask("POST", _path(name, "/archive"))


@app.command()
def restore(name: Name) -> None:
    """Shows an archived job again."""
    Client().ask("POST", _path(name, "/restore"))


@app.command()
def update(
    name: Name,
    display_name: Annotated[str | None, typer.Option(help="A new display name.")] = None,
    description: Annotated[str | None, typer.Option(help="A new description.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tags", "--tag", help="key=value; may be repeated.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="display_name=…, description=…, tags.key=value.")
    ] = None,
) -> None:
    """Changes display name, description or tags."""
    client = Client()
    change = details(display_name, description, tags)
    if set_:
        from services.specs import overrides

        current = client.ask("GET", _path(name))
        change = overrides.changed({"tags": current["tags"], **change}, set_)
    printing.show(client.ask("PATCH", _path(name), json=change))


@app.command()
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Deletes an ended job with its files."""
    if not yes:
        printing.confirm(f"Delete job '{name}' with its files?")
    Client().ask("DELETE", _path(name))


def _opened(job: dict[str, Any]) -> None:
    """In the browser of this machine; the link is said for machines without one."""
    link = job["services"]["Studio"]["endpoint"]
    printing.note(f"Web View: {link}")
    typer.launch(link)


def _path(name: str, rest: str = "") -> str:
    return in_workspace(f"/jobs/{part(named(name, 'job'))}{rest}")


def _leave_by(job: dict[str, Any]) -> None:
    if job["status"] == "Completed":
        return
    printing.note(f"Error: the job is {job['status']}: {job['message'] or job['reason']}")
    raise typer.Exit(1)


def _saved(client: Client, path: str, target: Path) -> int:
    rows = client.all(path)
    for row in rows:
        parts = PurePosixPath(row["path"]).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise Invalid(f"The studio named a path outside of the folder: {row['path']!r}.")
        client.save(f"{path}/{'/'.join(part(piece) for piece in parts)}", target.joinpath(*parts))
    return len(rows)
