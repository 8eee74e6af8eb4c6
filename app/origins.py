"""How the studio may be called: by a name of its own, in a way that means one thing, from pages of its own."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from services.studio import Studio

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEAD_BYTES = 32 << 10
# Said twice, two readers could each believe another one.
ONCE = (b"host", b"origin", b"authorization", b"content-length", b"content-type")


class Refusal(Exception):
    """Why somebody does not come in."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def allowed_hosts(studio: Studio) -> frozenset[str]:
    """The names by which people may call the studio: anything else is DNS rebinding."""
    settings = studio.settings
    names = {"localhost", "127.0.0.1", "[::1]", *settings.allowed_hosts.replace(",", " ").split()}
    if settings.host not in {"", "0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
        names.add(settings.host)
    if settings.public_url:
        names.add(urlsplit(settings.public_url).hostname or "")
    return frozenset(name.lower() for name in names if name)


def called_rightly(scope: Mapping[str, Any], headers: Mapping[str, str], hosts: frozenset[str]) -> None:
    """Raises Refusal. Reading may be asked for from anywhere; the answer then stays unreadable there."""
    _unambiguous(scope)
    host = headers.get("host", "")
    if _hostname(host) not in hosts:
        raise Refusal(421, "MisdirectedRequest", "The studio is not called by this name here.")
    is_socket = scope["type"] == "websocket"
    if not is_socket and scope["method"] in SAFE_METHODS:
        return
    if _is_foreign(headers, host) or (is_socket and "origin" not in headers):
        raise Refusal(403, "ForeignOrigin", "Requests from pages of other sites are refused.")


def _unambiguous(scope: Mapping[str, Any]) -> None:
    """Raises Refusal for what two readers could understand differently, and for what no address contains."""
    names = [name.lower() for name, _ in scope["headers"]]
    if any(names.count(name) > 1 for name in ONCE):
        raise Refusal(400, "BadRequest", "A header that must be given once was given twice.")
    if b"transfer-encoding" in names and b"content-length" in names:
        raise Refusal(400, "BadRequest", "A body has one length: Content-Length or Transfer-Encoding.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
        raise Refusal(431, "HeadersTooLarge", f"The headers are larger than {HEAD_BYTES} bytes.")
    if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
        raise Refusal(400, "BadRequest", "NUL is not allowed in an address.")


def _is_foreign(headers: Mapping[str, str], host: str) -> bool:
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        return True
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


def _hostname(host: str) -> str:
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdecimal() else host.lower()
