"""Where the gateway listens: a socket that the supervisor binds and keeps, so that a new process finds who waits."""

import os
import socket

from services.core.errors import Conflict, Denied
from services.studio import Settings

PORT = 8510
BACKLOG = 2048
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
VARIABLE = "ATELIER_GATEWAY_FD"


def host(settings: Settings) -> str:
    return settings.gateway_host or "127.0.0.1"


def check(settings: Settings) -> None:
    """Raises Denied for an address that is not safe to listen on."""
    if host(settings) not in LOOPBACK and not settings.behind_proxy:
        raise Denied(
            f"The gateway does not listen on {settings.gateway_host}: keys would cross the network in the clear.",
            hint="Put a proxy with TLS in front of it and say so with ATELIER_BEHIND_PROXY=true.",
        )


def bound(settings: Settings, remembered: int = 0) -> socket.socket:
    """Listening, and closed by who called. Raises Conflict when the port that the settings name is taken.

    Without one the port that this home had before, then 8510, then any: addresses of endpoints stay what they are.
    """
    if settings.gateway_port:
        try:
            return _listening(host(settings), settings.gateway_port)
        except OSError as cause:
            raise Conflict(
                f"Port {settings.gateway_port} for the gateway cannot be had: {cause.strerror}.",
                hint="Choose another with ATELIER_GATEWAY_PORT, or stop the program that has it.",
            ) from cause
    for port in dict.fromkeys((remembered or PORT, PORT)):
        if port == settings.port:  # the studio's own, which it has not bound yet
            continue
        try:
            return _listening(host(settings), port)
        except OSError:
            continue
    return _listening(host(settings), 0)


def handed_over() -> socket.socket | None:
    """The one that the supervisor has bound."""
    number = os.environ.get(VARIABLE, "")
    if not number.isdecimal():
        return None
    found = socket.socket(fileno=int(number))
    found.set_inheritable(False)
    return found


def url(settings: Settings, port: int) -> str:
    """As programs of this machine reach it."""
    name = host(settings)
    name = "127.0.0.1" if name in {"0.0.0.0", "localhost"} else name  # noqa: S104 (compared, not bound)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _listening(name: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in name else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((name, port))
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found
