"""Runs that a plain MLflow script logged, found and arranged by clicking; a link shows the same to somebody else."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import ROOT, House, box, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
SCRIPT = """
import math, os, time
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
client, until = MlflowClient(), time.monotonic() + 90
while True:
    try:
        experiment = client.create_experiment(os.environ["EXPERIMENT"])
        break
    except MlflowException:  # the studio has just been started
        if time.monotonic() > until:
            raise
        time.sleep(0.3)
for n in range(12):
    now = int(time.time() * 1000)
    run = client.create_run(experiment, run_name=f"net-{n:02d}", tags={"team": ["vision", "speech"][n % 2]}).info.run_id
    values = {"lr": [0.1, 0.01][n % 2], "model": ["cnn", "vit", "mlp"][n % 3], "batch": 32}
    metrics = [Metric("train/loss", math.exp(-step / 6) + n / 40, now + step, step) for step in range(20)]
    metrics += [Metric("val/accuracy", 1 - math.exp(-step / 6) - n / 40, now + step, step) for step in range(20)]
    client.log_batch(run, metrics, [Param(key, str(value)) for key, value in values.items()])
    client.set_terminated(run, "FAILED" if n == 7 else "FINISHED")
odd = "<img src=x onerror=window.__xss=1><script>window.__xss=2</script>"
place = client.create_experiment("odd")
for n in range(2):
    tags = {"t": odd, "mlflow.user": odd, "atelier.color": odd, "mlflow.note.content": odd}
    run = client.create_run(place, run_name=f"{n} {odd}", tags=tags).info.run_id
    client.log_batch(run, [Metric("a/loss", 1.0 + n, 1_700_000_000_000, n)], [Param("p", odd + str(n))])
"""


@pytest.fixture(scope="module")
def outside(house: House) -> str:
    """An experiment of twelve runs that no job made."""
    told = {"MLFLOW_TRACKING_URI": f"{house.url}/mlflow", "MLFLOW_WORKSPACE": "lab"}
    told |= {"MLFLOW_TRACKING_TOKEN": (house.home / "token").read_text().strip()}
    scripted({**told, "EXPERIMENT": "outside"}, ROOT)
    return "outside"


@pytest.fixture(scope="module")
def imported(house: House, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same from a folder that MLflow kept on somebody's disk."""
    folder = tmp_path_factory.mktemp("elsewhere")
    told = {"MLFLOW_TRACKING_URI": str(folder / "mlruns"), "MLFLOW_ALLOW_FILE_STORE": "true"}
    scripted({**told, "EXPERIMENT": "brought"}, folder)
    house.cli("import", "mlflow", "--from", str(folder / "mlruns"), "--experiment", "brought")
    return "brought"


def scripted(told: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **told},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def table(page: Page) -> Locator:
    return page.get_by_role("table", name=re.compile("Runs|Groups of runs"))


def names(page: Page) -> list[str]:
    return [each.strip() for each in table(page).locator("tbody td .name a").all_inner_texts()]


def asked(page: Page, text: str) -> None:
    box(page, "Filter").fill(text)
    page.keyboard.press("Enter")
    settled(page)


def word(page: Page, name: str) -> str:
    """A parameter of the address."""
    return parse_qs(urlsplit(page.url).query).get(name, [""])[0]


