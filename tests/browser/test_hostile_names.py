"""Names that try to break out, on every page: they stay text, and nothing of them runs."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.browser.conftest import House, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow]
# What runs anywhere says so in `window.__xss`.
HOSTILE = (
    "<script>window.__xss=1</script>",
    "<img src=x onerror=window.__xss=2>",
    '"><svg onload=window.__xss=3>',
    "[click](javascript:window.__xss=4)",
    "'-window.__xss=5-'",
    "{{constructor.constructor('window.__xss=6')()}}",
    "</textarea><iframe srcdoc='<script>parent.__xss=7</script>'>",
    '<a href="javascript:window.__xss=8">x</a> :red[x] $$x$$ **b**',
    "\u202egnp.<b>exe",
)
ALL = " ".join(HOSTILE)
# A file's name cannot hold a slash, and no more than 255 bytes.
FILES = [f"{place} {text}".replace("/", "∕")[:120] for place, text in enumerate(HOSTILE)]
SCRIPT = """
import json, os, pathlib, urllib.request
names = json.loads(pathlib.Path("names.json").read_text())
for text in names["hostile"]:
    print(text, flush=True)
for name in names["files"]:
    pathlib.Path("outputs").mkdir(exist_ok=True)
    pathlib.Path("outputs", name + ".txt").write_text(name)
    pathlib.Path("outputs", name + ".html").write_text(name)

def said(path, body):
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
    address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/" + path
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers), timeout=60)

run = os.environ["MLFLOW_RUN_ID"]
for place, text in enumerate(names["hostile"]):
    said("log-parameter", {"run_id": run, "key": f"p{place}", "value": text})
    said("set-tag", {"run_id": run, "key": f"t{place}", "value": text})
    said("set-tag", {"run_id": run, "key": "mlflow.note.content", "value": " ".join(names["hostile"])})
    said("log-metric", {"run_id": run, "key": f"m{place}", "value": 1.0, "step": 1, "timestamp": 1_700_000_000_000})
raise SystemExit(names["hostile"][1])
"""


@pytest.fixture(scope="module")
def job(house: House, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job whose words, files, log, parameters and end are all hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "src").mkdir()
    (folder / "src" / "run.py").write_text(SCRIPT)
    (folder / "src" / "names.json").write_text(json.dumps({"hostile": HOSTILE, "files": FILES}))
    for name in FILES:
        (folder / "src" / f"{name}.py").write_text(name)
    written = {
        "command": f"python run.py # {HOSTILE[0]}",
        "code": "src",
        "environment": {"image": "python:3.11"},
        "display_name": ALL[:200],
        "description": ALL,
        "tags": {f"t{place}": text for place, text in enumerate(HOSTILE)},
        "inputs": {f"i{place}": text for place, text in enumerate(HOSTILE)},
        "environment_variables": {f"V{place}": text for place, text in enumerate(HOSTILE)},
        "experiment_name": "hostile",
    }
    (folder / "job.yml").write_text(yaml.safe_dump(written, allow_unicode=True))
    return str(json.loads(house.cli("job", "create", "-f", str(folder / "job.yml"), "-o", "json"))["name"])


def put(house: House, path: str, body: dict[str, Any]) -> None:
    token = (house.home / "token").read_text().strip()
    request = urllib.request.Request(  # noqa: S310 (our own studio)
        f"{house.url}/api/v1/workspaces{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310
    except urllib.error.HTTPError as refusal:
        raise AssertionError(refusal.read().decode()) from refusal


def unharmed(page: Page) -> None:
    assert page.evaluate("window.__xss") is None
    assert page.locator("main img[src=x], main svg[onload], main iframe, main a[href^=javascript]").count() == 0


def test_they_stay_text_on_every_page(house: House, page: Page, job: str) -> None:
    put(house, "", {"name": "odd", "display_name": ALL[:120], "description": ALL, "tags": {"t": HOSTILE[1]}})
    put(
        house,
        "/lab/environments",
        {"spec": {"name": "odd", "image": "python:3.11", "description": ALL, "tags": {"t": ALL[:200]}}},
    )
    where = f"ws=lab&job={job}"
    visit(page, f"/job?{where}")
    expect(page.locator(".at-title [data-status=Failed]")).to_be_visible()
    expect(page.locator("h1")).to_contain_text("<script>window.__xss=1</script>")
    for address in (
        "/?ws=lab", "/?ws=odd", "/jobs?ws=lab", f"/jobs?ws=lab&q={HOSTILE[1]}", f"/job?{where}",
        *(f"/job?{where}&tab={tab}" for tab in ("metrics", "outputs", "code", "monitoring", "yaml")),
        f"/new_job?ws=lab&from={job}", "/experiments?ws=lab", "/experiment?ws=lab&experiment=hostile",
        "/experiment?ws=lab&experiment=hostile&show=dashboard", f"/runs?ws=lab&group=params.p1&filter={HOSTILE[0]}",
        "/runs?ws=lab&columns=params.p0,params.p1,tags.t2,tags.t7&group=params.p3", f"/runs?ws=lab&q={HOSTILE[1]}",
        f"/runs?ws=lab&columns={HOSTILE[2]}&sort={HOSTILE[1]}&view={HOSTILE[0]}&board={HOSTILE[1]}&hidden={HOSTILE[2]}",
        *(f"/compare?ws=lab&runs={job},{job}x&tab={tab}" for tab in ("metrics", "params", "tags")),
        f"/compare?ws=lab&runs={HOSTILE[0]},{HOSTILE[1]}&baseline={HOSTILE[2]}&q={HOSTILE[1]}",
        f"/run?ws=lab&run={HOSTILE[1]}", "/environments?ws=lab", "/environment?ws=lab&name=odd",
        "/compute?ws=lab", "/workspaces?ws=odd", f"/job?ws=lab&job={HOSTILE[0]}", f"/jobs?ws={HOSTILE[1]}",
        f"/jobs?ws=lab&sort={HOSTILE[2]}&page={HOSTILE[1]}&status={HOSTILE[0]}&columns={HOSTILE[1]}",
    ):  # fmt: skip
        visit(page, address)
        unharmed(page)


def test_they_stay_text_in_the_log_and_in_every_file(page: Page, job: str) -> None:
    visit(page, f"/job?ws=lab&job={job}&tab=outputs")
    expect(page.get_by_role("log")).to_contain_text("<script>window.__xss=1</script>")
    unharmed(page)
    links = page.locator(".at-tree a")
    expect(links.filter(has_text=re.compile(r"^.*\.html")).first).to_be_attached()
    for address in links.evaluate_all("all => all.map(each => each.getAttribute('href'))"):
        visit(page, address)
        unharmed(page)


def test_a_page_among_the_outputs_is_downloaded_and_never_shown(page: Page, job: str) -> None:
    visit(page, f"/job?ws=lab&job={job}&tab=outputs")
    address = page.locator(".at-tree a").filter(has_text=".html").first.get_attribute("href")
    visit(page, str(address))
    link = str(page.get_by_role("link", name="Download", exact=True).get_attribute("href"))
    answer = page.request.get(link)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
