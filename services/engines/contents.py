"""What a path holds: files listed and opened alike, whether they lie here, in a store elsewhere or behind a URL."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

from services.core.errors import NotFound
from services.engines.stores import Entry, Store
from services.engines.stores.paths import confined

MOST = 10_000


@dataclass(frozen=True)
class Listing:
    """Files by path; `is_whole` is False where there are more of them."""

    files: tuple[Entry, ...]
    is_whole: bool = True

    @property
    def size(self) -> int:
        """Bytes of the files that are listed."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Contents:
    """A folder of a store, or only the file `single` in it; paths are relative to that folder.

    It may be used after the transaction that it came from. Errors are the store's.
    """

    store: Store
    folder: str = ""
    single: str = ""

    def listing(self, *, most: int = MOST, after: str = "") -> Listing:
        """At most so many files, those behind the path `after`. Raises NotFound for a single file that is not there."""
        found = list(islice(self._files(after, most + 1), most + 1))
        return Listing(tuple(found[:most]), len(found) <= most)

    def opened(self, path: str) -> tuple[BinaryIO, int]:
        """One file for reading and seeking, and its size. Raises NotFound, Invalid for a path out of the folder."""
        tidy = confined(path)
        if self.single and tidy != self.single:
            raise NotFound(f"There is no file '{path[:200]}'.")
        file = self.store.open(self._at(tidy))
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return file, size

    def _files(self, after: str, most: int) -> Iterator[Entry]:
        if self.single:
            if not after:
                yield replace(self.store.stat(self._at(self.single)), path=self.single)
            return
        start = len(self.folder) + 1 if self.folder else 0
        for entry in self.store.list(self.folder, limit=most, after=self._at(after) if after else ""):
            yield replace(entry, path=entry.path[start:])

    def _at(self, path: str) -> str:
        return f"{self.folder}/{path}" if self.folder else path
