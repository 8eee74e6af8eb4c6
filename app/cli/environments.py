"""atelier environment …"""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import assets, common, completion, printing
from app.cli.client import Client, in_workspace
from services.core.errors import Invalid

app = typer.Typer(help="Environments: what jobs run in.", no_args_is_help=True)
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
