"""Who calls: the principal that the gate established, and the one transaction in which the call is answered."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Request

from app.api.problems import request_id
from services.core.errors import Conflict, Denied
from services.store.rows import Asset, Job, Principal, Workspace
from services.store.serving import Deployment, Endpoint
from services.studio import Scope, Studio


class Caller:
    """One request."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.studio: Studio = request.app.state.studio

    @property
    def principal(self) -> Principal:
        found = self.request.scope.get("atelier.principal")
        if not isinstance(found, Principal):
            raise Denied("You are not signed in.")
        return found

    @contextmanager
    def scope(self, workspace: str | None, *, write: bool = False, deleted: bool = False) -> Iterator[Scope]:
        """One transaction in that workspace. Raises NotFound as the studio does."""
        with self.studio.scope(
            self.principal, workspace, write=write, deleted=deleted, request_id=request_id(self.request.scope)
        ) as opened:
            yield opened

    def expects(self, scope: Scope, row: Workspace | Job | Asset | Endpoint | Deployment) -> None:
        """Raises Conflict (412) when the caller has seen another revision; holds the row until the change is done."""
        wanted = self.request.headers.get("if-match", "").strip()
        if not wanted or wanted == "*":
            return
        scope.session.refresh(row, with_for_update=True)
        if wanted.removeprefix("W/").strip('"') != revision(row):
            error = Conflict(
                "It was changed by somebody else since you read it.", hint="Read it again, then change it."
            )
            error.code, error.status = "PreconditionFailed", 412
            raise error

    @property
    def alive(self) -> Callable[[], Awaitable[bool]]:
        """Whether who called may still be here: asked by what stays open for long."""
        found: Callable[[], Awaitable[bool]] = self.request.scope["atelier.alive"]
        return found

    @property
    def base_url(self) -> str:
        """The studio's address as this caller sees it."""
        public = self.studio.settings.public_url.rstrip("/")
        return public or f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"


def revision(row: Workspace | Job | Asset | Endpoint | Deployment) -> str:
    """What a change makes another: the counted one, or of an asset when it was changed, in microseconds."""
    return str(int(row.updated_at.timestamp() * 1_000_000) if isinstance(row, Asset) else row.revision)


def page(rows: list[Any], cursor: str = "") -> Mapping[str, Any]:
    return {"value": rows, "next_cursor": cursor}


Asking = Annotated[Caller, Depends(Caller)]
