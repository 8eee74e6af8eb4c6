"""atelier environment …"""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import assets, common, completion, printing
from app.cli.client import Client, in_workspace, part
from services.core.errors import Invalid, NotFound

app = typer.Typer(help="Environments: what jobs run in.", no_args_is_help=True)
POLL_SECONDS = 0.5
DISK = ("environments", "size", "stays_because")
COLUMNS = ("name", "version", "build_status", "description", "creation_context.created_at")
Name = Annotated[
    str, typer.Option("--name", "-n", help="Name of the environment.", autocompletion=completion.of("environments"))
]
Version = Annotated[str, typer.Option("--version", "-v", help="Its version; the latest when left out.")]


@app.command()
def create(
    file: Annotated[str, typer.Option("--file", "-f", help="The environment's YAML file.")] = "",
    name: Name = "",
    version: Version = "",
    image: Annotated[str, typer.Option("--image", "-i", help="Image, instead of a file.")] = "",
    conda_file: Annotated[str, typer.Option("--conda-file", "-c", help="Conda file, with --image.")] = "",
) -> None:
    """Creates a version of an environment."""
    from app.cli import reading, upload
    from services.specs import local, source

    if file and (image or conda_file):
        raise Invalid("Either a --file or an --image with its --conda-file.")
    client = Client()
    if file:
        written, base = reading.source(file)
    else:
        if not image:
            raise Invalid("An environment needs a --file or an --image.")
        value = {"image": image, **({"conda_file": str(Path(conda_file).resolve())} if conda_file else {})}
        written, base = source.load(source.dump(value)), Path.cwd()
    spec, context = local.environment(written, base)
    changed = {key: value for key, value in {"name": name, "version": version}.items() if value}
    body = {"spec": {**spec.model_dump(mode="json", by_alias=True, exclude_none=True), **changed}}
    if context is not None:
        body["context"] = upload.send(client, context, "context", ignore=False).id  # type: ignore[assignment]
    printing.show(client.ask("POST", in_workspace("/environments"), json=body))


assets.shared(app, "environment", "environments", COLUMNS)


@app.command()
def curated() -> None:
    """Lists the cloud's curated environments that have an equivalent here."""
    printing.show(Client().all(in_workspace("/environments/curated")), ("name", "image", "source", "description"))


@app.command()
def build(
    name: Name,
    version: Version = "",
    stream: Annotated[bool, typer.Option("--stream", "-s", help="Follow the log until the build ends.")] = False,
) -> None:
    """Builds a version's image now, anew if it was built before; no job is needed."""
    client, at = Client(), assets.path_of("environments", name, version, noun="environment")
    before = _written(client, at) if stream else 0
    asked = client.ask("POST", f"{at}/build")
    if not stream:
        printing.show(asked)
        return
    _followed(client, at, before)
    ended = client.ask("GET", at)
    if ended["build_status"] != "Succeeded":
        said = client.ask("GET", f"{at}/diagnosis")
        if said is not None:
            printing.note(f"\n{said['cause']} (line {said['number']}):\n  {said['line'].strip()}\n{said['remedy']}")
        raise typer.Exit(1)


@app.command()
def cancel(name: Name, version: Version = "") -> None:
    """Gives up a build that waits or runs; jobs that wait for it fail and say so."""
    at = assets.path_of("environments", name, version, noun="environment")
    printing.show(Client().ask("POST", f"{at}/build/cancel"))


@app.command()
def diagnose(name: Name, version: Version = "") -> None:
    """Says why the last build failed: the line of its log, the cause and what to try."""
    said = Client().ask("GET", f"{assets.path_of('environments', name, version, noun='environment')}/diagnosis")
    if said is None:
        printing.note("The last build did not fail.")
        return
    printing.show(said)


@app.command()
def log(name: Name, version: Version = "") -> None:
    """Prints the log of the last build; of one that goes on, until it ends."""
    _followed(Client(), assets.path_of("environments", name, version, noun="environment"))


@app.command()
def packages(
    name: Name = "",
    version: Version = "",
    job: Annotated[str, typer.Option("--job", "-j", help="What was installed where this job ran.")] = "",
) -> None:
    """Prints what is really installed, as a requirements file."""
    if bool(name) == bool(job):
        raise Invalid("Either the --name of an environment or a --job.")
    at = (
        in_workspace(f"/environments/jobs/{part(job)}")
        if job
        else assets.path_of("environments", name, version, noun="environment")
    )
    sys.stdout.write(Client().answer("GET", f"{at}/packages").text)


@app.command()
def disk() -> None:
    """Shows what images take and why each stays."""
    found = Client().ask("GET", in_workspace("/environments/disk"))
    printing.show([_shown(each) for each in found["images"]], DISK)
    printing.note(f"{_megabytes(found['total'])} in all; {_megabytes(found['reclaimable'])} can be had by 'prune'.")


@app.command()
def prune(
    versions_too: Annotated[
        bool, typer.Option("--all", help="Also of versions that are not archived; they are built again when needed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Removes images that nothing needs; never one that a job stands on."""
    client, asked = Client(), {"versions_too": versions_too}
    going = client.ask("POST", in_workspace("/environments/prune"), json=asked)
    printing.show([_shown(each) for each in going["images"]], DISK)
    printing.note(f"{_megabytes(going['total'])} come free.")
    if dry_run or not going["images"]:
        return
    if not yes:
        printing.confirm(f"Remove {len(going['images'])} images?")
    client.ask("POST", in_workspace("/environments/prune"), json={**asked, "dry_run": False})


@app.command()
def bootstrap() -> None:
    """Makes base images from the Pythons of this machine; no registry is needed."""
    from services.engines.docker import DockerEngine
    from services.store import migrate
    from services.studio import Settings, Studio

    studio = Studio(Settings(home=common.home()))
    migrate.upgrade(studio.database)  # what is made carries the install's name, which is kept there
    engine = DockerEngine(install=studio.install, home=studio.folders.home)
    made = engine.images.bootstrap(printing.note)
    printing.show(
        [{"image": one.reference, "size_mb": one.size >> 20, "digest": one.digest} for one in made],
        ("image", "size_mb", "digest"),
    )


def _followed(client: Client, at: str, offset: int = 0) -> None:
    """The build's log from `offset`, to standard output, until the build has ended."""
    while True:
        answer = client.answer("GET", f"{at}/build-log", params={"offset": offset})
        sys.stdout.buffer.write(answer.content)
        sys.stdout.flush()
        offset = int(answer.headers["X-Log-Offset"])
        if answer.headers["X-Log-End"] == "true":
            return
        time.sleep(POLL_SECONDS)


def _written(client: Client, at: str) -> int:
    """How long the log of earlier builds is."""
    offset = 0
    while True:
        try:
            answer = client.answer("GET", f"{at}/build-log", params={"offset": offset})
        except NotFound:
            return 0
        if not answer.content:
            return offset
        offset = int(answer.headers["X-Log-Offset"])


def _shown(each: dict[str, Any]) -> dict[str, Any]:
    needed = each["why"] or "nothing needs it"
    return {"environments": ", ".join(each["environments"]), "size": _megabytes(each["size"]), "stays_because": needed}


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
