"""Views of runs, personal and shared, and the boards of their dashboards.

A board is kept by its content: who changes one gets another id, so that a link shows tomorrow what it showed today.
What a person looked at last is a view of theirs without a name. A personal view touches nobody else's work: whoever
may read runs may keep one; sharing needs the right to write.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from sqlmodel import col, func, or_, select

from services import access, experiments
from services.core import names
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.times import iso, now
from services.events import emit
from services.specs.problems import checked
from services.specs.tiles import Board as BoardSpec
from services.specs.views import ViewBody
from services.store.rows import Board, Experiment, View
from services.studio import Scope

DEFAULT = "Default view"
LAST = ""
MOST = 500
LONGEST = 80


def listed(scope: Scope, experiment: str = "") -> list[View]:
    """Mine and the shared ones of an experiment, or of the whole workspace, by name."""
    access.require(scope, "experiments/runs/read")
    here = _place(scope, experiment)
    query = select(View).where(
        View.workspace_id == scope.workspace_id, View.experiment == here, View.name != LAST, _open_to(scope)
    )
    return list(scope.session.exec(query.order_by(func.lower(View.name), col(View.id))))


def get(scope: Scope, view_id: str) -> View:
    """Raises NotFound, also for another's personal one."""
    access.require(scope, "experiments/runs/read")
    row = scope.session.exec(
        select(View).where(View.id == view_id, View.workspace_id == scope.workspace_id, _open_to(scope))
    ).one_or_none()
    if row is None:
        raise NotFound("This view was not found.", hint="It may have been deleted, or is somebody's own.")
    return row


def create(scope: Scope, name: str, body: ViewBody, *, experiment: str = "", is_shared: bool = False) -> View:
    """Raises Conflict for a name that is taken among one's own, Invalid for that of the default view."""
    access.require(scope, "experiments/runs/write" if is_shared else "experiments/runs/read")
    here, named = _place(scope, experiment), _name(name)
    _check_free(scope, here, named)
    mine = select(func.count()).where(View.workspace_id == scope.workspace_id, View.owner_id == scope.principal.id)
    if scope.session.exec(mine).one() >= MOST:
        raise Conflict(f"You have {MOST} views here.", hint="Delete some that you do not use.")
    row = View(
        workspace_id=scope.workspace_id,
        experiment=here,
        owner_id=scope.principal.id,
        name=named,
        is_shared=is_shared,
        body=_body(scope, body),
        created_by=scope.principal.name,
    )
    scope.session.add(row)
    _told(scope, row, f"Shared view '{named}' was made")
    return row


def change(
    scope: Scope, view_id: str, *, name: str | None = None, body: ViewBody | None = None, is_shared: bool | None = None
) -> View:
    """What is None stays. Raises Denied for another's view, shared or not."""
    access.require(scope, "experiments/runs/read")
    row = get(scope, view_id)
    if row.is_shared or is_shared:
        access.require(scope, "experiments/runs/write")
    _check_mine(scope, row)
    if name is not None and (named := _name(name)) != row.name:
        _check_free(scope, row.experiment, named)
        row.name = named
    if body is not None:
        row.body = _body(scope, body)
    if is_shared is not None:
        row.is_shared = is_shared
    row.updated_at, row.revision = now(), row.revision + 1
    scope.session.add(row)
    _told(scope, row, f"Shared view '{row.name}' was changed")
    return row


def delete(scope: Scope, view_id: str) -> None:
    """An Owner may also take away another's shared one."""
    access.require(scope, "experiments/runs/read")
    row = get(scope, view_id)
    if row.is_shared:
        access.require(scope, "experiments/runs/write")
    if "Owner" not in scope.roles:
        _check_mine(scope, row)
    scope.session.delete(row)
    _told(scope, row, f"Shared view '{row.name}' was deleted")


def remember(scope: Scope, body: ViewBody, experiment: str = "") -> None:
    """What this person looks at, to come back to it when the address says nothing."""
    access.require(scope, "experiments/runs/read")
    row, kept = _last(scope, experiment), body.model_dump(mode="json", exclude_defaults=True)
    if row is None:
        here, me = _place(scope, experiment), scope.principal
        row = View(
            workspace_id=scope.workspace_id, experiment=here, owner_id=me.id, name=LAST, created_by=me.name, body=kept
        )
    row.body, row.updated_at = kept, now()
    scope.session.add(row)


