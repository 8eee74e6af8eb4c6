"""A tab that is open while the studio restarts: it comes back where it was, and the first click counts."""

import json

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import ROOT, House, settled, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def tab(profile: BrowserContext) -> Page:
    """Unwatched: that requests fail while nobody answers is what these tests are about."""
    return profile.new_page()


def test_it_comes_back_on_the_same_job(house: House, tab: Page) -> None:
    example = str(ROOT / "examples" / "hello" / "job.yml")
    job = json.loads(house.cli("job", "create", "-f", example, "-o", "json"))["name"]
    house.cli("job", "stream", "--name", job)
    visit(tab, f"/job?ws=lab&job={job}")
    with tab.expect_navigation():  # it loads itself again once the studio answers
        house.restart_web()
    settled(tab)
    tab.get_by_role("tab", name="Outputs + logs").click()
    expect(tab.get_by_role("log")).to_contain_text("hello from")
    assert job in tab.url
    assert "tab=outputs" in tab.url
    tab.close()


def test_the_first_filter_after_it_counts(house: House, tab: Page) -> None:
    visit(tab, "/jobs?ws=lab")
    with tab.expect_navigation():  # it loads itself again once the studio answers
        house.restart_web()
    settled(tab)
    tab.get_by_text("Include archived").click()
    tab.wait_for_url("**archived=1**")
    tab.close()
