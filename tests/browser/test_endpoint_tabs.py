"""Monitoring, logs, rollouts and batch endpoints by mouse: what only a browser can show of them."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from services import alerts, batch_endpoints, endpoints
from services.specs.rollouts import Alert
from tests.browser.conftest import box, row, settled, title, visit
from tests.browser.test_endpoints import gateway, lab, page, place, signed, url  # noqa: F401 (fixtures)
from tests.conftest import Stage
from tests.pages import batch_seed, serving_seed

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def jobs(lab: Stage) -> list[str]:  # noqa: F811
    """Names of two jobs of the batch endpoint `nightly`; `flowers` was asked for an hour."""
    with lab.scope() as scope:
        batch_seed.busy(scope, endpoints.get(scope, "flowers"))
    done, runs = batch_seed.nightly(lab)
    batch_seed.told(lab, runs, mini_batches_total=40, mini_batches_done=10, mini_batches_failed=2, items_failed=7)
    return [done, runs]


def test_charts_are_drawn_and_a_span_is_chosen(page: Page, jobs: list[str]) -> None:  # noqa: F811
    visit(page, "/endpoint?ws=lab&name=flowers&tab=monitoring")
    for tile, count in {"rpm": 2, "latency": 4, "load": 4, "cpu": 3}.items():
        expect(page.locator(f".tile[data-id={tile}] .scatterlayer .trace")).to_have_count(count)
    expect(page.locator(".tile[data-id=errors] .barlayer .trace")).to_have_count(4)
    page.get_by_role("radio", name="15 min").click()
    expect(page).to_have_url(re.compile("range=15m"))
    page.get_by_role("link", name="Earlier").click()
    expect(page).to_have_url(re.compile("until="))
    expect(page.get_by_text("UTC", exact=False).first).to_be_visible()
    expect(page.locator(".tile[data-id=rpm] .scatterlayer .trace")).to_have_count(2)


def test_requests_come_into_the_table_by_themselves(page: Page, lab: Stage, place: str) -> None:  # noqa: F811
    visit(page, f"/endpoint?ws=lab&name={place}&tab=logs&code=5xx")
    expect(page.locator(".requests .state[data-live]")).to_be_visible()
    expect(page.get_by_text("No request matches.")).to_be_visible()
    with lab.scope() as scope:
        found = endpoints.get(scope, place)
        blue = next(each for each in endpoints.deployments_of(scope, found) if each.name == "blue")
        serving_seed.requests(scope, found, blue, count=3)
        serving_seed.requests(scope, found, blue, count=2, code=503, model_reason=batch_seed.SHADOW)
    expect(page.locator("tr[data-id]")).to_have_count(2)
    page.locator("tr[data-id]").first.click()
    expect(page.locator("tr.detail").get_by_text(batch_seed.SHADOW)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused")).to_be_visible()
    with lab.scope() as scope:
        serving_seed.requests(scope, found, blue, count=1, code=500)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("tr[data-id]")).to_have_count(3)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    assert waiting.value.path().read_text().count("\n") == 4


def test_a_rollout_is_started_and_turned_back(page: Page, lab: Stage, place: str) -> None:  # noqa: F811
    visit(page, f"/endpoint?ws=lab&name={place}&tab=rollout")
    page.get_by_role("button", name="Start rollout").click()
    expect(page.locator(".at-rail li")).to_have_count(3)
    expect(page.locator(".at-rail [data-state=now]").get_by_text("20 %")).to_be_visible()
    page.locator(".st-key-rollout_buttons").get_by_role("button", name="Roll back").click()
    expect(page.locator(".at-past").get_by_text("asked for it")).to_be_visible()
    with lab.scope() as scope:
        assert endpoints.get(scope, place).traffic == {"blue": 90, "green": 10}


def test_an_alert_is_added_and_removed(page: Page, lab: Stage, place: str) -> None:  # noqa: F811
    visit(page, f"/endpoint?ws=lab&name={place}&tab=rollout")
    page.get_by_role("button", name="Add alert").click()
    dialog = page.get_by_role("dialog").filter(has_text="Add alert")
    for label, text in (("Name", "too many"), ("Webhook", "https://127.0.0.1/hook")):
        dialog.get_by_role("textbox", name=label).fill(text)
        dialog.get_by_role("textbox", name=label).press("Enter")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_text("'127.0.0.1' is inside of the network")).to_be_visible()
    with lab.scope() as scope:
        alerts.put(scope, place, [Alert(name="too many", on="failed", webhook="https://hooks.example.com/T0/secret")])
    visit(page, f"/endpoint?ws=lab&name={place}&tab=rollout")
    expect(page.get_by_text("https://hooks.example.com/…")).to_be_visible()
    assert "T0/secret" not in page.content()
    page.locator(".st-key-alert_0").get_by_role("button").click()
    expect(page.get_by_text("Nobody is told")).to_be_visible()
    with lab.scope() as scope:
        assert alerts.listed(scope, place) == []


def test_another_deployment_of_a_batch_endpoint_becomes_the_default(
    page: Page,  # noqa: F811
    lab: Stage,  # noqa: F811
    jobs: list[str],
) -> None:
    visit(page, "/endpoints?ws=lab&tab=batch")
    row(page, "nightly").get_by_role("link", name="nightly").click()
    title(page, "nightly")
    green = page.locator(".at-deployment").filter(has=page.locator("h3", has_text="green"))
    green.get_by_role("link", name="Set default").click()
    page.get_by_role("button", name="Make it the default").click()
    expect(green.get_by_text("default", exact=True)).to_be_visible()
    with lab.scope() as scope:
        assert batch_endpoints.get(scope, "nightly").default_deployment == "green"


def test_a_call_is_filled_in_and_becomes_a_job(page: Page, lab: Stage, jobs: list[str]) -> None:  # noqa: F811
    visit(page, "/batch_endpoint?ws=lab&name=nightly&tab=invoke")
    page.get_by_role("radio", name="Datastore path").click()
    settled(page)
    box(page, "Path in it").fill("images/today")
    box(page, "Path in it").blur()
    expect(page.locator("code", has_text="paths/images/today")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="Create job").click()
    title(page, "nightly/")
    expect(page.get_by_text("They are counted once the files are listed.")).to_be_visible()
    visit(page, "/batch_endpoint?ws=lab&name=nightly&tab=jobs")
    expect(row(page, "10 of 40, 2 failed")).to_be_visible()


TABS = ("name=flowers&tab=monitoring", "name=flowers&tab=logs", "name=flowers&tab=rollout")
BATCH = ("name=nightly", "name=nightly&tab=jobs", "name=nightly&tab=invoke")


@pytest.mark.parametrize("width", [1024, 1440])
@pytest.mark.parametrize(
    "address", [f"endpoint?{each}" for each in TABS] + [f"batch_endpoint?{each}" for each in BATCH]
)
def test_nothing_stands_out_of_the_page(page: Page, jobs: list[str], width: int, address: str) -> None:  # noqa: F811
    page.set_viewport_size({"width": width, "height": 900})
    visit(page, f"/{address}&ws=lab")
    overflow: Any = page.evaluate(
        "() => { const main = document.querySelector('[data-testid=stMain]');"
        " return main.scrollWidth - main.clientWidth }"
    )
    assert overflow <= 0
