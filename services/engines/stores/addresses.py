"""Where a store may be: anywhere in a team's network, but not where a cloud hands out a machine's own keys."""

import ipaddress
import socket
from urllib.parse import urlsplit

from services.core.errors import Invalid, Unavailable


def checked_endpoint(url: str, name: str) -> str:
    """The URL without a slash at its end. Raises Invalid, Unavailable when its host is not known."""
    parts = _split(url)
    if parts is None or parts[0] not in {"http", "https"} or not parts[1]:
        raise Invalid(f"Datastore '{name}' has an endpoint that is not an http(s) URL without a name and a password.")
    checked_host(parts[1], name)
    return url.rstrip("/")


def checked_host(host: str, name: str) -> None:
    """Raises Invalid for link-local and other addresses that are nobody's server, Unavailable for unknown names."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as cause:
        raise Unavailable(f"Datastore '{name}' does not answer: the host '{host[:200]}' is not known.") from cause
    for one in found:
        address = ipaddress.ip_address(str(one[4][0]).partition("%")[0])
        plain = getattr(address, "ipv4_mapped", None) or address
        if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
            raise Invalid(f"Datastore '{name}' is at {plain}, where no data is kept.")


def _split(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.username is not None or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname or ""
