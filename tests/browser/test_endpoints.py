"""Endpoints by mouse and keyboard: deployed, given traffic, tried, opened with keys, changed and gone again.

The web process runs alone on a home of its own: what a worker and a gateway would say is written by the tests.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from services import deployments, endpoints, sessions
from services.core.states import ProvisioningState
from services.store.serving import Deployment, Endpoint
from tests.browser.conftest import ROOT, Watch, box, row, settled, title, visit
from tests.conftest import Stage, free_port, make_stage
from tests.pages import seed, serving_seed
from tests.pages.serving_seed import Gateway

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = make_stage(tmp_path_factory.mktemp("endpoints") / "home")
    serving_seed.lived_in(made)
    with made.scope() as scope:
        seed.facts(scope)
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def gateway(lab: Stage) -> Iterator[Gateway]:
    with serving_seed.gateway(lab) as made:
        yield made


@pytest.fixture(scope="module")
def url(lab: Stage, gateway: Gateway) -> Iterator[str]:
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATELIER_")}
    environment |= {"ATELIER_HOME": str(lab.studio.folders.home), "ATELIER_PORT": str(port)}
    web = subprocess.Popen([sys.executable, "-m", "app.server"], cwd=ROOT, env=environment)
    address = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 90
    while not is_up(address):
        assert web.poll() is None
        assert time.monotonic() < until, "the web process did not come up"
        time.sleep(0.2)
    yield address
    web.terminate()
    web.wait(30)


def is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def signed(lab: Stage, url: str, browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(60_000)
    opened = context.new_page()
    opened.goto(f"/auth/sign-in?token={sessions.issue_sign_in(lab.studio, lab.ada)}")
    opened.get_by_role("button", name="Sign in").click()
    opened.wait_for_url(f"{url}/**")
    opened.close()
    yield context
    context.close()


@pytest.fixture
def page(signed: BrowserContext, watch: Watch) -> Iterator[Page]:
    opened = signed.new_page()
    watch.over(opened)
    yield opened
    opened.close()
    assert watch.faults == []


@pytest.fixture
def place(lab: Stage, request: pytest.FixtureRequest) -> str:
    """The name of a fresh endpoint with blue at 90 and green at 10 percent."""
    name = "t" + request.node.name.removeprefix("test_").replace("_", "-")[:24].rstrip("-")
    with lab.scope() as scope:
        serving_seed.endpoint(scope, name)
        serving_seed.deployment(scope, name, "blue", instance_count=2)
        serving_seed.deployment(scope, name, "green", model="azureml:iris:2")
        endpoints.update(scope, name, traffic={"blue": 90, "green": 10})
    return name


def of(lab: Stage, name: str) -> Endpoint:
    with lab.scope() as scope:
        return endpoints.get(scope, name)


def behind(lab: Stage, name: str, deployment: str) -> Deployment:
    with lab.scope() as scope:
        return deployments.get(scope, name, deployment)


def confirmed(page: Page, name: str, verb: str) -> None:
    dialog = page.get_by_role("dialog").filter(has_text="Are you sure?")
    dialog.get_by_role("textbox", name="Name").fill(name)
    dialog.get_by_role("textbox", name="Name").press("Enter")
    dialog.get_by_role("button", name=verb).click()


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=f"Traffic of {name}", exact=True)


def moved(control: Locator, keys: str, times: int) -> None:
    control.focus()
    for _ in range(times):
        control.press(keys)


def test_a_registered_model_is_deployed_by_two_clicks_and_watched(page: Page, lab: Stage) -> None:
    visit(page, "/model?ws=lab&name=wine")
    page.get_by_role("link", name="Deploy").click()
    title(page, "Deploy a model")
    expect(page.locator("code", has_text="azureml:wine:1")).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, "wine")
    expect(page.locator(".at-title [data-status=Updating]")).to_be_visible()
    with lab.scope() as scope:
        made = deployments.get(scope, "wine", "blue")
        assert made.wants_all_traffic
        made.provisioning_state, made.serving_generation = ProvisioningState.Succeeded, 1
        serving_seed.replica(scope, made, 0, "Ready")
        endpoints.set_traffic(scope, "wine", {"blue": 100})
    expect(page.locator(".at-title [data-status=Healthy]")).to_be_visible()
    expect(page.get_by_text("1 of 1 ready")).to_be_visible()


def test_the_list_leads_to_each_of_them(page: Page, lab: Stage) -> None:
    visit(page, "/endpoints?ws=lab")
    expect(row(page, "flowers").get_by_text("Healthy")).to_be_visible()
    expect(row(page, "flowers").get_by_text("blue 90 · green 10")).to_be_visible()
    page.get_by_role("searchbox", name="Search endpoints").fill("broke")
    expect(row(page, "flowers")).to_have_count(0)
    row(page, "broken").get_by_role("link", name="broken").click()
    title(page, "broken")
    expect(page.get_by_text("No module named 'pandaz'")).to_be_visible()
    assert page.evaluate("window.__xss") is None


def test_what_has_not_changed_is_not_drawn_anew(page: Page, lab: Stage, place: str) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}")
    expect(card(page, "blue")).to_be_visible()
    page.evaluate("document.querySelectorAll('.at-deployment').forEach(node => { node.dataset.mine = '1' })")
    with lab.scope() as scope:
        made = deployments.get(scope, place, "green")
        made.message = "It is being looked at."
        scope.session.add(made)
    expect(card(page, "green").get_by_text("It is being looked at.")).to_be_visible()
    expect(card(page, "blue")).to_have_attribute("data-mine", "1")
    expect(card(page, "green")).not_to_have_attribute("data-mine", "1")


def test_moving_one_slider_moves_the_others(page: Page, lab: Stage, place: str) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}")
    page.get_by_role("link", name="Update traffic").click()
    moved(slider(page, "green"), "ArrowRight", 15)
    expect(slider(page, "blue")).to_have_value("75")
    page.get_by_role("switch", name="Mirror traffic to green").check(force=True)
    expect(page.get_by_role("slider", name="Mirrored traffic of green")).to_have_value("10")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".at-share").get_by_text("75 %")).to_be_visible()
    expect(page.locator(".at-share").get_by_text("copies of 10 %")).to_be_visible()
    assert of(lab, place).traffic == {"blue": 75, "green": 25}
    assert of(lab, place).mirror_traffic == {"green": 10}


def test_presets_and_one_click_back(page: Page, lab: Stage, place: str) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}&edit=traffic")
    page.get_by_role("button", name="All to green").click()
    expect(slider(page, "blue")).to_have_value("0")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".at-share").get_by_text("100 %")).to_be_visible()
    assert of(lab, place).traffic == {"green": 100}
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator(".at-share").get_by_text("90 %")).to_be_visible()
    assert of(lab, place).traffic == {"blue": 90, "green": 10}


def test_three_share_what_one_leaves(page: Page, lab: Stage, place: str) -> None:
    with lab.scope() as scope:
        serving_seed.deployment(scope, place, "violet")
        serving_seed.deployment(scope, place, "orange", state="Creating")
        endpoints.update(scope, place, traffic={"blue": 50, "green": 25, "violet": 25})
    visit(page, f"/endpoint?ws=lab&name={place}&edit=traffic")
    page.get_by_role("spinbutton", name="Traffic of blue in percent", exact=True).fill("33")
    page.get_by_role("spinbutton", name="Traffic of blue in percent", exact=True).press("Tab")
    values = [int(slider(page, name).input_value()) for name in ("blue", "green", "violet")]
    assert values[0] == 33
    assert sum(values) == 100
    assert abs(values[1] - values[2]) <= 1
    expect(slider(page, "orange")).to_be_disabled()
    page.get_by_role("button", name="No traffic").click()
    expect(page.get_by_text("Nobody answers")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Nobody answers yet")).to_be_visible()
    assert not any(of(lab, place).traffic.values())


def test_fields_are_filled_and_the_answer_is_read(page: Page, gateway: Gateway, place: str) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}&tab=test")
    field = page.get_by_role("spinbutton", name="sepal length")
    field.fill("6.25")
    field.press("Tab")
    settled(page)
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.locator(".at-answer .at-code")).to_have_text("200")
    expect(page.locator(".at-body")).to_contain_text("predictions")
    assert json.loads(gateway.heard[-1][0])["input_data"]["data"][0][0] == 6.25
    page.get_by_text("Headers").click()
    expect(page.get_by_text("x-request-id")).to_be_visible()


def test_two_deployments_answer_side_by_side(page: Page, gateway: Gateway, place: str) -> None:
    gateway.answers["green"] = (200, b'{"predictions": [0, 1]}')
    visit(page, f"/endpoint?ws=lab&name={place}&tab=test&deployment=blue&against=green&as=json")
    body = page.get_by_role("textbox", name="Request body")
    body.fill('{"input_data": [[1]]}')
    body.blur()
    page.get_by_role("button", name="Test both").click()
    expect(page.locator(".at-answer")).to_have_count(2)
    expect(page.get_by_text("furthest apart: 50.00%")).to_be_visible()
    assert {each[1]["azureml-model-deployment"] for each in gateway.heard[-2:]} == {"blue", "green"}


def test_a_sample_is_kept_and_opened_again(page: Page, lab: Stage, place: str) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}&tab=test&as=json")
    body = page.get_by_role("textbox", name="Request body")
    body.fill("[[1, 2]]")
    body.blur()
    settled(page)
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("textbox", name="Keep this request as").fill("one row")
    page.get_by_role("textbox", name="Keep this request as").press("Enter")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("The sample was kept.")).to_be_visible()
    assert of(lab, place).samples == {"one row": "[[1, 2]]"}
    visit(page, f"/endpoint?ws=lab&name={place}&tab=test&sample=one row")
    expect(page.get_by_role("textbox", name="Request body")).to_have_value("[[1, 2]]")


def test_a_key_is_seen_only_by_who_asks(page: Page, lab: Stage, place: str) -> None:
    with lab.scope() as scope:
        keys = endpoints.keys(scope, place)
    visit(page, f"/endpoint?ws=lab&name={place}&tab=consume")
    expect(page.get_by_role("button", name="Show Primary key")).to_be_visible()
    assert keys.primary not in page.content()
    page.get_by_role("button", name="Copy Secondary key").click()
    expect(page.get_by_role("button", name="Copy Secondary key")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == keys.secondary
    expect(page.get_by_text(keys.secondary)).to_have_count(0)
    page.get_by_role("button", name="Show Primary key").click()
    expect(page.get_by_text(keys.primary)).to_be_visible()
    page.get_by_role("button", name="Hide Primary key").click()
    expect(page.get_by_text(keys.primary)).to_have_count(0)
    page.get_by_role("button", name="Regenerate Primary key").click()
    confirmed(page, "primary", "Regenerate")
    expect(page.get_by_text("The primary key was made anew.")).to_be_visible()
    with lab.scope() as scope:
        assert endpoints.keys(scope, place).primary != keys.primary


def test_a_token_opens_for_a_while_and_is_not_kept_in_sight(page: Page, lab: Stage) -> None:
    visit(page, "/endpoint?ws=lab&name=broken&tab=consume")
    page.get_by_role("button", name="Show Token").click()
    expect(page.get_by_text("until")).to_be_visible()
    expect(page.get_by_role("button", name="Hide Token")).to_be_visible()
    page.get_by_role("tab", name="Details").click()
    expect(card(page, "blue")).to_be_visible()
    page.get_by_role("tab", name="Consume").click()
    expect(page.get_by_role("button", name="Show Token")).to_be_visible()


def test_an_address_is_copied(page: Page, place: str, gateway: Gateway) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}&tab=consume")
    page.get_by_role("button", name="Copy Scoring URI").click()
    expect(page.get_by_role("button", name="Copy Scoring URI")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{gateway.url}/lab/{place}/score"
    page.get_by_role("radio", name="JavaScript").click()
    expect(page.locator("code", has_text="process.env.ENDPOINT_KEY")).to_be_visible()
    assert "lang=JavaScript" in page.url


def test_a_deployment_gets_another_version_and_more_instances(page: Page, lab: Stage, place: str) -> None:
    visit(page, f"/endpoint?ws=lab&name={place}")
    card(page, "blue").get_by_role("link", name="Edit").click()
    dialog = page.get_by_role("dialog").filter(has_text="Edit deployment")
    dialog.get_by_role("spinbutton", name="Instances").fill("3")
    dialog.get_by_role("spinbutton", name="Instances").press("Tab")
    dialog.get_by_role("combobox", name="Version of iris").click()
    page.get_by_role("option", name="2", exact=True).click()
    expect(dialog.get_by_text("What serves now goes on")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Deployment 'blue' was changed.")).to_be_visible()
    made = behind(lab, place, "blue")
    assert (made.instance_count, made.spec["model"], made.generation) == (3, "azureml:iris:2", 2)


def test_a_deployment_and_an_endpoint_go_by_their_names(page: Page, lab: Stage, place: str) -> None:
    with lab.scope() as scope:
        endpoints.set_traffic(scope, place, {"blue": 100})
    visit(page, f"/endpoint?ws=lab&name={place}")
    expect(card(page, "blue").locator("[aria-disabled=true]", has_text="Delete")).to_be_visible()
    card(page, "green").get_by_role("link", name="Delete").click()
    confirmed(page, "green", "Delete deployment")
    expect(page.get_by_text("Deployment 'green' is being deleted.")).to_be_visible()
    assert behind(lab, place, "green").desired == "delete"
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    confirmed(page, place, "Delete endpoint")
    title(page, "Endpoints")
    assert of(lab, place).desired == "delete"


def test_a_script_of_ones_own_is_sent_with_its_environment(page: Page, lab: Stage, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "onlinescoring"
    folder.mkdir()
    (folder / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    (folder / "helper.py").write_text("")
    visit(page, f"/new_endpoint?ws=lab&model=forest&endpoint={place}")
    expect(page.get_by_text("Send a scoring script")).to_be_visible()
    page.locator("input.folder").first.set_input_files(folder)
    expect(page.get_by_text("2 files")).to_be_visible()
    name = box(page, "Deployment name")
    name.fill("violet")
    name.blur()
    environment = page.get_by_role("combobox", name="Environment", exact=True)
    environment.fill("python:3.11")
    environment.press("Enter")
    expect(page.locator("code", has_text="scoring_script: score.py")).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, place)
    made = behind(lab, place, "violet")
    assert made.resolved["code_name"] == "onlinescoring"
    assert made.spec["code_configuration"]["scoring_script"] == "score.py"
    assert not made.wants_all_traffic


@pytest.mark.parametrize("width", [1024, 1440])
@pytest.mark.parametrize("address", ["endpoint?name=flowers", "endpoint?name=flowers&edit=traffic", "new_endpoint?"])
def test_nothing_stands_out_of_the_page(page: Page, lab: Stage, width: int, address: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    visit(page, f"/{address}&ws=lab")
    overflow: Any = page.evaluate(
        "() => { const main = document.querySelector('[data-testid=stMain]');"
        " return main.scrollWidth - main.clientWidth }"
    )
    assert overflow <= 0


def card(page: Page, name: str) -> Locator:
    return page.locator(".at-deployment").filter(has=page.locator("h3", has_text=name))
