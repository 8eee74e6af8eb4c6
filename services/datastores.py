"""Datastores: named places for data. Four folders come with every workspace; others are registered.

What opens one lies in the vault: it is written, used and replaced, and never shown. A store is asked outside of any
transaction: `trial` or `opened` answers it, the caller asks it, a second transaction keeps what came of that.
A long file: what may be registered, how it is opened and when it may go are decided by the same few rules.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import orjson
from sqlalchemy import String, cast, or_
from sqlmodel import Session, col, select, update

from services import access, secrets
from services.core import times
from services.core.errors import AtelierError, Conflict, Invalid, NotFound
from services.core.paging import MOST, Page
from services.core.states import TERMINAL
from services.engines import downloads, files, stores
from services.engines.stores import Entry, Store, written
from services.engines.stores.reading import ReadOnly
from services.events import emit
from services.specs import datastores as specs
from services.specs.datastores import Datastore as Spec
from services.store.rows import Asset, Datastore, Job, Workspace
from services.studio import Scope, Studio

DEFAULT = "workspaceblobstore"
ARTIFACTS = "workspaceartifactstore"
UPLOADED = "LocalUpload"
"""Where in the default one uploads lie by content: nothing else is written there."""
BUILT_IN = (DEFAULT, "workspacefilestore", ARTIFACTS, "workspaceworkingdirectory")
CLOUD = frozenset({"azure_blob", "azure_file", "azure_data_lake_gen2", "azure_data_lake_gen1"})
"""Kinds whose YAML registers with placeholders: they are tried only when asked for."""
LONGEST = 4096  # characters of a URI
_URI = re.compile(
    r"\Aazureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
    r"datastores/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,254})/paths/(?P<path>.*)\Z",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Uses:
    """What names a datastore: assets that lie in it, and jobs that read or wrote there, the newest first."""

    assets: Sequence[Asset]
    jobs: Sequence[Job]


def listed(scope: Scope) -> list[Datastore]:
    access.require(scope, "datastores/read")
    return list(
        scope.session.exec(
            select(Datastore).where(Datastore.workspace_id == scope.workspace_id).order_by(col(Datastore.name))
        )
    )


def get(scope: Scope, name: str) -> Datastore:
    access.require(scope, "datastores/read")
    row = _found(scope, name)
    if row is None:
        known = ", ".join(store.name for store in listed(scope))
        raise NotFound(f"Datastore '{name[:80]}' was not found.", hint=f"This workspace has: {known}.")
    return row


def trial(scope: Scope, spec: Spec) -> Store | None:
    """The store that `spec` would be, to be tried before it is registered; None when it is there already.

    Raises Invalid for a place that nobody may register, Conflict when the name is another's.
    """
    access.require(scope, "datastores/write")
    if _same(scope, spec) is not None:
        return None
    return _store(scope.studio, spec, _name(spec))


def create(scope: Scope, spec: Spec, report: Mapping[str, Any] | None = None) -> Datastore:
    """Registers it, with what came of trying it. The same again is a no-op.

    Raises Conflict for another of that name, and for one of our kinds that cannot do what it must.
    """
    access.require(scope, "datastores/write")
    name = _name(spec)
    row = _same(scope, spec)
    if row is not None:
        return row
    if isinstance(spec, specs.Folder):
        opened_folder(scope.studio, spec.path)
    _require_able(spec, name, report)
    row = Datastore(
        workspace_id=scope.workspace_id,
        name=name,
        type=spec.type,
        spec=_shown(spec),
        description=spec.description or "",
        tags=dict(spec.tags),
        is_read_only=spec.read_only or spec.type == "http",
        report=dict(report or {}),
        created_by=scope.principal.name,
    )
    _lock(scope, row, spec)
    scope.session.add(row)
    scope.session.flush()
    emit(scope, "datastore", name, f"Datastore '{name}' was registered")
    return row


def change(
    scope: Scope, name: str, *, description: str | None = None, tags: Mapping[str, str] | None = None
) -> Datastore:
    """What was given; place and kind stay."""
    access.require(scope, "datastores/write")
    row = get(scope, name)
    if description is not None:
        row.description = description
    if tags is not None:
        row.tags = dict(tags)
    row.updated_at = times.now()
    scope.session.add(row)
    emit(scope, "datastore", name, f"Datastore '{name}' was changed")
    return row


def reauthenticated(scope: Scope, name: str, credentials: Mapping[str, Any] | None) -> tuple[Spec, Store | None]:
    """The datastore as it would be with these credentials, to be tried before they are kept; the store where it
    can be opened at all. Raises Invalid for credentials of another kind.
    """
    access.require(scope, "datastores/write")
    row = get(scope, name)
    if row.type == "folder":
        raise Invalid(f"Datastore '{name}' is a folder and takes no credentials.", where="credentials")
    spec = specs.datastore({**_written(row), "credentials": credentials})
    try:
        return spec, _store(scope.studio, spec, name)
    except AtelierError:
        if row.type not in CLOUD:
            raise
        return spec, None


def authenticate(scope: Scope, name: str, spec: Spec, report: Mapping[str, Any] | None = None) -> Datastore:
    """Puts the credentials of `spec` in the place of the old ones, which are given up.

    Raises Conflict when one of our kinds cannot be used with them; the old ones stay then.
    """
    access.require(scope, "datastores/write")
    row = get(scope, name)
    _require_able(spec, name, report)
    row.spec, row.report, row.updated_at = _shown(spec), dict(report or {}), times.now()
    _lock(scope, row, spec)
    scope.session.add(row)
    emit(scope, "datastore", name, f"The authentication of datastore '{name}' was updated")
    return row


def keep_report(scope: Scope, name: str, report: Mapping[str, Any]) -> Datastore:
    """What came of trying it; nothing else changes."""
    access.require(scope, "datastores/write")
    row = get(scope, name)
    row.report = dict(report)
    scope.session.add(row)
    return row


def set_default(scope: Scope, name: str) -> Datastore:
    """From now on outputs that name no datastore go there. Raises Conflict for one that cannot be written."""
    access.require(scope, "datastores/write")
    row = get(scope, name)
    if row.is_read_only:
        raise Conflict(f"Datastore '{name}' is for reading, and outputs must go somewhere.")
    if row.type in {"azure_file", "azure_data_lake_gen1"}:
        raise Conflict(f"Datastore '{name}' is of a kind that nothing here can write to.")
    here = Datastore.workspace_id == scope.workspace_id
    scope.session.connection().execute(
        update(Datastore).where(here).values(is_default=col(Datastore.name) == name)  # type: ignore[arg-type]
    )
    scope.session.refresh(row)
    emit(scope, "datastore", name, f"Datastore '{name}' became the default")
    return row


def unregister(scope: Scope, name: str) -> None:
    """Forgets where it is and what opens it; files stay. Raises Conflict while something needs it."""
    access.require(scope, "datastores/delete")
    row = get(scope, name)
    if name in BUILT_IN:
        raise Conflict(f"Datastore '{name}' comes with the workspace and stays.")
    if row.is_default:
        raise Conflict(f"Datastore '{name}' is the default.", hint="Make another one the default first.")
    kept = uses(scope, name)
    if kept.assets:
        raise Conflict(
            f"{_count(len(kept.assets), 'asset')} lie{'s' * (len(kept.assets) == 1)} in datastore '{name}': "
            f"{_some([f'{asset.name}:{asset.version}' for asset in kept.assets])}.",
            hint="Delete what is not needed first; archived ones count.",
        )
    live = [job.name for job in kept.jobs if job.status not in TERMINAL or job.collected_at is None]
    if live:
        raise Conflict(f"Datastore '{name}' is used by {_count(len(live), 'running job')}: {_some(live)}.")
    if row.secret:
        secrets.remove(scope, row.secret)
    scope.session.delete(row)
    emit(scope, "datastore", name, f"Datastore '{name}' was unregistered")


def uses(scope: Scope, name: str, *, limit: int = MOST) -> Uses:
    """What lies in it and what reads or writes there."""
    access.require(scope, "datastores/read")
    get(scope, name)
    within = f"/datastores/{name}/"
    named = re.compile(rf"(?i:/datastores)/{re.escape(name)}/")  # the words of a URI stand in any case, names do not
    here = col(Asset.path).icontains(within, autoescape=True)
    assets = scope.session.exec(
        select(Asset)
        .where(Asset.workspace_id == scope.workspace_id, here)
        .order_by(col(Asset.created_at).desc())
        .limit(limit)
    )
    texts = [cast(col(column), String).icontains(within, autoescape=True) for column in (Job.spec, Job.resolved)]
    jobs = scope.session.exec(
        select(Job)
        .where(Job.workspace_id == scope.workspace_id, col(Job.deleted_at).is_(None), or_(*texts))
        .order_by(col(Job.created_at).desc())
        .limit(limit)
    )
    return Uses(
        [asset for asset in assets if named.search(asset.path)],
        [job for job in jobs if named.search(orjson.dumps([job.spec, job.resolved]).decode())],
    )


def opened(scope: Scope, row: Datastore) -> Store:
    """Its files, for somebody who may use it without seeing what opens it. Nothing is asked of the place yet."""
    access.require(scope, "datastores/read")
    return store_of(scope.studio, scope.session, row)


def store_of(studio: Studio, session: Session, row: Datastore) -> Store:
    """The same for the worker. Raises EngineError for kinds that nothing here speaks to, naming the datastore."""
    if row.type == "folder":
        store = stores.opened(stores.Folder(row.name, str(folder(studio, row))))
        return ReadOnly(store) if row.is_read_only else store
    credentials = orjson.loads(secrets.of(studio, session, row.workspace_id, row.secret)) if row.secret else None
    return _store(studio, specs.datastore({**_written(row), "credentials": credentials}), row.name)


def probed(store: Store) -> dict[str, Any]:
    """Tries what the store can do, as it is kept and shown. Takes as long as 64 MB take; raises nothing."""
    report = stores.probe(store)
    rows = [
        {"name": row.name, "outcome": row.outcome, "detail": row.detail, "seconds": round(row.seconds, 3)}
        for row in report.rows
    ]
    return {
        "at": times.iso(times.now()),
        "passed": not report.failed if store.read_only else report.passed,
        "can_read_only": report.can_read_only,
        "rows": rows,
    }


def unopened(error: AtelierError) -> dict[str, Any]:
    """The report on one that could not even be tried."""
    row = {"name": "open", "outcome": "failed", "detail": str(error), "seconds": 0.0}
    return {"at": times.iso(times.now()), "passed": False, "can_read_only": False, "rows": [row]}


def page_of(store: Store, path: str = "", *, limit: int = 100, after: str = "") -> Page[Entry]:
    """The folders and files directly in `path`; `after` and the cursor are the last entry's path. Raises Invalid."""
    if not 1 <= limit <= MOST:
        raise Invalid(f"A page holds 1 to {MOST} rows, not {limit}.", where="limit")
    inside = confined(path)
    found = list(islice(store.list(inside, recursive=False, limit=limit + 1, after=after), limit + 1))
    return Page(found[:limit], found[limit - 1].path if len(found) > limit else "")


