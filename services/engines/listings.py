"""Folders that list in lexicographic order, as the cloud's do: scripts take `os.listdir()[0]`.

ext4 and overlay list in no order, tmpfs lists what is newest first. So a farm of links on tmpfs, made in
reverse order, lists sorted; the data itself stays where it is.
"""

import os
import shutil
from pathlib import Path

TMPFS = Path("/dev/shm")  # noqa: S108 (shared memory is the one tmpfs that every Linux has)
MOST = 100_000


def needs_sorting(root: Path) -> bool:
    """Whether some folder below `root` lists out of order."""
    seen = 0
    for folder, folders, files in os.walk(root):
        names = os.listdir(folder)  # noqa: PTH208 (the order is the point)
        seen += len(names)
        if names != sorted(names):
            return True
        if seen > MOST:
            return False
        del folders, files
    return False


def farm(root: Path, place: Path, data: str) -> Path:
    """Links below `place` (on tmpfs) to the files of `root`, which the job sees at `data`."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for folder, folders, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        for name in sorted([*folders, *files], reverse=True):
            made = place / relative / name
            if name in folders and not (Path(folder) / name).is_symlink():
                made.mkdir()
            else:
                made.symlink_to(os.path.join(data, relative.as_posix(), name))  # noqa: PTH118 (the job's path, not ours)
    return place


def works() -> bool:
    """Whether a farm lists sorted on this machine."""
    place = TMPFS / f"atelier-check-{os.getpid()}"
    try:
        place.mkdir()
        for name in ("c", "b", "a"):
            (place / name).symlink_to("/")
        return os.listdir(place) == ["a", "b", "c"]  # noqa: PTH208
    except OSError:
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
