"""The web process: FastAPI at the root, the studio's pages last, one gate around both."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import auth, files, health, job_gateway, run_links
from app.api import problems, router
from app.gate import Gate
from app.orphan import exit_with_supervisor
from app.tracking_proxy import TrackingProxy
from app.ui import mount
from services import sessions
from services.core.errors import AtelierError
from services.core.times import iso, now
from services.metric_tee import Tee
from services.store import migrate
from services.studio import Settings, Studio

log = logging.getLogger("atelier.web")


def application(studio: Studio, *, screens: Any | None = None) -> Gate:
    """Everything the public port serves. `screens` is the Streamlit half (left out in tests of the rest)."""
    tee = Tee(studio)
    proxy = TrackingProxy(studio, tee)
    web_url = studio.settings.local_url

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if screens is not None:
                await stack.enter_async_context(screens.lifespan()(app))
            jobs = job_gateway.JobGate(proxy, app, studio)
            gateway = asyncio.create_task(job_gateway.kept_open(jobs, studio, web_url))
            facts = {"url": web_url, "pid": os.getpid(), "started_at": iso(now())}
            await asyncio.to_thread(studio.say, "web", facts)
            yield
            gateway.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gateway
            await proxy.close()
            await asyncio.to_thread(tee.close)

    app = FastAPI(
        title="Atelier", version="1", lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url="/api/v1/openapi.json", redirect_slashes=False,
    )  # fmt: skip
    app.state.studio, app.state.tee = studio, tee
    app.add_exception_handler(AtelierError, problems.handler)
    app.add_exception_handler(HTTPException, problems.http_handler)
    app.add_exception_handler(RequestValidationError, problems.validation_handler)
    app.add_exception_handler(Exception, problems.bug_handler)
    app.include_router(health.router)
    app.include_router(auth.router)
    app.include_router(router())
    app.include_router(files.router)
    app.include_router(run_links.router)
    app.mount("/mlflow", _at_the_root(proxy))
    app.add_api_route(
        "/api/{path:path}", _nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    if screens is not None:
        app.mount("/", screens)
    return Gate(app, studio)


def _at_the_root(proxy: TrackingProxy) -> Any:
    """A mount says how much of the path it took; the proxy wants it whole."""

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 4404})
            return
        await proxy(scope, receive, send)

    return whole


def _nothing(path: str) -> Response:
    raise HTTPException(404)


def main() -> None:
    settings = Settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    exit_with_supervisor()
    studio = Studio(settings)
    migrate.upgrade(studio.database)
    sessions.ensure_owner(studio)
    app = application(studio, screens=mount.application())
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",
        loop="asyncio",
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.behind_proxy,
        timeout_keep_alive=75,  # longer than a reader looks at a page before its next part is asked for
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
