"""Environments by clicking: one that cannot be built is explained, put right, watched, looked into and given up."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import box, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]
LONG = 180_000
WRONG = "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - six==99.99\n"


def write(page: Page, label: str, text: str) -> None:
    box(page, label).fill(text)
    box(page, label).blur()
    settled(page)


def state(page: Page, word: str) -> None:
    expect(page.locator(".at-title .at-chip", has_text=word)).to_be_visible(timeout=LONG)


def test_what_cannot_be_built_is_explained_and_put_right(page: Page) -> None:
    visit(page, "/environments?ws=lab")
    page.get_by_role("button", name="New environment").click()
    write(page, "Name", "jokes")
    write(page, "Conda file", WRONG)
    page.get_by_role("button", name="Save and Build").click()
    title(page, "jokes")
    state(page, "Failed")
    alert = page.get_by_role("alert")
    expect(alert.get_by_text("A package or version does not exist for this Python")).to_be_visible()
    expect(alert.get_by_text("six==99.99")).to_be_visible()
    expect(page.get_by_text("→")).to_be_visible()

    page.get_by_role("tab", name="Context").click()
    write(page, "Conda file", WRONG.replace("99.99", "1.16.0"))
    page.get_by_role("button", name="Save and Build").click()
    state(page, "Ready")
    page.get_by_role("tab", name="Packages").click()
    expect(page.get_by_role("cell", name="1.16.0")).to_be_visible()
    with page.expect_download() as given:
        page.get_by_role("button", name="requirements.txt").click()
    assert "six==1.16.0" in Path(given.value.path()).read_text().splitlines()

    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("button", name="Restore")).to_be_visible()
    visit(page, "/environments?ws=lab&tab=disk")
    expect(page.get_by_text("nothing needs it").first).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Reclaim").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("reclaim")
    dialog.get_by_label("Name").press("Enter")
    dialog.get_by_role("button", name="Reclaim").click()
    expect(dialog).to_be_hidden()
    visit(page, "/environment?ws=lab&name=jokes&version=2")
    state(page, "Not on disk")


def test_a_build_is_given_up_by_a_button(page: Page) -> None:
    visit(page, "/environments?ws=lab&new=1")
    page.get_by_text("Dockerfile", exact=True).click()
    write(page, "Name", "endless")
    write(page, "Dockerfile", "FROM python:3.11\nRUN echo begun && sleep 3000\n")
    page.get_by_role("button", name="Save and Build").click()
    title(page, "endless")
    state(page, "Building")
    expect(page.get_by_text("begun", exact=True)).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Cancel build").click()
    state(page, "Canceled")


def test_a_folder_with_a_dockerfile_is_sent_built_and_changed(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    (folder / "lists").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM python:3.11\nCOPY lists/packages.txt .\nRUN pip install -r packages.txt\n")
    (folder / "lists" / "packages.txt").write_text("six==1.16.0\n")
    visit(page, "/environments?ws=lab&new=1")
    page.get_by_text("Build context", exact=True).click()
    settled(page)
    page.locator("input.folder").first.set_input_files(folder)
    expect(page.get_by_text("2 files")).to_be_visible()
    write(page, "Name", "tools")
    page.get_by_role("button", name="Save and Build").click()
    title(page, "tools")
    state(page, "Ready")
    page.get_by_role("tab", name="Context").click()
    page.locator("summary", has_text="lists").click()
    page.get_by_role("link", name="packages.txt").click()
    write(page, "lists/packages.txt", "six==1.17.0\n")
    page.get_by_role("button", name="Save and Build").click()
    page.wait_for_url("**version=2**")
    state(page, "Ready")
    page.get_by_role("tab", name="Packages").click()
    expect(page.get_by_role("cell", name="1.17.0")).to_be_visible()
