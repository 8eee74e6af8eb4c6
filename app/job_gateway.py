"""The second door: at the engine's bridge, for running jobs only, which reach nothing but their tracking."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import uvicorn

from app.api.problems import problem
from services import sessions
from services.engines.tracking import PREFIX
from services.studio import Studio

log = logging.getLogger("atelier.web")
LOOK_SECONDS = 0.5
INSIDE = "host.docker.internal"
AsgiScope = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
_BATCH = re.compile(r"/api/v1/workspaces/[^/]+/runs/[^/]+/metrics:batch")


def is_open(method: str, path: str) -> bool:
    """To a job's token: tracking, and many points at once."""
    return path.startswith(f"{PREFIX}/") or (method == "POST" and _BATCH.fullmatch(path) is not None)


class JobGate:
    """Lets a job's own token through to the proxy, and with its points to `api`, and nobody else to anything."""

    def __init__(self, proxy: App, api: App, studio: Studio) -> None:
        self.proxy, self.api, self.studio = proxy, api, studio

    async def __call__(self, scope: AsgiScope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 4401})
            return
        kind, _, secret = _header(scope, b"authorization").partition(" ")
        bearer = None
        if kind.lower() == "bearer":
            bearer = await anyio.to_thread.run_sync(sessions.of_bearer, self.studio, secret.strip())
        if bearer is None or bearer.kind != "job":
            answer = problem(401, "Unauthorized", "Only a running job's own token is good here.")
        elif not is_open(scope["method"], scope["path"]):
            answer = problem(404, "NotFound", "There is nothing at this address.")
        else:
            scope["atelier.bearer"], scope["atelier.principal"] = bearer, bearer.principal
            app = self.proxy if scope["path"].startswith(f"{PREFIX}/") else self.api
            await app(scope, receive, send)
            return
        await answer(scope, receive, send)


async def kept_open(app: App, studio: Studio, web_url: str) -> None:
    """Listens where the engine's bridge is, as the worker tells it; elsewhere jobs use the public port."""
    address: str | None = ""
    server: uvicorn.Server | None = None
    serving: asyncio.Task[None] | None = None
    try:
        while True:
            fact = await anyio.to_thread.run_sync(studio.fact, "engine")
            if fact is not None and fact.value.get("state") == "ready" and fact.value.get("gateway") != address:
                await _stopped(server, serving)
                address = fact.value.get("gateway")
                server, serving, url = await _reopened(app, address, web_url, studio)
                await anyio.to_thread.run_sync(studio.say, "gateway", {"url": url})
                log.info("Jobs reach tracking at %s", url)
            await asyncio.sleep(LOOK_SECONDS if address == "" else 5 * LOOK_SECONDS)
    finally:
        await _stopped(server, serving)


Opened = tuple[uvicorn.Server | None, asyncio.Task[None] | None, str]


async def _reopened(app: App, address: str | None, web_url: str, studio: Studio) -> Opened:
    """At the port of the last time, which running jobs were told; at another when somebody has taken it."""
    before = await anyio.to_thread.run_sync(studio.fact, "gateway")
    last = urlsplit(str(before.value["url"]) if before is not None else "")
    if last.hostname == INSIDE and last.port:
        opened = await _opened(app, address, web_url, last.port)
        if opened[0] is not None:
            return opened
    return await _opened(app, address, web_url, 0)


async def _opened(app: App, address: str | None, web_url: str, port: int) -> Opened:
    if not address:
        return None, None, web_url
    settings = uvicorn.Config(
        app,
        host=address,
        port=port,
        http="h11",
        loop="asyncio",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(settings)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(_served(server))
    while not server.started:
        if serving.done():
            log.error("Nothing can listen on %s port %s", address, port or "any")
            return None, None, web_url
        await asyncio.sleep(0.02)
    return server, serving, f"http://{INSIDE}:{server.servers[0].sockets[0].getsockname()[1]}"


async def _served(server: uvicorn.Server) -> None:
    with contextlib.suppress(SystemExit):  # uvicorn leaves the process when it cannot bind
        await server._serve()


async def _stopped(server: uvicorn.Server | None, serving: asyncio.Task[None] | None) -> None:
    if server is not None and serving is not None:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(serving, 3)


def _header(scope: AsgiScope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")
