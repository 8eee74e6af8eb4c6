"""Workspaces, and who is asking."""

from typing import Any

from fastapi import APIRouter, Response

from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import workspaces
from services.specs.workspaces import Workspace, WorkspaceUpdate

router = APIRouter(tags=["workspaces"])


@router.get("/whoami")
def whoami(asking: Asking) -> dict[str, Any]:
    """Who the token belongs to, and their roles over the whole install."""
    with asking.scope(None) as scope:
        return {
            "name": scope.principal.name,
            "display_name": scope.principal.display_name,
            "kind": scope.principal.kind,
            "roles": sorted(scope.roles),
        }


@router.get("/workspaces")
def listed(asking: Asking, deleted: bool = False) -> Any:
    """The workspaces that the caller may open; with `deleted` those that can be recovered."""
    with asking.scope(None) as scope:
        return page([workspaces.as_json(row) for row in workspaces.listed(scope, deleted=deleted)])


@router.post("/workspaces", status_code=201, openapi_extra=described(Workspace))
def create(asking: Asking, spec: Workspace = body(Workspace)) -> Any:
    """Creates a workspace; a name is enough."""
    with asking.scope(None, write=True) as scope:
        return workspaces.as_json(workspaces.create(scope, spec))


@router.get("/workspaces/{ws}")
def show(asking: Asking, ws: str, response: Response) -> Any:
    """One workspace, with its revision as ETag."""
    with asking.scope(ws) as scope:
        row = workspaces.get(scope)
        response.headers["ETag"] = f'"{row.revision}"'
        return workspaces.as_json(row)


@router.patch("/workspaces/{ws}", openapi_extra=described(WorkspaceUpdate))
def update(asking: Asking, ws: str, response: Response, change: WorkspaceUpdate = body(WorkspaceUpdate)) -> Any:
    """Changes what is given; If-Match guards against somebody else's change."""
    with asking.scope(ws, write=True) as scope:
        asking.expects(scope, workspaces.get(scope))
        row = workspaces.update(scope, change)
        response.headers["ETag"] = f'"{row.revision}"'
        return workspaces.as_json(row)


@router.delete("/workspaces/{ws}")
def delete(asking: Asking, ws: str) -> Any:
    """Deletes softly: recoverable for 14 days."""
    with asking.scope(ws, write=True) as scope:
        return workspaces.as_json(workspaces.delete(scope))


@router.post("/workspaces/{ws}/recover")
def recover(asking: Asking, ws: str) -> Any:
    """Brings a deleted workspace back."""
    with asking.scope(ws, write=True, deleted=True) as scope:
        return workspaces.as_json(workspaces.recover(scope))


@router.post("/workspaces/{ws}/purge", status_code=202)
def purge(asking: Asking, ws: str) -> Any:
    """Removes a deleted workspace for good."""
    with asking.scope(ws, write=True, deleted=True) as scope:
        return workspaces.as_json(workspaces.purge(scope))
