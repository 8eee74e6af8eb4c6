"""The lineage's screen: a graph that is laid out without a line going back."""

from typing import Any

import pytest

from app.ui import graph, lineage_graph
from app.ui.graph import Box, Line
from services import assets, jobs, lineage
from services.assets import Content
from services.core.states import AssetKind
from services.specs.jobs import CommandJob
from services.store.rows import Asset, Job
from services.studio import Scope
from tests.conftest import Stage
from tests.pages import seed
from tests.pages.conftest import Opened, said


def box(name: str, side: int = 0) -> Box:
    return Box(name, "job", "play_circle", name, side)


def job(scope: Scope, name: str, **changes: Any) -> Job:
    spec = {"command": "echo", "environment": {"image": "debian:12"}, "name": name, **changes}
    return jobs.submit(scope, CommandJob.model_validate(spec))


def walked(stage: Stage) -> tuple[Asset, Job, Asset]:
    """data → job → model, with names that try to break out."""
    with stage.scope() as scope:
        data = assets.register(
            scope,
            AssetKind.data,
            "iris",
            None,
            Content("h" * 64, type="uri_folder", path="azureml://datastores/a/paths/b"),
        )
        made = job(scope, "train", display_name=seed.HOSTILE)
        model = assets.register(
            scope, AssetKind.model, "flower", None, Content("m" * 64, type="mlflow_model", path="x")
        )
        lineage.record(scope, ("data", data.id), ("job", made.id), "table")
        lineage.record(scope, ("uri", "https://host/a,b/c d.csv"), ("job", made.id), "more")
        lineage.record(scope, ("job", made.id), ("model", model.id), "model")
        return data, made, model


def test_columns_follow_the_longest_way():
    boxes = [box("root"), box("a", -1), box("b", -1), box("c", -1), box("x", 1), box("y", 1)]
    lines = [Line("a", "b"), Line("b", "root"), Line("a", "root"), Line("c", "root"), Line("root", "x"), Line("x", "y")]
    drawn = graph.layout(boxes, [*lines, Line("root", "y")])
    across = {name: place.x for name, place in drawn.places.items()}
    assert across["a"] < across["b"] == across["c"] < across["root"] < across["x"] < across["y"]
    assert all(across[line.source] < across[line.target] for line in lines)


def test_no_two_boxes_share_a_place_and_all_are_inside():
    boxes = [box("root"), *(box(f"n{place}", 1) for place in range(30))]
    drawn = graph.layout(boxes, [Line("root", f"n{place}") for place in range(30)])
    assert len(set(drawn.places.values())) == len(boxes)
    assert all(0 <= place.x <= drawn.width - graph.WIDTH for place in drawn.places.values())
    assert all(0 <= place.y <= drawn.height - graph.HEIGHT for place in drawn.places.values())


def test_no_line_lies_under_a_box():
    boxes = [box("root"), box("a", -1), box("b", -1), box("c", -1), box("x", 1)]
    lines = [Line("a", "b"), Line("b", "c"), Line("c", "root"), Line("root", "x"), Line("a", "root"), Line("a", "x")]
    drawn = graph.layout(boxes, lines)
    assert [len(way) for way in drawn.ways] == [0, 0, 0, 0, 2, 3]
    for way in drawn.ways:
        for lane in way:
            column = [place for place in drawn.places.values() if place.x == lane.x]
            assert all(not place.y - 4 < lane.y < place.y + graph.HEIGHT + 4 for place in column)


def test_a_circle_and_a_box_alone_are_drawn():
    circle = graph.layout([box("root"), box("a", 1)], [Line("root", "a"), Line("a", "root")])
    assert circle.places["root"] != circle.places["a"]
    longer = [Line("root", "a"), Line("a", "b"), Line("b", "a")]
    assert len(set(graph.layout([box("root"), box("a", 1), box("b", 1)], longer).places.values())) == 3
    assert len(graph.layout([box("root")], []).places) == 1


def test_a_node_is_named_in_an_address_and_read_back():
    for end in (("job", "ab12"), ("uri", "https://host/a,b/c d.csv?x=ü")):
        assert "," not in lineage_graph.key(end)
        assert lineage_graph.ends([lineage_graph.key(end)]) == {end}


def test_it_says_where_to_start(house: Stage, opened: Opened) -> None:
    assert "Choose where to start" in said(opened("lineage"))


@pytest.mark.parametrize("direction", ["", "up", "down", "sideways"])
def test_the_graph_opens_for_whatever_it_starts_from(house: Stage, opened: Opened, direction: str) -> None:
    data, made, model = walked(house)
    for kind, key in (
        ("data", data.id),
        ("job", made.id),
        ("model", model.id),
        ("job", "train"),
        ("model", "flower:1"),
    ):
        test = opened("lineage", kind=kind, id=key, direction=direction)
        assert not test.exception
        words = said(test)
        assert "This page could not be shown" not in words
        assert "In this graph" in words
        assert "<img" not in "".join(str(element.proto.body) for element in test.get("html"))
    test = opened("lineage", kind="uri", id="https://host/a,b/c d.csv", open=lineage_graph.key(("job", made.id)))
    assert not test.exception
    assert "flower" in said(test)


def test_levels_are_chosen_in_the_address(house: Stage, opened: Opened) -> None:
    _, _, model = walked(house)
    near = said(opened("lineage", kind="model", id=model.id, levels="1"))
    far = said(opened("lineage", kind="model", id=model.id, levels="2"))
    assert "iris" not in near
    assert "iris" in far


def test_what_is_not_there_is_said(house: Stage, opened: Opened) -> None:
    walked(house)
    assert "was not found" in said(opened("lineage", kind="job", id="nobody"))
    assert "has no lineage" in said(opened("lineage", kind="banana", id="x"))


def test_a_node_leads_to_its_page(house: Stage, opened: Opened) -> None:
    data, made, model = walked(house)
    words = said(opened("lineage", kind="model", id=model.id))
    for address in (
        "/job?ws=lab&amp;job=train",
        "/data_asset?ws=lab&amp;name=iris&amp;version=1",
        "/model?ws=lab&amp;name=flower",
    ):
        assert address in words
    assert f"kind=job&amp;id={made.id}" in said(opened("job", job="train"))
    assert data.hash[:16] in words
