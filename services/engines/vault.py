"""Values that only the master key opens: each sealed by a key of its own, which the master key wraps.

Crypto and the key's file, nothing else: AES-256-GCM twice, nonces in front. What a value belongs to is authenticated
with it, so that sealed bytes are good in one place only.
"""

import base64
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.core import failpoints
from services.core.errors import Conflict, EngineError

BYTES = 32
NONCE = 12
_LINE = re.compile(r"\A(?P<version>[1-9][0-9]{0,8}) (?P<key>[A-Za-z0-9+/]{43}=)\Z", re.ASCII)


@dataclass(frozen=True)
class Sealed:
    """`wrapped` is the value's own key under the master key of `key_version`, `sealed` the value under its own."""

    wrapped: bytes
    sealed: bytes
    key_version: int


@dataclass(frozen=True)
class Ring:
    """The master keys by version: one, or two while secrets are moved from the older to the newer."""

    keys: Mapping[int, bytes] = field(repr=False)

    @property
    def current(self) -> int:
        return max(self.keys)

    def fingerprint(self, version: int) -> str:
        """Tells keys apart without saying anything about them."""
        return hmac.new(self._key(version), b"atelier master key", hashlib.sha256).hexdigest()[:16]

    def seal(self, value: bytes, place: bytes) -> Sealed:
        """With a fresh key, for that place: bytes that no other value has."""
        own = secrets.token_bytes(BYTES)
        return Sealed(self._wrap(own, place), _encrypted(own, value, place), self.current)

    def open(self, found: Sealed, place: bytes) -> bytes:
        """Raises EngineError when the key, the bytes or the place is another than when it was sealed."""
        return _decrypted(self._unwrap(found, place), found.sealed, place)

    def rewrap(self, found: Sealed, place: bytes) -> Sealed:
        """The same under the current key; the value itself is not touched. Raises as `open`."""
        return Sealed(self._wrap(self._unwrap(found, place), place), found.sealed, self.current)

    def _wrap(self, own: bytes, place: bytes) -> bytes:
        return _encrypted(self._key(self.current), own, b"%d|%b" % (self.current, place))

    def _unwrap(self, found: Sealed, place: bytes) -> bytes:
        return _decrypted(self._key(found.key_version), found.wrapped, b"%d|%b" % (found.key_version, place))

    def _key(self, version: int) -> bytes:
        try:
            return self.keys[version]
        except KeyError as cause:
            raise EngineError(
                f"A secret was sealed with master key {version}, which is not in the key file.",
                hint="Put that line of master.key back from where it is kept; nothing was changed.",
            ) from cause


class KeyFile:
    """`master.key`: a line with version and key, two while secrets are moved. Readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.is_file()

    def read(self) -> Ring:
        """Raises EngineError naming the file when it is missing or not one of ours. Never makes one."""
        try:
            lines = self.path.read_text(encoding="ascii").splitlines()
        except FileNotFoundError as cause:
            raise EngineError(
                f"The master key '{self.path}' is missing: the secrets of this studio cannot be opened.",
                hint="Put it back from where it is kept, apart from backups; nothing was changed.",
            ) from cause
        except (OSError, UnicodeDecodeError) as cause:
            raise EngineError(f"The master key '{self.path}' cannot be read.") from cause
        found = dict(self._parsed(line) for line in lines if line.strip())
        if not found:
            raise self._unfit()
        return Ring(found)

    def make(self) -> Ring:
        """The first key; when another process was faster, the one that it made."""
        self._write(Ring({1: secrets.token_bytes(BYTES)}), is_first=True)
        return self.read()

    def add(self) -> Ring:
        """A newer key beside the one there is."""
        ring = self.read()
        self._write(Ring({**ring.keys, ring.current + 1: secrets.token_bytes(BYTES)}))
        return self.read()

    def drop_old(self) -> Ring:
        """Keeps the newest key alone."""
        ring = self.read()
        self._write(Ring({ring.current: ring.keys[ring.current]}))
        return self.read()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes the file meanwhile. Raises Conflict when one does."""
        with self.path.with_name(f"{self.path.name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as cause:
                raise Conflict("The master key is being changed by another process already.") from cause
            yield

    def _parsed(self, line: str) -> tuple[int, bytes]:
        found = _LINE.match(line)
        if found is None:
            raise self._unfit()
        return int(found["version"]), base64.b64decode(found["key"])

    def _unfit(self) -> EngineError:
        return EngineError(f"'{self.path}' is not a master key of ours.", hint="Put the right file back.")

    def _write(self, ring: Ring, *, is_first: bool = False) -> None:
        """Whole or not at all, and on the disk before it is used. Several may make the first, one changes it."""
        part = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4) if is_first else 'new'}")
        lines = "".join(
            f"{version} {base64.b64encode(key).decode()}\n" for version, key in sorted(ring.keys.items(), reverse=True)
        )
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            failpoints.reach("master_key_written")
            if is_first:
                with suppress(FileExistsError):
                    os.link(part, self.path)
            else:
                part.replace(self.path)
        except OSError as cause:
            raise EngineError(f"The master key cannot be written: {cause.strerror}.") from cause
        finally:
            part.unlink(missing_ok=True)
        _kept(self.path.parent)


def _encrypted(key: bytes, value: bytes, place: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, value, place)


def _decrypted(key: bytes, found: bytes, place: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(found[:NONCE], found[NONCE:], place)
    except (InvalidTag, ValueError) as cause:
        raise EngineError(
            "A secret does not open: the master key is another one, or what is kept was changed.",
            hint="'atelier keys show' says which; nothing was changed.",
        ) from cause


def _kept(folder: Path) -> None:
    """A rename is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