def file(store: Store, path: str) -> tuple[BinaryIO, int]:
    """A file for reading and its size in bytes. Raises NotFound, Invalid and what the store raises."""
    stream = store.open(confined(path))
    size = stream.seek(0, 2)
    stream.seek(0)
    return stream, size


def default(session: Session, workspace_id: str) -> Datastore:
    """Where outputs go that name no datastore."""
    row = session.exec(
        select(Datastore).where(Datastore.workspace_id == workspace_id, col(Datastore.is_default))
    ).first()
    if row is None:
        raise NotFound("This workspace has no default datastore.", hint="Make one of them the default.")
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
    found = _URI.match(uri) if len(uri) <= LONGEST else None
    if found is None:
        raise Invalid(
            f"{uri[:200]!r} is not a datastore URI.",
            where=field,
            hint="Write azureml://datastores/<name>/paths/<path>.",
        )
    return found["name"], confined(found["path"], field=field)


def confined(path: str, *, field: str = "path") -> str:
    """A relative POSIX path without `..`, empty segments, NUL, backslash or blanks at its ends. Raises Invalid."""
    parts = [part for part in path.strip("/").split("/") if part not in {"", "."}]
    is_clean = path == path.strip() and not any(char < " " or char in "\\%\x7f" for char in path)
    if not is_clean or any(part == ".." for part in parts):
        raise Invalid(f"{path[:200]!r} is not a path inside of a datastore.", where=field)
    return "/".join(parts)


