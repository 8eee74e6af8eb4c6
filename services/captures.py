"""Captures: what deployments were asked and answered, as data assets."""

import hashlib
from collections.abc import Mapping
from typing import Any

from services import assets, datastores
from services.assets import Content
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.engines.captures import FOLDER, SIDES
from services.store.rows import Workspace
from services.store.serving import Deployment, Endpoint
from services.studio import SYSTEM, Studio


def register(studio: Studio, deployment_id: str) -> list[str]:
    """The collections of a deployment that captures, as data assets `<endpoint>-<deployment>-<collection>`.

    For the worker, when the deployment has succeeded; may be repeated. Answers with sentences about what could not
    be registered: the deployment serves, and its requests are kept, all the same.
    """
    with studio.database.session(write=False) as session:
        row = session.get(Deployment, deployment_id)
        endpoint = session.get(Endpoint, row.endpoint_id) if row is not None else None
        workspace = session.get(Workspace, row.workspace_id) if row is not None else None
        if row is None or endpoint is None or workspace is None:
            return []
        place, maker = f"{endpoint.name}/{row.name}", row.created_by
        names, name = wanted(row.spec, f"{endpoint.name}-{row.name}"), workspace.name
    said: list[str] = []
    for collection, (asset, version) in names.items():
        path = f"azureml://datastores/{datastores.DEFAULT}/paths/{FOLDER}/{place}/{collection}"
        content = Content(hashlib.sha256(f"uri_folder\0{path}".encode()).hexdigest(), type="uri_folder", path=path)
        try:
            with studio.scope(SYSTEM, name, write=True) as scope:
                made = assets.register(scope, AssetKind.data, asset, version, content)
                made.created_by = maker
        except AtelierError as cause:
            said.append(f"What '{place}' captures is not the data asset '{asset}': {cause.message}")
    return said


def wanted(spec: Mapping[str, Any], prefix: str) -> dict[str, tuple[str, str]]:
    """Name and version of the asset by collection that is enabled, as `data_collector` says or the cloud's default.

    Collections that the gateway does not fill have none: nothing would ever lie there.
    """
    found = {}
    collections = (spec.get("data_collector") or {}).get("collections")
    for name, each in (collections if isinstance(collections, Mapping) else {}).items():
        if name in SIDES and isinstance(each, Mapping) and str(each.get("enabled", True)).lower() == "true":
            data = each.get("data")
            data = data if isinstance(data, Mapping) else {}
            found[name] = (str(data.get("name") or f"{prefix}-{name}"), str(data.get("version") or 1))
    return found