def test_runs_of_a_script_are_found_arranged_kept_and_linked(
    page: Page, outside: str, signed_in: Callable[[], BrowserContext]
) -> None:
    visit(page, "/experiments?ws=lab")
    page.get_by_role("link", name="All runs").click()
    title(page, "Runs")
    expect(table(page).locator("tbody tr").filter(has_text="net-")).to_have_count(12)

    asked(page, 'experiment = outside and (metrics.train/loss < 0.1 or params.model = "mlp"')
    expect(page.get_by_role("alert")).to_contain_text("Expected ')' for the '('")
    asked(page, 'experiment = outside and (metrics.train/loss < 0.1 or params.model = "mlp")')
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(table(page).locator("tbody tr")).to_have_count(6)
    assert names(page) == ["net-11", "net-08", "net-05", "net-02", "net-01", "net-00"]

    page.mouse.move(0, 0)  # what is under the hand has a word about itself, over the button
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_label("Search columns").fill("accuracy")
    expect(page.get_by_role("heading", name="Metrics 1")).to_be_visible()
    page.get_by_role("checkbox", name="accuracy", exact=True).check()
    page.get_by_label("Which value of val/accuracy").select_option("max")
    page.get_by_role("button", name="Remove Created by").click()
    page.get_by_role("button", name="Apply").click()
    expect(table(page).locator("th").filter(has_text="max val/accuracy")).to_be_visible()
    expect(table(page).locator("th").filter(has_text="Created by")).to_have_count(0)

    table(page).locator("th").filter(has_text="model").get_by_role("link").click()
    expect(table(page).locator("th").filter(has_text="model")).to_have_attribute("aria-sort", "ascending")
    settled(page)
    table(page).locator("th").filter(has_text="max val/accuracy").get_by_role("link").click(modifiers=["Shift"])
    expect(table(page).locator("th[aria-sort]")).to_have_count(2)
    assert word(page, "sort") == "params.model,max(metrics.val/accuracy)"

    page.get_by_role("button", name="Star net-05").click()
    expect(page.get_by_role("button", name="Star net-05")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Default view").click()
    page.get_by_role("button", name="Save as new view").click()
    box(page, "Name").fill("Good or mlp")
    page.get_by_text("Share with the workspace").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Good or mlp")).to_be_visible()
    settled(page)

    other = signed_in()
    theirs = other.new_page()
    visit(theirs, page.url)
    expect(table(theirs).locator("tbody tr")).to_have_count(6)
    assert names(theirs) == names(page)
    assert table(theirs).locator("th").all_inner_texts() == table(page).locator("th").all_inner_texts()
    visit(theirs, f"/runs?ws=lab&view={word(page, 'view')}")
    expect(table(theirs).locator("tbody tr")).to_have_count(6)
    assert names(theirs) == names(page)
    other.close()


def test_the_same_condition_by_rows_and_groups_that_open(page: Page, outside: str) -> None:
    visit(page, f"/experiment?ws=lab&experiment={outside}")
    expect(table(page).locator("tbody tr")).to_have_count(12)
    page.get_by_role("button", name="Conditions").click()
    page.get_by_role("combobox", name="Field").fill("params.lr")
    page.keyboard.press("Enter")
    box(page, "Value").fill("0.1")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Apply").click()
    expect(box(page, "Filter")).to_have_value("params.lr = 0.1")
    expect(table(page).locator("tbody tr")).to_have_count(6)
    page.keyboard.press("Escape")

    head = table(page).locator("th").filter(has_text="model")
    head.hover()
    head.get_by_role("button", name="Column model").click()
    page.get_by_role("menuitem", name="Group by this").click()
    groups = page.get_by_role("table", name="Groups of runs").locator("tbody tr")
    expect(groups).to_have_count(3)
    expect(groups.filter(has_text="cnn")).to_contain_text("±")
    groups.filter(has_text="cnn").get_by_role("link").click()
    expect(table(page).locator("tbody td .name")).to_have_count(2)
    assert sorted(names(page)) == ["net-00", "net-06"]


def test_runs_of_an_imported_folder_are_runs_like_others(page: Page, imported: str) -> None:
    visit(page, f"/experiment?ws=lab&experiment={imported}")
    expect(table(page).locator("tbody tr")).to_have_count(12)
    asked(page, 'metrics.train/loss < 0.1 or params.model = "mlp"')
    expect(table(page).locator("tbody tr")).to_have_count(6)
    page.get_by_text("Dashboard", exact=True).click()
    expect(page.locator(".js-plotly-plot").first.locator(".scatterlayer .trace")).to_have_count(6)


def test_ticked_runs_are_compared_and_eyes_decide_what_is_drawn(page: Page, outside: str) -> None:
    visit(page, f"/experiment?ws=lab&experiment={outside}")
    boxes = table(page).locator("tbody").get_by_role("checkbox")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    link = str(page.get_by_role("link", name="Compare", exact=True).get_attribute("href"))
    assert len(parse_qs(urlsplit(link).query)["runs"][0].split(",")) == 4

    page.get_by_text("Dashboard", exact=True).click()
    expect(page.get_by_role("button", name="Draw net-03")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    page.get_by_role("button", name="Draw net-03").click()
    expect(page.get_by_role("button", name="Draw net-03")).to_have_attribute("aria-pressed", "false")
    settled(page)
    visit(page, page.url)
    expect(page.get_by_role("button", name="Draw net-03")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("button", name="Draw net-04")).to_have_attribute("aria-pressed", "true")

    tile = page.locator(".tile", has_text="Parallel coordinates")
    tile.scroll_into_view_if_needed()
    plot = tile.locator("svg[role=img]")
    plot.hover(position={"x": 56, "y": 150})
    page.mouse.down()
    plot.hover(position={"x": 56, "y": 90}, force=True)
    plot.hover(position={"x": 56, "y": 8}, force=True)
    page.mouse.up()
    expect(page.get_by_role("button", name="Brushed: ")).to_be_visible()
    expect(table(page).locator("tbody tr")).not_to_have_count(12)
    page.get_by_role("button", name="Brushed: ").click()
    expect(table(page).locator("tbody tr")).to_have_count(12)


def test_hostile_words_of_runs_stay_text(page: Page, outside: str) -> None:
    for what in ("columns=params.p,tags.t,creator,metrics.a/loss", "group=params.p", "show=dashboard"):
        visit(page, f"/experiment?ws=lab&experiment=odd&{what}")
        expect(page.get_by_text("<img src=x onerror=window.__xss=1>").first).to_be_visible()
        assert page.evaluate("window.__xss") is None
        assert page.locator("main img[src=x]").count() == 0
    asked(page, 'params.p ~ "<img src=x onerror=window.__xss=3>" <')
    expect(page.get_by_role("alert")).to_contain_text("<img src=x onerror=window.__xss=3>")
    assert page.evaluate("window.__xss") is None
