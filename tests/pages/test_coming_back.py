"""What somebody looked at is there when they come back; a link shows what it says and nothing of that."""

from services import views
from services.specs.views import ViewBody
from tests.conftest import Stage
from tests.pages.conftest import Opened
from tests.pages.test_runs import heads, lab, names

__all__ = ["lab"]
PLACE = {"experiment": "digits"}


def test_columns_and_order_are_as_they_were_left(lab: Stage, opened: Opened):
    opened("experiment", lab.cleo, **PLACE, columns="params.lr", sort="name", filter="params.lr = 0.1")
    again = opened("experiment", lab.cleo, **PLACE)
    assert heads(again) == ["Run", "lr"]
    assert names(again)[0] == "digits-00"
    assert len(names(again)) == 12  # no run seems to be missing
    assert again.query_params["sort"] == "name"
    assert len(heads(opened("experiment", lab.ada, **PLACE))) > 2
    assert len(heads(opened("runs", lab.cleo))) > 2


def test_a_dashboard_is_come_back_to_as_one(lab: Stage, opened: Opened):
    opened("experiment", **PLACE, show="dashboard")
    again = opened("experiment", **PLACE)
    assert again.query_params["show"] == "dashboard"
    assert again.session_state["runs_show"] == "dashboard"


def test_a_link_to_the_default_view_shows_that(lab: Stage, opened: Opened):
    first = opened("experiment", **PLACE)
    assert first.query_params["view"] == "default"
    opened("experiment", **PLACE, columns="params.lr")
    assert len(heads(opened("experiment", **PLACE, view="default"))) > 2


def test_taking_everything_away_brings_nothing_back(lab: Stage, opened: Opened):
    with lab.scope() as scope:
        views.remember(scope, ViewBody(columns=["params.lr"]), "digits")
    test = opened("experiment", **PLACE, filter="params.lr = 0.1")
    test.text_input(key="runs_filter").set_value("").run()
    assert len(heads(test)) > 2
