"""Views: personal ones are one's own, shared ones everybody's to open; boards are kept by content."""

import pytest
from pydantic import ValidationError

from services import events, experiments, views, workspaces
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.specs.views import ViewBody
from services.specs.workspaces import Workspace
from services.store.rows import Principal
from tests.conftest import Stage

BOARD = {"sections": [{"title": "Custom", "tiles": [{"type": "line", "id": "t1", "metrics": ["loss"]}]}]}


def made(stage: Stage, who: Principal | None = None, name: str = "Mine", **fields: object) -> str:
    with stage.scope(who or stage.ben) as scope:
        return views.create(scope, name, ViewBody(filter="metrics.loss < 0.2"), **fields).id  # type: ignore[arg-type]


def names_of(stage: Stage, who: Principal, experiment: str = "") -> list[str]:
    with stage.scope(who, write=False) as scope:
        return [row.name for row in views.listed(scope, experiment)]


def test_a_personal_view_is_nobody_elses(stage: Stage):
    mine = made(stage)
    assert names_of(stage, stage.ben) == ["Mine"]
    assert names_of(stage, stage.ada) == []
    with stage.scope(stage.ada, write=False) as scope:
        with pytest.raises(NotFound):
            views.get(scope, mine)
        assert "view" not in {event.kind for event in events.recent(scope)}


def test_a_shared_view_is_everybodys_to_open_and_its_makers_to_change(stage: Stage):
    shared = made(stage, name="Ours", is_shared=True)
    assert names_of(stage, stage.cleo) == ["Ours"]
    with stage.scope(stage.cleo) as scope, pytest.raises(Denied):
        views.change(scope, shared, name="Hers")
    with stage.scope(stage.ben) as scope:
        row = views.change(scope, shared, body=ViewBody(columns=["metrics.loss"]))
        assert row.body == {"columns": ["metrics.loss"]}


def test_an_owner_takes_away_a_shared_view(stage: Stage):
    shared = made(stage, name="Ours", is_shared=True)
    with stage.scope(stage.ada) as scope:
        views.delete(scope, shared)
    assert names_of(stage, stage.ben) == []


def test_a_reader_keeps_views_but_shares_none(stage: Stage):
    made(stage, stage.cleo, "Hers")
    assert names_of(stage, stage.cleo) == ["Hers"]
    with pytest.raises(Denied):
        made(stage, stage.cleo, "For all", is_shared=True)


def test_a_name_is_taken_once_a_person_and_place(stage: Stage):
    made(stage)
    with pytest.raises(Conflict, match="already"):
        made(stage, name=" mine ")
    made(stage, stage.ada)
    with stage.scope() as scope:
        experiments.ensure(scope, "iris")
    made(stage, experiment="iris")
    assert names_of(stage, stage.ben, "iris") == ["Mine"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\u202eb", "Default view", "default VIEW"])
def test_bad_names_are_refused(lite: Stage, name: str):
    with pytest.raises(Invalid):
        made(lite, name=name)


@pytest.mark.parametrize(
    "body",
    [{"filter": "metrics.loss <"}, {"columns": ["nothing"]}, {"order_by": ["--created"]}, {"widths": {"name": 3}}],
)
def test_what_could_not_be_shown_is_not_kept(body: dict[str, object]):
    with pytest.raises(ValidationError):
        ViewBody.model_validate(body)


def test_a_board_is_kept_by_its_content(stage: Stage):
    with stage.scope(stage.cleo) as scope:
        first, again = views.put_board(scope, BOARD), views.put_board(scope, BOARD)
        other = views.put_board(scope, {"sections": []})
    assert first == again != other
    with stage.scope(stage.ben, write=False) as scope:
        assert [tile.id for tile in views.get_board(scope, first).sections[0].tiles] == ["t1"]
        with pytest.raises(NotFound):
            views.get_board(scope, "0" * 16)


def test_a_bad_board_is_refused_with_the_place(lite: Stage):
    with lite.scope() as scope, pytest.raises(Invalid, match="colour"):
        views.put_board(scope, {"sections": [{"title": "x", "tiles": [{"type": "line", "id": "t", "colour": "red"}]}]})


def test_a_view_names_a_board_that_is_there(lite: Stage):
    with lite.scope() as scope, pytest.raises(NotFound):
        views.create(scope, "Broken", ViewBody(board="0" * 16))


def test_what_was_looked_at_last_is_remembered_and_in_no_list(stage: Stage):
    for columns in (["metrics.loss"], ["params.lr"]):
        with stage.scope(stage.cleo) as scope:
            views.remember(scope, ViewBody(columns=columns))
    with stage.scope(stage.cleo, write=False) as scope:
        assert views.remembered(scope) == ViewBody(columns=["params.lr"])
        assert views.listed(scope) == []
    with stage.scope(stage.ben, write=False) as scope:
        assert views.remembered(scope) is None


def test_boards_and_views_do_not_leave_their_workspace(stage: Stage):
    with stage.scope() as scope:
        board = views.put_board(scope, BOARD)
    shared = made(stage, stage.ada, "Ours", is_shared=True)
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, Workspace(name="other"))
    with stage.scope(workspace="other", write=False) as scope:
        for ask in (lambda: views.get_board(scope, board), lambda: views.get(scope, shared)):
            with pytest.raises(NotFound):
                ask()
