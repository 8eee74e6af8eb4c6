"""Assets: what a workspace keeps by name and version. Four kinds, one meaning; each kind's noun says what is in one.

A long file, because its rules (versions, references, labels, uses) are one subject and hold each other up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, or_, text
from sqlalchemy.orm import aliased
from sqlmodel import col, delete, select

from services import access
from services.core import names, refs
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page, cut
from services.core.states import AssetKind
from services.core.times import iso, now
from services.events import emit
from services.store.rows import Asset, AssetLabel, Edge, Job
from services.store.serving import Deployment, Endpoint
from services.studio import Scope

NOUN = {
    AssetKind.data: "datasets/versions",
    AssetKind.environment: "environments",
    AssetKind.component: "components",
    AssetKind.model: "models",
}
SPOKEN = {AssetKind.data: "data asset"}
LATEST = "latest"
UNNAMED = frozenset({"azureml_anonymous", "CliV2AnonymousEnvironment"})
"""Names of what nobody named: a version there is found by its content, so nobody may put one there."""
DIGITS = 18
"""Most digits of a version that counts as a number; one of more is a name like any other."""
SHOWN_USES = 20


@dataclass(frozen=True)
class Content:
    """What makes a version what it is; `hash` is of that. `path` and `snapshot_id`: see the row."""

    hash: str
    type: str = ""
    path: str = ""
    snapshot_id: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    job_id: str | None = None


@dataclass(frozen=True)
class AssetQuery:
    """What to list; `type` and `created_by` narrow, `search` looks in names and descriptions, `tag` is `key=value`."""

    search: str = ""
    type: str = ""
    created_by: str = ""
    tag: str = ""
    include_archived: bool = False
    order_by: str = "name"
    limit: int = 50
    cursor: str = ""


ORDERS = {
    "name": Asset.name,
    "version": Asset.version,
    "type": Asset.type,
    "created_at": Asset.created_at,
    "updated_at": Asset.updated_at,
    "created_by": Asset.created_by,
}


@dataclass(frozen=True)
class Use:
    """What would break: a job that read it, a component that names it, a deployment that runs it, a label on it."""

    kind: str
    name: str
    role: str = ""


def register(
    scope: Scope,
    kind: AssetKind,
    name: str | None,
    version: str | None,
    content: Content,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    is_foreign: bool = False,
) -> Asset:
    """A version; the next integer when none is named. The same content again is a no-op but for what may change.

    `is_foreign`: MLflow has accepted the name already, so it is kept as it is.

    Raises Conflict when the version exists with another content, or the name with another type (data assets).
    """
    access.require(scope, f"{NOUN[kind]}/write")
    if not name:
        raise Invalid(f"A {spoken(kind)} needs a name.", where="name")
    name = name if is_foreign else names.checked_asset(name)
    if name in UNNAMED:
        raise Invalid(f"'{name}' is the name of what nobody named.", where="name", hint="Choose another one.")
    _alone(scope, kind, name)
    existing = _found(scope, kind, name, _checked_version(version)) if version else None
    if existing is not None:
        return _same(scope, existing, content, description, tags, properties)
    if kind is AssetKind.data:
        _same_type(scope, name, content.type)
    row = _row(scope, kind, name, version or _next_version(scope, kind, name), content)
    row.description, row.tags, row.properties = description or "", dict(tags or {}), dict(properties or {})
    scope.session.add(row)
    emit(scope, kind, name, f"{spoken(kind).capitalize()} '{name}:{row.version}' was created")
    scope.session.flush()
    return row


def anonymous(scope: Scope, kind: AssetKind, name: str, content: Content, *, description: str = "") -> Asset:
    """An inline or local definition, shared by content: `name` is the kind's word for all of them."""
    access.require(scope, f"{NOUN[kind]}/read")
    version = content.hash[:32]
    _alone(scope, kind, version)
    existing = _found(scope, kind, name, version)
    if existing is not None:
        return existing
    row = _row(scope, kind, name, version, content)
    row.is_anonymous, row.description = True, description
    scope.session.add(row)
    scope.session.flush()
    return row


