"""Two folders of files, compared by content: what came, what went, what is another now."""

import hashlib
from pathlib import Path

from services.core.errors import NotFound
from services.engines import files

Digest = str
PIECE = 1 << 20


def changed(before: Path | None, after: Path | None) -> dict[str, tuple[Digest, Digest]]:
    """Of each path that differs the SHA-256 on both sides, empty where there is no such file; None is no folder."""
    old, new = _sizes(before), _sizes(after)
    found = {}
    for path in sorted(old.keys() | new.keys()):
        one, other = _digest(before, path, old), _digest(after, path, new)
        if one != other:
            found[path] = (one, other)
    return found


def _sizes(folder: Path | None) -> dict[str, int]:
    return {} if folder is None else {file.path: file.size for file in files.walk(folder)}


def _digest(folder: Path | None, path: str, known: dict[str, int]) -> Digest:
    if folder is None or path not in known:
        return ""
    digest = hashlib.sha256()
    try:
        with files.open_inside(folder, path) as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    except NotFound:  # removed while we looked
        return ""
    return digest.hexdigest()
