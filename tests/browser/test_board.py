"""A dashboard by clicking: charts arranged, edited, enlarged, saved and brushed; what runs are called stays text."""

import csv
import math
import re
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Locator, Page, expect

from services import sessions, views
from services.studio import Studio
from tests.browser.conftest import House, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RUNS = 6
UNTIL_UP = urllib3.Retry(10, status_forcelist=[503], allowed_methods=None, backoff_factor=0.5)
HOSTILE = "<img src=x onerror=window.__xss=1>"
NOTE = f"# Read me\n\n**{HOSTILE}** [not a link](javascript:window.__xss=2) [a link](https://example.org/a)"
BOARD = {
    "sections": [
        {
            "title": f"Training {HOSTILE}",
            "tiles": [
                {"id": "loss", "type": "line", "metrics": ["loss"]},
                {"id": "score", "type": "line", "metrics": ["score"], "title": HOSTILE},
                {"id": "axes", "type": "parallel", "fields": ["params.lr", "params.kind", "metrics.loss"], "width": 12},
                {"id": "runs", "type": "table", "fields": ["params.kind", "metrics.loss"], "width": 6},
                {"id": "note", "type": "markdown", "text": NOTE},
            ],
        },
        {"title": "Rest", "tiles": [{"id": "best", "type": "scalar", "value": "metrics.score"}]},
    ]
}


def logged(house: House, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """As an MLflow client does it, which also waits for a tracking server that is starting."""
    token = (house.home / "token").read_text().strip()
    answer = urllib3.request(
        "POST",
        f"{house.url}/mlflow/api/2.0/mlflow/{path}",
        json=body,
        headers={"Authorization": f"Bearer {token}", "X-MLFLOW-WORKSPACE": "lab"},
        retries=UNTIL_UP,
    )
    assert answer.status == 200, answer.data
    return dict(answer.json())


@pytest.fixture(scope="module")
def address(house: House) -> str:
    """Six runs of a plain client, the first of them hostile in all that it says, and a board for them."""
    experiment = logged(house, "experiments/create", {"name": "boards"})["experiment_id"]
    start = 1_760_000_000_000
    for place in range(RUNS):
        name = HOSTILE if place == 0 else f"run {place}"
        made = logged(
            house, "runs/create", {"experiment_id": experiment, "run_name": name, "start_time": start + place}
        )
        run = made["run"]["info"]["run_id"]
        points = [
            {"key": key, "value": value, "step": step, "timestamp": start + step * 1000}
            for step in range(60)
            for key, value in (("loss", math.exp(-step / (9 + place))), ("score", 1 - math.exp(-step / (9 + place))))
        ]
        said = [{"key": "lr", "value": str(10.0**-place)}, {"key": "kind", "value": HOSTILE if place == 0 else "=1+1"}]
        logged(house, "runs/log-batch", {"run_id": run, "metrics": points, "params": said})
        logged(house, "runs/update", {"run_id": run, "status": "FINISHED", "end_time": start + 60_000})
    studio = Studio(house.settings())
    with studio.scope(sessions.ensure_owner(studio), "lab", write=True) as scope:
        board = views.put_board(scope, BOARD)
    studio.close()
    return f"/experiment?ws=lab&experiment=boards&show=dashboard&board={board}"


def tile(page: Page, name: str) -> Locator:
    return page.locator(f".tile[data-id={name}]")


def lines(page: Page, name: str) -> Locator:
    return tile(page, name).locator(".plot .scatterlayer .trace")


def chosen(page: Page, name: str, line: str) -> None:
    """A line of a tile's menu."""
    tile(page, name).hover()
    tile(page, name).get_by_role("button", name=re.compile("^More for")).click()
    page.get_by_role("menuitem", name=line, exact=True).click()


def saved(page: Page, before: str) -> str:
    """The studio has kept the new board, and the address names it."""
    page.wait_for_url(lambda url: "board=" in url and url != before)
    return page.url


def order(page: Page) -> list[str | None]:
    return [each.get_attribute("data-id") for each in page.locator(".tile").all()]


def held(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()


def placed(node: Locator) -> tuple[float, float, float, float]:
    box = node.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_tiles_are_arranged_and_whoever_opens_the_address_sees_it_so(page: Page, address: str) -> None:
    visit(page, address)
    expect(lines(page, "loss")).to_have_count(RUNS)
    url = page.url

    chosen(page, "loss", "Move right")
    url = saved(page, url)
    assert order(page)[:2] == ["score", "loss"]
    x, y, width, _ = placed(tile(page, "loss").locator("header"))
    to_x, to_y, *_ = placed(tile(page, "score"))
    held(page, (x + width / 3, y + 10), (to_x + 20, to_y + 80))
    url = saved(page, url)
    assert order(page)[:2] == ["loss", "score"]

    x, y, width, height = placed(tile(page, "loss"))
    held(page, (x + width - 4, y + height - 4), (x + width * 1.35, y + height + 56))
    url = saved(page, url)
    chosen(page, "note", "Remove")
    url = saved(page, url)
    chosen(page, "runs", "Hide")
    url = saved(page, url)
    expect(page.get_by_role("button", name="1 hidden")).to_be_visible()

    visit(page, url)
    expect(lines(page, "loss")).to_have_count(RUNS)
    assert order(page) == ["loss", "score", "axes", "best"]
    assert "--span: 8; height: 360px" in str(tile(page, "loss").get_attribute("style"))
    page.get_by_role("button", name="1 hidden").click()
    page.get_by_role("menuitem", name="Show Runs").click()
    saved(page, url)
    tile(page, "runs").scroll_into_view_if_needed()
    expect(tile(page, "runs").get_by_role("row")).to_have_count(RUNS + 1)


def test_tiles_are_added_and_edited(page: Page, address: str) -> None:
    visit(page, address)
    expect(lines(page, "loss")).to_have_count(RUNS)
    url = page.url
    page.get_by_role("button", name="Add a tile to Rest").click()
    page.get_by_role("menuitem", name="Bar chart").click()
    form = page.get_by_role("dialog", name="Add bar chart")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_text("Value is needed.")).to_be_visible()
    form.get_by_label("Value").fill("metrics.loss")
    form.get_by_label("Title", exact=True).fill("Losses")
    form.get_by_role("button", name="Add", exact=True).click()
    url = saved(page, url)
    expect(page.get_by_role("article", name="Losses").locator(".bars .point")).to_have_count(RUNS)

    chosen(page, "loss", "Edit")
    form = page.get_by_role("dialog", name="Edit line chart")
    form.get_by_role("combobox", name="Metrics").fill("score")
    page.keyboard.press("Enter")
    form.get_by_role("button", name="Save").click()
    url = saved(page, url)
    expect(lines(page, "loss")).to_have_count(2 * RUNS)

    page.get_by_role("button", name="Add a tile to Rest").click()
    page.get_by_role("menuitem", name="Bar chart").click()
    form = page.get_by_role("dialog", name="Add bar chart")
    form.get_by_label("Value").fill("no such thing")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_text("'no such thing' is nothing that a run has.")).to_be_visible()
    form.get_by_label("Value").fill("score")
    form.get_by_role("button", name="Add", exact=True).click()
    saved(page, url)
    expect(page.locator(".tile")).to_have_count(8)

    chosen(page, "note", "Edit")
    form = page.get_by_role("dialog", name="Edit text")
    form.get_by_label("Text in Markdown").fill("long " * 5000)
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("This change was not kept.")).to_be_visible()
    expect(tile(page, "note")).to_contain_text("Read me")

    page.get_by_role("searchbox", name="Find a tile by metric").fill("losses")
    expect(page.locator(".tile")).to_have_count(1)


