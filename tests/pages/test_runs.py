"""Runs as a list: filters, columns, groups and views, all of it in the address."""

import json
import math
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from app.ui import runs_state
from services import experiments, views
from services.core.times import now
from services.specs.views import ViewBody
from services.store import metrics as store
from services.store.metrics import Run, Summary
from services.studio import Scope
from tests.conftest import Stage
from tests.pages.conftest import Opened, said
from tests.pages.seed import HOSTILE


def logged(scope: Scope, experiment: str = "digits", count: int = 12, mlflow_id: str = "7") -> None:
    """`count` runs as a script outside of any job logs them; the last is going on, the third has NaN."""
    experiments.ensure(scope, experiment).mlflow_id = mlflow_id
    scope.session.flush()
    keys = store.ensure_keys(scope.session, ["loss", "val/accuracy", "lr", "model", "same"])
    begun = int((now() - timedelta(days=1)).timestamp() * 1000)
    for place in range(count):
        run_id = f"{mlflow_id}{place:031x}"
        going = place == count - 1
        store.save_run(
            scope.session,
            Run(
                run_id=run_id,
                workspace_id=scope.workspace_id,
                experiment_id=mlflow_id,
                name=f"{experiment}-{place:02d}",
                status="RUNNING" if going else "FAILED" if place % 5 == 4 else "FINISHED",
                user=["ada", "ben"][place % 2],
                start_time=begun + place * 60_000,
                end_time=None if going else begun + place * 60_000 + 30_000,
            ),
        )
        loss = Summary(run_id, keys["loss"])
        loss.add(math.nan if place == 2 else 1.0 / (place + 1), begun, 0)
        accuracy = Summary(run_id, keys["val/accuracy"])
        accuracy.add(place / count, begun, 0)
        store.fold(scope.session, [loss, accuracy])
        values = (("lr", ["0.1", "0.01"][place % 2]), ("model", ["cnn", "vit", "mlp"][place % 3]), ("same", "1"))
        store.save_params(scope.session, [(run_id, keys[name], value) for name, value in values])
        store.save_tags(scope.session, [(run_id, "team", ["vision", "speech"][place % 2])])


@pytest.fixture
def lab(house: Stage) -> Stage:
    with house.scope() as scope:
        logged(scope)
    return house


def table(test: AppTest) -> dict[str, Any]:
    """What the browser was given to draw."""
    for element in test.get("bidi_component"):
        found = json.loads(element.proto.json) if element.proto.json else {}
        if found.get("label") in {"Runs", "Groups of runs"}:
            return dict(found)
    raise AssertionError(said(test))


def board(test: AppTest) -> dict[str, Any]:
    found = [json.loads(each.proto.json) for each in test.get("bidi_component") if '"canEdit"' in each.proto.json]
    assert len(found) == 1
    return dict(found[0])


def names(test: AppTest) -> list[str]:
    return [row["name"] for row in table(test)["rows"]]


def heads(test: AppTest) -> list[str]:
    return [column["label"] for column in table(test)["columns"]]


def follow(href: str) -> dict[str, str]:
    return {key: value for key, value in parse_qsl(urlsplit(href).query) if key != "ws"}


def test_runs_that_no_job_made_are_listed_newest_first(lab: Stage, opened: Opened):
    test = opened("runs")
    assert names(test)[:2] == ["digits-11", "digits-10"]
    assert table(test)["foot"] == "12 runs · live"


def test_at_first_the_columns_are_those_that_vary(lab: Stage, opened: Opened):
    assert heads(opened("runs")) == [
        "Run", "Status", "Experiment", "Created", "Duration", "Created by", "loss", "val/accuracy", "lr", "model",
    ]  # fmt: skip
    assert "Experiment" not in heads(opened("experiment", experiment="digits"))


def test_only_the_columns_of_the_address_leave_the_server(lab: Stage, opened: Opened):
    test = opened("runs", columns="params.model,min(metrics.loss),tags.team,nonsense,metrics.never")
    assert heads(test) == ["Run", "model", "min loss", "team", "never"]
    assert table(test)["rows"][-1]["cells"] == [None, "cnn", 1.0, "vision", None]


def test_what_is_no_number_is_a_word(lab: Stage, opened: Opened):
    test = opened("runs", columns="metrics.loss")
    assert table(test)["rows"][9]["cells"] == [None, "NaN"]


def test_the_best_of_the_page_is_marked_by_the_direction_of_the_metric(lab: Stage, opened: Opened):
    test = opened("runs", columns="metrics.loss,metrics.val/accuracy", filter="name != digits-02")
    marked = {row["name"]: row["best"] for row in table(test)["rows"] if row["best"]}
    assert marked == {"digits-11": [1, 2]}


def test_a_filter_takes_or_and_brackets(lab: Stage, opened: Opened):
    test = opened("runs", filter='(metrics.loss < 0.1 or params.model = "mlp") and tags.team ~ "VIS"', sort="name")
    assert names(test) == ["digits-02", "digits-08", "digits-10"]


