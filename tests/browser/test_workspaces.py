"""Workspaces by clicking: made by one field, switched between, deleted by name, recovered."""

import pytest
from playwright.sync_api import Page, expect

from app.ui import nav
from tests.browser.conftest import House, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LISTS = [screen.name for screen in nav.SCREENS.values() if screen.section or screen.name == "new_job"]


def test_a_workspace_is_made_by_one_field_and_open(page: Page) -> None:
    visit(page, "/workspaces?ws=lab&new=1")
    page.get_by_label("Name", exact=True).fill("vision")
    page.get_by_role("button", name="Create").click()
    title(page, "vision")
    expect(page.get_by_label("Workspace", exact=True)).to_have_value("vision")
    expect(page.get_by_text("Workspace 'vision' was created.")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    assert "ws=vision" in page.url


def test_a_name_that_cannot_be_is_said_in_words(page: Page) -> None:
    visit(page, "/workspaces?ws=lab&new=1")
    page.get_by_label("Name", exact=True).fill("not a name")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("name")


@pytest.mark.parametrize("screen", LISTS)
def test_the_switcher_is_on_every_page_and_stays_there(house: House, page: Page, screen: str) -> None:
    house.cli("workspace", "create", "--name", f"other-{screen.replace('_', '-')}")
    visit(page, nav.href(screen, ws="lab"))
    where = page.locator("[aria-current=page]").first.inner_text()
    switcher = page.get_by_label("Workspace", exact=True)
    switcher.click()
    page.get_by_role("option", name=f"other-{screen.replace('_', '-')}", exact=True).click()
    page.wait_for_url(f"**ws=other-{screen.replace('_', '-')}*")
    settled(page)
    assert page.locator("[aria-current=page]").first.inner_text() == where


def test_a_workspace_is_deleted_by_its_name_and_recovered(house: House, page: Page) -> None:
    house.cli("workspace", "create", "--name", "short-lived")
    visit(page, "/workspaces?ws=short-lived")
    page.get_by_role("button", name="Delete workspace").click()
    dialog = page.get_by_role("dialog")
    sure = dialog.get_by_role("button", name="Delete workspace")
    expect(sure).to_be_disabled()
    dialog.get_by_role("textbox").fill("short-lived")
    dialog.get_by_role("textbox").press("Enter")
    expect(sure).to_be_enabled()
    sure.click()
    expect(page.get_by_text("Recently deleted")).to_be_visible()
    page.get_by_role("button", name="Recover").click()
    expect(page.get_by_text("Workspace 'short-lived' was recovered.")).to_be_visible()
    expect(page.get_by_role("heading", name="short-lived")).to_be_visible()
