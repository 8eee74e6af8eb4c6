"""Who calls: the principal that the gate established, and the one transaction in which the call is answered."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Request

from app.api.problems import request_id
from services.core.errors import Conflict, Denied
from services.store.rows import Principal
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

    def expects(self, revision: int) -> None:
        """Raises Conflict (412) when the caller has seen another revision than this one."""
        wanted = self.request.headers.get("if-match", "").strip()
        if wanted and wanted != "*" and wanted.removeprefix("W/").strip('"') != str(revision):
            error = Conflict(
                "It was changed by somebody else since you read it.", hint="Read it again, then change it."
            )
            error.code, error.status = "PreconditionFailed", 412
            raise error

    @property
    def base_url(self) -> str:
        """The studio's address as this caller sees it."""
        public = self.studio.settings.public_url.rstrip("/")
        return public or f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"


def page(rows: list[Any], cursor: str = "") -> Mapping[str, Any]:
    return {"value": rows, "next_cursor": cursor}


Asking = Annotated[Caller, Depends(Caller)]
