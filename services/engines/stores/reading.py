"""A store that somebody has declared to be for reading: its writing verbs are refused before they are asked."""

from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from services.core.errors import Denied
from services.engines.stores import paths
from services.engines.stores.entries import Entry
from services.engines.stores.store import Store


class ReadOnly(Store):
    """Reads as the store that it is put around."""

    read_only = True

    def __init__(self, store: Store) -> None:
        self._store, self.name = store, store.name

    @property
    def has_ranges(self) -> bool:  # type: ignore[override]
        return self._store.has_ranges

    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        return self._store.list(prefix, recursive=recursive, limit=limit, after=after)

    def everything(self, prefix: str = "") -> Iterator[Entry]:
        return self._store.everything(prefix)

    def stat(self, path: str) -> Entry:
        return self._store.stat(path)

    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        return self._store.read(path, offset, length, etag=etag)

    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        self._refuse(path)

    def rename(self, path: str, target: str) -> None:
        paths.confined(target)
        self._refuse(path)

    def delete(self, path: str) -> None:
        self._refuse(path)

    def close(self) -> None:
        self._store.close()

    def _refuse(self, path: str) -> NoReturn:
        raise Denied(f"'{paths.confined(path)}' cannot be changed: datastore '{self.name}' is registered for reading.")
