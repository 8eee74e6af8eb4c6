"""Data on the screens: listed, made in four steps, looked at, profiled, compared; hostile files stay text."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from app.ui import nav
from services import assets, data, jobs, previews
from services.core.states import AssetKind
from services.specs.jobs import CommandJob
from tests.conftest import Stage
from tests.pages.conftest import Opened, said
from tests.pages.seed import HOSTILE
from tests.test_data import IRIS, at_uri, made, waited, waited_diff

WIDE = "length,species,width\n" + "".join(f"{place},x,{place}\n" for place in range(50))
TABS = ("details", "preview", "profile", "compare", "consume", "jobs")


@pytest.fixture
def stored(house: Stage) -> Stage:
    """`iris` in two versions, a URI, and a folder whose names and contents want to break out."""
    with house.scope(house.ben) as scope:
        made(scope, {"iris.csv": IRIS, "notes.txt": "hello"}, description="Flowers", tags={"team": "a"})
        made(scope, {"iris.csv": WIDE, "notes.txt": "hello"})
        at_uri(scope, "https://example.com/x.csv", type="uri_file")
        hostile = {
            "<img src=x onerror=alert(1)>.csv": f"n,<script>alert(1)</script>\n2,{HOSTILE}\n",
            "page.html": "<script>alert(1)</script>",
            "book.ipynb": notebook(),
        }
        made(scope, hostile, name="hostile", description=HOSTILE, tags={"<b>": HOSTILE})
        spec = {"command": "ls ${{inputs.in}}", "environment": {"image": "debian:12"}, "name": "reader"}
        inputs = {"in": {"type": "uri_folder", "path": "azureml:iris:2"}}
        jobs.submit(scope, CommandJob.model_validate({**spec, "inputs": inputs}))
    return house


def notebook() -> str:
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": HOSTILE, "text/plain": HOSTILE}}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": HOSTILE},
        {"cell_type": "code", "metadata": {}, "source": "1", "execution_count": 1, "outputs": [output]},
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def html(test: AppTest) -> str:
    return "\n".join(str(element.proto.body) for element in test.get("html"))


def click(test: AppTest, label: str) -> None:
    next(button for button in test.button if button.label == label).click().run()


def settle(stage: Stage, name: str = "iris", version: str | None = None) -> previews.State:
    """Waits until its profile is there."""
    with stage.scope(stage.ben) as scope:
        seen = previews.view(scope, data.get(scope, name, version))
    return waited(seen)


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("name", ["iris", "far", "hostile"])
@pytest.mark.parametrize("who", ["ben", "cleo"])
def test_every_tab_opens(stored: Stage, opened: Opened, tab: str, name: str, who: str) -> None:
    test = opened("data_asset", getattr(stored, who), name=name, tab=tab)
    assert not test.exception
    assert "This page could not be shown" not in said(test)


def test_the_list_says_what_is_there_and_where_it_came_from(stored: Stage, opened: Opened) -> None:
    test = opened("data")
    assert not test.exception
    table = str([element.proto for element in test.get("bidi_component")])
    for word in ("iris", "Upload", "example.com", "uri_folder"):
        assert word in table


def test_the_details_name_files_sizes_and_where_they_lie(stored: Stage, opened: Opened) -> None:
    words = html(opened("data_asset", name="iris", version="1"))
    for word in (
        "iris.csv",
        "notes.txt",
        "azureml:iris:1",
        "LocalUpload",
        "Flowers",
        "team: a",
        "/files/data/lab/iris?",
    ):
        assert word in words


def test_the_first_rows_are_shown(stored: Stage, opened: Opened) -> None:
    words = html(opened("data_asset", name="iris", version="1", tab="preview"))
    assert "<b>length</b><small>number</small>" in words
    assert "the first 50 rows" in words


def test_hostile_names_and_contents_stay_text(stored: Stage, opened: Opened) -> None:
    files = ["", "page.html", "book.ipynb", "<img src=x onerror=alert(1)>.csv"]
    tests = [opened("data_asset", name="hostile", tab="preview", file=file) for file in files]
    tests += [opened("data_asset", name="hostile"), opened("data_asset", name="hostile", tab="consume")]
    for test in tests:
        words = html(test)
        assert not test.exception
        assert "<img" not in words
        assert "<script" not in words
        assert "javascript:" not in "".join(part.partition('"')[0] for part in words.split('href="')[1:])


def test_a_hostile_table_is_profiled_as_text(stored: Stage, opened: Opened) -> None:
    with stored.scope(stored.ben) as scope:
        previews.ask_profile(previews.view(scope, data.get(scope, "hostile")))
    settle(stored, "hostile")
    words = html(opened("data_asset", name="hostile", tab="profile"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in words
    assert "<script" not in words


def test_a_profile_is_generated_by_a_button_and_drawn(stored: Stage, opened: Opened) -> None:
    test = opened("data_asset", stored.cleo, name="iris", version="1", tab="profile")
    assert "No profile yet" in said(test)
    click(test, "Generate profile")
    assert settle(stored, version="1").status == "Ready"
    words = html(opened("data_asset", stored.cleo, name="iris", version="1", tab="profile"))
    assert "at-hist" in words
    for word in ("100 rows", "Skewness", "length", "species"):
        assert word in words


def test_two_versions_are_compared_by_a_button(stored: Stage, opened: Opened) -> None:
    test = opened("data_asset", name="iris", version="2", tab="compare")
    assert test.selectbox(key=next(box.key for box in test.selectbox if box.label == "Compare with")).value == "1"
    click(test, "Compare")
    with stored.scope(stored.ben) as scope:
        old, new = (previews.view(scope, data.get(scope, "iris", version)) for version in "12")
    assert waited_diff(old, new).status == "Ready"
    words = html(opened("data_asset", name="iris", version="2", tab="compare"))
    for word in ("100 → 50", "width", "iris.csv", "added"):
        assert word in words


def test_the_jobs_that_read_it_are_named(stored: Stage, opened: Opened) -> None:
    assert "reader" in html(opened("data_asset", name="iris", version="2", tab="jobs"))
    assert "No job has read this version" in html(opened("data_asset", name="iris", version="1", tab="jobs"))


def test_a_version_is_archived_and_restored(stored: Stage, opened: Opened) -> None:
    test = opened("data_asset", name="iris", version="1")
    click(test, "Archive")
    assert "This version is archived" in said(test)
    click(test, "Restore")
    assert "This version is archived" not in said(test)


def test_deleting_says_what_breaks_and_asks_for_the_name(stored: Stage, opened: Opened) -> None:
    test = opened("data_asset", name="iris", version="2")
    click(test, "Delete")
    assert "job reader" in said(test)
    sure = test.button(key="_confirm_do")
    assert sure.disabled


def test_a_reader_sees_the_buttons_disabled(stored: Stage, opened: Opened) -> None:
    test = opened("data_asset", stored.cleo, name="iris")
    shut = {button.label for button in test.button if button.disabled}
    assert {"Edit", "Archive", "Delete", "New version"} <= shut


def test_an_asset_that_is_not_there_is_not_found(stored: Stage, opened: Opened) -> None:
    assert "was not found" in said(opened("data_asset", name="nothing"))


def test_a_uri_becomes_a_data_asset_in_four_steps(house: Stage, opened: Opened) -> None:
    test = opened("new_data")
    click(test, "Next")
    assert "Give it a name" in said(test)
    test.text_input(key="_data:name").set_value("far").run()
    test.radio(key="_data:type").set_value("uri_file").run()
    click(test, "Next")
    test.radio(key="_data:source").set_value("uri").run()
    click(test, "Next")
    assert "Say where the files are" in said(test)
    test.text_input(key="_data:uri").set_value("https://example.com/x.csv").run()
    click(test, "Next")
    test.text_input(key="_data:tags").set_value("team=a").run()
    click(test, "Next")
    assert "https://example.com/x.csv" in said(test)
    click(test, "Create")
    assert not test.exception
    with house.scope() as scope:
        row = data.get(scope, "far")
    assert (row.path, row.type, row.tags) == ("https://example.com/x.csv", "uri_file", {"team": "a"})


def test_a_datastore_path_becomes_a_new_version_of_the_same_type(stored: Stage, opened: Opened) -> None:
    test = opened("new_data", name="iris")
    assert "A new version of &#x27;iris&#x27;" in said(test) or "A new version of 'iris'" in said(test)
    assert test.radio(key="_data:type").disabled
    click(test, "Next")
    test.radio(key="_data:source").set_value("datastore").run()
    test.selectbox(key="_data:datastore").set_value("workspaceblobstore").run()
    test.text_input(key="_data:datastore_path").set_value("a/b").run()
    click(test, "Next")
    click(test, "Next")
    click(test, "Create")
    with stored.scope() as scope:
        row = assets.get(scope, AssetKind.data, "iris")
    assert (row.version, row.path) == ("3", "azureml://datastores/workspaceblobstore/paths/a/b")


def test_the_output_of_a_job_is_chosen_from_those_that_it_has(stored: Stage, opened: Opened) -> None:
    test = opened("new_data", source="job", step="source")
    test.text_input(key="_data:name").set_value("made").run()
    click(test, "Next")
    test.selectbox(key="_data:job").set_value("reader").run()
    assert "artifacts" in test.selectbox(key="_data:output").options
    click(test, "Next")
    click(test, "Next")
    assert "azureml://jobs/reader/outputs/artifacts" in said(test)


def test_a_reader_makes_nothing(house: Stage, opened: Opened) -> None:
    assert next(button for button in opened("data", house.cleo).button if button.label == "New data asset").disabled


def test_the_screens_are_in_the_frame() -> None:
    assert nav.shown_as("data_asset") == nav.shown_as("new_data") == "data"