def test_an_error_of_a_filter_points_at_the_character_and_loses_nothing(lab: Stage, opened: Opened):
    test = opened("runs", filter="params.lr = 0.1")
    before = names(test)
    test.text_input(key="runs_filter").set_value("params.lr = 0.1 and metrics.loss << 3").run()
    words = said(test)
    assert "Expected a number after" in words
    assert "params.lr = 0.1 and metrics.loss &lt;&lt; 3\n" + " " * 34 + "^" in words
    assert "The list still shows: params.lr = 0.1" in words
    assert test.text_input(key="runs_filter").value == "params.lr = 0.1 and metrics.loss << 3"
    assert names(test) == before


def test_a_link_with_a_broken_filter_shows_no_runs_at_all(lab: Stage, opened: Opened):
    test = opened("runs", filter="metrics.loss <")
    assert "The filter cannot be read" in said(test)
    assert not [each for each in test.get("bidi_component") if '"Runs"' in each.proto.json]


def test_quick_choices_and_text_are_the_same_expression(lab: Stage, opened: Opened):
    test = opened("runs", filter="params.lr = 0.1 or params.model = vit")
    test.multiselect(key="runs_quick_status").set_value(["Failed", "Running"]).run()
    assert test.text_input(key="runs_filter").value == (
        '(params.lr = 0.1 or params.model = "vit") and status in (Failed, Running)'
    )
    assert names(test) == ["digits-04"]
    test.multiselect(key="runs_quick_status").set_value([]).run()
    assert test.text_input(key="runs_filter").value == 'params.lr = 0.1 or params.model = "vit"'


def test_a_group_opens_as_the_runs_that_its_filter_selects(lab: Stage, opened: Opened):
    test = opened("runs", group="params.model", columns="metrics.val/accuracy", filter="tags.team = vision")
    rows = {row["name"]: row for row in table(test)["rows"]}
    assert set(rows) == {"cnn", "mlp", "vit"}
    assert rows["cnn"]["cells"][1] == 2
    spread = rows["cnn"]["cells"][2]
    assert (spread["n"], spread["mean"], spread["best"]) == (2, 0.25, 0.5)
    opened_again = opened("runs", **follow(rows["cnn"]["cells"][0]["href"]))
    assert names(opened_again) == ["digits-06", "digits-00"]


def test_several_columns_sort_and_a_head_links_to_more(lab: Stage, opened: Opened):
    test = opened("runs", sort="params.model,-metrics.val/accuracy", columns="params.model,tags.team")
    assert names(test)[:3] == ["digits-09", "digits-06", "digits-03"]
    model, team = table(test)["columns"][1:]
    assert (model["sorted"], model["place"]) == ("asc", "1")
    assert follow(team["href"])["sort"] == "tags.team"
    assert follow(team["more"])["sort"] == "params.model,-metrics.val/accuracy,tags.team"


def test_pages_have_the_size_of_the_address(lab: Stage, opened: Opened):
    with lab.scope() as scope:
        logged(scope, "many", 30, "8")
    test = opened("runs", size="25")
    assert table(test)["foot"] == "1–25 of 42 runs · live"
    later = opened("runs", **follow(table(test)["later"]))
    assert len(names(later)) == 17


def test_a_pinned_run_stands_on_top_wherever_it_would_be(lab: Stage, opened: Opened):
    oldest = f"7{0:031x}"
    test = opened("runs", pinned=oldest, sort="-created")
    assert names(test)[0] == "digits-00"
    assert names(test).count("digits-00") == 1


def test_the_address_of_one_session_shows_the_same_in_another(lab: Stage, opened: Opened):
    asked = {
        "filter": "metrics.loss < 0.5", "columns": "params.lr,at(metrics.loss, 0),metrics.loss", "left": "params.lr",
        "sort": "params.lr,-created", "size": "25", "q": "digits", "widths": "params.lr:140", "pinned": f"7{5:031x}",
        "baseline": f"7{6:031x}",
    }  # fmt: skip
    mine, others = table(opened("runs", lab.ada, **asked)), table(opened("runs", lab.cleo, **asked))
    assert mine["rows"] == others["rows"]
    assert mine["columns"] == [
        {**column, "direction": mine["columns"][place].get("direction")} if "direction" in column else column
        for place, column in enumerate(others["columns"])
    ]
    assert mine["columns"][1]["width"] == 140


