"""Lineage: which job read what and made what, so that everything can say where it came from and what came of it."""

from sqlmodel import select

from services.store.rows import Edge
from services.studio import Scope

End = tuple[str, str]
"""("job", job id), (asset kind, asset id) or ("uri", the URI itself)."""


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
    known = select(Edge.id).filter_by(**edge.model_dump(exclude={"id", "created_at"}))
    if scope.session.exec(known).first() is None:
        scope.session.add(edge)