def test_a_chart_fills_the_screen_and_becomes_files(page: Page, address: str, tmp_path: Path) -> None:
    visit(page, address)
    expect(lines(page, "loss")).to_have_count(RUNS)
    tile(page, "loss").hover()
    tile(page, "loss").get_by_role("button", name="Full screen: loss").click()
    expect(page.get_by_role("dialog", name="loss").locator(".scatterlayer .trace")).to_have_count(RUNS)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(lines(page, "loss")).to_have_count(RUNS)

    found = {}
    expect(tile(page, "axes").locator(".strip")).to_have_count(3)
    for name in ("loss", "axes"):
        for line in ("Save as PNG", "Save as SVG", "Save data as CSV"):
            with page.expect_download() as got:
                chosen(page, name, line)
            path = tmp_path / f"{name}-{got.value.suggested_filename}"
            got.value.save_as(path)
            found[name, path.suffix] = path.read_bytes()
    for name in ("loss", "axes"):
        assert found[name, ".png"].startswith(b"\x89PNG\r\n")
        assert found[name, ".svg"].startswith(b"<svg")
        assert b"<script" not in found[name, ".svg"]
    points = list(csv.DictReader(found["loss", ".csv"].decode("utf-8-sig").splitlines()))
    assert len(points) == RUNS * 60
    assert {point["name"] for point in points} == {HOSTILE, *(f"run {place}" for place in range(1, RUNS))}
    kinds = [row["kind"] for row in csv.DictReader(found["axes", ".csv"].decode("utf-8-sig").splitlines())]
    assert sorted(kinds) == ["'=1+1"] * (RUNS - 1) + [HOSTILE]


def test_brushed_lines_are_the_runs_of_the_list(page: Page, address: str) -> None:
    visit(page, address)
    strip = tile(page, "axes").locator(".strip").first
    strip.scroll_into_view_if_needed()
    x, y, width, height = placed(strip)
    held(page, (x + width / 2, y + 2), (x + width / 2, y + height / 2 - 4))
    expect(page.get_by_role("button", name="Brushed: 3 runs")).to_be_visible()
    page.mouse.click(x + width / 2, y + height - 12)
    expect(page.get_by_role("button", name="Brushed: 3 runs")).to_have_count(0)


def test_what_runs_are_called_stays_text(page: Page, address: str) -> None:
    visit(page, address)
    expect(tile(page, "note").get_by_role("link")).to_have_count(1)
    expect(tile(page, "note").get_by_role("link", name="a link")).to_have_attribute("rel", "noopener noreferrer")
    expect(tile(page, "score").locator("h4")).to_have_text(HOSTILE)
    expect(tile(page, "loss").locator(".legend")).to_contain_text(HOSTILE)
    tile(page, "runs").scroll_into_view_if_needed()
    expect(tile(page, "runs").get_by_role("cell", name=HOSTILE).first).to_be_visible()
    link = tile(page, "runs").get_by_role("link", name=HOSTILE).get_attribute("href")
    assert str(link).startswith("/run?ws=lab&run=")
    for name in ("loss", "score"):
        x, y, width, height = placed(tile(page, name).locator(".plot"))
        for part in range(1, 10):
            page.mouse.move(x + width * part / 10, y + height / 2)
        tile(page, name).get_by_role("button", name=re.compile("^Full screen")).click()
        expect(page.get_by_role("dialog").locator(".scatterlayer .trace")).to_have_count(RUNS)
        page.keyboard.press("Escape")
    assert page.evaluate("window.__xss") is None
    assert page.locator("img[src=x], a[href^=javascript]").count() == 0
