"""The registry's side of the proxy: what a client does to models is done here too, and it can read what is ours."""

import logging
from pathlib import PurePosixPath
from typing import Any

import orjson
from sqlmodel import select
from starlette.responses import Response

from app import streams
from app.tracking_rights import Asked
from services import models
from services.core import failpoints
from services.core.errors import Conflict, Denied, NotFound
from services.core.states import AssetKind
from services.engines.contents import Contents
from services.engines.tracking import HttpTracking, Tracking
from services.reconcile import registry
from services.reconcile.registry_acts import Name
from services.store.rows import Asset
from services.studio import Studio, mlflow_workspace

log = logging.getLogger("atelier.tracking")
FOLDER = "registered"
MOST = 100_000
CREATE, DOWNLOAD = "model-versions/create", "model-versions/get-download-uri"
DELETE_VERSION, DELETE_MODEL, RENAME = "model-versions/delete", "registered-models/delete", "registered-models/rename"
_READS = ("search", "get-latest-versions", "get", "get-download-uri")


def is_change(call: str) -> bool:
    noun, _, verb = call.partition("/")
    return noun in {"registered-models", "model-versions"} and verb not in _READS


def check(studio: Studio, asked: Asked, body: dict[str, Any]) -> None:
    """Before MLflow is asked. Raises Conflict for what would break something here, Unavailable to come back later,
    Denied for a job that names files which nobody gave it.
    """
    name, version = str(body.get("name") or ""), str(body.get("version") or "") or None
    match asked.call:
        case "model-versions/create":
            if asked.is_jobs and str(body.get("source") or "").startswith("azureml:"):  # it could read all data so
                raise Denied("A job registers what its run has logged.")
            registry.settle(studio, asked.workspace.id, name)
        case "model-versions/delete" | "registered-models/delete":
            with _scope(studio, asked) as scope:
                registry.refuse_used(scope, name, version if asked.call == DELETE_VERSION else None)
        case "registered-models/rename":
            new = str(body.get("new_name") or "")
            registry.settle(studio, asked.workspace.id, name)
            with _scope(studio, asked) as scope:
                mine = (Asset.workspace_id == scope.workspace_id, Asset.kind == AssetKind.model, Asset.name == new)
                if scope.session.exec(select(Asset.id).where(*mine)).first() is not None:
                    raise Conflict(f"There is a model '{new[:80]}' already.")


def follow(studio: Studio, asked: Asked, body: dict[str, Any], url: str) -> None:
    """After MLflow has done it. Nothing that fails here fails the call: the worker compares both now and then."""
    failpoints.reach("before_model_copied")
    try:
        _followed(studio, asked, body, HttpTracking(url))
    except Exception:
        log.exception("What %s changed could not be copied; the next comparison repairs it", asked.call)


def _followed(studio: Studio, asked: Asked, body: dict[str, Any], tracking: Tracking) -> None:
    name = str(body.get("name") or "")
    match asked.call:
        case "model-versions/delete" | "registered-models/delete":
            version = str(body["version"]) if asked.call == DELETE_VERSION else None
            with _scope(studio, asked) as scope:
                registry.removed(scope, name, version)
        case "registered-models/rename":
            with _scope(studio, asked) as scope:
                registry.renamed(scope, name, str(body["new_name"]))
        case _:
            one = Name(studio, tracking, asked.workspace.name, asked.workspace.id, name, asked.bearer.principal)
            one.compare()


def address(studio: Studio, asked: Asked, content: bytes, query: dict[str, str]) -> bytes:
    """MLflow's answer to where a model's files are: of those that are ours, where this proxy gives them."""
    uri = str(orjson.loads(content).get("artifact_uri", ""))
    if not uri.startswith("azureml:"):
        return content
    with studio.scope(asked.bearer.principal, asked.workspace.name) as scope:
        asset = models.get(scope, query.get("name", ""), query.get("version", ""))
        root = f"workspaces/{mlflow_workspace(asset.workspace_id)}/{FOLDER}/{asset.id}"
    return orjson.dumps({"artifact_uri": f"mlflow-artifacts:/{root}"})


def place_of(asked: Asked, query: dict[str, str]) -> tuple[str, str] | None:
    """Which asset's file an artifact call means, and its path; None when MLflow keeps it."""
    root = f"workspaces/{mlflow_workspace(asked.workspace.id)}/{FOLDER}/"
    for marker in ("/mpu/create/", "/mpu/complete/", "/mpu/abort/", "/mlflow-artifacts/artifacts"):
        _, found, rest = asked.path.partition(marker)
        if found:
            break
    path = rest.strip("/") or query.get("path", "").strip("/")
    if not f"{path}/".startswith(root):
        return None
    asset_id, _, inner = path.removeprefix(root).partition("/")
    return asset_id, inner


def served(studio: Studio, asked: Asked, method: str, place: tuple[str, str], *, lists: bool, range: str) -> Response:
    """A file, or what is in a folder. Raises Denied for anything but reading."""
    if method not in {"GET", "HEAD"}:
        raise Denied("The files of a registered model never change.")
    asset_id, path = place
    with studio.scope(asked.bearer.principal, asked.workspace.name) as scope:
        asset = scope.session.get(Asset, asset_id)
        if asset is None or asset.workspace_id != scope.workspace_id or asset.kind != AssetKind.model:
            raise NotFound("There is no such artifact.")
        found = models.contents(scope, asset)
    if lists:
        return Response(orjson.dumps({"files": _entries(found, path)}), media_type="application/json")
    opened, size = found.opened(path)
    return streams.file(opened, size, path, range or None)


def _entries(contents: Contents, path: str) -> list[dict[str, Any]]:
    """Names as MLflow's own server gives them: without the folder; a file has none in it."""
    base = PurePosixPath(path) if path else PurePosixPath()
    folders: dict[str, dict[str, Any]] = {}
    found = []
    for file in contents.listing(most=MOST).files:
        here = PurePosixPath(file.path)
        if not here.is_relative_to(base) or here == base:
            continue
        first, *deeper = here.relative_to(base).parts
        if deeper:
            folders[first] = {"path": first, "is_dir": True}
        else:
            found.append({"path": first, "is_dir": False, "file_size": file.size})
    return [*folders.values(), *found]


def _scope(studio: Studio, asked: Asked) -> Any:
    return studio.scope(asked.bearer.principal, asked.workspace.name, write=True)
