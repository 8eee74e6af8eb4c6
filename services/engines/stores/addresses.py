"""Where a store may be: anywhere in a team's network, but not where a cloud hands out a machine's own keys."""

import ipaddress
import socket
from urllib.parse import urlsplit

from services.core.errors import Invalid, Unavailable


def checked_endpoint(url: str, name: str) -> str:
    """The URL without a slash at its end. Raises Invalid, Unavailable when its host is not known."""
    if not is_plain(url):
        raise Invalid(f"Datastore '{name}' has an endpoint that is not an http(s) URL without a password or a query.")
    checked_host(urlsplit(url).hostname or "", name)
    return url.rstrip("/")


def is_plain(url: str) -> bool:
    """Whether it is an http(s) URL of a host, with nothing in it that may be a secret: no user, no query."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_of_a_host = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return is_of_a_host and parts.username is None and not parts.query and not parts.fragment


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
