"""Data assets: named versions of a file, a folder or a table, wherever these lie; what is uploaded is found by content.

A URI is kept as it is, neither copied nor checked: it is looked at when somebody asks for its files.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sqlmodel import col, select

from services import access, assets, datastores, lineage, locations, uploads
from services.assets import Content
from services.core import refs
from services.core.errors import Invalid, NotFound
from services.core.names import is_hex
from services.core.states import AssetKind
from services.engines import files, stores
from services.engines.contents import Contents
from services.specs.data import DataAsset
from services.store.rows import Asset, Datastore, Edge, Job
from services.studio import Scope, mlflow_workspace

TABLE = "MLTable"
_ANNOUNCED = "azureml://uploads/"
_OUTPUT = re.compile(r"\Aazureml://jobs/[^/]+/outputs/(?P<name>[^/]+)")
_URI = re.compile(r"\A(?:[A-Za-z][A-Za-z0-9+.-]*://|runs:/|mlflow-artifacts:/)", re.ASCII)


@dataclass(frozen=True)
class Reader:
    """A job that read it, and the name of the input."""

    job: Job
    role: str


def create(scope: Scope, spec: DataAsset, *, upload: str | None = None) -> Asset:
    """A new version, of an upload or of the URI in `path`; automatic integers when none is given.

    Raises Invalid for a path that is neither, or an upload that is not of the type; Conflict when the version exists
    with another content, or the name with another type; NotFound for an output of a job that is not there.
    """
    access.require(scope, "datasets/versions/write")
    content = _of_uri(scope, spec) if upload is None else _of_upload(scope, spec, upload)
    maker = None if upload is not None else locations.maker(scope, spec.path)
    asset = assets.register(
        scope,
        AssetKind.data,
        spec.name,
        spec.version,
        content,
        description=spec.description,
        tags=spec.tags,
        properties=spec.properties,
    )
    if maker is not None:
        asset.job_id = maker.id
        scope.session.add(asset)
        lineage.record(scope, ("job", maker.id), (str(AssetKind.data), asset.id), _output(spec.path))
    return asset


def get(scope: Scope, name: str, version: str | None = None, *, label: str | None = None) -> Asset:
    """One version; the latest when neither version nor label is named."""
    access.require(scope, "datasets/versions/read")
    return assets.get(scope, AssetKind.data, name, version, label=label)


def contents(scope: Scope, asset: Asset) -> Contents:
    """Its files, to be listed and opened after this transaction; nothing is asked of a server here.

    Raises NotFound for what is gone, Invalid for a URI that nothing here can read.
    """
    access.require(scope, "datasets/versions/read")
    try:
        place = locations.located(scope, asset.path)
    except (Invalid, NotFound) as cause:
        said = cause.message.replace(asset.path[:200], shown_uri(asset.path))
        raise type(cause)(said, where=cause.where, hint=cause.hint) from cause
    if place.url:
        return _behind(scope, asset, place.url)
    if place.local is not None:
        return _here(scope, asset, place.local)
    assert place.datastore is not None  # noqa: S101 (one of the three)
    return _there(scope, asset, place.datastore, place.path)


def readers(scope: Scope, asset: Asset) -> list[Reader]:
    """The jobs that read this version, the newest first."""
    access.require(scope, "jobs/read")
    found = scope.session.exec(
        select(Job, Edge.role)
        .join(Edge, (col(Edge.target_id) == Job.id) & (Edge.target_kind == "job"))
        .where(
            Edge.workspace_id == asset.workspace_id,
            Edge.source_kind == str(AssetKind.data),
            Edge.source_id == asset.id,
            col(Job.deleted_at).is_(None),
        )
        .order_by(col(Job.created_at).desc(), col(Job.id))
    )
    return [Reader(job, role) for job, role in found]


def maker(scope: Scope, asset: Asset) -> Job | None:
    """The job that made it, when one did and it is still here."""
    access.require(scope, "jobs/read")
    job = scope.session.get(Job, asset.job_id) if asset.job_id else None
    return job if job is not None and job.deleted_at is None else None


def is_kept(asset: Asset) -> bool:
    """Whether its content is known by its hash, and so stays what it is."""
    return f"/{datastores.UPLOADED}/{asset.hash}" in asset.path


def shown_uri(uri: str) -> str:
    """The URI without what may be a secret in it: a password, the query of a signed address."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri.partition("?")[0][:200]
    host = parts.netloc.rpartition("@")[2] if parts.password is not None else parts.netloc
    return urlunsplit((parts.scheme, host, parts.path, "", ""))[:200]


def as_json(asset: Asset) -> dict[str, Any]:
    """As the cloud's CLI prints one; `size` and `files` of what was uploaded."""
    return assets.as_json(asset, path=asset.path, **_counts(asset.facts))


def _counts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in ("size", "files") if key in facts}


