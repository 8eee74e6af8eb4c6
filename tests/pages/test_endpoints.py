"""The screens of endpoints: the list, the wizard, and an endpoint's details and ways to be called."""

import json
import re
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from services import batch_endpoints, deployments, endpoints, rollouts
from services.core.states import ProvisioningState
from services.specs.rollouts import Rollout as RolloutSpec
from tests.conftest import Stage
from tests.pages import serving_seed
from tests.pages.conftest import Opened, said
from tests.pages.serving_seed import Gateway


@pytest.fixture
def served(house: Stage) -> Stage:
    serving_seed.lived_in(house)
    return house


def data(test: AppTest) -> str:
    """What components are given, which is all that they can show."""
    return json.dumps([str(each.proto) for each in test.get("bidi_component")])


def is_whole(test: AppTest) -> bool:
    return not test.exception and "This page could not be shown" not in said(test)


def act(test: AppTest, label: str) -> AppTest:
    return test.button(key=f"act_{label}").click().run()


def test_an_empty_list_says_what_to_do(house: Stage, opened: Opened) -> None:
    words = said(opened("endpoints"))
    assert "No endpoints yet" in words
    assert "/new_endpoint?ws=lab" in words


def test_a_list_says_how_each_is_and_who_gets_its_traffic(served: Stage, opened: Opened) -> None:
    test = opened("endpoints")
    assert is_whole(test)
    shown = data(test)
    for word in ("flowers", "Healthy", "Failed", "Empty", "Updating", "120", "copies: green 20"):
        assert word in shown, word


def test_a_word_narrows_the_list(served: Stage, opened: Opened) -> None:
    shown = data(opened("endpoints", q="flow"))
    assert "flowers" in shown
    assert "broken" not in shown
    assert "No endpoints match" in said(opened("endpoints", q="nothing-like-it"))


@pytest.mark.parametrize("name", ["flowers", "broken", "empty", "growing"])
@pytest.mark.parametrize("tab", ["details", "test", "consume"])
@pytest.mark.parametrize("who", ["ada", "cleo"])
def test_every_tab_opens_for_every_endpoint(served: Stage, opened: Opened, name: str, tab: str, who: str) -> None:
    assert is_whole(opened("endpoint", getattr(served, who), name=name, tab=tab))


def test_a_card_says_what_stands_behind_a_deployment(served: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="flowers"))
    for word in (
        "iris:1",
        "iris:2",
        "90 %",
        "mirrored",
        "2 of 2 ready",
        "MLflow model, no code",
        "2.3s",
        "team: garden",
    ):
        assert word in words, word
    assert "/model?ws=lab&amp;name=iris&amp;version=2" in words


def test_a_failed_deployment_shows_its_last_words_as_text(served: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="broken"))
    assert "UserScriptImportError" in words
    assert "No module named" in words
    assert "<script>" not in words


def test_what_has_traffic_cannot_be_deleted_and_says_why(served: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="flowers"))
    assert "It has 90 % of the traffic: move that to another deployment first." in words
    test = opened("endpoint", name="flowers", do="delete", of="blue")
    assert "move that to another deployment first" in said(test)
    assert "_confirm_do" not in [each.key for each in test.button]