def test_a_view_is_saved_opened_by_its_name_alone_and_says_when_the_screen_differs(lab: Stage, opened: Opened):
    body = ViewBody(filter="params.lr = 0.1", columns=["params.lr"], order_by=["name"])
    with lab.scope(lab.ben) as scope:
        view = views.create(scope, "Fast ones", body, is_shared=True).id
    test = opened("runs", lab.cleo, view=view)
    assert heads(test) == ["Run", "lr"]
    assert test.text_input(key="runs_filter").value == "params.lr = 0.1"
    assert test.query_params["filter"] == "params.lr = 0.1"
    assert popover(test, "Fast ones") == "Fast ones"
    changed = opened("runs", lab.cleo, view=view, filter="params.lr = 0.01", columns="params.lr", sort="name")
    assert popover(changed, "Fast ones") == "Fast ones · modified"


def test_the_words_of_a_view_can_be_taken_away_one_by_one(lab: Stage, opened: Opened):
    with lab.scope() as scope:
        view = views.create(scope, "One filter", ViewBody(filter="params.lr = 0.1")).id
    test = opened("runs", view=view)
    test.text_input(key="runs_filter").set_value("").run()
    assert len(names(test)) == 12
    assert test.query_params["view"] == "default"


def test_somebody_elses_own_view_in_a_link_is_no_error(lab: Stage, opened: Opened):
    with lab.scope(lab.ben) as scope:
        view = views.create(scope, "Mine", ViewBody(filter="params.lr = 0.1")).id
    test = opened("runs", lab.ada, view=view, filter="params.lr = 0.1")
    assert len(names(test)) == 6


def test_a_reader_marks_nothing_and_is_told_why(lab: Stage, opened: Opened):
    assert "experiments/runs/write" in table(opened("runs", lab.cleo))["refused"]
    assert table(opened("runs", lab.ben))["refused"] == ""


def test_the_dashboard_draws_the_runs_whose_eyes_are_open(lab: Stage, opened: Opened):
    ids = [f"7{place:031x}" for place in range(12)]
    test = opened("experiment", lab.cleo, experiment="digits", show="dashboard", hidden=",".join(ids[:3]))
    rows = table(test)["rows"]
    assert [row["id"] for row in rows if not row["shown"]] == ids[2::-1]
    drawn = board(test)
    assert drawn["runs"] == ids[:2:-1]
    titles = [tile.get("metrics") for section in drawn["board"]["sections"] for tile in section["tiles"]]
    assert ["loss"] in titles


def test_only_drawn_leaves_the_others_out_of_the_list(lab: Stage, opened: Opened):
    ids = [f"7{place:031x}" for place in range(12)]
    test = opened("experiment", experiment="digits", show="dashboard", hidden=f"*,{ids[4]},{ids[5]}", only="1")
    assert names(test) == ["digits-05", "digits-04"]
    assert table(test)["foot"] == "2 of 12 on this page"


def test_a_board_of_a_link_is_shown_and_one_that_is_gone_is_no_error(lab: Stage, opened: Opened):
    with lab.scope() as scope:
        tile = {"type": "markdown", "id": "a", "text": "hello"}
        made = views.put_board(scope, {"sections": [{"title": "Mine", "tiles": [tile]}]})
    assert board(opened("runs", show="dashboard", board=made))["board"]["sections"][0]["title"] == "Mine"
    gone = opened("runs", show="dashboard", board="0" * 16)
    assert "This dashboard was not found" in said(gone)
    assert board(gone)["board"]["sections"]


def test_hostile_names_stay_text(house: Stage, opened: Opened):
    with house.scope() as scope:
        logged(scope, count=1)
        keys = store.ensure_keys(scope.session, [HOSTILE])
        store.save_params(scope.session, [(f"7{0:031x}", keys[HOSTILE], HOSTILE)])
        store.save_tags(scope.session, [(f"7{0:031x}", HOSTILE, HOSTILE)])
    test = opened("runs", columns=f"params.`{HOSTILE.replace('`', '``')}`", filter=HOSTILE)
    words = "\n".join(str(element.proto.body) for element in test.get("html"))
    assert "<img" not in words


def test_an_address_is_read_back_as_it_was_written():
    fields = ["metrics.`a,b(c`", "at(metrics.`x ``y`, 10)", "min(metrics.loss)", "status", "tags.`)`"]
    assert runs_state.split(",".join(fields)) == fields
    assert runs_state.split("(" * 5000 + "," + "`" * 5001)


def test_eyes_are_written_in_the_shorter_way_and_read_back():
    page = [f"run-{place}" for place in range(30)]
    for drawn in ([], page[:1], page[:12], page[:29], page):
        assert runs_state.eyes(page, runs_state.closed(page, drawn)) == list(drawn)
    assert runs_state.eyes(page, ()) == page[:20]


def popover(test: AppTest, word: str) -> str:
    """The label of the menu of views."""
    found = [block.proto.popover.label for block in _blocks(test.main) if block.proto.HasField("popover")]
    return next(label for label in found if word in label)


def _blocks(block: Any) -> list[Any]:
    inner = [each for each in block.children.values() if hasattr(each, "children")]
    return [*inner, *(deep for each in inner for deep in _blocks(each))]
