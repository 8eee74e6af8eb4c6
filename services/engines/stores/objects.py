"""S3 and Azure through one library; the only module that knows it."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, S3Store

from services.core.errors import AtelierError, Conflict, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines.stores import paths
from services.engines.stores.addresses import checked_endpoint
from services.engines.stores.entries import Entry
from services.engines.stores.specs import (
    S3,
    AccessKey,
    AccountKey,
    AzureBlob,
    Credentials,
    SasToken,
    ServicePrincipal,
    secrets_of,
)
from services.engines.stores.store import Store
from services.engines.stores.words import shown

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureConfig, AzureCredential, ClientConfig, RetryConfig, S3Config, S3Credential

PART = 8 << 20
PARTS = 9_000  # S3 takes 10,000 of them
UNANNOUNCED = 16 << 20  # a part of a stream whose size nobody knows: 150 GB fit

_CLIENT: "ClientConfig" = {"connect_timeout": "10s", "read_timeout": "20s", "timeout": "90s", "user_agent": "atelier"}
_RETRY: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=3), "base": 2},
}
_STATUS = re.compile(r"status code: (\d{3})")
_BEYOND = re.compile(r"status code: 416|Wanted range starting at")  # it begins where the file has ended
_SILENT = re.compile(r"HTTP error|error sending request|timed? ?out|dns error|onnection (refused|reset)", re.IGNORECASE)
_WHY = re.compile(
    r"dns error|failed to lookup address|Connection refused|Connection reset|timed out|invalid peer certificate: \w+"
    r"|No route to host|Network is unreachable"
)


class ObjectStore(Store):
    """`make` is called at the first use: a placeholder is no account, and says so only when it is asked."""

    def __init__(
        self, name: str, prefix: str, make: Callable[[], S3Store | AzureStore], credentials: Credentials | None
    ) -> None:
        self.name = name
        self._prefix, self._make, self._secrets = paths.folder_of(prefix), make, secrets_of(credentials)
        self._made: S3Store | AzureStore | None = None

    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        below = paths.folder_of(prefix)
        found = self._all(below, after) if recursive else iter(self._children(below))
        yield from islice((one for one in found if one.path > after and paths.is_tidy(one.path)), limit)

    def everything(self, prefix: str = "") -> Iterator[Entry]:
        return self._all(paths.folder_of(prefix), "")

    def stat(self, path: str) -> Entry:
        place = self._place(path)
        with self._translated(path):
            return self._entry(obstore.head(self._store(), place))

    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        place = self._place(path)
        pieces: list[bytes] = []
        end = None if length is None else offset + length
        with self._translated(path):
            while end is None or offset < end:
                until = offset + PART * 2 if end is None else min(end, offset + PART * 2)
                options: GetOptions = {"range": (offset, until)}
                if etag:
                    options["if_match"] = f'"{etag}"'
                try:
                    answer = obstore.get(self._store(), place, options=options)
                except BaseError as cause:
                    if _BEYOND.search(str(cause)):
                        break
                    raise
                pieces.append(bytes(answer.bytes()))
                offset += len(pieces[-1])
                etag = _plain(answer.meta["e_tag"])
                if offset >= answer.meta["size"] or not pieces[-1]:
                    break
        return b"".join(pieces)

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        place = self._place(path)
        part = UNANNOUNCED if size is None else max(PART, size // PARTS + 1)
        first = _filled(stream, part)
        with self._translated(path):
            if len(first) < part:
                _check_size(path, len(first), size)
                obstore.put(self._store(), place, first, use_multipart=False)
            else:
                pieces = _pieces(path, first, stream, part, size)
                obstore.put(self._store(), place, pieces, use_multipart=True, chunk_size=part, max_concurrency=3)
        return self.stat(path)

    def rename(self, path: str, target: str) -> None:
        place, goal = self._place(path), self._place(target)
        if place == goal:
            self.stat(path)
            return
        with self._translated(path):
            obstore.rename(self._store(), place, goal)

    def delete(self, path: str) -> None:
        place = self._place(path)
        try:
            with self._translated(path):
                obstore.delete(self._store(), place)
        except NotFound as cause:
            if "ucket" in cause.message or "ontainer" in cause.message:
                raise

    def _all(self, below: str, after: str) -> Iterator[Entry]:
        offset = self._below(after) if after else None
        with self._translated(below):
            for page in obstore.list(self._store(), self._below(below) or None, offset=offset, chunk_size=1000):
                for one in page:
                    entry = self._entry(one)
                    if entry.size or self._is_file(entry.path):
                        yield entry

    def _is_file(self, path: str) -> bool:
        """An empty object may be the mark of a folder, whose name ends in a slash that the library hides."""
        try:
            self.stat(path)
        except (NotFound, Invalid):
            return False
        return True

    def _children(self, below: str) -> Sequence[Entry]:
        with self._translated(below):
            found = obstore.list_with_delimiter(self._store(), self._below(below) or None)
        folders = (self._without(path) for path in found["common_prefixes"])
        entries = [Entry(f"{path}/", 0) for path in folders if _is_child(path, below)]
        entries += [one for one in map(self._entry, found["objects"]) if _is_child(one.path, below)]
        kept = (one for one in entries if one.is_folder or one.size or self._is_file(one.path))
        return sorted(kept, key=lambda entry: entry.path)

    def _place(self, path: str) -> str:
        return self._below(paths.confined(path))

    def _below(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix and path else self._prefix or path

    def _without(self, place: str) -> str:
        return place[len(self._prefix) + 1 :] if self._prefix else place

    def _entry(self, meta: "ObjectMeta") -> Entry:
        return Entry(self._without(meta["path"]), meta["size"], meta["last_modified"], _plain(meta["e_tag"]))

    def _store(self) -> S3Store | AzureStore:
        if self._made is None:
            self._made = self._make()
        return self._made

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except AtelierError:
            raise
        except (BaseError, OSError, ValueError) as cause:
            raise self._meaning(cause, path) from None  # the cause's own text may hold a signature

    def _meaning(self, cause: Exception, path: str) -> AtelierError:
        text, _, debug = str(cause).partition("\n\nDebug source")
        status = int(found[1]) if (found := _STATUS.search(text)) else 0
        words = self._words(text, debug)
        store = f"datastore '{self.name}'"
        place = f"'{path[:200]}' of {store}" if path else store
        match cause:
            case FileNotFoundError():
                return NotFound(f"{place} was not found{words and f' ({words})'}.")
            case PreconditionError():
                return Conflict(f"{place} has changed.", hint="Read it again.")
            case InvalidPathError():
                return EngineError(
                    f"{place} has an object whose name no path can be: {words}.", hint="Look into another folder."
                )
            case PermissionDeniedError() | UnauthenticatedError():
                return self._denied(place, words)
        if status in {401, 403}:
            return self._denied(place, words)
        if status == 404:
            return NotFound(f"{place} was not found ({words}).")
        if status >= 500 or status == 429 or (not status and _SILENT.search(text + debug)):
            return Unavailable(f"Datastore '{self.name}' does not answer: {words}.")
        return EngineError(f"{place} failed: {words}.")

    def _denied(self, place: str, words: str) -> Denied:
        return Denied(f"{place} is refused: {words or 'no reason given'}.", hint="Check the datastore's credentials.")

    def _words(self, text: str, debug: str) -> str:
        if not _STATUS.search(text) and (why := _WHY.search(debug)):
            return shown(why[0], self._secrets)
        said = text.partition("status code: ")[2] or text
        return shown(said, self._secrets)


def s3(spec: S3, credentials: Credentials | None) -> ObjectStore:
    """Signs with what it was given and with nothing that lies about on this machine. Raises Invalid."""
    if credentials is not None and not isinstance(credentials, AccessKey):
        raise Invalid(f"Datastore '{spec.name}' speaks S3 and takes an access key.", where="credentials")

    def make() -> S3Store:
        endpoint = checked_endpoint(spec.endpoint or f"https://s3.{spec.region}.amazonaws.com", spec.name)
        config: S3Config = {"endpoint": endpoint, "region": spec.region, "virtual_hosted_style_request": False}
        config["skip_signature"] = credentials is None
        client: ClientConfig = {**_CLIENT, "allow_http": endpoint.startswith("http://")}
        provider = None if credentials is None else partial(_s3_credential, credentials)
        return S3Store(
            spec.bucket, config=config, client_options=client, retry_config=_RETRY, credential_provider=provider
        )

    return ObjectStore(spec.name, spec.prefix, make, credentials)


def azure_blob(spec: AzureBlob, credentials: Credentials | None) -> ObjectStore:
    """As `s3`, with an account key, a SAS token or an application. Raises Invalid."""
    if credentials is not None and not isinstance(credentials, AccountKey | SasToken | ServicePrincipal):
        raise Invalid(
            f"Datastore '{spec.name}' takes an account key, a SAS token or a service principal.", where="credentials"
        )

    def make() -> AzureStore:
        endpoint = checked_endpoint(spec.endpoint or f"https://{spec.account}.blob.core.windows.net", spec.name)
        config: AzureConfig = {"account_name": spec.account, "endpoint": endpoint, "use_emulator": False}
        config["skip_signature"] = credentials is None
        provider = None
        match credentials:
            case ServicePrincipal():
                config["tenant_id"] = credentials.tenant_id
                config["client_id"] = credentials.client_id
                config["client_secret"] = credentials.client_secret
            case AccountKey() | SasToken():
                provider = partial(_azure_credential, credentials)
        client: ClientConfig = {**_CLIENT, "allow_http": endpoint.startswith("http://")}
        return AzureStore(
            spec.container, config=config, client_options=client, retry_config=_RETRY, credential_provider=provider
        )

    return ObjectStore(spec.name, spec.prefix, make, credentials)


def _s3_credential(keys: AccessKey) -> "S3Credential":
    return {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "token": keys.session_token or None,
        "expires_at": None,
    }


def _azure_credential(given: AccountKey | SasToken) -> "AzureCredential":
    if isinstance(given, AccountKey):
        return {"access_key": given.account_key, "expires_at": None}
    return {"sas_token": given.sas_token.lstrip("?"), "expires_at": None}


def _plain(etag: str | None) -> str:
    """Without its quotes, which Azure writes in one answer and not in the next."""
    return (etag or "").strip('"')


def _is_child(path: str, below: str) -> bool:
    """Not so is the mark of the folder itself, nor a folder without a name."""
    return bool(path) and path.rpartition("/")[0] == below


def _filled(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, fewer only at the end: a socket gives what it has."""
    pieces = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _pieces(path: str, first: bytes, stream: BinaryIO, part: int, size: int | None) -> Iterator[bytes]:
    """What is sent; raising in the middle makes the library take all of it back."""
    written, piece = 0, first
    while piece:
        written += len(piece)
        yield piece
        piece = _filled(stream, part)
    _check_size(path, written, size)


def _check_size(path: str, written: int, size: int | None) -> None:
    if size is not None and written != size:
        raise EngineError(f"'{path}' was announced with {size} bytes and came with {written}.")
