"""The gateway's process: `python -m app.gateway`, started by the supervisor with a socket that is bound already."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys

import uvloop

from app.gateway import address
from app.gateway.limits import Limits
from app.gateway.reload import Reload, waker
from app.gateway.router import Router
from app.orphan import exit_with_supervisor
from services import access, sessions
from services.core.errors import AtelierError
from services.studio import Settings, Studio

log = logging.getLogger("atelier.gateway")
SWITCH_SECONDS = 0.001
"""How long the thread that writes the log may keep the loop waiting."""
DESCRIPTORS = 65_536
COLLECT_AFTER = 50_000
"""Objects; records of requests live for a quarter of a second, and are no cycles."""


async def serve(studio: Studio, listening: socket.socket, limits: Limits) -> None:
    """Until it is told to stop, and everybody who asked before has been answered."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    router = Router(
        loop,
        studio.requests,
        limits=limits,
        wake=waker(studio),
        may_read_metrics=lambda secret: asyncio.to_thread(_may_read, studio, secret),
        trusts_loopback=not studio.settings.behind_proxy,
    )
    reload = Reload(studio, router)
    reload.start()
    while not reload.is_loaded.is_set() and not stopping.is_set():
        await asyncio.sleep(0.01)
    server = await loop.create_server(router.caller, sock=listening, backlog=address.BACKLOG)
    log.info("The gateway listens at port %s", listening.getsockname()[1])
    await stopping.wait()
    server.close()
    router.drain()
    await router.drained()
    reload.stop()
    router.ledger.close()


def _may_read(studio: Studio, secret: str) -> bool:
    """Whether it is a token of somebody who may read the endpoints of the whole install."""
    try:
        bearer = sessions.of_bearer(studio, secret)
        if bearer is None or bearer.kind != "api":
            return False
        with studio.scope(bearer.principal) as scope:
            return access.allowed(scope.roles, "onlineEndpoints/read")
    except AtelierError as cause:
        log.warning("A token could not be looked up: %s", cause)
        return False


def _open_many() -> int:
    """A caller and an instance need a descriptor each, and many systems give a process a thousand. How many callers
    leave enough of them for all else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return min(Limits().callers, most // 2)


def main() -> None:
    settings = Settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    exit_with_supervisor()
    studio = Studio(settings)
    address.check(settings)
    limits = Limits(callers=_open_many())
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 100)
    uvloop.run(serve(studio, address.handed_over() or address.bound(settings), limits))
    studio.close()
    sys.stderr.flush()
    os._exit(0)  # a thread that waits for a database must not keep the process


if __name__ == "__main__":
    main()
