"""A folder on an SSH server as a store; the only module that knows the library for it."""

import base64
import errno
import hashlib
import hmac
import io
import logging
import posixpath
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from threading import RLock
from typing import BinaryIO

import paramiko

from services.core.errors import AtelierError, Conflict, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines.stores import paths
from services.engines.stores.addresses import checked_host
from services.engines.stores.entries import Entry
from services.engines.stores.folders import UNFINISHED
from services.engines.stores.specs import Credentials, Password, PrivateKey, Sftp, secrets_of
from services.engines.stores.store import Store
from services.engines.stores.words import shown

SECONDS = 10  # for each step of saying hello
SILENCE = 30  # of a server that has said hello

_PIECE = 1 << 20
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")
_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it logs tracebacks of what it also raises


class SftpStore(Store):
    """One connection, made at the first use and again when it broke; calls wait for each other."""

    def __init__(self, spec: Sftp, credentials: Credentials | None) -> None:
        if not isinstance(credentials, Password | PrivateKey | None):
            raise Invalid(f"Datastore '{spec.name}' takes a password or a private key.", where="credentials")
        self.name, self._spec, self._credentials = spec.name, spec, credentials
        self._secrets = secrets_of(credentials)
        self._lock = RLock()
        self._client: paramiko.SFTPClient | None = None
        self._root = ""

    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        found = self._walk(paths.folder_of(prefix), recursive=recursive, after=after)
        yield from islice((entry for entry in found if paths.is_tidy(entry.path)), limit)

    def everything(self, prefix: str = "") -> Iterator[Entry]:
        return self._walk(paths.folder_of(prefix), recursive=True, after="")

    def stat(self, path: str) -> Entry:
        tidy = paths.confined(path)
        with self._session(path) as client:
            return _entry(tidy, self._facts(client, tidy))

    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        tidy = paths.confined(path)
        with self._session(path) as client:
            found = self._facts(client, tidy)
            if etag and etag != _etag(found):
                raise Conflict(f"'{path}' of datastore '{self.name}' has changed.", hint="Read it again.")
            size = found.st_size or 0
            length = max(0, size - offset if length is None else min(length, size - offset))
            with client.open(self._place(client, tidy), "rb") as file:
                return b"".join(file.readv([(offset, length)])) if length else b""

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        folder, _, name = paths.confined(path).rpartition("/")
        with self._session(path) as client:
            self._make(client, folder)
            part = self._place(client, posixpath.join(folder, f"{UNFINISHED}{secrets.token_hex(8)}"))
            try:
                written = 0
                with client.open(part, "wb") as file:
                    file.set_pipelined(True)
                    while piece := stream.read(_PIECE):
                        file.write(piece)
                        written += len(piece)
                there = client.stat(part).st_size
                if size not in {None, written} or there != written:
                    raise EngineError(f"'{path}' was announced with {size} bytes and came with {there} of {written}.")
                client.posix_rename(part, self._place(client, posixpath.join(folder, name)))
            except BaseException:
                with suppress(OSError, paramiko.SSHException, EOFError):
                    client.remove(part)
                raise
            return self.stat(path)

    def rename(self, path: str, target: str) -> None:
        path, target = paths.confined(path), paths.confined(target)
        with self._session(path) as client:
            self._facts(client, path)
            self._make(client, target.rpartition("/")[0])
            client.posix_rename(self._place(client, path), self._place(client, target))

    def delete(self, path: str) -> None:
        paths.confined(path)
        with suppress(NotFound), self._session(path) as client:
            client.remove(self._place(client, path))

    def remove_folder(self, path: str) -> None:
        paths.confined(path)
        with suppress(NotFound), self._session(path) as client:
            client.rmdir(self._place(client, path))

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            if client is not None and (channel := client.get_channel()) is not None:
                channel.get_transport().close()

    def _walk(self, below: str, *, recursive: bool, after: str) -> Iterator[Entry]:
        try:
            with self._session(below) as client:
                place = self._place(client, below)
                if not stat.S_ISDIR(client.lstat(place).st_mode or 0):
                    return
                entries = [_listed(below, one) for one in client.listdir_attr(place)]
        except (NotFound, Invalid):
            return
        for entry in sorted((one for one in entries if one is not None), key=lambda one: one.path):
            if not entry.is_folder or not recursive or not paths.is_tidy(entry.path):
                if entry.path > after:
                    yield entry
            elif entry.path > after or after.startswith(entry.path):
                yield from self._walk(entry.path[:-1], recursive=True, after=after)

    def _facts(self, client: paramiko.SFTPClient, path: str) -> paramiko.SFTPAttributes:
        found = client.lstat(self._place(client, path))
        if not stat.S_ISREG(found.st_mode or 0):
            raise NotFound(f"'{path}' of datastore '{self.name}' is not a file.")
        return found

    def _place(self, client: paramiko.SFTPClient, path: str) -> str:
        """Where it is on the server, with no link on the way to it. Raises Invalid."""
        path = paths.folder_of(path)
        place = posixpath.join(self._root, path) if path else self._root
        folder = posixpath.dirname(place) if path else place
        if path and client.normalize(folder) != folder:
            raise Invalid(f"'{path[:200]}' of datastore '{self.name}' leads through a link.", where="path")
        return place

    def _make(self, client: paramiko.SFTPClient, folder: str) -> None:
        here = ""
        for part in folder.split("/") if folder else ():
            here = posixpath.join(here, part)
            place = self._place(client, here)
            try:
                mode = client.lstat(place).st_mode or 0
            except FileNotFoundError:
                with suppress(OSError):  # another was faster
                    client.mkdir(place)
                mode = client.lstat(place).st_mode or 0
            if not stat.S_ISDIR(mode):
                raise Conflict(f"'{here}' of datastore '{self.name}' is a file or a link, and no folder.")

    @contextmanager
    def _session(self, path: str) -> Iterator[paramiko.SFTPClient]:
        with self._lock:
            try:
                yield self._connected()
            except AtelierError:
                raise
            except (paramiko.SSHException, EOFError, TimeoutError, ConnectionError) as cause:
                self.close()
                raise self._silent(cause) from cause
            except UnicodeError as cause:  # the library cannot say such a name, and loses the whole list over it
                self.close()
                place = f"'{path[:200]}' of datastore '{self.name}'" if path else f"Datastore '{self.name}'"
                raise EngineError(f"{place} has a file whose name is not UTF-8.", hint="Rename it there.") from cause
            except OSError as cause:
                if self._client is not None and not _is_alive(self._client):
                    self.close()
                    raise self._silent(cause) from cause
                raise self._meaning(cause, path) from cause

    def _connected(self) -> paramiko.SFTPClient:
        if self._client is not None:
            if _is_alive(self._client):
                return self._client
            self.close()
        transport = self._known()
        try:
            self._enter(transport)
            client = paramiko.SFTPClient.from_transport(transport)
            if client is None:
                raise Unavailable(f"Datastore '{self.name}' has no SFTP at its server.")
            client.get_channel().settimeout(SILENCE)  # type: ignore[union-attr]
            self._root = client.normalize(self._spec.root or ".")
            self._client = client
        except BaseException:
            transport.close()
            raise
        return client

    def _known(self) -> paramiko.Transport:
        """A connection to the server that was registered, by any of its keys. Raises Denied for another's."""
        seen = []
        for kind in _KEY_TYPES:
            transport = self._greeted(kind)
            if transport is None:
                continue
            key = transport.get_remote_server_key()
            shown_key = "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
            if hmac.compare_digest(shown_key.encode(), self._spec.fingerprint.strip().rstrip("=").encode()):
                return transport
            seen.append(shown_key)
            transport.close()
        raise Denied(
            f"The server of datastore '{self.name}' shows another key than the one that is registered: "
            f"{' or '.join(seen) or 'of a kind that is not known here'}.",
            hint="If that is the right server's, write it as the datastore's fingerprint.",
        )

    def _greeted(self, kind: str) -> paramiko.Transport | None:
        checked_host(self._spec.host, self.name)
        connection = socket.create_connection((self._spec.host, self._spec.port), timeout=SECONDS)
        try:
            transport = paramiko.Transport(connection)
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = SECONDS
            transport.get_security_options().key_types = (kind,)
            transport.start_client(timeout=SECONDS)
        except paramiko.ssh_exception.IncompatiblePeer:
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return transport

    def _enter(self, transport: paramiko.Transport) -> None:
        try:
            match self._credentials:
                case Password():
                    transport.auth_password(self._spec.user, self._credentials.password)
                case PrivateKey():
                    transport.auth_publickey(self._spec.user, self._key(self._credentials))
                case None:
                    transport.auth_none(self._spec.user)
        except (paramiko.AuthenticationException, paramiko.BadAuthenticationType) as cause:
            raise Denied(
                f"The server of datastore '{self.name}' does not let '{self._spec.user}' in: {self._words(cause)}.",
                hint="Check the datastore's credentials.",
            ) from cause

    def _key(self, given: PrivateKey) -> paramiko.PKey:
        for kind in _KEYS:
            try:
                return kind.from_private_key(io.StringIO(given.private_key), given.passphrase or None)
            except (paramiko.SSHException, ValueError):
                continue
        raise Denied(f"The private key of datastore '{self.name}' cannot be read, or its passphrase is another.")

    def _silent(self, cause: Exception) -> Unavailable:
        return Unavailable(f"Datastore '{self.name}' does not answer: {self._words(cause)}.")

    def _meaning(self, cause: OSError, path: str) -> AtelierError:
        place = f"'{path[:200]}' of datastore '{self.name}'" if path else f"datastore '{self.name}'"
        match cause.errno:
            case errno.ENOENT:
                return NotFound(f"{place} was not found.")
            case errno.EACCES | errno.EPERM:
                return Denied(f"{place} is refused by the server.")
            case errno.EHOSTUNREACH | errno.ENETUNREACH | errno.ENETDOWN | errno.EHOSTDOWN:
                return self._silent(cause)
        return EngineError(f"{place} failed: {self._words(cause) or 'the server does not say why'}.")

    def _words(self, cause: Exception) -> str:
        return shown(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, self._secrets)


def _is_alive(client: paramiko.SFTPClient) -> bool:
    channel = client.get_channel()
    return channel is not None and not channel.closed and channel.get_transport().is_active()


def _listed(below: str, found: paramiko.SFTPAttributes) -> Entry | None:
    """Neither links nor unfinished files."""
    name, mode = found.filename, found.st_mode or 0
    if name.startswith(UNFINISHED) or name == "lost+found":
        return None
    path = f"{below}/{name}" if below else name
    if stat.S_ISDIR(mode):
        return Entry(f"{path}/", 0)
    return _entry(path, found) if stat.S_ISREG(mode) else None


def _entry(path: str, found: paramiko.SFTPAttributes) -> Entry:
    return Entry(path, found.st_size or 0, datetime.fromtimestamp(found.st_mtime or 0, UTC), _etag(found))


def _etag(found: paramiko.SFTPAttributes) -> str:
    return f"{found.st_mtime or 0:x}-{found.st_size or 0:x}"