def listed(scope: Scope, kind: AssetKind, query: AssetQuery | None = None) -> Page[Asset]:
    """One page of the latest version of each named one. Raises Invalid for an unknown column or cursor."""
    access.require(scope, f"{NOUN[kind]}/read")
    query = query or AssetQuery()
    column, is_descending = query.order_by.removeprefix("-"), query.order_by.startswith("-")
    if column not in ORDERS:
        raise Invalid(f"They cannot be sorted by {column[:80]!r}.", where="order_by", hint=f"By {', '.join(ORDERS)}.")
    ordered = [col(ORDERS[column]), col(Asset.id)]
    statement = _filtered(scope, kind, query).order_by(*(part.desc() if is_descending else part for part in ordered))
    return cut(scope.session, statement, limit=query.limit, cursor=query.cursor)


def counted(scope: Scope, kind: AssetKind, query: AssetQuery | None = None) -> int:
    """How many names the query finds, whatever its page."""
    access.require(scope, f"{NOUN[kind]}/read")
    found = _filtered(scope, kind, query or AssetQuery()).subquery()
    return int(scope.session.exec(select(func.count()).select_from(found)).one())


def versions(scope: Scope, kind: AssetKind, name: str, *, include_archived: bool = True) -> list[Asset]:
    """All versions of one, the newest first. Raises NotFound."""
    access.require(scope, f"{NOUN[kind]}/read")
    rows = _versions(scope, kind, name)
    if not rows:
        raise NotFound(f"{spoken(kind).capitalize()} '{name[:80]}' was not found.")
    return [row for row in rows if include_archived or row.archived_at is None]


def get(scope: Scope, kind: AssetKind, name: str, version: str | None = None, *, label: str | None = None) -> Asset:
    """One version; the latest when neither version nor label is named. Raises NotFound saying which there are."""
    access.require(scope, f"{NOUN[kind]}/read")
    return _chosen(scope, kind, refs.Ref(name, version, label))


def get_by_id(scope: Scope, id: str) -> Asset:
    """Raises NotFound for what is not of this workspace."""
    access.require(scope, "workspaces/read")
    row = scope.session.get(Asset, id)
    if row is None or row.workspace_id != scope.workspace_id:
        raise NotFound("This asset was not found.")
    access.require(scope, f"{NOUN[AssetKind(row.kind)]}/read")
    return row


def resolve(scope: Scope, kind: AssetKind, reference: str, *, where: str = "") -> Asset:
    """`azureml:name:version`, `azureml:name@label`, `azureml:name` or the long form of this workspace.

    Raises NotFound naming `where`; another workspace's is not found either.
    """
    access.require(scope, f"{NOUN[kind]}/read")
    ref = refs.parse(reference, field=where)
    if ref.registry is not None:
        raise NotFound(
            f"{reference[:200]!r} is of a registry, and this install has none.",
            where=where or None,
            hint="Register it in this workspace and name that.",
        )
    if ref.workspace is not None and (scope.workspace is None or names.folded(ref.workspace) != scope.workspace.folded):
        raise NotFound(f"{reference[:200]!r} is not in this workspace.", where=where or None)
    try:
        return _chosen(scope, kind, ref)
    except NotFound as cause:
        raise NotFound(cause.message, where=where or None, hint=cause.hint) from cause


def change(
    scope: Scope,
    asset: Asset,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    stage: str | None = None,
) -> Asset:
    """What may change of a version: nothing of its content."""
    access.require(scope, f"{NOUN[AssetKind(asset.kind)]}/write")
    hold(scope, asset)
    _mutate(scope, asset, description, tags, properties)
    if stage is not None:
        asset.stage, asset.updated_at = stage, now()
    scope.session.add(asset)
    emit(scope, asset.kind, asset.name, f"{spoken(asset.kind).capitalize()} '{named(asset)}' was changed")
    return asset


def archive(
    scope: Scope, kind: AssetKind, name: str, version: str | None = None, *, restore: bool = False
) -> list[Asset]:
    """Hides a version, or all of them, from lists; what names it still works."""
    access.require(scope, f"{NOUN[kind]}/write")
    rows = [get(scope, kind, name, version)] if version is not None else versions(scope, kind, name)
    for row in rows:
        hold(scope, row)
        row.archived_at, row.updated_at = None if restore else now(), now()
        scope.session.add(row)
    what = name if version is None else f"{name}:{version}"
    emit(scope, kind, name, f"{spoken(kind).capitalize()} '{what}' was {'restored' if restore else 'archived'}")
    return rows


