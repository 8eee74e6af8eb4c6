"""Views of runs, and the boards of their dashboards."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import views
from services.specs.tiles import Board
from services.specs.views import ViewBody

router = APIRouter(prefix="/workspaces/{ws}", tags=["views"])
Name = Annotated[str, Field(max_length=200)]


class Making(BaseModel):
    """A view; without an experiment it is of the whole workspace."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    experiment: str = ""
    is_shared: bool = False
    body: ViewBody = ViewBody()


class Change(BaseModel):
    """What may change; left out: as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name | None = None
    is_shared: bool | None = None
    body: ViewBody | None = None


@router.get("/views")
def listed(asking: Asking, ws: str, experiment: str = "") -> Any:
    """One's own and the shared views of an experiment, or of the whole workspace."""
    with asking.scope(ws) as scope:
        return page([views.as_json(scope, row) for row in views.listed(scope, experiment)])


@router.post("/views", status_code=201, openapi_extra=described(Making))
def create(asking: Asking, ws: str, sent: Making = body(Making)) -> Any:
    """Saves a view."""
    with asking.scope(ws, write=True) as scope:
        row = views.create(scope, sent.name, sent.body, experiment=sent.experiment, is_shared=sent.is_shared)
        return views.as_json(scope, row)


@router.get("/views/{view}")
def show(asking: Asking, ws: str, view: str) -> Any:
    """One view."""
    with asking.scope(ws) as scope:
        return views.as_json(scope, views.get(scope, view))


@router.patch("/views/{view}", openapi_extra=described(Change))
def change(asking: Asking, ws: str, view: str, sent: Change = body(Change)) -> Any:
    """Renames, shares or replaces one's own view."""
    with asking.scope(ws, write=True) as scope:
        return views.as_json(scope, views.change(scope, view, name=sent.name, body=sent.body, is_shared=sent.is_shared))


@router.delete("/views/{view}", status_code=204)
def delete(asking: Asking, ws: str, view: str) -> None:
    """Deletes a view."""
    with asking.scope(ws, write=True) as scope:
        views.delete(scope, view)


@router.post("/boards", status_code=201, openapi_extra=described(Board))
def keep(asking: Asking, ws: str, sent: Board = body(Board)) -> Any:
    """Keeps the sections and tiles of a dashboard by their content; the same ones get the same id."""
    with asking.scope(ws, write=True) as scope:
        return {"id": views.put_board(scope, sent.model_dump(mode="json"))}


@router.get("/boards/{board}")
def board(asking: Asking, ws: str, board: str) -> Any:
    """The sections and tiles of a dashboard."""
    with asking.scope(ws) as scope:
        return views.get_board(scope, board).model_dump(mode="json")