def folder(studio: Studio, store: Datastore) -> Path:
    """Where the files of a folder datastore lie. Raises Invalid for one that an admin has closed since."""
    if "path" in store.spec:
        return opened_folder(studio, store.spec["path"])
    return studio.folders.datastore(store.workspace_id, store.name)


def opened_folder(studio: Studio, path: str) -> Path:
    """A folder of this machine that an admin has opened, with links followed. Raises Invalid for any other."""
    home, roots = studio.folders.home.resolve(), [root.resolve() for root in studio.settings.opened_roots]
    try:
        real = files.of_no_system(Path(path))
    except (OSError, RuntimeError) as cause:
        raise Invalid(f"'{path[:200]}' cannot be followed.", where="path") from cause
    around = {real, *real.parents}
    if home in around or real in home.parents or around.isdisjoint(roots):
        now_open = ", ".join(map(str, studio.settings.opened_roots)) or "none"
        raise Invalid(
            f"'{path[:200]}' is not below a folder that an admin has opened.",
            where="path",
            hint=f"An admin opens folders with ATELIER_DATA_ROOTS, such as /srv/data; open now: {now_open}.",
        )
    if not real.is_dir():
        raise Invalid(f"'{path[:200]}' is not a folder of the studio's machine.", where="path")
    return real