def _of_uri(scope: Scope, spec: DataAsset) -> Content:
    """The hash of an upload stays what it was when it is named again by where it lies."""
    uri = spec.path
    if refs.is_reference(uri):
        raise Invalid("The path of a data asset is a place, not another asset.", where="path")
    if not _URI.match(uri) or uri.startswith("file:") or any(ord(char) < 32 or ord(char) == 127 for char in uri):
        raise Invalid(
            f"'{uri[:200]}' is not a URI.",
            where="path",
            hint="Files of your machine are uploaded: by 'atelier data create', or on the page Data.",
        )
    if uri.startswith("azureml://") and not uri.startswith("azureml://jobs/"):
        store, path = datastores.parse(uri)
        if store == datastores.DEFAULT and (known := _known_upload(scope, spec, path)) is not None:
            return known
    digest = hashlib.sha256(f"{spec.type}\0{uri}".encode()).hexdigest()
    return Content(digest, type=spec.type, path=uri)


def _known_upload(scope: Scope, spec: DataAsset, path: str) -> Content | None:
    """When the path is that of all that was uploaded at once."""
    first, _, rest = path.partition("/")
    upload, _, inner = rest.partition("/")
    if first != datastores.UPLOADED or not is_hex(upload) or not _folder(scope, upload).is_dir():
        return None
    single = _single(scope, upload)
    is_whole = inner == single if spec.type == "uri_file" else not inner
    return _of_upload(scope, spec, upload) if is_whole else None


def _of_upload(scope: Scope, spec: DataAsset, upload: str) -> Content:
    uploads.data_uri(scope, f"{_ANNOUNCED}{upload}/", field="upload")
    single = _single(scope, upload) if spec.type == "uri_file" else ""
    if spec.type == "uri_file" and not single:
        raise Invalid("A uri_file is one file, and there are several.", where="type", hint="Say type: uri_folder.")
    uri = uploads.data_uri(scope, f"{_ANNOUNCED}{upload}/{single}", field="upload")
    found = list(files.walk(_folder(scope, upload)))
    if spec.type == "mltable" and not any(file.path == TABLE for file in found):
        raise Invalid(f"There is no file '{TABLE}' at the top of the folder.", where="path")
    facts = {"size": sum(file.size for file in found), "files": len(found)}
    return Content(upload, type=spec.type, path=uri if single else f"{uri}/", facts=facts)


def _single(scope: Scope, upload: str) -> str:
    """The only file of an upload; empty when there are more, or none."""
    found = [file.path for file, _ in zip(files.walk(_folder(scope, upload)), range(2), strict=False)]
    return found[0] if len(found) == 1 else ""


def _folder(scope: Scope, upload: str) -> Path:
    if not is_hex(upload):
        raise NotFound(f"Upload '{upload[:80]}' was not found.", where="upload")
    return scope.studio.folders.datastore(scope.workspace_id, datastores.DEFAULT) / datastores.UPLOADED / upload


def _output(uri: str) -> str:
    found = _OUTPUT.match(uri)
    return found["name"] if found else locations.ARTIFACTS


def _behind(scope: Scope, asset: Asset, url: str) -> Contents:
    """What a web server gives; names in its path may be quoted."""
    parts = urlsplit(url)
    if parts.query or parts.username is not None or not parts.hostname:
        raise Invalid(
            f"'{assets.named(asset)}' lies behind a URL with a password or a query, which is not read from here.",
            hint="Register a datastore for it, and name a path in that.",
        )
    allowed = [host.strip() for host in scope.studio.settings.allowed_url_hosts.split(",") if host.strip()]
    base, _, name = url.rstrip("/").rpartition("/")
    single = "" if asset.type == "mltable" or url.endswith("/") else unquote(name)
    spec = stores.Web(parts.hostname, base if single else url)
    return Contents(stores.opened(spec, allowed_hosts=allowed), single=single)


def _there(scope: Scope, asset: Asset, row: Datastore, path: str) -> Contents:
    store = datastores.opened(scope, row)
    folder, _, name = path.rpartition("/")
    return Contents(store, folder, name) if asset.type == "uri_file" else Contents(store, path)


def _here(scope: Scope, asset: Asset, path: Path) -> Contents:
    """Raises NotFound for what is gone, Invalid for what is the studio's own or another workspace's."""
    _require_visible(scope, path)
    if path.is_file():
        return Contents(stores.opened(stores.Folder(asset.name, str(path.parent))), single=path.name)
    if not path.is_dir():
        raise NotFound(f"The files of '{assets.named(asset)}' are not there.", where="path")
    return Contents(stores.opened(stores.Folder(asset.name, str(path))))


def _require_visible(scope: Scope, path: Path) -> None:
    """A map may lead anywhere on this machine, but to no system folder and to nothing of the studio itself."""
    real, home = files.of_no_system(path), scope.studio.folders.home.resolve()
    mine = {
        (scope.studio.folders.workspace(scope.workspace_id) / "datastores").resolve(),
        (scope.studio.folders.artifacts / "workspaces" / mlflow_workspace(scope.workspace_id)).resolve(),
    }
    is_own = home in {real, *real.parents} or real in home.parents
    if is_own and mine.isdisjoint({real, *real.parents}):
        raise Invalid(f"'{path}' holds files of the studio itself.", where="path")