def uses(scope: Scope, asset: Asset) -> list[Use]:
    """What breaks when it goes: jobs that read it, assets that were made from it, labels that stand on it."""
    access.require(scope, f"{NOUN[AssetKind(asset.kind)]}/read")
    found = [
        Use("job", name, role)
        for name, role in scope.session.exec(
            select(Job.name, Edge.role)
            .join(Edge, (col(Edge.target_id) == Job.id) & (Edge.target_kind == "job"))
            .where(
                Edge.workspace_id == asset.workspace_id,
                Edge.source_kind == str(asset.kind),
                Edge.source_id == asset.id,
                col(Job.deleted_at).is_(None),
            )
            .order_by(col(Job.created_at).desc())
        )
    ]
    found += [
        Use(made.kind, named(made), role)
        for made, role in scope.session.exec(
            select(Asset, Edge.role)
            .join(Edge, (col(Edge.target_id) == Asset.id) & (Edge.target_kind == Asset.kind))
            .where(
                Edge.workspace_id == asset.workspace_id,
                Edge.source_kind == str(asset.kind),
                Edge.source_id == asset.id,
            )
        )
    ]
    if asset.kind == AssetKind.environment:
        jobs = select(Job.name).where(Job.environment_id == asset.id, col(Job.deleted_at).is_(None))
        found += [Use("job", name, "environment") for name in scope.session.exec(jobs)]
    serving = or_(col(Deployment.model_id) == asset.id, col(Deployment.environment_id) == asset.id)
    deployed = select(Endpoint.name, Deployment.name).join(Endpoint, col(Endpoint.id) == Deployment.endpoint_id)
    found += [
        Use("deployment", f"{endpoint}/{name}", str(asset.kind))
        for endpoint, name in scope.session.exec(deployed.where(serving).order_by(Endpoint.name, Deployment.name))
    ]
    return found + [Use("label", label) for label in labels_of(scope, asset)]


def remove(scope: Scope, asset: Asset) -> None:
    """Forgets a version that nothing uses; its files stay where they lie.

    Raises Conflict naming what would break, NotFound when somebody was faster.
    """
    access.require(scope, f"{NOUN[AssetKind(asset.kind)]}/delete")
    hold(scope, asset, alone=True)
    using = uses(scope, asset)
    if using:
        listed_ = ", ".join(f"{use.kind} {use.name}" for use in using[:SHOWN_USES])
        more = f" and {len(using) - SHOWN_USES} more" if len(using) > SHOWN_USES else ""
        raise Conflict(
            f"{spoken(asset.kind).capitalize()} '{named(asset)}' is used by {listed_}{more}.",
            hint="Archive it instead: it is hidden then, and what uses it still works.",
        )
    scope.session.connection().execute(
        delete(Edge).where(
            (col(Edge.workspace_id) == asset.workspace_id)
            & (col(Edge.target_kind) == str(asset.kind))
            & (col(Edge.target_id) == asset.id)
        )
    )
    scope.session.delete(asset)
    emit(scope, asset.kind, asset.name, f"{spoken(asset.kind).capitalize()} '{named(asset)}' was deleted")
    scope.session.flush()


def set_label(scope: Scope, asset: Asset, label: str) -> None:
    """Puts a label on this version; it leaves the version that had it. Raises Invalid for `latest`."""
    access.require(scope, f"{NOUN[AssetKind(asset.kind)]}/write")
    if label == LATEST:
        raise Invalid("'latest' is always the version created last.", where="label")
    names.checked(label, field="label")
    _alone(scope, AssetKind(asset.kind), asset.name)
    hold(scope, asset)
    key = (asset.workspace_id, AssetKind(asset.kind), asset.name, label)
    scope.session.merge(AssetLabel(workspace_id=key[0], kind=key[1], name=key[2], label=key[3], version=asset.version))
    emit(scope, asset.kind, asset.name, f"Label '{label}' was put on '{named(asset)}'")
    scope.session.flush()


