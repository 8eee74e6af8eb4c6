"""A run that a plain script logged, opened in a browser: all it logged is there, and what is written reaches MLflow."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, House, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = (
    "<script>window.__xss=1</script><img src=x onerror=window.__xss=2>"
    " [click](javascript:window.__xss=4) ![spy](http://example.com/x.png) :red[x]"
)


@dataclass
class Script:
    """Goes on running, to be asked what MLflow's client reads."""

    process: subprocess.Popen[str]
    run: str

    def tags(self) -> dict[str, str]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: dict[str, str] = self.said()
        return found

    def said(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line[0] in '{"':  # MLflow also prints where to look
                return json.loads(line)
        raise AssertionError("the script ended")


@pytest.fixture(scope="module")
def script(house: House) -> Iterator[Script]:
    tracked(house)
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"{house.url}/mlflow",
        "MLFLOW_TRACKING_TOKEN": (house.home / "token").read_text().strip(),
        "MLFLOW_WORKSPACE": "lab",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "plain_run.py"), HOSTILE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(house.home / "plain-run.log").open("wb"),
        text=True,
    )
    made = Script(process, "")
    made.run = made.said()
    yield made
    process.kill()
    process.wait(10)


def tracked(house: House) -> None:
    """Until MLflow, which starts last, answers."""
    headers = {"Authorization": f"Bearer {(house.home / 'token').read_text().strip()}", "X-MLFLOW-WORKSPACE": "lab"}
    until = time.monotonic() + PATIENCE / 1000
    while httpx.get(f"{house.url}/mlflow/health", headers=headers, timeout=30, trust_env=False).status_code != 200:
        assert time.monotonic() < until, "MLflow did not start"
        time.sleep(0.2)


def unharmed(page: Page) -> None:
    assert page.evaluate("window.__xss") is None
    assert page.locator("main img[src=x], main img[src*='example.com'], main a[href^=javascript]").count() == 0


def opened(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()
    expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
    settled(page)
    unharmed(page)


def test_all_that_a_plain_script_logged_is_seen(page: Page, script: Script) -> None:
    visit(page, f"/run?ws=lab&run={script.run}")
    title(page, "plain <script>window.__xss=1</script>")
    unharmed(page)
    note = page.locator(".st-key-note")
    expect(note.get_by_role("heading", name="Tried")).to_be_visible()
    expect(note.locator("strong", has_text="bold")).to_be_visible()
    expect(note).to_contain_text("<img src=x onerror=window.__xss=2>")
    expect(page.get_by_role("row").filter(has_text="val/accuracy")).to_contain_text("0.975")

    opened(page, "Metrics")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()

    opened(page, "Images")
    picture = page.locator(".at-images img")
    expect(picture).to_have_attribute("alt", "val/square, step 5")
    page.wait_for_function("() => document.querySelector('.at-images img')?.naturalWidth > 0")
    page.get_by_role("slider").press("ArrowLeft")
    expect(picture).to_have_attribute("alt", "val/square, step 0")
    expect(page).to_have_url(re.compile("step=0"))

    opened(page, "Tables")
    expect(page.get_by_role("row").filter(has_text="<script>window.__xss=1")).to_contain_text("0.25")

    opened(page, "Artifacts")
    page.locator(".at-tree summary", has_text="notes").click()
    expect(page.locator(".at-tree a", has_text="<script>window")).to_be_visible()

    opened(page, "Children")
    children = page.get_by_role("row").filter(has_text="trial")
    expect(children).to_have_count(2)
    expect(children.last).to_contain_text("Best")
    children.last.get_by_role("link").click()
    title(page, "trial 1")
    page.locator("dd a.at-run").click()
    title(page, "plain <script>")
    unharmed(page)


def test_what_is_written_on_the_page_is_what_mlflows_client_reads(page: Page, script: Script) -> None:
    visit(page, f"/run?ws=lab&run={script.run}")
    page.get_by_role("button", name="Star", exact=True).click()
    expect(page.get_by_role("button", name="Starred", exact=True)).to_be_visible()

    page.locator(".st-key-act_note button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Note").fill("It was *better*.")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".st-key-note em", has_text="better")).to_be_visible()

    page.locator(".st-key-act_tags button").click()
    dialog.get_by_text("Remove").first.click()
    dialog.get_by_role("textbox", name="New tag").fill("team")
    dialog.get_by_role("textbox", name="Value").fill("vision")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".at-tags")).to_have_text("team: vision")

    wanted = {"mlflow.note.content": "It was *better*.", "atelier.starred": "true", "team": "vision"}
    until = time.monotonic() + PATIENCE / 1000
    while not wanted.items() <= (tags := script.tags()).items():
        assert time.monotonic() < until, tags
    assert "hostile" not in script.tags()
    visit(page, f"/run?ws=lab&run={script.run}")
    expect(page.get_by_role("button", name="Starred", exact=True)).to_be_visible()
