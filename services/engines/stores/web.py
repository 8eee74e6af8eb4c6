"""Files below an http(s) URL as a store: read-only, in ranges where the server sends them."""

import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from itertools import islice
from typing import BinaryIO, NoReturn
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

import httpx

from services.core.errors import Conflict, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines import downloads
from services.engines.stores import paths
from services.engines.stores.addresses import is_plain
from services.engines.stores.entries import Entry
from services.engines.stores.specs import Credentials, Password, Web, secrets_of
from services.engines.stores.store import Store
from services.engines.stores.words import shown

INDEX = 8 << 20  # bytes of a folder's page

_TIMEOUT = httpx.Timeout(20, connect=10)
_PIECE = 1 << 20
_SAFE = "!$&'()*+,;=:@-._~"


class WebStore(Store):
    """Each host is resolved once for a request, checked, and connected to at that very address."""

    read_only = True

    def __init__(self, spec: Web, credentials: Credentials | None, allowed_hosts: Collection[str]) -> None:
        if not is_plain(spec.url):
            raise Invalid(f"Datastore '{spec.name}' needs an http(s) URL without a password or a query.", where="url")
        if credentials is not None and not (isinstance(credentials, Password) and credentials.user):
            raise Invalid(f"Datastore '{spec.name}' takes a user and a password.", where="credentials")
        self.name, self._url, self._allowed = spec.name, spec.url.rstrip("/") + "/", allowed_hosts
        self._auth = (credentials.user, credentials.password) if isinstance(credentials, Password) else None
        self._secrets = secrets_of(credentials)

    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        yield from islice(self._walk(paths.folder_of(prefix), recursive=recursive, after=after, depth=0), limit)

    def stat(self, path: str) -> Entry:
        tidy = paths.confined(path)
        with self._answer("HEAD", tidy) as answer:
            if answer.status_code not in {405, 501}:
                return self._entry(tidy, answer)
        with self._answer("GET", tidy, {"Range": "bytes=0-0"}) as answer:
            return self._entry(tidy, answer)

    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        tidy = paths.confined(path)
        if length == 0:
            self.stat(path)
            return b""
        end = None if length is None else offset + length
        ranges = {} if not offset and end is None else {"Range": f"bytes={offset}-{'' if end is None else end - 1}"}
        with self._answer("GET", tidy, ranges) as answer:
            if answer.status_code == 416:
                return b""
            found = self._entry(tidy, answer)
            if etag and found.etag and etag != found.etag:
                raise Conflict(f"'{path}' of datastore '{self.name}' has changed.", hint="Read it again.")
            if answer.status_code == 206:
                return _cut(answer, 0, None if end is None else end - offset)
            self.has_ranges = not ranges
            return _cut(answer, offset, end)

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        self._refuse(path)

    def rename(self, path: str, target: str) -> None:
        paths.confined(target)
        self._refuse(path)

    def delete(self, path: str) -> None:
        self._refuse(path)

    def _refuse(self, path: str) -> NoReturn:
        raise Denied(f"'{paths.confined(path)}' cannot be changed: datastore '{self.name}' is for reading.")

    def _walk(self, below: str, *, recursive: bool, after: str, depth: int) -> Iterator[Entry]:
        if depth > 32:  # pages can be made up without end
            raise EngineError(f"'{below[:200]}' of datastore '{self.name}' lies too deep.")
        for name in sorted(self._names(below)):
            path = f"{below}/{name}" if below else name
            if not path.endswith("/"):
                if path > after:
                    yield self.stat(path)
            elif not recursive and path > after:
                yield Entry(path, 0)
            elif recursive and (path > after or after.startswith(path)):
                yield from self._walk(path[:-1], recursive=True, after=after, depth=depth + 1)

    def _names(self, below: str) -> set[str]:
        """What the folder's page links to and lies directly in it; folders end in `/`."""
        try:
            with self._answer("GET", f"{below}/" if below else "") as answer:
                if not answer.headers.get("content-type", "").startswith("text/html"):
                    raise EngineError(f"Datastore '{self.name}' shows no list of the files in '{below or '/'}'.")
                page = _cut(answer, 0, INDEX).decode("utf-8", "replace")
        except NotFound:
            return set()
        links = _Links()
        links.feed(page)
        here = urlsplit(self._place(f"{below}/" if below else "")).path
        found = set()
        for link in links.found:
            path = _path(here, link)
            name = unquote(path.removeprefix(here))
            if path.startswith(here) and "?" not in link and name and paths.is_tidy(name.removesuffix("/")):
                found.add(name)
        return {name for name in found if "/" not in name.removesuffix("/")}

    def _place(self, path: str) -> str:
        return self._url + quote(path, safe=_SAFE + "/")

    @contextmanager
    def _answer(self, verb: str, path: str, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """The last answer of a chain of redirects, each hop checked as the first; errors are raised."""
        here = self._place(path)
        for _ in range(downloads.REDIRECTS + 1):
            with self._hop(verb, here, path, headers or {}) as answer:
                if not answer.is_redirect:
                    self._check(answer, path)
                    yield answer
                    return
                following = self._following(here, answer)
            if following.split("?")[0] == f"{here}/":
                raise NotFound(f"'{path}' of datastore '{self.name}' is a folder.")
            here = following
        raise EngineError(f"'{path}' of datastore '{self.name}' redirects more than {downloads.REDIRECTS} times.")

    def _following(self, here: str, answer: httpx.Response) -> str:
        try:
            return str(httpx.URL(here).join(answer.headers["location"]))
        except httpx.InvalidURL as cause:
            raise EngineError(f"Datastore '{self.name}' redirects to what is no URL.") from cause

    @contextmanager
    def _hop(self, verb: str, url: str, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        parts, host, address = self._checked(url, path)
        is_ours = parts.netloc == urlsplit(self._url).netloc and parts.scheme == urlsplit(self._url).scheme
        asked = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "atelier", "Accept-Encoding": "identity"}
        try:
            with (
                httpx.Client(timeout=_TIMEOUT, trust_env=address == host) as client,
                client.stream(
                    verb,
                    httpx.URL(url).copy_with(host=address),
                    headers=asked | headers,
                    auth=self._auth if is_ours else None,
                    extensions={"sni_hostname": host},
                ) as answer,
            ):
                yield answer
        except (httpx.HTTPError, ssl.SSLError) as cause:
            words = shown(str(cause) or type(cause).__name__, self._secrets)
            raise Unavailable(f"Datastore '{self.name}' does not answer: {words}.") from cause

    def _checked(self, url: str, path: str) -> tuple[SplitResult, str, str]:
        """The URL in its parts, its host, and the address to connect to. Raises Invalid, Unavailable."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            host = None
        if host is None or parts.scheme not in {"http", "https"}:
            raise Invalid(f"'{path}' of datastore '{self.name}' leads to what is no http(s) URL.")
        try:
            return parts, host, downloads.checked_address(host, port, self._allowed)
        except (Invalid, Unavailable) as cause:
            raise type(cause)(f"Datastore '{self.name}' does not answer: {cause.message}", hint=cause.hint) from cause

    def _check(self, answer: httpx.Response, path: str) -> None:
        code = answer.status_code
        place = f"'{path[:200]}' of datastore '{self.name}'"
        if code < 300 or code in {405, 416, 501}:
            return
        if code in {404, 410}:
            raise NotFound(f"{place} was not found ({code}).")
        if code in {401, 403, 407}:
            raise Denied(f"{place} is refused ({code} {answer.reason_phrase}).", hint="Check its credentials.")
        if code == 429 or code >= 500:
            raise Unavailable(f"Datastore '{self.name}' does not answer: {code} {answer.reason_phrase}.")
        raise EngineError(f"{place} failed: {code} {answer.reason_phrase}.")

    def _entry(self, path: str, answer: httpx.Response) -> Entry:
        if answer.status_code in {405, 501}:
            raise EngineError(f"'{path}' of datastore '{self.name}' failed: {answer.status_code}.")
        told = answer.headers.get("content-range", "").rpartition("/")[2] or answer.headers.get("content-length", "")
        if not told.isdigit():
            raise EngineError(f"The server of datastore '{self.name}' does not tell how large '{path}' is.")
        changed = answer.headers.get("last-modified", "")
        etag = answer.headers.get("etag") or (f"{changed}-{told}" if changed else "")
        return Entry(path, int(told), _date(changed), etag)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _path(here: str, link: str) -> str:
    """Of a link on the page at `here`; empty when it is none."""
    try:
        return urlsplit(urljoin(here, link)).path
    except ValueError:
        return ""


def _cut(answer: httpx.Response, offset: int, end: int | None) -> bytes:
    """The range of a whole file, passing over what is before it and hanging up after it.

    Not `read`, with which the answer would keep the bytes for as long as it lives.
    """
    kept, at = bytearray(), 0
    for piece in answer.iter_bytes(_PIECE):
        start = max(0, offset - at)
        kept += piece[start : None if end is None else max(start, end - at)]
        at += len(piece)
        if end is not None and at >= end:
            break
    return bytes(kept)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
