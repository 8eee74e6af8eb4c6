"""The screens of batch endpoints: deployments, jobs with their progress, and a form to call one."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from services import batch_endpoints, jobs
from tests.conftest import Stage
from tests.pages import batch_seed
from tests.pages.conftest import Opened, said


@pytest.fixture
def nightly(house: Stage) -> list[str]:
    return batch_seed.nightly(house)


def data(test: AppTest) -> str:
    return json.dumps([str(each.proto) for each in test.get("bidi_component")])


def is_whole(test: AppTest) -> bool:
    return not test.exception and "This page could not be shown" not in said(test)


@pytest.mark.parametrize("name", ["nightly", "idle"])
@pytest.mark.parametrize("tab", ["details", "jobs", "invoke"])
@pytest.mark.parametrize("who", ["ada", "cleo"])
def test_every_tab_opens(house: Stage, nightly: list[str], opened: Opened, name: str, tab: str, who: str) -> None:
    assert is_whole(opened("batch_endpoint", getattr(house, who), name=name, tab=tab))


def test_the_list_leads_to_the_page(nightly: list[str], opened: Opened) -> None:
    assert "/batch_endpoint?ws=lab&name=nightly" in data(opened("endpoints", tab="batch"))


def test_a_card_says_how_files_are_worked_through(nightly: list[str], opened: Opened) -> None:
    words = said(opened("batch_endpoint", name="nightly"))
    for word in (
        "25 a mini-batch",
        "2, each after 30s at most",
        "predictions.csv",
        "The script writes its own",
        "5 at most",
        "iris:1",
        "team: vision",
        "/api/v1/workspaces/lab/batch-endpoints/nightly/invoke",
        "It is the default already.",
    ):
        assert word in words, word


def test_another_deployment_is_made_the_default(nightly: list[str], opened: Opened) -> None:
    test = opened("batch_endpoint", name="nightly", do="default", of="green")
    assert "do" not in test.query_params
    assert "<b>green</b> is called when no deployment is named instead of <b>blue</b>" in said(test)
    assert not test.button(key="batch_default").disabled


def test_the_default_one_is_not_deleted_and_says_why(nightly: list[str], opened: Opened) -> None:
    test = opened("batch_endpoint", name="nightly", do="delete", of="blue")
    assert "make another one the default first" in said(test)
    assert "_confirm_do" not in [each.key for each in test.button]
    test = opened("batch_endpoint", name="nightly", do="delete", of="green")
    assert test.button(key="_confirm_do").disabled


def test_settings_are_edited_from_what_stands(nightly: list[str], opened: Opened) -> None:
    test = opened("batch_endpoint", name="nightly", do="edit", of="blue")
    assert test.number_input(key="edit_files").value == 25
    assert test.number_input(key="edit_retries").value == 2
    assert test.text_input(key="edit_file").value == "predictions.csv"


def test_jobs_show_how_far_they_are(house: Stage, nightly: list[str], opened: Opened) -> None:
    done, runs = nightly
    batch_seed.told(house, done, mini_batches_total=40, mini_batches_done=40, mini_batches_failed=0)
    batch_seed.told(house, runs, mini_batches_total=40, mini_batches_done=10, mini_batches_failed=2, items_failed=7)
    shown = data(opened("batch_endpoint", name="nightly", tab="jobs"))
    assert "40 of 40" in shown
    assert "10 of 40, 2 failed" in shown
    only = data(opened("batch_endpoint", name="nightly", tab="jobs", deployment="green"))
    assert "40 of 40" not in only
    words = said(opened("job", job=runs))
    for word in ("Mini-batches", "<b>10</b> of 40", "25%", "<b>7</b> items failed", " left</span>", "nightly/green"):
        assert word in words, word


def test_a_job_says_so_before_anything_is_counted(nightly: list[str], opened: Opened) -> None:
    assert "They are counted once the files are listed." in said(opened("job", job=nightly[1]))


def test_an_endpoint_is_called_from_the_form(house: Stage, nightly: list[str], opened: Opened) -> None:
    test = opened("batch_endpoint", name="nightly", tab="invoke")
    assert test.selectbox(key="_invoke_deployment").value == "blue"
    assert test.button(key="act_invoke").disabled
    test.button_group(key="invoke_source").set_value("datastore").run()
    assert test.selectbox(key="invoke_datastore").value == "workspaceblobstore"
    test.text_input(key="invoke_path").set_value("images/today/").run()
    test.selectbox(key="_invoke_deployment").set_value("green").run()
    test.text_input(key="invoke_output").set_value("azureml://datastores/workspaceblobstore/paths/scores").run()
    with house.scope() as scope:
        green = batch_endpoints.get_deployment(scope, "nightly", "green")
    test.number_input(key=f"invoke:{green.id}_files").set_value(3).run()
    test.text_input(key="invoke_job").set_value("todays_images").run()
    assert "--deployment-name green" in said(test)
    test.button(key="act_invoke").click().run()
    with house.scope() as scope:
        job = jobs.get(scope, "todays_images")
        assert job.deployment_id == green.id
        assert job.spec["inputs"]["input_data"]["path"] == "azureml://datastores/workspaceblobstore/paths/images/today"
        assert job.spec["outputs"]["score"]["path"] == "azureml://datastores/workspaceblobstore/paths/scores"
        assert '"mini_batch_size":3' in job.spec["environment_variables"][batch_endpoints.SETTINGS]


def test_what_cannot_be_called_is_said_where_it_was_asked(nightly: list[str], opened: Opened) -> None:
    test = opened("batch_endpoint", name="nightly", tab="invoke")
    test.button_group(key="invoke_source").set_value("uri").run()
    test.text_input(key="invoke_uri").set_value("azureml:nothing-like-it:1").run()
    test.button(key="act_invoke").click().run()
    assert is_whole(test)
    assert "nothing-like-it" in said(test)


def test_a_reader_sees_why_nothing_can_be_done(house: Stage, nightly: list[str], opened: Opened) -> None:
    test = opened("batch_endpoint", house.cleo, name="nightly", tab="invoke")
    assert test.button(key="act_invoke").disabled
    for verb in ("default", "edit", "delete"):
        asked = opened("batch_endpoint", house.cleo, name="nightly", do=verb, of="green")
        assert not {"batch_default", "batch_edit_save", "_confirm_do"} & {each.key for each in asked.button}
