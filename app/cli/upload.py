"""Sending files: announced by content, only what is missing travels, and an interrupted upload goes on."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli import common, printing
from app.cli.client import Client, in_workspace
from services.core.errors import Conflict
from services.specs.code import Manifest, manifest

if TYPE_CHECKING:
    from services.specs.local import LocalDeployment

PIECE = 1 << 20
ATTEMPTS = 3


def send(client: Client, root: Path, kind: str, *, ignore: bool = True, what: str = "", inside: str = "") -> Manifest:
    """Uploads a folder or a file; its id names what is now in the studio.

    `inside` is a folder to lay everything in, where the name of what was sent must be kept.
    """
    found = manifest(root, ignore=ignore) if kind != "data" else manifest(root, ignore=False, size=1 << 40)
    if inside:
        found = replace(
            found,
            entries=tuple(replace(each, path=f"{inside}/{each.path}") for each in found.entries),
            sources={f"{inside}/{path}": each for path, each in found.sources.items()},
        )
    return send_manifest(client, found, kind, what=what or root.name)


def data(client: Client, here: Path, *, what: str) -> str:
    """The URI of a file or folder that was sent to be read."""
    kept = send(client, here, "data", what=what)
    return f"azureml://uploads/{kept.id}/{here.name if here.is_file() else ''}"


def model(client: Client, here: Path, *, what: str = "model") -> str:
    """The same of a model, which keeps its own name: scripts find it under that one."""
    kept = send(client, here, "data", what=what, inside=here.name if here.is_dir() else "")
    return f"azureml://uploads/{kept.id}/{here.name}"


def folders(client: Client, code: Path | None, context: Path | None) -> dict[str, str]:
    """`snapshot` and `context`, where there is code or a build context to send."""
    body = {}
    if code is not None:
        body["snapshot"] = send(client, code, "code").id
    if context is not None:
        body["context"] = send(client, context, "context", ignore=False).id
    return body


def deployment(client: Client, found: "LocalDeployment[Any]") -> dict[str, Any]:
    """What REST takes: `spec` without local paths, `snapshot`, `context`; their files are sent."""
    spec = found.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    body = folders(client, found.code, found.context)
    if found.model is not None:
        spec["model"]["path"] = model(client, found.model)
    return {**body, "spec": spec}


def send_manifest(client: Client, found: Manifest, kind: str, *, what: str = "code") -> Manifest:
    """The same for files that were found before."""
    for path, reason in found.refused:
        printing.note(f"Left out: {path} {reason}")
    for _ in range(ATTEMPTS):
        entries = [
            {"path": each.path, "size": each.size, "sha256": each.sha256, "executable": each.executable}
            for each in found.entries
        ]
        state = client.ask("POST", in_workspace("/uploads"), json={"kind": kind, "entries": entries})
        if not state["complete"] and state["missing"]:
            state = _sent(client, found, state, what)
        if not state["complete"]:
            state = client.ask("POST", in_workspace(f"/uploads/{state['id']}/seal"))
        if state["complete"]:
            return found
    raise Conflict(f"'{what}' could not be sent whole.", hint="Try again: what arrived is kept.")


def _sent(client: Client, found: Manifest, state: Any, what: str) -> Any:
    sizes = {each.path: each.size for each in found.entries}
    missing = [(each["path"], each["offset"]) for each in state["missing"]]
    total = sum(sizes[path] - offset for path, offset in missing)
    return client.send(in_workspace(f"/uploads/{state['id']}/content"), _pieces(found, missing, total, what), total)


def _pieces(found: Manifest, missing: list[tuple[str, int]], total: int, what: str) -> Iterator[bytes]:
    sent, shows = 0, sys.stderr.isatty() and total > 8 << 20 and not common.chosen.quiet
    for path, offset in missing:
        with found.sources[path].open("rb") as file:
            file.seek(offset)
            while piece := file.read(PIECE):
                sent += len(piece)
                if shows:
                    print(f"\rUploading {what}: {sent * 100 // total} % of {total >> 20} MB", end="", file=sys.stderr)
                yield piece
    if shows:
        print(file=sys.stderr)
