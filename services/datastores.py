"""Datastores: named places for data; four folders come with every workspace."""

from pathlib import Path

from sqlmodel import col, select

from services import access
from services.core.errors import Invalid, NotFound
from services.store.rows import Datastore, Workspace
from services.studio import Scope, Studio

DEFAULT = "workspaceblobstore"
ARTIFACTS = "workspaceartifactstore"
BUILT_IN = (DEFAULT, "workspacefilestore", ARTIFACTS, "workspaceworkingdirectory")


def listed(scope: Scope) -> list[Datastore]:
    access.require(scope, "datastores/read")
    return list(
        scope.session.exec(
            select(Datastore).where(Datastore.workspace_id == scope.workspace_id).order_by(col(Datastore.name))
        )
    )


def get(scope: Scope, name: str) -> Datastore:
    access.require(scope, "datastores/read")
    row = scope.session.exec(
        select(Datastore).where(Datastore.workspace_id == scope.workspace_id, Datastore.name == name)
    ).one_or_none()
    if row is None:
        known = ", ".join(store.name for store in listed(scope))
        raise NotFound(f"Datastore '{name[:80]}' was not found.", hint=f"This workspace has: {known}.")
    return row


def rows_for(workspace: Workspace) -> list[Datastore]:
    """The four that come with a new workspace."""
    return [
        Datastore(workspace_id=workspace.id, name=name, is_default=name == DEFAULT, created_by=workspace.created_by)
        for name in BUILT_IN
    ]


def parse(uri: str, *, field: str = "path") -> tuple[str, str]:
    """`azureml://datastores/<name>/paths/<path>` (short or long form) as (name, path).

    Raises Invalid for anything else and for paths that leave the datastore.
    """
    _, found, rest = uri.replace("azureml://", "azureml:///", 1).partition("/datastores/")
    if not uri.startswith("azureml://"):
        found = ""
    name, paths, path = rest.partition("/paths/")
    if not found or not paths or not name or "/" in name:
        raise Invalid(
            f"{uri[:200]!r} is not a datastore URI.",
            where=field,
            hint="Write azureml://datastores/<name>/paths/<path>.",
        )
    return name, confined(path, field=field)


def confined(path: str, *, field: str = "path") -> str:
    """A relative POSIX path without `..`, empty segments, NUL or backslash. Raises Invalid."""
    parts = [part for part in path.strip("/").split("/") if part not in {"", "."}]
    if any(part == ".." for part in parts) or "\0" in path or "\\" in path or "%" in path:
        raise Invalid(f"{path[:200]!r} is not a path inside of a datastore.", where=field)
    return "/".join(parts)


def folder(studio: Studio, store: Datastore) -> Path:
    """Where the files of a folder datastore lie."""
    return studio.folders.datastore(store.workspace_id, store.name)
