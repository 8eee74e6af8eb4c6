"""Data by clicking: a folder is sent, looked at, profiled, made anew and compared; hostile files stay text."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import House, box, row, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
IRIS = "length,species\n" + "".join(f"{place / 10},{['setosa', 'virginica'][place % 2]}\n" for place in range(200))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "flowers"
    (made / "deep").mkdir(parents=True)
    (made / "iris.csv").write_text(IRIS)
    (made / "deep" / "notes.txt").write_text("two kinds of flowers\n")
    return made


def sent(page: Page, folder: Path, name: str) -> None:
    """Through the four steps, from the page that asks for a name or has one already."""
    if box(page, "Name").is_enabled():
        box(page, "Name").fill(name)
        box(page, "Name").blur()
        settled(page)
    onward(page)
    page.locator("input.folder").set_input_files(folder)
    expect(page.locator(".said")).to_contain_text(re.compile(r"\d files?, "))
    settled(page)
    onward(page)
    expect(box(page, "Description")).to_be_visible()
    onward(page)
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, name)


def onward(page: Page) -> None:
    page.get_by_role("button", name="Next", exact=True).click()
    settled(page)


def test_a_folder_is_sent_looked_at_profiled_made_anew_and_compared(page: Page, house: House, folder: Path) -> None:
    visit(page, "/data?ws=lab")
    page.get_by_role("button", name="New data asset").or_(page.get_by_role("link", name="New data asset")).first.click()
    title(page, "New data asset")
    sent(page, folder, "flowers")
    expect(page.get_by_text("Data asset 'flowers:1' was created.")).to_be_visible()
    expect(page.get_by_role("link", name="deep/notes.txt", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download iris.csv").click()
    assert download.value.path().read_text() == IRIS

    page.get_by_role("tab", name="Preview").click()
    expect(page.get_by_role("columnheader", name="length")).to_be_visible()
    expect(page.get_by_role("cell", name="setosa").first).to_be_visible()
    page.get_by_text("deep", exact=True).click()
    page.get_by_role("link", name=re.compile("notes.txt")).click()
    expect(page.get_by_text("two kinds of flowers")).to_be_visible()

    page.get_by_role("tab", name="Profile").click()
    page.get_by_role("button", name="Generate profile").click()
    expect(page.get_by_role("columnheader", name="Skewness")).to_be_visible()
    expect(page.locator(".at-hist i").first).to_be_visible()

    (folder / "iris.csv").write_text("length,colour\n" + "1,red\n" * 50)
    page.get_by_role("button", name="New version").click()
    title(page, "New version")
    sent(page, folder, "flowers")
    page.get_by_role("tab", name="Compare versions").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("200 → 50")).to_be_visible()
    expect(page.get_by_role("cell", name="colour")).to_be_visible()
    page.reload()
    expect(page.get_by_text("200 → 50")).to_be_visible()

    visit(page, "/data?ws=lab&q=flow")
    expect(row(page, "flowers")).to_contain_text("uri_folder")


def test_nothing_in_hostile_files_runs(page: Page, house: House, tmp_path: Path) -> None:
    harm = "<img src=x onerror=\"document.title='harm'\"><script>document.title='harm'</script>"
    root = tmp_path / "hostile"
    root.mkdir()
    (root / "a<img src=x onerror=alert(1)>.csv").write_text(f"n,{harm.replace(',', '')}\n1,{harm}\n")
    (root / "page.html").write_text(f"<!doctype html>{harm}")
    house.cli("data", "create", "--name", "hostile", "--path", str(root), "--description", harm)
    for address in ("data?", "data_asset?name=hostile&", "data_asset?name=hostile&tab=preview&",
                    "data_asset?name=hostile&tab=preview&file=page.html&"):  # fmt: skip
        visit(page, f"/{address}ws=lab")
        expect(page.get_by_text("hostile").first).to_be_visible()
        assert page.title() != "harm"
        assert page.locator("img[src=x]").count() == 0
