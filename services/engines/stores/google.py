"""Google Cloud Storage as a store, over its JSON API and with a service account's key and nobody else's.

The library for S3 and Azure would do, but asks the machine it runs on for a token where it was given none.
"""

import base64
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.core.errors import AtelierError, Conflict, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines.stores import paths
from services.engines.stores.addresses import checked_endpoint
from services.engines.stores.entries import Entry
from services.engines.stores.specs import Credentials, GoogleStorage, ServiceAccount, secrets_of
from services.engines.stores.store import Store
from services.engines.stores.words import shown

PART = 8 << 20  # a multiple of 256 KiB, as the server wants it
TRIES = 3
GIVE_UP = 20  # seconds after which nothing is tried again

_TIMEOUT = httpx.Timeout(20, connect=10)
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_TOKENS = "https://oauth2.googleapis.com/token"
_FIELDS = "name,size,updated,generation"


class GoogleStore(Store):
    def __init__(self, spec: GoogleStorage, credentials: Credentials | None) -> None:
        if not isinstance(credentials, ServiceAccount | None):
            raise Invalid(f"Datastore '{spec.name}' takes a service account's key.", where="credentials")
        self.name, self._spec, self._prefix = spec.name, spec, paths.folder_of(spec.prefix)
        self._secrets = secrets_of(credentials)
        self._account = credentials
        self._token, self._expires = "", 0.0
        self._client: httpx.Client | None = None
        self._base = ""

    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        found = self._all(paths.folder_of(prefix), recursive=recursive, after=after)
        yield from islice((one for one in found if one.path > after and paths.is_tidy(one.path)), limit)

    def everything(self, prefix: str = "") -> Iterator[Entry]:
        return self._all(paths.folder_of(prefix), recursive=True, after="")

    def stat(self, path: str) -> Entry:
        return self._entry(self._told(self._asked("GET", self._object(path), path, params={"fields": _FIELDS})))

    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        end = None if length is None else offset + length
        if end == offset:
            self.stat(path)
            return b""
        pieces: list[bytes] = []
        while end is None or offset < end:
            until = offset + PART * 2 if end is None else min(end, offset + PART * 2)
            params = {"alt": "media"} | ({"ifGenerationMatch": etag} if etag else {})
            answer = self._asked(
                "GET", self._object(path), path, params=params, headers={"Range": f"bytes={offset}-{until - 1}"}
            )
            if answer.code == 416:
                break
            generation = answer.headers.get("x-goog-generation") or (self.stat(path).etag if etag else "")
            if etag and generation != etag:
                raise Conflict(f"'{path}' of datastore '{self.name}' has changed.", hint="Read it again.")
            etag = generation or etag
            piece = answer.body if answer.code == 206 else answer.body[offset:until]
            pieces.append(piece)
            if len(piece) < until - offset:
                break
            offset = until
        return b"".join(pieces)

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        name = self._below(paths.confined(path))
        first = _filled(stream)
        if len(first) < PART:
            self._check_size(path, len(first), size)
            return self._entry(self._sent_at_once(path, name, first))
        params = {"uploadType": "resumable", "name": name}
        started = self._asked("POST", self._uploads(), path, params=params, json={"name": name})
        session = self._same_server(started.headers.get("location", ""))
        try:
            return self._sent(path, session, first, stream, size)
        except BaseException:
            self._abandon(session)
            raise

    def rename(self, path: str, target: str) -> None:
        goal = self._object(target).removeprefix(self._server())
        source = self._object(path)
        if self._below(paths.confined(path)) == self._below(paths.confined(target)):
            self.stat(path)
            return
        url = f"{source}/rewriteTo{goal.removeprefix('/storage/v1')}"
        said = self._told(self._asked("POST", url, path))
        while said.get("rewriteToken") and not said.get("done", True):
            said = self._told(self._asked("POST", url, path, params={"rewriteToken": said["rewriteToken"]}))
        self.delete(path)

    def delete(self, path: str) -> None:
        try:
            self._asked("DELETE", self._object(path), path)
        except NotFound as cause:
            if "ucket" in cause.message:
                raise

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _all(self, below: str, *, recursive: bool, after: str) -> Iterator[Entry]:
        prefix = self._below(below)
        params = {"maxResults": "1000", "fields": f"items({_FIELDS}),prefixes,nextPageToken"}
        if prefix:
            params["prefix"] = f"{prefix}/"
        if after:
            params["startOffset"] = self._below(after.rstrip("/"))
        if not recursive:
            params["delimiter"] = "/"
        while True:
            page = self._told(self._asked("GET", f"{self._bucket()}/o", below, params=params))
            entries = [self._entry(one) for one in page.get("items", []) if not one["name"].endswith("/")]
            entries += [Entry(self._without(one), 0) for one in page.get("prefixes", [])]
            yield from sorted(entries, key=lambda entry: entry.path)
            if not page.get("nextPageToken"):
                return
            params["pageToken"] = page["nextPageToken"]

    def _sent_at_once(self, path: str, name: str, content: bytes) -> Mapping[str, Any]:
        edge = secrets.token_hex(16)
        facts = f"--{edge}\r\nContent-Type: application/json\r\n\r\n{json.dumps({'name': name})}\r\n"
        body = f"{facts}--{edge}\r\nContent-Type: application/octet-stream\r\n\r\n".encode() + content
        answer = self._asked(
            "POST",
            self._uploads(),
            path,
            params={"uploadType": "multipart"},
            headers={"Content-Type": f"multipart/related; boundary={edge}"},
            body=body + f"\r\n--{edge}--".encode(),
        )
        return self._told(answer)

    def _sent(self, path: str, session: str, piece: bytes, stream: BinaryIO, size: int | None) -> Entry:
        """Part by part; the last one, told by what follows it, says how large the whole is."""
        at = 0
        while True:
            following = _filled(stream) if len(piece) == PART else b""
            end = at + len(piece)
            if not following:
                self._check_size(path, end, size)
            total = "*" if following else str(end)
            headers = {"Content-Range": f"bytes {at}-{end - 1}/{total}"}
            answer = self._asked("PUT", session, path, headers=headers, body=piece)
            if not following:
                return self._entry(self._told(answer))
            at, piece = end, following

    def _abandon(self, session: str) -> None:
        try:
            self._asked("DELETE", session, "", retried=False)
        except AtelierError:
            return  # a session that nobody goes on with ends by itself within a week

    def _check_size(self, path: str, written: int, size: int | None) -> None:
        if size is not None and written != size:
            raise EngineError(f"'{path}' was announced with {size} bytes and came with {written}.")

    def _server(self) -> str:
        if not self._base:
            self._base = checked_endpoint(self._spec.endpoint or "https://storage.googleapis.com", self.name)
        return self._base

    def _bucket(self) -> str:
        return f"{self._server()}/storage/v1/b/{quote(self._spec.bucket, safe='')}"

    def _object(self, path: str) -> str:
        return f"{self._bucket()}/o/{quote(self._below(paths.confined(path)), safe='')}"

    def _uploads(self) -> str:
        return f"{self._server()}/upload/storage/v1/b/{quote(self._spec.bucket, safe='')}/o"

    def _same_server(self, url: str) -> str:
        """A token is not sent to where an answer points."""
        if urlsplit(url).netloc != urlsplit(self._server()).netloc:
            raise EngineError(f"The server of datastore '{self.name}' wants the file to be sent to another one.")
        return url

    def _below(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix and path else self._prefix or path

    def _without(self, place: str) -> str:
        return place[len(self._prefix) + 1 :] if self._prefix else place

    def _told(self, answer: "_Answer") -> Mapping[str, Any]:
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise EngineError(f"The server of datastore '{self.name}' does not speak as Google's does.")
        return said

    def _entry(self, said: Mapping[str, Any]) -> Entry:
        try:
            modified = datetime.fromisoformat(said["updated"]) if said.get("updated") else None
            return Entry(self._without(said["name"]), int(said["size"]), modified, str(said.get("generation", "")))
        except (KeyError, ValueError, TypeError) as cause:
            raise EngineError(f"The server of datastore '{self.name}' does not speak as Google's does.") from cause

    def _asked(
        self, verb: str, url: str, path: str, *, body: bytes = b"", retried: bool = True, **wish: Any
    ) -> "_Answer":
        if body:
            wish["headers"] = {**wish.get("headers", {}), "Content-Length": str(len(body))}
        begun, last = time.monotonic(), TRIES if retried else 1
        for attempt in range(1, last + 1):
            try:
                with self._translated(path):
                    answer = self._sent_and_heard(verb, url, body, self._signed(wish))
                return self._checked(answer, path)
            except Unavailable:
                if attempt == last or time.monotonic() - begun > GIVE_UP:
                    raise
                time.sleep(0.3 * attempt)
        raise AssertionError("unreachable")

    def _sent_and_heard(self, verb: str, url: str, body: bytes, wish: Mapping[str, Any]) -> "_Answer":
        """Bodies go and come as streams: the library's answers and requests know each other, and would keep them."""
        content = iter((body,)) if body else None
        with self._http().stream(verb, url, content=content, **wish) as answer:
            return _Answer(answer.status_code, answer.reason_phrase, answer.headers, b"".join(answer.iter_raw()))

    def _http(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                timeout=_TIMEOUT, headers={"User-Agent": "atelier", "Accept-Encoding": "identity"}
            )
        return self._client

    def _checked(self, answer: "_Answer", path: str) -> "_Answer":
        code = answer.code
        if code < 300 or code in {308, 416, 499}:
            return answer
        place = f"'{path[:200]}' of datastore '{self.name}'" if path else f"datastore '{self.name}'"
        words = self._words(answer)
        if code == 404:
            raise NotFound(f"{place} was not found ({words}).")
        if code == 412:
            raise Conflict(f"{place} has changed.", hint="Read it again.")
        if code in {401, 403}:
            raise Denied(f"{place} is refused: {words}.", hint="Check the datastore's credentials.")
        if code == 429 or code >= 500:
            raise Unavailable(f"Datastore '{self.name}' does not answer: {code} {words}.")
        raise EngineError(f"{place} failed: {code} {words}.")

    def _words(self, answer: "_Answer") -> str:
        try:
            told = json.loads(answer.body)
            said = told["error"]
            text = said["message"] if isinstance(said, dict) else f"{said}: {told.get('error_description')}"
        except (ValueError, KeyError, TypeError):
            text = answer.body.decode(errors="replace") or answer.reason
        return shown(text, self._secrets | {self._token})

    def _signed(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        if self._account is None:
            return dict(wish)
        if time.time() > self._expires - 60:
            self._renew(self._account)
        return {**wish, "headers": {**wish.get("headers", {}), "Authorization": f"Bearer {self._token}"}}

    def _renew(self, account: ServiceAccount) -> None:
        key = self._read_key(account)
        tokens = key.get("token_uri") or _TOKENS
        now = int(time.time())
        claims = {"iss": key["client_email"], "scope": _SCOPE, "aud": tokens, "iat": now, "exp": now + 3600}
        signed = _jwt(claims, key["private_key"], self.name)
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}
        answer = self._sent_and_heard("POST", checked_endpoint(tokens, self.name), b"", {"data": grant})
        if answer.code in {400, 401, 403}:
            raise Denied(
                f"The service account of datastore '{self.name}' is refused: {self._words(answer)}.",
                hint="Check the datastore's credentials.",
            )
        said = self._told(self._checked(answer, ""))
        if not isinstance(said.get("access_token"), str):
            raise Denied(f"The service account of datastore '{self.name}' was given no token.")
        self._token, self._expires = said["access_token"], now + int(said.get("expires_in", 3600))

    def _read_key(self, account: ServiceAccount) -> Mapping[str, str]:
        try:
            key = json.loads(account.key_json)
        except ValueError:
            key = None
        if not isinstance(key, dict) or not all(
            isinstance(key.get(one), str) for one in ("client_email", "private_key")
        ):
            raise Denied(f"The key of datastore '{self.name}' is not the JSON of a service account.")
        return key

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as cause:
            words = shown(str(cause) or type(cause).__name__, self._secrets)
            raise Unavailable(f"Datastore '{self.name}' does not answer: {words}.") from cause


@dataclass(frozen=True)
class _Answer:
    code: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def _filled(stream: BinaryIO) -> bytes:
    pieces, missing = [], PART
    while missing and (piece := stream.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _jwt(claims: Mapping[str, Any], pem: str, name: str) -> str:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as cause:
        raise Denied(f"The private key of datastore '{name}' cannot be read.") from cause
    if not isinstance(key, RSAPrivateKey):
        raise Denied(f"The private key of datastore '{name}' is not an RSA key.")
    head = _base64(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    told = f"{head}.{_base64(json.dumps(claims).encode())}"
    return f"{told}.{_base64(key.sign(told.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
