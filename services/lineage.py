"""Lineage: which job read what and made what, so that everything can say where it came from and what came of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import and_, delete, func, literal, or_, select, union_all
from sqlmodel import col
from sqlmodel import select as select_rows

from services import access, assets
from services.core.errors import Invalid, NotFound
from services.core.names import folded
from services.core.states import AssetKind
from services.core.times import iso
from services.store.rows import Asset, Build, Edge, Job
from services.store.serving import Deployment, Endpoint
from services.studio import Scope

End = tuple[str, str]
"""("job", job id), ("deployment", its id), (asset kind, asset id) or ("uri", the URI itself)."""

Direction = Literal["both", "up", "down"]
LEVELS = 3
MOST_LEVELS = 20
MOST_NODES = 300
NEXT = 12
NEXT_OF_OPENED = 100
USES = 200


@dataclass(frozen=True)
class Node:
    """One job, asset, deployment or URI. `level` is 0 for what was asked about, below for what it came from, above for
    what came of it; `earlier` and `later` are how many neighbours on either side the graph leaves out.

    `name` is what pages and REST find it by; `digest` is the image's, `hash` the content's.
    """

    kind: str
    id: str
    level: int
    label: str
    name: str = ""
    version: str = ""
    type: str = ""
    status: str = ""
    snapshot: str = ""
    digest: str = ""
    hash: str = ""
    created_at: datetime | None = None
    created_by: str = ""
    earlier: int = 0
    later: int = 0

    @property
    def end(self) -> End:
        return self.kind, self.id

    def as_json(self) -> dict[str, Any]:
        fields = ("kind", "id", "level", "label", "name", "version", "type", "status", "snapshot", "digest", "hash")
        said = {name: getattr(self, name) for name in fields}
        return {
            **said,
            "created_at": iso(self.created_at),
            "created_by": self.created_by,
            "earlier": self.earlier,
            "later": self.later,
        }


@dataclass(frozen=True)
class Link:
    """From what was read or what made it to what read it or was made; `role` is the input's or output's name."""

    source: End
    target: End
    role: str = ""


@dataclass(frozen=True)
class Graph:
    """`is_whole` is False when there was no room for all that the levels hold."""

    root: End
    nodes: list[Node]
    links: list[Link]
    is_whole: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "root": "/".join(self.root),
            "nodes": [node.as_json() for node in self.nodes],
            "edges": [
                {"source": "/".join(link.source), "target": "/".join(link.target), "role": link.role}
                for link in self.links
            ],
            "is_whole": self.is_whole,
        }


def record(scope: Scope, source: End, target: End, role: str = "") -> None:
    """Once, however often it is told; no permission of its own, it belongs to the change that makes it true."""
    edge = Edge(
        workspace_id=scope.workspace_id,
        source_kind=source[0],
        source_id=source[1],
        target_kind=target[0],
        target_id=target[1],
        role=role,
    )
    known = select_rows(Edge.id).filter_by(**edge.model_dump(exclude={"id", "created_at"}))
    if scope.session.exec(known).first() is None:
        scope.session.add(edge)


def forget_sources(scope: Scope, target: End) -> None:
    """What it came from is told anew; no permission of its own, it belongs to the change that makes it true."""
    scope.session.flush()
    scope.session.connection().execute(
        delete(Edge).where(
            (col(Edge.workspace_id) == scope.workspace_id)
            & (col(Edge.target_kind) == target[0])
            & (col(Edge.target_id) == target[1])
        )
    )


def around(
    scope: Scope,
    kind: str,
    id: str,
    *,
    direction: Direction = "both",
    levels: int = LEVELS,
    opened: Collection[End] = (),
) -> Graph:
    """What something came from and what came of it. A job's `id` may be its name, an asset's `name:version`, a
    deployment's `endpoint/name`.

    Of each, the latest few neighbours; those in `opened` show more of them, one level beyond `levels` too.
    Raises NotFound, and Invalid for an unknown kind or too many levels.
    """
    access.require(scope, "jobs/read")
    if not 1 <= levels <= MOST_LEVELS:
        raise Invalid(f"Between 1 and {MOST_LEVELS} levels can be asked for.", where="levels")
    if direction not in {"both", "up", "down"}:
        raise Invalid(f"{direction[:80]!r} is no direction.", where="direction", hint="One of: both, up, down.")
    found = _Found(_root(scope, kind, id))
    if direction in {"both", "up"}:
        _walk(scope, found, levels, frozenset(opened), onward=False)
    if direction in {"both", "down"}:
        _walk(scope, found, levels, frozenset(opened), onward=True)
    _crossed(scope, found)
    return Graph(found.root, _nodes(scope, found), list(found.links), found.is_whole)


def used_by(scope: Scope, asset: Asset) -> list[tuple[Job, str]]:
    """Jobs that read this version, the newest first, each with the name of the input."""
    access.require(scope, "jobs/read")
    links = _neighbours(scope, [(str(asset.kind), asset.id)], USES, onward=True)
    roles = {link.target[1]: link.role for link, _ in links if link.target[0] == "job"}
    rows = _rows(scope, Job, roles)
    return [(row, roles[row.id]) for row in sorted(rows, key=lambda row: row.created_at, reverse=True)]


@dataclass
class _Found:
    root: End
    levels: dict[End, int] = field(default_factory=dict)
    links: dict[Link, None] = field(default_factory=dict)
    hidden: dict[tuple[End, bool], int] = field(default_factory=dict)
    is_whole: bool = True

    def __post_init__(self) -> None:
        self.levels[self.root] = 0


def _walk(scope: Scope, found: _Found, levels: int, opened: frozenset[End], *, onward: bool) -> None:
    """Level by level, so that a node stands at its least distance; ends where there is nothing or no room."""
    frontier, depth = [found.root], 0
    while frontier:
        depth += 1
        wide = [end for end in frontier if end in opened]
        plain = [end for end in frontier if end not in opened]
        shown = _neighbours(scope, wide, NEXT_OF_OPENED, onward=onward)
        shown += _neighbours(scope, plain, NEXT, onward=onward)
        following: list[End] = []
        for link, count in shown:
            here, there = (link.source, link.target) if onward else (link.target, link.source)
            found.hidden.setdefault((here, onward), count)
            if there not in found.levels:
                if depth > levels and here not in opened:
                    continue
                if len(found.levels) >= MOST_NODES:
                    found.is_whole = False
                    continue
                found.levels[there] = depth if onward else -depth
                following.append(there)
            found.links[link] = None
            found.hidden[here, onward] -= 1
        frontier = following


def _crossed(scope: Scope, found: _Found) -> None:
    """What something later read of what is earlier: both are there, so the link between them is too.

    But for environments: nearly all that stands later may share one, and such a line tells nothing.
    """
    later = [end for end, level in found.levels.items() if level > 0]
    for link, _ in _neighbours(scope, later, NEXT_OF_OPENED, onward=False):
        if link.source in found.levels and link.source[0] != AssetKind.environment:
            found.links[link] = None


def _neighbours(scope: Scope, ends: Sequence[End], most: int, *, onward: bool) -> list[tuple[Link, int]]:
    """Links that leave (or reach) these, at most so many of each, the newest; with how many there are in all."""
    if not ends:
        return []
    links = union_all(*_both(scope, ends, onward)).subquery()
    here = (links.c.source_kind, links.c.source_id) if onward else (links.c.target_kind, links.c.target_id)
    place = func.row_number().over(partition_by=here, order_by=(links.c.at.desc(), links.c.other)).label("place")
    ranked = select(links, place, func.count().over(partition_by=here).label("total")).subquery()
    scope.session.flush()
    rows = scope.session.connection().execute(
        select(ranked).where(ranked.c.place <= most).order_by(ranked.c.place, ranked.c.other)
    )
    return [
        (Link((row.source_kind, row.source_id), (row.target_kind, row.target_id), row.role), row.total) for row in rows
    ]


def _both(scope: Scope, ends: Sequence[End], onward: bool) -> list[Any]:
    """Edges that were recorded, and what every job's row says of its environment."""
    sides = (Edge.source_kind, Edge.source_id) if onward else (Edge.target_kind, Edge.target_id)
    other = Edge.target_id if onward else Edge.source_id
    kinds = {kind: [key for each, key in ends if each == kind] for kind, _ in ends}
    is_ours = [and_(col(sides[0]) == kind, col(sides[1]).in_(ids)) for kind, ids in kinds.items()]
    recorded: Any = select(
        col(Edge.source_kind).label("source_kind"),
        col(Edge.source_id).label("source_id"),
        col(Edge.target_kind).label("target_kind"),
        col(Edge.target_id).label("target_id"),
        col(Edge.role).label("role"),
        col(Edge.created_at).label("at"),
        col(other).label("other"),
    ).where(col(Edge.workspace_id) == scope.workspace_id, or_(*is_ours))
    recorded = recorded.where(or_(col(Edge.source_kind) != AssetKind.environment, col(Edge.target_kind) != "job"))
    side = Job.environment_id if onward else Job.id
    built: Any = select(
        literal(str(AssetKind.environment)).label("source_kind"),
        col(Job.environment_id).label("source_id"),
        literal("job").label("target_kind"),
        col(Job.id).label("target_id"),
        literal("environment").label("role"),
        col(Job.created_at).label("at"),
        col(Job.id if onward else Job.environment_id).label("other"),
    ).where(
        col(Job.workspace_id) == scope.workspace_id,
        col(Job.environment_id).is_not(None),
        col(Job.deleted_at).is_(None),
        col(side).in_(kinds.get(str(AssetKind.environment) if onward else "job", [])),
    )
    return [recorded, built]


