"""Tiles as they are written: every kind, what is refused and where, and that a board survives being kept."""

from typing import Any

import pytest

from services.core.errors import Invalid
from services.specs.problems import checked
from services.specs.tiles import MOST_TILES, Board, Drawing, Line, Scatter

EVERY: list[dict[str, Any]] = [
    {"type": "line", "metrics": ["loss"]},
    {"type": "bar", "value": "metrics.loss"},
    {"type": "scatter", "x": "params.lr", "y": "min(metrics.loss)"},
    {"type": "parallel", "fields": ["params.lr", "metrics.loss"]},
    {"type": "importance", "target": "metrics.loss"},
    {"type": "contour", "x": "params.lr", "y": "params.depth", "z": "metrics.loss"},
    {"type": "box", "value": "metrics.loss", "group_by": ["params.opt"]},
    {"type": "histogram", "metric": "loss"},
    {"type": "images"},
    {"type": "table", "path": "eval.json"},
    {"type": "table", "fields": ["status"]},
    {"type": "markdown", "text": "# Hello"},
    {"type": "scalar", "value": "metrics.loss", "pick": "best"},
    {"type": "resource", "name": "gpu"},
    {"type": "compare", "fields": ["params.lr"], "baseline": "j1"},
]


def board(*tiles: dict[str, Any]) -> dict[str, Any]:
    return {"sections": [{"title": "One", "tiles": [{"id": f"t{at}", **tile} for at, tile in enumerate(tiles)]}]}


def test_a_board_of_every_kind_is_the_same_after_it_was_kept():
    made = checked(Board, board(*EVERY))
    assert checked(Board, made.model_dump(mode="json")) == made
    assert checked(Board, made.model_dump(mode="json", exclude_defaults=True)) == made


def test_fields_are_kept_in_their_canonical_spelling():
    tile = checked(
        Drawing, {"tile": {"id": "a", "type": "scatter", "x": " metrics.`loss` ", "y": "last(metrics.a)"}}
    ).tile
    assert isinstance(tile, Scatter)
    assert (tile.x, tile.y) == ("metrics.loss", "metrics.a")


@pytest.mark.parametrize(
    ("tile", "said"),
    [
        ({"type": "line"}, "'tile.line.metrics' is required."),
        ({"type": "line", "metrics": []}, "must not be empty"),
        ({"type": "line", "metrics": ["a"], "x": "metric"}, "x_metric"),
        ({"type": "line", "metrics": ["a"], "weight": 1}, "at most 0.99"),
        ({"type": "line", "metrics": ["a"], "width": 5}, "width"),
        ({"type": "line", "metrics": ["a"], "height": 20}, "at least 160"),
        ({"type": "line", "metrics": ["a"], "colour": "red"}, "Unknown field 'tile.line.colour'"),
        ({"type": "line", "metrics": ["a"] * 21}, "at most 20"),
        ({"type": "bar", "value": "loss"}, "'loss' is nothing that a run has."),
        ({"type": "table"}, "path"),
        ({"type": "table", "path": "a.json", "fields": ["status"]}, "path"),
        ({"type": "parallel", "fields": ["status"]}, "fields"),
        ({"type": "pie"}, "'pie'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tile: dict[str, Any], said: str):
    with pytest.raises(Invalid) as raised:
        checked(Drawing, {"tile": {"id": "a", **tile}, "runs": []})
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["", "a b", "<img>", "a" * 41, "é"])
def test_an_id_is_a_plain_word(name: str):
    with pytest.raises(Invalid):
        checked(Drawing, {"tile": {**EVERY[0], "id": name}})


def test_two_tiles_of_a_board_have_two_ids():
    made = board(EVERY[0], EVERY[1])
    made["sections"].append({"title": "Two", "tiles": [{"id": "t1", **EVERY[2]}]})
    with pytest.raises(Invalid, match="'t1' is given to two tiles"):
        checked(Board, made)


def test_a_board_has_an_end():
    tiles = [{"id": f"t{at}", **EVERY[0]} for at in range(MOST_TILES // 2 + 1)]
    more = [{**tile, "id": f"u{at}"} for at, tile in enumerate(tiles)]
    with pytest.raises(Invalid, match=f"at most {MOST_TILES} tiles"):
        checked(Board, {"sections": [{"title": "a", "tiles": tiles}, {"title": "b", "tiles": more}]})


def test_a_drawing_is_of_at_most_200_runs():
    with pytest.raises(Invalid, match="at most 200"):
        checked(Drawing, {"tile": {"id": "a", **EVERY[0]}, "runs": ["r"] * 201})


def test_a_line_is_six_twelfths_wide_unless_told():
    tile = Line(id="a", metrics=["loss"])
    assert (tile.width, tile.height, tile.hidden, tile.x, tile.smoothing) == (6, 300, False, "step", "none")