def storage(row: Datastore) -> str:
    """What it is called where it is: account and container, bucket, host, folder."""
    spec = row.spec
    match row.type:
        case "azure_blob":
            return f"{spec['account_name']}/{spec['container_name']}"
        case "azure_file":
            return f"{spec['account_name']}/{spec['file_share_name']}"
        case "azure_data_lake_gen2":
            return f"{spec['account_name']}/{spec['filesystem']}"
        case "azure_data_lake_gen1":
            return str(spec["store_name"])
        case "s3" | "gcs":
            return "/".join(part for part in (spec["bucket"], spec.get("prefix", "")) if part)
        case "sftp":
            return f"{spec['host']}:{spec.get('path', '/')}"
        case "http":
            return str(spec["url"])
    return str(spec.get("path", "this workspace's own folder"))


def as_json(row: Datastore) -> dict[str, Any]:
    """As the cloud's CLI prints one; of what opens it the kind, and what is no secret."""
    place = {key: value for key, value in row.spec.items() if key not in {"type", "authentication", "properties"}}
    return {
        "name": row.name,
        "type": row.type,
        "description": row.description,
        "tags": row.tags,
        "properties": row.spec.get("properties", {}),
        **place,
        "read_only": row.is_read_only,
        "id": f"azureml://datastores/{row.name}",
        "storage": storage(row),
        "authentication": row.spec.get("authentication", {"type": "none"}),
        "is_default": row.is_default,
        "report": row.report or None,
        "creation_context": {"created_at": times.iso(row.created_at), "created_by": row.created_by},
    }


def entry_json(entry: Entry) -> dict[str, Any]:
    """One row of a browsed folder."""
    return {
        "path": entry.path.rstrip("/"),
        "type": "folder" if entry.is_folder else "file",
        "size": None if entry.is_folder else entry.size,
        "modified": times.iso(entry.modified),
    }


def _name(spec: Spec) -> str:
    """Raises Invalid without one, and for an address that holds what belongs under `credentials`."""
    for field in ("url", "endpoint"):
        _require_plain(getattr(spec, field, None) or "", field)
    if spec.name is None:
        raise Invalid("'name' is required.", where="name")
    return spec.name