def _root(scope: Scope, kind: str, id: str) -> End:
    if kind == "job":
        row = scope.session.get(Job, id)
        is_here = row is not None and row.workspace_id == scope.workspace_id and row.deleted_at is None
        return "job", id if is_here else _job(scope, id).id
    if kind == "uri":
        return "uri", id
    if kind == "deployment":
        return kind, _deployment(scope, id).id
    if kind not in AssetKind.__members__:
        known = ", ".join(["job", "deployment", *AssetKind, "uri"])
        raise Invalid(f"{kind[:80]!r} has no lineage.", where="kind", hint=f"One of: {known}.")
    found = scope.session.get(Asset, id)
    if found is not None and found.workspace_id == scope.workspace_id and found.kind == kind:
        return kind, id
    name, _, version = id.partition(":")
    return kind, assets.get(scope, AssetKind(kind), name, version or None).id


def _nodes(scope: Scope, found: _Found) -> list[Node]:
    jobs = {row.id: row for row in _rows(scope, Job, _ids(found, "job"))}
    served = {row.id: row for row in _rows(scope, Deployment, _ids(found, "deployment"))}
    places = _places(scope, served.values())
    kept = {row.id: row for row in _rows(scope, Asset, [key for kind in AssetKind for key in _ids(found, kind)])}
    digests = _digests(scope, kept.values())
    nodes = []
    for end, level in found.levels.items():
        kind, key = end
        if kind == "job" and key in jobs:
            nodes.append(_job_node(jobs[key], level))
        elif kind == "deployment" and key in served:
            nodes.append(_deployment_node(served[key], places[served[key].endpoint_id], level))
        elif key in kept:
            nodes.append(_asset_node(kept[key], level, digests))
        elif kind == "uri":
            nodes.append(Node(kind, key, level, key.rstrip("/").rpartition("/")[2] or key, name=key))
        else:
            nodes.append(Node(kind, key, level, f"Deleted {kind}", status="Deleted"))
    return [
        replace(node, earlier=found.hidden.get((node.end, False), 0), later=found.hidden.get((node.end, True), 0))
        for node in nodes
    ]