def test_deleting_asks_for_the_name_once(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        endpoints.set_traffic(scope, "flowers", {"blue": 100})
    test = opened("endpoint", name="flowers", do="delete", of="green")
    assert "do" not in test.query_params
    assert test.button(key="_confirm_do").disabled
    assert "_confirm_do" not in [each.key for each in test.run().button]
    assert act(opened("endpoint", name="empty"), "Delete").button(key="_confirm_do").disabled


def test_a_deployment_is_edited_from_what_stands(served: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", do="edit", of="blue")
    assert is_whole(test)
    assert test.selectbox(key="edit_version").options == ["2", "1"]
    assert test.selectbox(key="edit_version").value == "1"
    assert test.number_input(key="edit_count").value == 2
    assert test.number_input(key="edit_timeout").value == 5000


def test_an_endpoint_stops_and_starts(served: Stage, opened: Opened) -> None:
    act(opened("endpoint", name="flowers"), "Stop")
    test = opened("endpoint", name="flowers")
    assert "Stopped" in said(test)
    act(test, "Start")
    with served.scope() as scope:
        assert endpoints.get(scope, "flowers").desired == "run"


def test_one_click_brings_the_traffic_back(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        endpoints.set_traffic(scope, "flowers", {"green": 100})
    act(opened("endpoint", name="flowers"), "Roll back")
    with served.scope() as scope:
        assert endpoints.get(scope, "flowers").traffic == {"blue": 90, "green": 10}


def test_a_rollout_that_moves_the_traffic_is_said_and_can_be_turned_back(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        endpoints.set_traffic(scope, "flowers", {"blue": 100})
        spec = RolloutSpec(deployment="green", type="linear", percent=25)
        rollouts.start(scope, "flowers", spec)
    words = said(opened("endpoint", name="flowers"))
    assert "to green is under way: 25 %, step 1 of 4" in words
    assert "A rollout moves the traffic: end it first." in words
    act(opened("endpoint", name="flowers"), "Roll back")
    with served.scope() as scope:
        assert endpoints.get(scope, "flowers").traffic == {"blue": 100}


def test_traffic_is_saved_as_the_sliders_stand(served: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", edit="traffic")
    assert "atelier_traffic" in data(test)
    test.button(key="act_save_traffic").click().run()
    assert "edit" not in test.query_params
    with served.scope() as scope:
        row = endpoints.get(scope, "flowers")
        assert (row.traffic, row.mirror_traffic) == ({"blue": 90, "green": 10}, {"green": 20})


def test_a_reader_sees_why_nothing_can_be_changed(served: Stage, opened: Opened) -> None:
    test = opened("endpoint", served.cleo, name="flowers")
    assert all(each.disabled for each in test.button if (each.key or "").startswith("act_"))
    for verb in ("edit", "delete"):
        asked = opened("endpoint", served.cleo, name="flowers", do=verb, of="green")
        assert not {"edit_save", "_confirm_do"} & {each.key for each in asked.button}


@pytest.mark.parametrize("who", ["ada", "cleo"])
def test_keys_are_not_in_the_page_before_they_are_asked_for(served: Stage, opened: Opened, who: str) -> None:
    with served.scope() as scope:
        keys = endpoints.keys(scope, "flowers")
    test = opened("endpoint", getattr(served, who), name="flowers", tab="consume")
    everything = str([str(each.proto) for kind in ("bidi_component", "html", "code") for each in test.get(kind)])
    assert keys.primary not in everything
    assert keys.secondary not in everything
    assert ("Your role here does not allow this" in data(test)) is (who == "cleo")


def test_code_calls_the_chosen_deployment_with_a_kept_sample(served: Stage, opened: Opened) -> None:
    words = said(opened("endpoint", name="flowers", tab="consume", lang="curl", deployment="green"))
    assert "/lab/flowers/score" in words
    assert "azureml-model-deployment: green" in words
    assert '"north"' in words


def test_hostile_words_of_an_endpoint_stay_text(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        endpoints.update(scope, "flowers", description="<img src=x>", tags={"<b>": "<script>"})
        row = deployments.get(scope, "flowers", "blue")
        row.message, row.provisioning_state = "<script>alert(1)</script>", ProvisioningState.Failed
        scope.session.add(row)
    words = said(opened("endpoint", name="flowers"))
    assert "<img" not in words
    assert "<script" not in words


@pytest.fixture
def gateway(served: Stage) -> Iterator[Gateway]:
    with serving_seed.gateway(served) as made:
        yield made


def test_fields_come_from_the_signature_and_the_example(served: Stage, opened: Opened, gateway: Gateway) -> None:
    with served.scope() as scope:
        endpoints.update(scope, "flowers", samples={})
    test = opened("endpoint", name="flowers", tab="test")
    assert is_whole(test)
    assert [each.value for each in test.number_input] == [5.1, 3.5, 4]
    assert [each.value for each in test.text_input if each.key and each.key.startswith("in:")] == ["north"]
    test.number_input[2].set_value(7).run()
    test = act(test, "test")
    body, headers = gateway.heard[-1]
    assert json.loads(body) == {
        "input_data": {
            "columns": ["sepal length", "sepal width", "petal_count", "garden"],
            "index": [0],
            "data": [[5.1, 3.5, 7, "north"]],
        }
    }
    assert "x-atelier-test" in headers
    words = said(test)
    for word in ("predictions", "200", "blue", "x-request-id"):
        assert word in words, word


def test_what_is_typed_is_sent_to_who_is_chosen(served: Stage, opened: Opened, gateway: Gateway) -> None:
    gateway.answers["green"] = (424, b"<script>alert(1)</script>")
    test = opened("endpoint", name="flowers", tab="test", deployment="green", **{"as": "json"})
    test.text_area[0].input("no JSON").run()
    assert "This is not JSON" in said(test)
    test = act(test, "test")
    body, headers = gateway.heard[-1]
    assert (body, headers["azureml-model-deployment"]) == (b"no JSON", "green")
    words = said(test)
    assert "The model failed" in words
    assert "<script>" not in words


def test_two_deployments_are_asked_the_same_and_compared(served: Stage, opened: Opened, gateway: Gateway) -> None:
    gateway.answers["green"] = (200, b'{"predictions": [0, 1]}')
    test = act(opened("endpoint", name="flowers", tab="test", deployment="blue", against="green"), "test")
    assert len(gateway.heard) == 2
    assert gateway.heard[0][0] == gateway.heard[1][0]
    words = said(test)
    assert "furthest apart: 50.00%" in words
    assert "at-diff" in words
    gateway.answers["green"] = gateway.answers["blue"]
    assert "Both answers say the same" in said(act(test, "test"))


def test_samples_are_opened_kept_and_forgotten(served: Stage, opened: Opened) -> None:
    test = opened("endpoint", name="flowers", tab="test", sample="two irises")
    assert "north" in test.text_area[0].value
    test.text_area[0].input("[1]").run()
    test.text_input(key="sample_name:two irises").input("one").run()
    act(test, "Keep it")
    with served.scope() as scope:
        assert endpoints.get(scope, "flowers").samples["one"] == "[1]"
    act(opened("endpoint", name="flowers", tab="test", sample="one"), "Forget it")
    with served.scope() as scope:
        assert list(endpoints.get(scope, "flowers").samples) == ["two irises"]


def test_without_a_gateway_the_test_says_so(served: Stage, opened: Opened) -> None:
    assert "gateway does not run" in said(act(opened("endpoint", name="flowers", tab="test"), "test"))


def test_a_reader_cannot_score(served: Stage, opened: Opened) -> None:
    assert opened("endpoint", served.cleo, name="flowers", tab="test").button(key="act_test").disabled


def wizard(opened: Opened, **parameters: str) -> AppTest:
    test = opened("new_endpoint", **parameters)
    assert is_whole(test)
    return test


def test_without_a_model_the_wizard_says_to_register_one(house: Stage, opened: Opened) -> None:
    words = said(wizard(opened))
    assert "No model is registered yet" in words
    assert "/new_model?ws=lab" in words


def test_an_mlflow_model_is_deployed_by_one_click(house: Stage, opened: Opened) -> None:
    with house.scope() as scope:
        serving_seed.model(scope)
        serving_seed.custom(scope)
    test = wizard(opened)
    assert re.search(r"model: azureml:iris:1", said(test))
    act(test, "Create")
    assert is_whole(test)
    with house.scope() as scope:
        row = deployments.get(scope, "iris", "blue")
        assert endpoints.get(scope, "iris").auth_mode == "key"
        assert (row.wants_all_traffic, row.instance_count, row.spec["model"]) == (True, 1, "azureml:iris:1")
        assert row.resolved["server"] == "mlflow"


def test_the_model_pages_deploy_leads_here_with_the_version_chosen(served: Stage, opened: Opened) -> None:
    assert "/new_endpoint?ws=lab&amp;model=iris&amp;version=1" in said(opened("model", name="iris", version="1"))
    assert "azureml:iris:1" in said(wizard(opened, model="iris", version="1"))


def test_a_models_page_says_where_it_answers(served: Stage, opened: Opened) -> None:
    act(wizard(opened, kind="batch", model="iris", version="1"), "Create")
    words = said(opened("model", name="iris", version="1", tab="endpoints"))
    for word in ("/endpoint?ws=lab&amp;name=flowers", "90 %", "Batch", "Real-time"):
        assert word in words, word
    assert "It serves nowhere" in said(opened("model", name="wine", tab="endpoints"))


def test_a_second_deployment_gets_no_traffic_at_first(served: Stage, opened: Opened) -> None:
    with served.scope() as scope:
        endpoints.set_traffic(scope, "flowers", {"blue": 100})
    test = wizard(opened, model="wine", endpoint="flowers")
    words = said(test)
    assert "endpoint.yml" not in words
    test.text_input(key="deployment_name:flowers").input("red").run()
    act(test, "Create")
    with served.scope() as scope:
        row = deployments.get(scope, "flowers", "red")
        assert not row.wants_all_traffic
        assert endpoints.get(scope, "flowers").traffic["blue"] == 100


def test_all_of_the_traffic_is_a_choice(served: Stage, opened: Opened) -> None:
    test = wizard(opened, model="wine", endpoint="flowers")
    choice = test.button_group(key="deployment_traffic")
    choice.set_value("all")
    act(test.run(), "Create")
    with served.scope() as scope:
        assert deployments.get(scope, "flowers", "blue-2").wants_all_traffic


@pytest.mark.parametrize(
    ("name", "sentence"), [("a", "3–32 letters"), ("flowers", "exists already"), ("1st-of-all", "a letter first")]
)
def test_a_name_that_cannot_be_is_said_at_its_field(served: Stage, opened: Opened, name: str, sentence: str) -> None:
    test = wizard(opened, model="iris")
    test.text_input(key="endpoint_name:iris").input(name).run()
    assert sentence in said(test)
    assert test.button(key="act_Create").disabled


def test_settings_are_in_the_yaml_beside(served: Stage, opened: Opened) -> None:
    test = wizard(opened, model="iris")
    test.number_input(key="deployment_timeout").set_value(60_000).run()
    test.number_input(key="deployment_count").set_value(2).run()
    test.toggle(key="deployment_collects").set_value(True).run()
    test.toggle(key="deployment_automatic").set_value(True).run()
    test.number_input(key="deployment_least").set_value(0).run()
    words = said(test)
    for word in ("request_timeout_ms: 60000", "instance_count: 2", "model_inputs", "scale_to_zero_after: 300"):
        assert word in words, word
    act(test, "Create")
    with served.scope() as scope:
        assert deployments.get(scope, "iris", "blue").spec["scale_settings"]["min_instances"] == 0


def test_a_model_of_another_kind_needs_a_script_and_an_environment(served: Stage, opened: Opened) -> None:
    test = wizard(opened, model="forest")
    assert "Send a scoring script" in said(test)
    assert test.button(key="act_Create").disabled


def test_files_are_worked_through_by_an_endpoint_made_by_one_click(served: Stage, opened: Opened) -> None:
    assert "No batch endpoints yet" in said(opened("endpoints", tab="batch"))
    test = wizard(opened, kind="batch", model="iris")
    test.number_input(key="batch_files").set_value(3).run()
    words = said(test)
    for word in ("batchEndpoint.schema.json", "modelBatchDeployment.schema.json", "mini_batch_size: 3"):
        assert word in words, word
    act(test, "Create")
    with served.scope() as scope:
        row = batch_endpoints.get_deployment(scope, "iris", "blue")
        assert (row.spec["settings"], row.provisioning_state) == ({"mini_batch_size": 3}, "Succeeded")
        assert batch_endpoints.default_of(scope, batch_endpoints.get(scope, "iris")) == "blue"
    shown = data(opened("endpoints", tab="batch"))
    assert "iris" in shown
    assert "flowers" not in shown


def test_another_deployment_is_the_default_only_when_it_is_said(served: Stage, opened: Opened) -> None:
    act(wizard(opened, kind="batch", model="iris"), "Create")
    act(wizard(opened, kind="batch", model="iris", endpoint="iris"), "Create")
    with served.scope() as scope:
        endpoint = batch_endpoints.get(scope, "iris")
        assert [each.name for each in batch_endpoints.listed_deployments(scope, "iris")] == ["blue", "green"]
        assert batch_endpoints.default_of(scope, endpoint) == "blue"
    test = wizard(opened, kind="batch", model="wine", endpoint="iris")
    test.toggle(key="deployment_default").set_value(True).run()
    act(test, "Create")
    with served.scope() as scope:
        assert batch_endpoints.default_of(scope, batch_endpoints.get(scope, "iris")) == "blue-2"


def test_a_reader_may_look_at_the_wizard_only(served: Stage, opened: Opened) -> None:
    test = opened("new_endpoint", served.cleo, model="iris")
    assert is_whole(test)
    assert test.button(key="act_Create").disabled
