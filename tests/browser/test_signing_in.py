"""Who comes in by a browser: the printed link, the page one wanted, sessions that end."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from services import sessions
from services.studio import Studio
from tests.browser.conftest import House, Watch, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_printed_link_signs_in_once(house: House, browser: Browser) -> None:
    link = house.sign_in_link()
    first, second = browser.new_context(), browser.new_context()
    page = first.new_page()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    settled(page)
    title(page, "lab")

    again = second.new_page()
    again.goto(link)
    again.get_by_role("button", name="Sign in").click()
    expect(again.get_by_role("status")).to_contain_text("not valid any more")
    first.close()
    second.close()


def test_after_signing_in_one_is_where_one_wanted_to_go(house: House, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{house.url}/experiments?ws=lab")
    expect(page.get_by_text("Sign in to the studio.")).to_be_visible()
    page.locator("#token").fill((house.home / "token").read_text().strip())
    page.get_by_role("button", name="Sign in").click()
    title(page, "Experiments")
    context.close()


def test_signing_out_ends_the_session(house: House, signed_in: Callable[[], BrowserContext]) -> None:
    context = signed_in()
    page = context.new_page()
    visit(page, "/jobs?ws=lab")
    page.get_by_title("Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/jobs?ws=lab")
    expect(page.get_by_text("Sign in to the studio.")).to_be_visible()
    context.close()


def test_a_revoked_session_lands_on_the_sign_in_page(
    house: House, signed_in: Callable[[], BrowserContext], watch: Watch
) -> None:
    context = signed_in()
    page = context.new_page()
    visit(page, "/jobs?ws=lab")
    cookie = next(each for each in context.cookies() if each["name"] == "atelier_session")
    studio = Studio(house.settings())
    sessions.sign_out(studio, sessions.sid(cookie["value"]))
    studio.close()
    expect(page.get_by_text("Sign in to the studio.")).to_be_visible()
    context.close()
