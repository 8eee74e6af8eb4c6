"""The example of thirty jobs, compared by clicking: columns, a filter with OR, groups, brushes, a baseline, a link."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import ROOT, House, box, settled, title, visit
from tests.browser.test_runs import asked, names, table, word

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1800)]
EXAMPLE = ROOT / "examples" / "sweep"
PLACE = "/experiment?ws=lab&experiment=digits-sweep"
GOOD = "(params.learning_rate = 0.01 or params.hidden = 64) and max(metrics.val/accuracy) > 0.9 and status = Completed"


@pytest.fixture(scope="module")
def jobs(house: House, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Thirty by the example's own script, and one more after its code was changed; all are over."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [EXAMPLE / "submit"],
        env={**house.environment, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    copy = tmp_path_factory.mktemp("changed") / "sweep"
    shutil.copytree(EXAMPLE, copy)
    script = copy / "src" / "train.py"
    script.write_text(script.read_text().replace("batch_size=64", "batch_size=16"))
    last = house.cli(
        "job",
        "create",
        "-f",
        str(copy / "job.yml"),
        "--set",
        "display_name=smaller batches",
        "--query",
        "name",
        "-o",
        "tsv",
    )
    found = [*done.stdout.split(), last.strip()]
    assert len(found) == 31
    for name in found:
        house.cli("job", "stream", "--name", name)
    return found


def dashboard(page: Page, address: str) -> None:
    visit(page, address)
    expect(page.locator(".js-plotly-plot .scatterlayer .trace").first).to_be_visible()


def test_thirty_runs_are_compared_and_the_link_shows_the_same(
    page: Page, jobs: list[str], signed_in: Callable[[], BrowserContext]
) -> None:
    visit(page, f"{PLACE}&size=100")
    title(page, "digits-sweep")
    expect(table(page).locator("tbody tr")).to_have_count(31)

    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_label("Search columns").fill("accuracy")
    page.get_by_label("Which value of val/accuracy").select_option("max")
    page.get_by_role("button", name="Apply").click()
    expect(table(page).locator("th").filter(has_text="max val/accuracy")).to_be_visible()
    asked(page, GOOD)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(table(page).get_by_text("rate 0.1, 8 wide, seed 1")).to_have_count(0)
    expect(table(page).get_by_text("rate 0.01, 64 wide, seed 1")).to_be_visible()
    shown = len(names(page))

    page.get_by_role("button", name="Group by").click()
    page.get_by_role("combobox", name="Fields").fill("params.learning_rate")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    groups = page.get_by_role("table", name="Groups of runs").locator("tbody tr")
    expect(groups.first).to_contain_text("±")
    assert sum(int(text) for text in groups.locator("td:nth-child(2)").all_inner_texts()) == shown
    page.go_back()
    expect(table(page).locator("tbody tr")).to_have_count(shown)

    page.get_by_role("button", name="Default view").click()
    page.get_by_role("button", name="Save as new view").click()
    box(page, "Name").fill("Worth a look")
    page.get_by_text("Share with the workspace").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Worth a look")).to_be_visible()
    settled(page)
    other = signed_in()
    theirs = other.new_page()
    visit(theirs, page.url)
    expect(table(theirs).locator("tbody tr")).to_have_count(shown)
    assert names(theirs) == names(page)
    assert table(theirs).locator("th").all_inner_texts() == table(page).locator("th").all_inner_texts()
    assert word(theirs, "filter") == GOOD
    other.close()


def test_axes_are_brushed_and_the_list_follows(page: Page, jobs: list[str]) -> None:
    dashboard(page, f"{PLACE}&show=dashboard&size=100&hidden=-")
    page.locator(".tile[data-type=parallel]").scroll_into_view_if_needed()
    strip = page.locator(".tile .strip").first
    strip.scroll_into_view_if_needed()
    found = strip.bounding_box()
    assert found is not None
    page.mouse.move(found["x"] + found["width"] / 2, found["y"] + 2)
    page.mouse.down()
    page.mouse.move(found["x"] + found["width"] / 2, found["y"] + found["height"] / 2, steps=8)
    page.mouse.up()
    brushed = page.get_by_role("button", name=re.compile(r"Brushed: \d+ runs"))
    expect(brushed).to_be_visible()
    count = int(re.findall(r"\d+", brushed.inner_text())[0])
    assert 0 < count < 31
    expect(page.get_by_role("table", name="Runs").locator("tbody tr")).to_have_count(count)


def test_the_changed_code_is_read_beside_a_baseline(page: Page, jobs: list[str]) -> None:
    visit(page, f"/compare?ws=lab&runs={','.join([*jobs[:5], jobs[-1]])}&baseline={jobs[1]}&other={jobs[-1]}")
    head = page.locator(f'th[data-run="{jobs[1]}"]')
    expect(head.get_by_text("Baseline", exact=True)).to_be_visible()
    expect(page.locator('tr[data-key="val/accuracy"] polyline')).to_have_count(6)
    page.get_by_role("tab", name="Code", exact=True).click()
    file = page.locator("details.at-file", has_text="train.py")
    expect(file.locator("td[data-kind=removed]", has_text="batch_size=64")).to_be_visible()
    expect(file.locator("td[data-kind=added]", has_text="batch_size=16")).to_be_visible()


@pytest.mark.parametrize("width", [1024, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_over_the_edge(page: Page, jobs: list[str], width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for address in (
        PLACE, f"{PLACE}&show=dashboard", "/runs?ws=lab", f"/job?ws=lab&job={jobs[0]}&tab=metrics",
        f"/compare?ws=lab&runs={','.join(jobs[:4])}",
    ):  # fmt: skip
        visit(page, address)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("each => each.scrollWidth <= each.clientWidth"), address