def remove_label(scope: Scope, kind: AssetKind, name: str, label: str) -> None:
    """Raises NotFound."""
    access.require(scope, f"{NOUN[kind]}/write")
    row = scope.session.get(AssetLabel, (scope.workspace_id, kind, name, label), with_for_update=True)
    if row is None:
        raise NotFound(f"{spoken(kind).capitalize()} '{name[:80]}' has no label '{label[:80]}'.")
    scope.session.delete(row)
    emit(scope, kind, name, f"Label '{label}' was taken from '{name}:{row.version}'")
    scope.session.flush()


def labels_of(scope: Scope, asset: Asset) -> list[str]:
    """The labels that stand on this version, without `latest`."""
    access.require(scope, f"{NOUN[AssetKind(asset.kind)]}/read")
    return list(
        scope.session.exec(
            select(AssetLabel.label)
            .where(
                AssetLabel.workspace_id == asset.workspace_id,
                AssetLabel.kind == asset.kind,
                AssetLabel.name == asset.name,
                AssetLabel.version == asset.version,
            )
            .order_by(col(AssetLabel.label))
        )
    )


def hold(scope: Scope, asset: Asset, *, alone: bool = False) -> None:
    """Nobody deletes it before this transaction ends; `alone`: nobody begins to use it either.

    Raises NotFound when it is gone. No permission of its own, it belongs to what is done with it.
    """
    if scope.session.connection().dialect.name != "postgresql":  # SQLite has one writer
        return
    scope.session.flush()
    held = select(Asset.id).where(Asset.id == asset.id)
    held = held.with_for_update() if alone else held.with_for_update(read=True, key_share=True)
    if scope.session.exec(held).first() is None:
        raise NotFound(f"{spoken(asset.kind).capitalize()} '{named(asset)}' was deleted just now.")


def named(asset: Asset) -> str:
    return f"{asset.name}:{asset.version}"


def spoken(kind: str) -> str:
    """The kind as a person says it."""
    return SPOKEN.get(AssetKind(kind), str(kind))


def as_json(asset: Asset, **more: Any) -> dict[str, Any]:
    """What all kinds share, as the cloud's CLI prints it; `more` is what the kind adds."""
    return {
        "name": asset.name,
        "version": asset.version,
        **({"type": asset.type} if asset.type else {}),
        "description": asset.description,
        "tags": asset.tags,
        "properties": asset.properties,
        **more,
        "id": f"azureml:{named(asset)}",
        "creation_context": {
            "created_at": iso(asset.created_at),
            "created_by": asset.created_by,
            "last_modified_at": iso(asset.updated_at),
        },
        "archived": asset.archived_at is not None,
    }


def _row(scope: Scope, kind: AssetKind, name: str, version: str, content: Content) -> Asset:
    return Asset(
        workspace_id=scope.workspace_id,
        kind=kind,
        name=name,
        version=version,
        type=content.type,
        hash=content.hash,
        path=content.path,
        snapshot_id=content.snapshot_id,
        spec=dict(content.spec),
        facts=dict(content.facts),
        job_id=content.job_id,
        created_by=scope.principal.name,
    )


def _same(
    scope: Scope,
    existing: Asset,
    content: Content,
    description: str | None,
    tags: Mapping[str, str] | None,
    properties: Mapping[str, str] | None,
) -> Asset:
    if existing.hash != content.hash:
        raise Conflict(
            f"{spoken(existing.kind).capitalize()} '{named(existing)}' exists with another content.",
            where="version",
            hint="Versions never change. Leave the version out for a new one.",
        )
    _mutate(scope, existing, description, tags or None, properties or None)
    return existing


def _mutate(
    scope: Scope,
    asset: Asset,
    description: str | None,
    tags: Mapping[str, str] | None,
    properties: Mapping[str, str] | None,
) -> None:
    changes = {
        name: value
        for name, value in (("description", description), ("tags", tags), ("properties", properties))
        if value is not None and value != getattr(asset, name)
    }
    for name, value in changes.items():
        setattr(asset, name, dict(value) if isinstance(value, Mapping) else value)
    if changes:
        asset.updated_at = now()
        scope.session.add(asset)


