"""Events: what happened, by whom, in the past tense; written in the transaction of what they tell."""

from sqlmodel import col, select

from services import access
from services.store.rows import Event
from services.studio import Scope

_FOLDERS = {"data": "datasets/versions", "batch-endpoint": "batchEndpoints"}


def emit(scope: Scope, kind: str, name: str, message: str, *, reason: str = "") -> None:
    """Record it; no permission of its own, it belongs to the change that it tells."""
    scope.session.add(
        Event(
            principal=scope.principal.name,
            workspace_id=scope.workspace.id if scope.workspace else None,
            kind=kind,
            name=name,
            message=message,
            reason=reason,
            request_id=scope.request_id,
        )
    )


def of(scope: Scope, kind: str, name: str) -> list[Event]:
    """All that happened to one thing, oldest first."""
    access.require(scope, f"{_folder(kind)}/read")
    return list(
        scope.session.exec(
            select(Event)
            .where(Event.workspace_id == scope.workspace_id, Event.kind == kind, Event.name == name)
            .order_by(col(Event.id))
        )
    )


def recent(scope: Scope, *, limit: int = 50) -> list[Event]:
    """The newest events of the workspace."""
    access.require(scope, "workspaces/read")
    return list(
        scope.session.exec(
            select(Event).where(Event.workspace_id == scope.workspace_id).order_by(col(Event.id).desc()).limit(limit)
        )
    )


def _folder(kind: str) -> str:
    return _FOLDERS.get(kind, f"{kind}s")