def _require_plain(address: str, field: str) -> None:
    try:
        parts = urlsplit(address)
        is_plain = "@" not in parts.netloc and not parts.query and (parts.port is None or parts.port > 0)
    except ValueError as cause:
        raise Invalid(f"{field} is no address.", where=field) from cause
    if not is_plain:
        raise Invalid(
            f"{field} must not hold a password, a token or a query.",
            where=field,
            hint="Write what opens it under 'credentials'.",
        )


def _found(scope: Scope, name: str) -> Datastore | None:
    return scope.session.exec(
        select(Datastore).where(Datastore.workspace_id == scope.workspace_id, Datastore.name == name)
    ).one_or_none()


def _same(scope: Scope, spec: Spec) -> Datastore | None:
    """The one that is there already, None when the name is free. Raises Conflict for another."""
    row = _found(scope, _name(spec))
    if row is None:
        return None
    kept = secrets.of(scope.studio, scope.session, row.workspace_id, row.secret) if row.secret else "{}"
    if row.spec != _shown(spec) or orjson.loads(kept) != specs.secrets(spec):
        raise Conflict(
            f"A datastore named '{row.name}' exists already with another place or authentication.",
            hint="Update its authentication, or unregister it first.",
        )
    return row


def _store(studio: Studio, spec: Spec, name: str) -> Store:
    """Raises Invalid for a place or credentials that cannot be meant, EngineError for kinds that nothing speaks to."""
    allowed = [host.strip() for host in studio.settings.allowed_url_hosts.split(",") if host.strip()]
    place = written.place(spec, name)
    if isinstance(spec, specs.Folder):
        place = stores.Folder(name, str(opened_folder(studio, spec.path)))
    if isinstance(spec, specs.Http):
        url = urlsplit(spec.url)
        downloads.checked_address(url.hostname or "", url.port or (443 if url.scheme == "https" else 80), allowed)
    store = stores.opened(place, written.credentials(spec, name), allowed_hosts=allowed)
    return ReadOnly(store) if spec.read_only and not store.read_only else store


def _require_able(spec: Spec, name: str, report: Mapping[str, Any] | None) -> None:
    """The cloud's kinds may be placeholders; ours must do what is asked of a store, or be for reading."""
    if spec.type in CLOUD or spec.type == "http" or report is None or report["passed"]:
        return
    failed = [f"{row['name']}: {row['detail']}" for row in report["rows"] if row["outcome"] == "failed"]
    if spec.read_only and not any(line.startswith(("read: ", "list: ", "open: ")) for line in failed):
        return
    can_read = report["can_read_only"] and not spec.read_only
    message = f"Datastore '{name}' cannot be used as it is: {failed[0] if failed else 'nothing could be tried'}"
    error = Conflict(
        message if message.endswith(".") else f"{message}.",
        hint="With 'read_only: true' it can be registered for reading."
        if can_read
        else "Correct the place or the credentials, then try again.",
    )
    error.details = [error.message, *failed[1:]]
    raise error


def _shown(spec: Spec) -> dict[str, Any]:
    """What is kept in the row and shown: all of the spec but its secrets, and what is a column."""
    credentials = getattr(spec, "credentials", None)
    fields = type(credentials).model_fields if credentials is not None else ()
    public = {key: value for key in fields if isinstance(value := getattr(credentials, key), str)}
    place = spec.model_dump(mode="json", exclude_none=True)
    for column in ("name", "description", "tags", "credentials"):
        place.pop(column, None)
    return {**place, "authentication": {"type": written.kind(credentials), **public}}


def _written(row: Datastore) -> dict[str, Any]:
    """As it was written, without credentials."""
    return {"name": row.name, **{key: value for key, value in row.spec.items() if key != "authentication"}}


def _lock(scope: Scope, row: Datastore, spec: Spec) -> None:
    """Credentials go to the vault under a name that is this row's alone."""
    found = specs.secrets(spec)
    if found:
        row.secret = f"datastore/{row.id}"
        secrets.put(scope, row.secret, orjson.dumps(found).decode())
    elif row.secret:
        secrets.remove(scope, row.secret)
        row.secret = ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + rest