def _filtered(scope: Scope, kind: AssetKind, query: AssetQuery) -> Any:
    other = aliased(Asset)
    newest = select(other.id).where(
        other.workspace_id == Asset.workspace_id, other.kind == Asset.kind, other.name == Asset.name
    )
    if not query.include_archived:
        newest = newest.where(col(other.archived_at).is_(None))
    newest = newest.order_by(col(other.created_at).desc(), col(other.id).desc()).limit(1)
    statement = select(Asset).where(
        Asset.workspace_id == scope.workspace_id,
        Asset.kind == kind,
        col(Asset.is_anonymous).is_(False),
        col(Asset.id) == newest.scalar_subquery(),
    )
    if query.type:
        statement = statement.where(Asset.type == query.type)
    if query.created_by:
        statement = statement.where(Asset.created_by == query.created_by)
    if query.search:
        found = col(Asset.name).icontains(query.search, autoescape=True)
        statement = statement.where(found | col(Asset.description).icontains(query.search, autoescape=True))
    if query.tag:
        key, _, value = query.tag.partition("=")
        statement = statement.where(col(Asset.tags)[key].as_string() == value)
    return statement


def _versions(scope: Scope, kind: AssetKind, name: str) -> Sequence[Asset]:
    return scope.session.exec(
        select(Asset)
        .where(Asset.workspace_id == scope.workspace_id, Asset.kind == kind, Asset.name == name)
        .order_by(col(Asset.created_at).desc(), col(Asset.id).desc())
    ).all()


def _chosen(scope: Scope, kind: AssetKind, ref: refs.Ref) -> Asset:
    rows = _versions(scope, kind, ref.name)
    if not rows:
        raise NotFound(f"{spoken(kind).capitalize()} '{ref.name[:80]}' was not found.")
    if ref.version is not None:
        wanted = ref.version
    elif ref.label in {None, LATEST}:
        return next((row for row in rows if row.archived_at is None), rows[0])
    else:
        label = scope.session.get(AssetLabel, (scope.workspace_id, kind, ref.name, ref.label))
        if label is None:
            raise NotFound(f"{spoken(kind).capitalize()} '{ref.name}' has no label '{str(ref.label)[:80]}'.")
        wanted = label.version
    for row in rows:
        if row.version == wanted:
            return row
    known = ", ".join(row.version for row in rows[:10])
    raise NotFound(
        f"{spoken(kind).capitalize()} '{ref.name}' has no version '{wanted[:80]}'.", hint=f"It has: {known}."
    )


def _found(scope: Scope, kind: AssetKind, name: str, version: str) -> Asset | None:
    return scope.session.exec(
        select(Asset).where(
            Asset.workspace_id == scope.workspace_id,
            Asset.kind == kind,
            Asset.name == name,
            Asset.version == version,
        )
    ).one_or_none()


def _checked_version(version: str) -> str:
    if version == LATEST:
        raise Invalid("'latest' is a label, not a version.", where="version")
    return names.checked_asset(version, field="version")


def _same_type(scope: Scope, name: str, type: str) -> None:
    found = scope.session.exec(
        select(Asset.type).where(
            Asset.workspace_id == scope.workspace_id, Asset.kind == AssetKind.data, Asset.name == name
        )
    ).first()
    if found is not None and found != type:
        raise Conflict(
            f"Data asset '{name}' is of the type {found}, in all of its versions.",
            where="type",
            hint=f"Give another name to what is a {type}.",
        )


def _next_version(scope: Scope, kind: AssetKind, name: str) -> str:
    rows = scope.session.exec(
        select(Asset.version).where(Asset.workspace_id == scope.workspace_id, Asset.kind == kind, Asset.name == name)
    )
    return str(1 + max((number(version) for version in rows), default=0))


def number(version: str) -> int:
    """What a version counts as; 0 when it is no number."""
    return int(version) if version.isdecimal() and len(version) <= DIGITS else 0


def _alone(scope: Scope, kind: AssetKind, name: str) -> None:
    """Two that make the next version at once get two numbers: SQLite has one writer, PostgreSQL is asked for a lock."""
    connection = scope.session.connection()
    if connection.dialect.name == "postgresql":
        key = f"{scope.workspace_id}/{kind}/{name}"
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