def remembered(scope: Scope, experiment: str = "") -> ViewBody | None:
    """What this person looked at last, unless a later release would not understand it."""
    access.require(scope, "experiments/runs/read")
    row = _last(scope, experiment)
    try:
        return checked(ViewBody, row.body) if row is not None else None
    except Invalid:
        return None


def put_board(scope: Scope, body: Mapping[str, Any]) -> str:
    """Keeps sections and tiles; the id, the same for the same. Raises Invalid naming the tile and the field."""
    access.require(scope, "experiments/runs/read")
    board = checked(BoardSpec, dict(body)).model_dump(mode="json")
    found = hashlib.sha256(orjson.dumps(board, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    if scope.session.get(Board, (scope.workspace_id, found)) is None:
        scope.session.add(Board(workspace_id=scope.workspace_id, id=found, body=board))
    return found


def get_board(scope: Scope, board_id: str) -> BoardSpec:
    """Raises NotFound."""
    access.require(scope, "experiments/runs/read")
    row = scope.session.get(Board, (scope.workspace_id, board_id))
    if row is None:
        raise NotFound("This dashboard was not found.", hint="The link may have been cut short.")
    return checked(BoardSpec, row.body)


def as_json(scope: Scope, row: View) -> dict[str, Any]:
    access.require(scope, "experiments/runs/read")
    experiment = scope.session.get(Experiment, row.experiment) if row.experiment else None
    return {
        "id": row.id,
        "name": row.name,
        "experiment": experiment.name if experiment else "",
        "is_shared": row.is_shared,
        "is_mine": row.owner_id == scope.principal.id,
        "body": row.body,
        "created_by": row.created_by,
        "updated_at": iso(row.updated_at),
    }


def _place(scope: Scope, experiment: str) -> str:
    """By id, because an experiment may get another name."""
    return experiments.get(scope, experiment).id if experiment else ""


def _last(scope: Scope, experiment: str) -> View | None:
    return scope.session.exec(
        select(View).where(
            View.workspace_id == scope.workspace_id,
            View.experiment == _place(scope, experiment),
            View.owner_id == scope.principal.id,
            View.name == LAST,
        )
    ).one_or_none()


def _open_to(scope: Scope) -> Any:
    return or_(col(View.is_shared).is_(True), View.owner_id == scope.principal.id)


def _name(given: str) -> str:
    name = names.checked_display_name(" ".join(given.split()), field="name")
    if not 0 < len(name) <= LONGEST:
        raise Invalid(f"A view's name has 1 to {LONGEST} characters.", where="name")
    if name.casefold() == DEFAULT.casefold():
        raise Invalid(f"'{DEFAULT}' is made from what was logged and stays as it is.", where="name")
    return name


def _check_free(scope: Scope, experiment: str, name: str) -> None:
    same = select(View.id).where(
        View.workspace_id == scope.workspace_id,
        View.experiment == experiment,
        View.owner_id == scope.principal.id,
        func.lower(View.name) == name.lower(),
    )
    if scope.session.exec(same).first() is not None:
        raise Conflict(f"You have a view '{name}' here already.", hint="Change that one, or take another name.")


def _check_mine(scope: Scope, row: View) -> None:
    if row.owner_id != scope.principal.id:
        raise Denied(
            f"View '{row.name}' belongs to {row.created_by}.",
            hint="Save it under a name of your own, then change that.",
        )


def _body(scope: Scope, body: ViewBody) -> dict[str, Any]:
    """With a board that is there, else a link to the view would lead nowhere."""
    if body.board:
        get_board(scope, body.board)
    return body.model_dump(mode="json", exclude_defaults=True)


def _told(scope: Scope, row: View, message: str) -> None:
    """What is somebody's own is nobody else's news."""
    if row.is_shared:
        emit(scope, "view", row.name, message)
