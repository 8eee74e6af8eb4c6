"""Runs compared by clicking: jobs of other code and a plain client's runs; a link shows somebody else the same."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import House, Watch, settled, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]
LONG = 120_000
HOSTILE = "<img src=x onerror=window.__xss=2>"
SCRIPT = """
import json, os, urllib.request

RATE = {rate}


def said(path, body):
    headers = {{"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}}
    address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/" + path
    body = {{"run_id": os.environ["MLFLOW_RUN_ID"], **body}}
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers), timeout=60)


for step in range(20):
    print("step", step, "rate", RATE, flush=True)
points = [{{"key": "loss", "value": 1 / (1 + step * RATE), "step": step, "timestamp": step}} for step in range(20)]
params = [{{"key": "rate", "value": str(RATE)}}, {{"key": "note", "value": {hostile!r}}}]
said("log-batch", {{"metrics": points, "params": params, "tags": [{{"key": "team", "value": {hostile!r}}}]}})
"""


def asked(house: House, path: str, body: dict[str, Any]) -> Any:
    """As a plain MLflow client does, which waits until MLflow has been started."""
    token, until = (house.home / "token").read_text().strip(), time.monotonic() + 120
    request = urllib.request.Request(  # noqa: S310 (our own studio)
        f"{house.url}/mlflow/api/2.0/mlflow/{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "X-MLFLOW-WORKSPACE": "lab"},
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            if refusal.code != 503 or time.monotonic() > until:
                raise AssertionError(refusal.read().decode()) from refusal
            time.sleep(0.3)


def recorded(house: House, experiment: str, rate: float, name: str) -> str:
    """A run that no job made."""
    made = asked(house, "runs/create", {"experiment_id": experiment, "run_name": name, "start_time": 1000})
    run_id = str(made["run"]["info"]["run_id"])
    points = [{"key": "loss", "value": 1 / (1 + step * rate), "step": step, "timestamp": step} for step in range(20)]
    params = [{"key": "rate", "value": str(rate)}, {"key": "seed", "value": "0"}]
    asked(house, "runs/log-batch", {"run_id": run_id, "metrics": points, "params": params, "tags": []})
    asked(house, "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": 2000})
    return run_id


def submitted(house: House, folder: Path, rate: float, display: str) -> str:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text(SCRIPT.format(rate=rate, hostile=HOSTILE))
    written = {
        "command": "python train.py",
        "code": "src",
        "environment": {"image": "python:3.11"},
        "display_name": display,
        "experiment_name": "compared",
        "inputs": {"rate": rate},
    }
    (folder / "job.yml").write_text(yaml.safe_dump(written, allow_unicode=True))
    return str(json.loads(house.cli("job", "create", "-f", str(folder / "job.yml"), "-o", "json"))["name"])


@pytest.fixture(scope="module")
def names(house: House, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two jobs that are over, then two runs of a plain client."""
    folder = tmp_path_factory.mktemp("compared")
    experiment = asked(house, "experiments/create", {"name": "compared"})["experiment_id"]
    plain = [recorded(house, experiment, 0.3, "plain"), recorded(house, experiment, 0.4, HOSTILE)]
    jobs = [
        submitted(house, folder / "one", 0.1, "slow learner"),
        submitted(house, folder / "two", 0.9, f"fast {HOSTILE}"),
    ]
    for name in jobs:
        house.cli("job", "stream", "--name", name)
    return jobs + plain


def cells(page: Page, key: str) -> list[str]:
    row = page.locator(f'.stBidiComponent tr[data-key="{key}"] td .v')
    expect(row.first).to_be_visible()
    return row.all_inner_texts()


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    settled(page)


def unharmed(page: Page) -> None:
    assert page.evaluate("window.__xss") is None
    assert page.locator("main img[src=x]").count() == 0


def head(page: Page, name: str) -> Locator:
    return page.locator(f'th[data-run="{name}"]')


def test_runs_of_jobs_and_of_scripts_stand_beside_each_other(
    page: Page, names: list[str], signed_in: Callable[[], BrowserContext]
) -> None:
    visit(page, f"/compare?ws=lab&runs={','.join(names)}")
    expect(head(page, names[3])).to_be_visible(timeout=LONG)
    expect(head(page, names[0]).get_by_text("Baseline", exact=True)).to_be_visible()
    assert [float(text.removeprefix("★")) for text in cells(page, "loss")] == pytest.approx(
        [1 / (1 + 19 * rate) for rate in (0.1, 0.9, 0.3, 0.4)], rel=1e-4
    )
    expect(page.locator('tr[data-key="loss"] polyline')).to_have_count(4)
    expect(page.locator('tr[data-key="loss"] small[data-tone="good"]')).to_have_count(3)

    head(page, names[1]).get_by_text("Set as baseline").click()
    expect(head(page, names[1]).get_by_text("Baseline", exact=True)).to_be_visible()
    expect(page.locator('tr[data-key="loss"] small[data-tone="bad"]')).to_have_count(3)
    assert f"baseline={names[1]}" in page.url

    page.locator(f'.at-runchip[data-run="{names[3]}"] .at-x').click()
    expect(head(page, names[3])).to_have_count(0)
    page.get_by_text("Differences only").click()
    tab(page, "Parameters")
    expect(page.locator('tr[data-key="rate"] .text[data-other]')).to_have_count(2)
    unharmed(page)

    link, shown = page.url, page.locator("table[aria-label=Parameter]").inner_text()
    watch, other = Watch(), signed_in()
    second = other.new_page()
    watch.over(second)
    visit(second, link)
    expect(second.locator('tr[data-key="rate"]')).to_be_visible()
    assert second.locator("table[aria-label=Parameter]").inner_text() == shown
    expect(second.get_by_role("tab", name="Parameters")).to_have_attribute("aria-selected", "true")
    other.close()
    assert watch.faults == []


def test_the_code_and_the_log_of_two_jobs_are_shown_side_by_side(page: Page, names: list[str]) -> None:
    visit(page, f"/compare?ws=lab&before={names[0]}&after={names[1]}")
    expect(page.locator('tr[data-key="loss"]')).to_be_visible()
    assert f"runs={names[0]}%2C{names[1]}" in page.url
    tab(page, "Code")
    file = page.locator("details.at-file", has_text="train.py")
    expect(file.locator("td[data-kind=removed]", has_text="RATE = 0.1")).to_be_visible()
    expect(file.locator("td[data-kind=added]", has_text="RATE = 0.9")).to_be_visible()
    for name, words in (("Logs", "step 19 rate 0.9"), ("Host", "compute"), ("Environment", "python:3.11")):
        tab(page, name)
        expect(page.get_by_text(words).first).to_be_visible()
    tab(page, "What changed")
    page.get_by_role("link", name="File train.py changed.").click()
    expect(page.locator("details.at-file", has_text="train.py")).to_be_visible()
    unharmed(page)


def test_nothing_breaks_out_of_any_tab_nor_out_of_the_address(page: Page, names: list[str]) -> None:
    for word in ("tags", "charts", "data", "files", "significance"):
        visit(page, f"/compare?ws=lab&runs={','.join(names)}&tab={word}&other={names[2]}")
        expect(page.get_by_role("tab", selected=True)).to_have_text(word.capitalize())
        unharmed(page)
    for word in ("baseline", "q", "agg", "metric"):
        visit(page, f"/compare?ws=lab&runs={','.join(names[:2])}&{word}={HOSTILE}")
        unharmed(page)
