"""What stores speak of: files, and what came of moving many of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

Progress = Callable[[str, int], None]  # a path that is done, and its bytes


@dataclass(frozen=True)
class Entry:
    """A file in a store: POSIX path from the store's root, bytes, UTC, and a tag that changes with the content.

    A folder of a listing without `recursive` is an entry too: its path ends in `/`, its size is 0.
    """

    path: str
    size: int
    modified: datetime | None = None
    etag: str = ""

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")


@dataclass
class Moved:
    """`files` have travelled (`bytes` of them), `kept` were there already, `refused` were left, with the reason."""

    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    bytes: int = 0