def _job_node(row: Job, level: int) -> Node:
    return Node(
        "job",
        row.id,
        level,
        row.display_name or row.name,
        name=row.name,
        type=row.type,
        status=str(row.status),
        snapshot=row.snapshot_id or "",
        digest=str(row.resolved.get("digest") or ""),
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _deployment_node(row: Deployment, endpoint: str, level: int) -> Node:
    """Its `name` is `endpoint/deployment`."""
    return Node(
        "deployment",
        row.id,
        level,
        row.name,
        name=f"{endpoint}/{row.name}",
        type=row.kind,
        status=str(row.provisioning_state),
        snapshot=row.snapshot_id or "",
        digest=row.digest,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _asset_node(row: Asset, level: int, digests: Mapping[str, str]) -> Node:
    return Node(
        str(row.kind),
        row.id,
        level,
        anonymous_label(row) if row.is_anonymous else row.name,
        name=row.name,
        version="" if row.is_anonymous else row.version,
        type=row.type,
        status="Archived" if row.archived_at else "",
        snapshot=row.snapshot_id or "",
        digest=digests.get(row.hash, ""),
        hash=row.hash,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def anonymous_label(row: Asset) -> str:
    """What its writer would know it by."""
    last = row.path.rstrip("/").rpartition("/")[2]
    return str(row.spec.get("image") or last or ("build context" if row.snapshot_id else row.name))


def _ids(found: _Found, kind: str) -> list[str]:
    return [key for each, key in found.levels if each == kind]


def _rows(scope: Scope, table: type[Any], ids: Collection[str]) -> list[Any]:
    if not ids:
        return []
    wanted = select_rows(table).where(table.workspace_id == scope.workspace_id, col(table.id).in_(ids))
    return [row for row in scope.session.exec(wanted) if getattr(row, "deleted_at", None) is None]


def _digests(scope: Scope, rows: Iterable[Asset]) -> dict[str, str]:
    """Of each environment's definition the image that was last built of it."""
    hashes = {row.hash for row in rows if row.kind == AssetKind.environment}
    if not hashes:
        return {}
    built = select_rows(Build).where(Build.workspace_id == scope.workspace_id, col(Build.hash).in_(hashes))
    return {row.hash: row.digest for row in scope.session.exec(built.order_by(col(Build.created_at))) if row.digest}


def _places(scope: Scope, rows: Iterable[Deployment]) -> dict[str, str]:
    """Names of their endpoints."""
    ids = {row.endpoint_id for row in rows}
    return {row.id: row.name for row in _rows(scope, Endpoint, ids)}


def _deployment(scope: Scope, id: str) -> Deployment:
    """By its id, or by `endpoint/deployment`."""
    endpoint, _, name = id.partition("/")
    ours = select_rows(Deployment).where(Deployment.workspace_id == scope.workspace_id)
    named = ours.join(Endpoint, col(Endpoint.id) == Deployment.endpoint_id).where(
        Endpoint.folded == folded(endpoint), Deployment.folded == folded(name)
    )
    row = scope.session.exec(named if name else ours.where(Deployment.id == id)).first()
    if row is None:
        raise NotFound(f"Deployment '{id[:80]}' was not found.")
    return row


def _job(scope: Scope, name: str) -> Job:
    row = scope.session.exec(
        select_rows(Job).where(Job.workspace_id == scope.workspace_id, Job.name == name, col(Job.deleted_at).is_(None))
    ).one_or_none()
    if row is None:
        raise NotFound(f"Job '{name[:80]}' was not found.")
    return row
