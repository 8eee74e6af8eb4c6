"""Uploads: files announced by a manifest, received in pieces, found by content when whole.

The manifest's hash is the upload's name, so that sending the same again is a no-op and an interrupted
upload goes on where it stopped. Code becomes a snapshot, data lies in the workspace's default datastore.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import orjson

from services import access, datastores
from services.core.errors import Conflict, Invalid, NotFound
from services.core.names import is_hex
from services.engines import archives
from services.engines.files import Landing, remove_tree, walk
from services.specs.code import Entry, Manifest
from services.store.rows import Snapshot
from services.studio import Scope

Kind = Literal["code", "data", "context"]
FILES = 50_000
BYTES = 1 << 40
_ENDINGS = ", ".join(archives.ENDINGS)


@dataclass(frozen=True)
class Upload:
    """What is still missing: (path, offset) in the order in which to send it."""

    id: str
    complete: bool
    missing: tuple[tuple[str, int], ...]


def begin(scope: Scope, kind: Kind, entries: Sequence[Entry]) -> Upload:
    """Announces files; answers what must be sent. Repeat it to go on after an interruption."""
    access.require(scope, "metadata/snapshots/write")
    manifest = Manifest(entries=tuple(entries))
    _check(manifest)
    if (existing := _sealed(scope, kind, manifest.id)) is not None:
        return existing
    folder = _folder(scope, kind, manifest.id)
    folder.mkdir(parents=True, exist_ok=True)
    _write_manifest(folder, manifest)
    return _state(folder, manifest)


def landings(scope: Scope, upload_id: str) -> list[Landing]:
    """Where the missing files go, in the order announced; the caller streams outside of any transaction."""
    access.require(scope, "metadata/snapshots/write")
    folder, _, manifest = _open(scope, upload_id)
    return [landing for landing in _landings(folder, manifest) if not landing.complete]


def landing(scope: Scope, upload_id: str, path: str) -> Landing:
    """Where one of the files goes, whether it is missing or not. Raises NotFound when it was not announced."""
    access.require(scope, "metadata/snapshots/write")
    folder, _, manifest = _open(scope, upload_id)
    for entry, place in zip(manifest.entries, _landings(folder, manifest), strict=True):
        if entry.path == path:
            return place
    raise NotFound(f"{path[:200]!r} was not announced.", hint="Announce the files first.")


def seal(scope: Scope, upload_id: str) -> Upload:
    """Turns a complete upload into what it was sent for; the state when something is missing still."""
    access.require(scope, "metadata/snapshots/write")
    folder, kind, manifest = _open(scope, upload_id)
    state = _state(folder, manifest)
    if not state.complete:
        return state
    (folder / "manifest.json").unlink()
    _put(scope, folder / "files", _target(scope, kind, manifest.id), manifest)
    remove_tree(folder)
    return Upload(manifest.id, complete=True, missing=())


def packed(scope: Scope, upload_id: str) -> tuple[Path, Path]:
    """The archive that a sealed upload of data is, and a folder of its own to unpack it into outside of a transaction.

    Raises NotFound, and Invalid for an upload of anything but one archive.
    """
    access.require(scope, "metadata/snapshots/write")
    folder = _data_folder(scope, upload_id) if is_hex(upload_id) else None
    found = list(islice(walk(folder), 2)) if folder is not None and folder.is_dir() else []
    if folder is None or not found:
        raise NotFound(f"Upload '{upload_id[:80]}' was not found or is not complete.")
    if len(found) > 1 or not archives.is_archive(found[0].path):
        raise Invalid("Only an upload of a single archive can be unpacked.", hint=f"It ends in {_ENDINGS}.")
    room = scope.studio.folders.uploads(scope.workspace_id)
    room.mkdir(parents=True, exist_ok=True)
    return folder / found[0].path, room / f"unpacked-{secrets.token_hex(8)}"


def adopt(scope: Scope, kind: Kind, folder: Path, manifest: Manifest) -> Upload:
    """Takes over a folder of our own making as if it had been sent: `manifest` is of its files."""
    access.require(scope, "metadata/snapshots/write")
    _check(manifest)
    _put(scope, folder, _target(scope, kind, manifest.id), manifest)
    return Upload(manifest.id, complete=True, missing=())


def require_snapshot(scope: Scope, snapshot_id: str) -> Path:
    """The folder of a sealed snapshot of this workspace. Raises NotFound."""
    access.require(scope, "metadata/snapshots/read")
    if not is_hex(snapshot_id) or not (path := scope.studio.folders.snapshot(scope.workspace_id, snapshot_id)).is_dir():
        raise NotFound(f"Upload '{snapshot_id[:80]}' was not found or is not complete.")
    return path


def data_uri(scope: Scope, reference: str, *, field: str) -> str:
    """`azureml://uploads/<id>/<name>` as the datastore URI at which the data lies."""
    access.require(scope, "metadata/snapshots/read")
    upload_id, _, path = reference.removeprefix("azureml://uploads/").partition("/")
    inside = datastores.confined(path, field=field)
    root = _data_folder(scope, upload_id) if is_hex(upload_id) else None
    if root is None or not (root / inside).exists():
        raise NotFound(f"Upload '{upload_id[:80]}' holds no '{inside[:200]}'.", where=field)
    return f"azureml://datastores/{datastores.DEFAULT}/paths/{datastores.UPLOADED}/{upload_id}/{inside}".rstrip("/")


def _put(scope: Scope, folder: Path, target: Path, manifest: Manifest) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError as cause:
        if not target.is_dir():
            raise Conflict("The upload could not be put in place.", hint="Send it again.") from cause
        remove_tree(folder)
    if scope.session.get(Snapshot, (scope.workspace_id, manifest.id)) is None:
        scope.session.add(
            Snapshot(workspace_id=scope.workspace_id, id=manifest.id, files=len(manifest.entries), size=manifest.total)
        )


def _check(manifest: Manifest) -> None:
    if not manifest.entries:
        raise Invalid("There is no file to upload.", where="entries")
    if len(manifest.entries) > FILES:
        raise Invalid(
            f"{len(manifest.entries)} files are more than the {FILES} that one upload may hold.", where="entries"
        )
    if manifest.total > BYTES:
        raise Invalid(f"{manifest.total} bytes are more than one upload may hold ({BYTES}).", where="entries")
    folded: dict[str, str] = {}
    for entry in manifest.entries:
        if datastores.confined(entry.path, field="entries") != entry.path or len(os.fsencode(entry.path)) > 4000:
            raise Invalid(f"{entry.path[:200]!r} is not a valid path.", where="entries")
        if not entry.path or any(ord(char) < 32 or ord(char) == 127 for char in entry.path):
            raise Invalid(f"{entry.path[:200]!r} is not a valid path.", where="entries")
        if any(len(os.fsencode(part)) > 240 for part in entry.path.split("/")):
            raise Invalid(f"{entry.path[:200]!r} has a name longer than 240 bytes.", where="entries")
        if not is_hex(entry.sha256) or len(entry.sha256) != 64 or entry.size < 0:
            raise Invalid(f"{entry.path[:200]!r} needs a size and a SHA-256.", where="entries")
        if entry.path in folded:
            raise Invalid(f"{entry.path[:200]!r} is given twice.", where="entries")
        folded[entry.path] = entry.path
    for path in folded:
        for parent in _parents(path):
            if parent in folded:
                raise Invalid(f"{parent[:200]!r} is both a file and a folder.", where="entries")


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _sealed(scope: Scope, kind: Kind, upload_id: str) -> Upload | None:
    whole = Upload(upload_id, complete=True, missing=())
    return whole if _target(scope, kind, upload_id).is_dir() else None


def _target(scope: Scope, kind: Kind, upload_id: str) -> Path:
    if kind == "data":
        return _data_folder(scope, upload_id)
    return scope.studio.folders.snapshot(scope.workspace_id, upload_id)


def _data_folder(scope: Scope, upload_id: str) -> Path:
    return scope.studio.folders.datastore(scope.workspace_id, datastores.DEFAULT) / datastores.UPLOADED / upload_id


def _folder(scope: Scope, kind: Kind, upload_id: str) -> Path:
    return scope.studio.folders.uploads(scope.workspace_id) / f"{kind}-{upload_id}"


def _open(scope: Scope, upload_id: str) -> tuple[Path, Kind, Manifest]:
    kinds: tuple[Kind, ...] = ("code", "data", "context")
    for kind in kinds:
        folder = _folder(scope, kind, upload_id)
        if is_hex(upload_id) and (folder / "manifest.json").is_file():
            entries = orjson.loads((folder / "manifest.json").read_bytes())
            return folder, kind, Manifest(entries=tuple(Entry(**entry) for entry in entries))
    raise NotFound(f"Upload '{upload_id[:80]}' was not announced.", hint="Announce its files first.")


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    part = folder / "manifest.part"
    part.write_bytes(
        orjson.dumps(
            [
                {"path": entry.path, "size": entry.size, "sha256": entry.sha256, "executable": entry.executable}
                for entry in manifest.entries
            ]
        )
    )
    part.replace(folder / "manifest.json")
    (folder / "files").mkdir(exist_ok=True)


def _landings(folder: Path, manifest: Manifest) -> list[Landing]:
    return [
        Landing(folder / "files", entry.path, size=entry.size, sha256=entry.sha256, executable=entry.executable)
        for entry in manifest.entries
    ]


def _state(folder: Path, manifest: Manifest) -> Upload:
    there = {file.path: file.size for file in walk(folder / "files")}
    missing = tuple(
        (entry.path, landing.offset)
        for entry, landing in zip(manifest.entries, _landings(folder, manifest), strict=True)
        if there.get(entry.path) != entry.size
    )
    return Upload(manifest.id, complete=not missing, missing=missing)
