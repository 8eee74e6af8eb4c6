"""`--local`: endpoints for debugging, served on this machine by a studio of their own that lives while a command runs.

It has a home below the home, and one workspace. What it started goes on when the command ends; the next one finds it.
Models and environments that are registered in the studio are fetched from there.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import assets, common, printing
from app.cli.client import Client
from services.core.errors import Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    import httpx

    from services.engines.routes import Target
    from services.store.rows import Principal
    from services.studio import Studio

WORKSPACE = "local"
Local = Annotated[bool, typer.Option("--local", help="On this machine, for debugging, beside the studio.")]


class LocalClient(Client):
    """Of the studio in this process."""

    def __init__(self, studio: "Studio", url: str, token: str) -> None:
        super().__init__(url, token)
        self.studio = studio

    def scored(self, endpoint: str, deployment: str, body: bytes, content_type: str) -> "httpx.Response":
        """The server's own answer: there is no gateway. Raises NotFound when nobody is ready."""
        from app.cli.wire import httpx

        target = _target(self.studio, endpoint, deployment)
        backend = target.backends[0]
        url = f"http://{backend.host}:{backend.port}{target.score_path}"
        headers = {"Content-Type": content_type, "azureml-model-deployment": target.name}
        answer = httpx.post(url, content=body, headers=headers, timeout=target.timeout_ms / 1000 + 5, trust_env=False)
        answer.headers.setdefault("azureml-model-deployment", target.name)
        return answer


@contextmanager
def studio(*, local: bool, works: bool = False) -> Iterator[Client]:
    """Whom the command asks: the studio that runs, or one that this process is while the command runs.

    That one `works` only for commands whose wishes are to come true.
    """
    if not local:
        yield Client()
        return
    from services import sessions, workspaces
    from services.specs.workspaces import Workspace
    from services.store import migrate
    from services.studio import Settings, Studio

    for name in ("atelier", "uvicorn", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    home = common.home() / "local"
    opened = Studio(Settings(home=home, database_url="", gateway_public_url="http://127.0.0.1"))
    migrate.upgrade(opened.database)
    owner = sessions.ensure_owner(opened)
    with opened.scope(owner, write=True) as scope:
        if not workspaces.listed(scope):
            workspaces.create(scope, Workspace(name=WORKSPACE))
    bearer = secrets.token_urlsafe(32)
    try:
        with _worked(opened) if works else nullcontext(), _served(opened, owner, bearer) as url:
            common.chosen.workspace = WORKSPACE
            yield LocalClient(opened, url, bearer)
    finally:
        opened.close()


def brought(written: dict[str, Any]) -> dict[str, Any]:
    """A deployment's file with what it names in the studio beside it: the model's files, the environment's definition.

    Asked before the local studio is. Raises Invalid for what cannot be had here, and whatever the studio answers.
    """
    found = dict(written)
    model, environment = written.get("model"), written.get("environment")
    if isinstance(model, str) and model.startswith("azureml:"):
        found["model"] = _model(model)
    if isinstance(environment, str) and environment.startswith("azureml:") and "//" not in environment:
        found["environment"] = _environment(environment)
    return found


def _model(reference: str) -> dict[str, Any]:
    """Downloaded once; versions never change."""
    name, version, label = _named(reference)
    client = Client()
    at = assets.settled(client, "models", name, version, label, noun="model")
    row = client.ask("GET", at)
    base = str(row["path"]).rstrip("/").rpartition("/")[2] or name
    folder = common.home() / "local" / "models" / row["name"] / row["version"]
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        count = assets.downloaded(client, f"{at}/files", part / base)
        if not count:
            raise NotFound(f"Model '{row['name']}:{row['version']}' has no files.")
        part.rename(folder)
        printing.note(f"{assets.files(count)} of model '{row['name']}:{row['version']}' in {folder}")
    return {"name": row["name"], "version": row["version"], "type": row["type"], "path": str(_single(folder / base))}


def _single(path: Path) -> Path:
    """A model that is one file was saved below a folder of the file's name."""
    inner = path / path.name
    return inner if inner.is_file() and [*path.iterdir()] == [inner] else path


def _environment(reference: str) -> dict[str, Any]:
    name, version, label = _named(reference)
    client = Client()
    row = client.ask("GET", assets.settled(client, "environments", name, version, label, noun="environment"))
    if row.get("build"):
        raise Invalid(
            f"Environment '{name}' is a build context, which the studio keeps.",
            where="environment",
            hint="Name the context's folder in the file to debug it here.",
        )
    return {key: row[key] for key in ("image", "conda_file", "inference_config") if row.get(key)}


def _named(reference: str) -> tuple[str, str, str]:
    """Name, version and label of `azureml:name:version`, `azureml:name@label` or `azureml:name`."""
    text = reference.removeprefix("azureml:")
    name, at, label = text.partition("@")
    if at:
        return name, "", label
    name, _, version = name.partition(":")
    return name, version, ""


def _target(studio: "Studio", endpoint: str, deployment: str) -> "Target":
    """The one that is named, the one with most traffic, or the only one."""
    from services import routing
    from services.core.names import folded

    route = routing.table(studio).routes.get((folded(WORKSPACE), folded(endpoint)))
    if route is None:
        raise NotFound(f"There is no local endpoint '{endpoint[:80]}'.")
    able = {folded(name): target for name, target in route.targets.items() if target.backends}
    wanted = folded(deployment) or folded(max(route.traffic, key=lambda name: route.traffic[name], default=""))
    target = able.get(wanted) if wanted else next(iter(able.values()), None) if len(able) == 1 else None
    if target is None:
        raise NotFound(
            f"Nobody is ready at '{endpoint}'." if not able else "Which deployment?",
            hint=f"Name one with --deployment-name: {', '.join(able)}." if able else None,
        )
    return target


@contextmanager
def _worked(studio: "Studio") -> Iterator[None]:
    """A worker in this process."""
    from app.worker import Worker, engine_for

    worker = Worker(studio, engine_for(studio))
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


@contextmanager
def _served(studio: "Studio", owner: "Principal", bearer: str) -> Iterator[str]:
    """The studio's REST on a free port of loopback, for who knows `bearer`: this process alone."""
    import socket

    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = _application(studio, owner, bearer)
    server = uvicorn.Server(
        uvicorn.Config(app, http="h11", loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), name="web")
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise Unavailable("The local studio could not start.", hint="--debug says more.")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _application(studio: "Studio", owner: "Principal", bearer: str) -> Any:
    """REST without pages, files and tracking."""
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

    from app.api import problems, router
    from services.core.errors import AtelierError

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.studio = studio
    app.add_exception_handler(AtelierError, problems.handler)
    app.add_exception_handler(RequestValidationError, problems.validation_handler)
    app.add_exception_handler(Exception, problems.bug_handler)
    app.include_router(router())
    wanted = f"Bearer {bearer}".encode()

    async def gate(scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "http" and secrets.compare_digest(given, wanted):
            scope["atelier.principal"], scope["atelier.request_id"] = owner, secrets.token_hex(8)
        await app(scope, receive, send)

    return gate
