"""Who owns what a container writes: a studio that runs as root hands it over to those who are not.

Without DAC_OVERRIDE nobody writes, or reads, what belongs to another.
"""

import os
from collections.abc import Iterable
from pathlib import Path


def heir(user: str) -> tuple[int, int] | None:
    """The owner to be, or None where nothing changes hands: the studio is no root, or the container's user is us."""
    uid, _, gid = user.partition(":")
    owner = int(uid), int(gid or uid)
    return owner if os.geteuid() == 0 and owner[0] != 0 else None


def hand_over(path: Path, owner: tuple[int, int], *, deep: bool) -> None:
    """`deep` with all that lies below; links themselves, never what they lead to."""
    for one in _all_of(path) if deep else (path,):
        os.chown(one, *owner, follow_symlinks=False)


def _all_of(path: Path) -> Iterable[Path]:
    yield path
    if not path.is_symlink() and path.is_dir():
        for folder, folders, names in os.walk(path):
            yield from (Path(folder) / name for name in (*folders, *names))
