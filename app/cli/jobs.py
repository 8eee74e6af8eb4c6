"""atelier job …"""

import sys
import time
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from app.cli import common
from app.cli.client import Client, in_workspace, part
from app.cli.workspaces import pairs
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
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the job.")]
ENDED = ("Completed", "Failed", "Canceled")
POLL_SECONDS = 0.25


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
        common.note(f"Note: {warning}")
    if web:
        typer.launch(job["services"]["Studio"]["endpoint"])
    if not stream:
        common.show(job)
        return
    ended = _followed(client, job, aside=bool(common.chosen.output))
    if common.chosen.output:
        common.show(ended)
    _leave_by(ended)


@app.command()
def show(name: Name, web: Annotated[bool, typer.Option("--web", help="Open it in the browser.")] = False) -> None:
    """Shows one job."""
    job = Client().ask("GET", _path(name))
    if web:
        typer.launch(job["services"]["Studio"]["endpoint"])
    common.show(job)


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
    common.show(Client().all(in_workspace("/jobs"), params=asked, most=max_results), COLUMNS)


@app.command()
def stream(name: Name) -> None:
    """Follows the log of a job; exits with 1 when the job failed."""
    client = Client()
    _leave_by(_followed(client, client.ask("GET", _path(name)), aside=False))


@app.command()
def metrics(name: Name) -> None:
    """Shows the metrics that a job has logged: last, least and greatest value of each."""
    found = Client().ask("GET", _path(name, "/metrics"))["metrics"]
    common.show([{"metric": key, **each} for key, each in found.items()], METRIC_COLUMNS)


@app.command()
def cancel(name: Name) -> None:
    """Stops a job: TERM, then KILL."""
    common.show(Client().ask("POST", _path(name, "/cancel")))


@app.command()
def download(
    name: Name,
    everything: Annotated[bool, typer.Option("--all", help="Artifacts and every named output.")] = False,
    output_name: Annotated[str, typer.Option("--output-name", help="Only this output.")] = "",
    download_path: Annotated[Path, typer.Option("--download-path", "-p", help="Where to.")] = Path(),
) -> None:
    """Downloads artifacts to DIR/artifacts and outputs to DIR/named-outputs/NAME."""
    client = Client()
    job = client.ask("GET", _path(name))
    outputs = [output_name] if output_name else list(job["outputs"]) if everything else []
    count = 0
    if not output_name:
        count += _saved(client, _path(name, "/files"), download_path / "artifacts")
    for each in outputs:
        count += _saved(client, _path(name, f"/outputs/{part(each)}/files"), download_path / "named-outputs" / each)
    common.note(f"{count} {'file' if count == 1 else 'files'} in {download_path.resolve()}")


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
    change: dict[str, Any] = {}
    if display_name is not None:
        change["display_name"] = display_name
    if description is not None:
        change["description"] = description
    if tags:
        change["tags"] = pairs(tags)
    if set_:
        from services.specs import overrides

        current = client.ask("GET", _path(name))
        change = overrides.apply({"tags": current["tags"], **change}, set_)
    common.show(client.ask("PATCH", _path(name), json=change))


@app.command()
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Deletes an ended job with its files."""
    if not yes:
        typer.confirm(f"Delete job '{name}' with its files?", abort=True, err=True)
    Client().ask("DELETE", _path(name))


def _path(name: str, rest: str = "") -> str:
    return in_workspace(f"/jobs/{part(name)}{rest}")


def _followed(client: Client, job: dict[str, Any], *, aside: bool) -> dict[str, Any]:
    """Prints the log as it is written; with `aside` on standard error, so that standard output is a document."""
    out = sys.stderr if aside else sys.stdout
    print(f"RunId: {job['name']}\nWeb View: {job['services']['Studio']['endpoint']}\n", file=out, flush=True)
    offset, status = 0, ""
    try:
        while True:
            answer = client.answer("GET", _path(job["name"], "/log"), params={"offset": offset})
            if answer.content:
                out.buffer.write(answer.content)
                out.buffer.flush()
            offset = int(answer.headers["X-Log-Offset"])
            if answer.headers["X-Log-End"] == "true":
                break
            if not answer.content:
                status = _said(client, job["name"], status, silent=offset > 0)
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        common.note(f"\nThe job goes on. 'atelier job cancel -n {job['name']}' stops it.")
        raise
    ended: dict[str, Any] = client.ask("GET", _path(job["name"]))
    print(f"\nExecution Summary\n=================\nRunId: {ended['name']}\nStatus: {ended['status']}", file=out)
    if ended["warning"]:
        print(f"Warning: {ended['warning']}", file=out)
    out.flush()
    return ended


def _said(client: Client, name: str, before: str, *, silent: bool) -> str:
    """While nothing is printed yet: what the job waits for, each reason once."""
    if silent:
        return before
    job = client.ask("GET", _path(name))
    now = f"{job['status']}: {job['reason']}" if job["reason"] else str(job["status"])
    if now != before and job["status"] not in ENDED:
        common.note(now)
    return now


def _leave_by(job: dict[str, Any]) -> None:
    if job["status"] == "Completed":
        return
    common.note(f"Error: the job is {job['status']}: {job['message'] or job['reason']}")
    raise typer.Exit(1)


def _saved(client: Client, path: str, target: Path) -> int:
    rows = client.all(path)
    for row in rows:
        parts = PurePosixPath(row["path"]).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise Invalid(f"The studio named a path outside of the folder: {row['path']!r}.")
        client.save(f"{path}/{'/'.join(part(piece) for piece in parts)}", target.joinpath(*parts))
    return len(rows)
