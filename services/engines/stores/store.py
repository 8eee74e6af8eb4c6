"""What every store can do, whatever is behind it: verbs that each kind brings, and what is built of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

from services.engines.stores import trees
from services.engines.stores.entries import Entry, Moved, Progress
from services.engines.stores.readers import opened_by_ranges


class Store(ABC):
    """A place for files. Paths are relative POSIX paths; what could leave the root raises Invalid, unasked.

    Every verb may raise Denied (refused, in the server's words), Unavailable (nobody answers: tried for half a
    minute, not longer), EngineError (the rest); each names the datastore. No message holds a credential.
    A store may be used by several threads.
    """

    read_only: ClassVar[bool] = False
    """Whether `write`, `rename` and `delete` always raise Denied."""

    has_ranges: bool = True
    """Whether a part of a file costs a part of the time; known after the first range was read."""

    name: str
    """The datastore's, for messages."""

    @abstractmethod
    def list(
        self, prefix: str = "", *, recursive: bool = True, limit: int | None = None, after: str = ""
    ) -> Iterator[Entry]:
        """The files below the folder `prefix`, by path; without `recursive` its own files and folders.

        A page goes on where the last ended: `after` is its last entry's path. An unknown folder is an empty one.
        Names that no path can be (see `paths.confined`) are passed over, so that each entry can be asked for.
        """

    def everything(self, prefix: str = "") -> Iterator[Entry]:
        """As `list`, with what it passes over: to be named, not to be used as a path anywhere."""
        return self.list(prefix)

    @abstractmethod
    def stat(self, path: str) -> Entry:
        """The file's facts. Raises NotFound; a folder is not found, as only files are there for certain."""

    @abstractmethod
    def read(self, path: str, offset: int = 0, length: int | None = None, *, etag: str = "") -> bytes:
        """A range of the file (all of it without one), less where the file ends. Raises NotFound.

        With `etag` raises Conflict when the file is another than that by now.
        """

    @abstractmethod
    def write(self, path: str, stream: BinaryIO, size: int | None = None) -> Entry:
        """Stores what the stream gives under `path`, in place of what was there; seen whole or not at all.

        Raises EngineError when the stream ends before or after `size` bytes: nothing is stored then.
        """

    @abstractmethod
    def rename(self, path: str, target: str) -> None:
        """Moves a file, in place of what is at `target`. Not one step on object stores (copy, then delete)."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Removes a file; nothing happens where there is none."""

    def remove_folder(self, path: str) -> None:  # noqa: B027 (nothing is right for most)
        """Removes an empty folder; nothing happens where folders are but a part of their files' names."""

    def open(self, path: str) -> BinaryIO:
        """The file for reading and seeking; only what is asked for travels, and a little ahead. Raises NotFound."""
        entry = self.stat(path)
        return opened_by_ranges(
            lambda offset, length: self.read(path, offset, length, etag=entry.etag), entry.size, f"{self.name}/{path}"
        )

    def fetch(
        self,
        prefix: str,
        folder: Path,
        *,
        progress: Progress | None = None,
        wanted: Callable[[Entry], bool] | None = None,
    ) -> Moved:
        """Brings the files below `prefix` into `folder`, or the one file that `prefix` names under its own name.

        Each file appears whole. What was there with the same size and tag is left alone, what broke off goes on
        where it stopped; both are remembered in `.<folder>.fetched` beside it. Names that no local folder can hold
        are left and named in the answer. Raises NotFound when there is nothing at all, Unavailable on a full disk.
        """
        return trees.fetch(self, prefix, folder, progress=progress, wanted=wanted)

    def push(self, folder: Path, prefix: str = "", *, progress: Progress | None = None) -> Moved:
        """Stores the regular files below `folder` under `prefix`; links are left and named. Safe to repeat."""
        return trees.push(self, folder, prefix, progress=progress)

    def close(self) -> None:  # noqa: B027
        """Lets connections go; the store may be used again after it."""

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
