"""Working copies: an overlay of the immutable snapshot, mounted by the engine as a volume of the container.

The engine makes the mount, so that no root is needed here; what the job changed is the upper folder.
"""

import os
import shutil
from pathlib import Path

from docker import errors
from docker.types import Mount

from services.engines.containers import WorkingCopy
from services.engines.docker import ownership
from services.engines.docker.connection import APIClient

_OVERLAY = 0x794C7630


def mount(
    client: APIClient, code: WorkingCopy, name: str, labels: dict[str, str], owner: tuple[int, int] | None = None
) -> Mount:
    """How the container gets its copy: the folder itself when there is no snapshot, else an overlay volume.

    Falls back to copying where overlays cannot be stacked (the home itself lies on one) or spelt, and where the
    copy gets another `owner` than the snapshot: an overlay shows the snapshot's.
    """
    upper = code.changes / "upper"
    upper.mkdir(parents=True, exist_ok=True)
    for link in code.links:
        (upper / link).mkdir(exist_ok=True)
    if code.snapshot is None or owner is not None or not _can_stack(code.snapshot, code.changes):
        if code.snapshot is not None:
            copy(code.snapshot, upper)
        if owner is not None:
            ownership.hand_over(upper, owner, deep=True)
        return Mount(type="bind", source=str(upper), target=code.target)
    work = code.changes / "work"
    work.mkdir(exist_ok=True)
    options = f"lowerdir={code.snapshot},upperdir={upper},workdir={work}"
    remove(client, name)
    client.create_volume(
        name, driver="local", driver_opts={"type": "overlay", "device": "overlay", "o": options}, labels=labels
    )
    return Mount(type="volume", source=name, target=code.target, no_copy=True)


def remove(client: APIClient, name: str) -> None:
    """No-op when it is gone."""
    try:
        client.remove_volume(name, force=True)
    except errors.NotFound:
        return


def copy(snapshot: Path, target: Path) -> None:
    """A plain writable copy; repeating it after a crash is harmless."""
    shutil.copytree(snapshot, target, symlinks=True, dirs_exist_ok=True)


def _can_stack(snapshot: Path, changes: Path) -> bool:
    spelt = not any(char in f"{snapshot}{changes}" for char in ",:\\\n")
    return spelt and _file_system(changes) != _OVERLAY and os.uname().sysname == "Linux"


def _file_system(path: Path) -> int:
    """The type of the file system that holds `path`, from /proc (Python has no statfs type)."""
    best, kind = "", ""
    resolved = str(path.resolve())
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, found, *_ = line.split()
        if (resolved == point or resolved.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, found
    return _OVERLAY if kind == "overlay" else 0
