"""The example that trains a model, done by clicking: environment, job, log, charts, files, experiment, restart."""

import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import ROOT, House, Watch, box, row, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1200)]
EXAMPLE = ROOT / "examples" / "train"
LONG = 240_000
RATES = ("0.01", "0.05")


def by_hand(rate: str) -> str:
    """The example's YAML as somebody types it: the environment by name, the code sent beside it."""
    written = yaml.safe_load((EXAMPLE / "job.yml").read_text())
    written["environment"], written["display_name"] = "azureml:digits@latest", f"digits at {rate}"
    written["inputs"]["learning_rate"] = float(rate)
    del written["code"]
    return yaml.safe_dump(written, sort_keys=False)


@pytest.fixture(scope="module")
def trained(house: House, profile: BrowserContext) -> list[str]:
    """Two jobs of the example, made by hand; their names."""
    watch, page = Watch(), profile.new_page()
    watch.over(page)
    visit(page, "/environments?ws=lab")
    page.get_by_role("button", name="New environment").click()
    for label, text in (("Name", "digits"), ("Conda file", (EXAMPLE / "conda.yml").read_text())):
        box(page, label).fill(text)
        box(page, label).blur()
    page.get_by_role("button", name="Save", exact=True).click()
    title(page, "digits")
    names = []
    for rate in RATES:
        visit(page, "/new_job?ws=lab")
        box(page, "job.yml").fill(by_hand(rate))
        box(page, "job.yml").blur()
        expect(box(page, "Display name")).to_have_value(f"digits at {rate}")
        page.locator("input.folder").first.set_input_files(EXAMPLE / "src")
        expect(page.get_by_text("1 file")).to_be_visible()
        page.get_by_role("button", name="Submit").click()
        title(page, f"digits at {rate}")
        names.append(re.search(r"job=([a-z0-9_]+)", page.url)[1])
    for name in names:
        visit(page, f"/job?ws=lab&job={name}")
        expect(page.locator(".at-title [data-status=Completed]")).to_be_visible(timeout=LONG)
    page.close()
    assert watch.faults == []
    return names


def test_every_second_has_a_reason(page: Page, trained: list[str]) -> None:
    visit(page, f"/job?ws=lab&job={trained[0]}")
    timeline = page.locator(".at-panel", has_text="Timeline")
    expect(timeline.get_by_text("Building the environment")).to_be_visible()
    expect(timeline.get_by_text("The command runs")).to_be_visible()
    for words in ("learning_rate", "SGDClassifier", "test_accuracy", "data: digits"):
        expect(page.get_by_text(words).first).to_be_visible()


def test_the_charts_are_drawn(page: Page, trained: list[str]) -> None:
    visit(page, f"/job?ws=lab&job={trained[0]}")
    page.get_by_role("tab", name="Metrics").click()
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        chart = page.locator(".tile", has_text=name)
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".scatterlayer .trace")).to_have_count(1)


def test_what_the_container_used_is_drawn(page: Page, trained: list[str]) -> None:
    visit(page, f"/job?ws=lab&job={trained[0]}&tab=monitoring")
    expect(page.locator(".tile", has_text="Memory").locator(".scatterlayer .trace")).to_have_count(1)


def test_files_are_looked_at_and_downloaded(page: Page, trained: list[str], tmp_path: Path) -> None:
    visit(page, f"/job?ws=lab&job={trained[0]}&tab=outputs")
    expect(page.get_by_role("log")).to_contain_text("epoch  30")
    page.get_by_role("link", name="confusion_matrix.png").click()
    picture = page.locator("[data-testid=stImage] img")
    expect(picture).to_be_visible()
    page.wait_for_function("() => document.querySelector('[data-testid=stImage] img').naturalWidth > 100")
    page.get_by_role("link", name="report", exact=True).click()
    expect(page.get_by_text("test accuracy 0.9")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download", exact=True).click()
    waiting.value.save_as(tmp_path / "report.txt")
    assert (tmp_path / "report.txt").read_text().startswith("test accuracy 0.9")
    assert waiting.value.suggested_filename == "report.txt"


def test_runs_of_an_experiment_are_drawn_together(page: Page, trained: list[str]) -> None:
    visit(page, "/experiments?ws=lab")
    page.get_by_role("link", name="digits", exact=True).click()
    title(page, "digits")
    for rate in RATES:
        expect(row(page, f"digits at {rate}")).to_be_visible()
    page.get_by_text("Dashboard", exact=True).click()
    lines = page.locator(".tile", has_text="test_loss").locator(".scatterlayer .trace")
    expect(lines).to_have_count(2)
    page.get_by_role("button", name="Draw digits at 0.05").click()
    expect(lines).to_have_count(1)
    page.reload()
    settled(page)
    expect(lines).to_have_count(1)


def test_an_environment_shows_how_it_was_built(page: Page, trained: list[str]) -> None:
    visit(page, "/environments?ws=lab")
    expect(row(page, "digits").locator("[data-status=Ready]")).to_be_visible()
    page.get_by_role("link", name="digits", exact=True).click()
    title(page, "digits")
    expect(page.locator("[data-testid=stCode]").filter(has_text="scikit-learn").first).to_be_visible()
    expect(page.get_by_text("Build log")).to_be_visible()


def test_compute_says_what_the_machine_can_take(page: Page, house: House) -> None:
    visit(page, "/compute?ws=lab")
    expect(page.get_by_text("Processors")).to_be_visible()
    expect(page.locator(".at-title [data-status=Ready]")).to_be_visible()
