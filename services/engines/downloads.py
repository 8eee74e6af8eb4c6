"""Files by http(s): to disk, with a limit, never from inside the network unless an admin said so."""

import ipaddress
import socket
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from services.core.errors import EngineError, Invalid, NotFound, Unavailable

SECONDS = 30
REDIRECTS = 5
BYTES = 100 << 30
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def name_of(url: str) -> str:
    """The base name that the file keeps; `data` where the URL has none."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    safe = "".join(char if char.isalnum() or char in "._- " else "_" for char in name).strip(". ")
    return safe[:200] or "data"


def fetch(url: str, target: Path, *, allowed_hosts: Collection[str] = (), limit: int = BYTES) -> Path:
    """Downloads to `target`, whole or not at all; a file that is there already is kept.

    Each hop's host is resolved once, checked, and connected to at that very address. Raises Invalid for a
    host inside of the network, NotFound for 404, Unavailable where nobody answers, EngineError for the rest.
    """
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name[:200]}.part")
    here = url
    try:
        for _ in range(REDIRECTS + 1):
            following = _hop(here, part, allowed_hosts, limit)
            if following is None:
                part.replace(target)
                return target
            here = following
    finally:
        part.unlink(missing_ok=True)
    raise EngineError(f"{url[:200]} redirects more than {REDIRECTS} times.")


def _hop(url: str, part: Path, allowed_hosts: Collection[str], limit: int) -> str | None:
    """None when the file is there, else where to go on."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid(f"{url[:200]!r} is not an http(s) URL.")
    address = checked_address(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), allowed_hosts)
    where = httpx.URL(url).copy_with(host=address)
    headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "atelier"}
    try:
        with (
            httpx.Client(timeout=SECONDS, trust_env=address == parts.hostname) as client,
            client.stream("GET", where, headers=headers, extensions={"sni_hostname": parts.hostname}) as answer,
        ):
            if answer.is_redirect:
                return str(httpx.URL(url).join(answer.headers["location"]))
            if answer.status_code == 404:
                raise NotFound(f"{url[:200]} was not found (404).")
            if answer.status_code != 200:
                raise EngineError(f"{url[:200]} answered {answer.status_code}.")
            size = 0
            with part.open("wb") as file:
                for piece in answer.iter_bytes(1 << 20):
                    size += len(piece)
                    if size > limit:
                        raise EngineError(f"{url[:200]} is larger than {limit} bytes.")
                    file.write(piece)
    except httpx.HTTPError as cause:
        raise Unavailable(f"{parts.hostname} does not answer: {cause}.") from cause
    return None


def checked_address(host: str, port: int, allowed_hosts: Collection[str]) -> str:
    """Where to connect to. Raises Invalid for a host inside of the network, Unavailable for one that is not known."""
    if f"{host}:{port}" in allowed_hosts or host in allowed_hosts:
        return host
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as cause:
        raise Unavailable(f"'{host}' is not known: {cause.strerror}.") from cause
    address = str(found[0][4][0])
    if not _is_outside(address):
        raise Invalid(
            f"'{host}' is inside of the network ({address}) and is not downloaded from.",
            hint="An admin can list it in ATELIER_ALLOWED_URL_HOSTS, or map the URL to a folder in maps.yml.",
        )
    return address


def _is_outside(address: str) -> bool:
    """Whether it is somebody on the internet; an IPv6 address may hold an IPv4 one that a router takes out of it."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if not found.is_global or found.is_multicast:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return True
    inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _TRANSLATED else found.sixtofour
    if inner is not None:
        return _is_outside(str(inner))
    return not found.is_reserved and not found.is_site_local
