"""Components and lineage by clicking: a folder becomes a component and a job; from the data to the model and back."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from services import assets, jobs, lineage
from services.assets import Content
from services.core.states import AssetKind, JobStatus
from services.core.times import now
from services.specs.jobs import CommandJob
from services.studio import SYSTEM, Scope, Studio
from tests.browser.conftest import House, box, row, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
COMPONENT = """
name: echo_it
command: python say.py --word ${{inputs.word}} $[[--times ${{inputs.times}}]]
code: ./src
environment: {image: "python:3.11"}
inputs:
  word: {type: string, default: hello}
  times: {type: integer, optional: true, min: 1, max: 5}
outputs:
  said: {type: uri_folder}
"""


def ran(scope: Scope, name: str, display: str) -> str:
    """A job that is over, as if a worker had run it."""
    spec = {"command": "echo", "environment": {"image": "python:3.11"}, "name": name, "display_name": display}
    job = jobs.submit(scope, CommandJob.model_validate(spec))
    job.status, job.desired, job.started_at = JobStatus.Completed, "run", now()
    job.finished_at = job.collected_at = now()
    job.snapshot_id, job.resolved = "8f" * 32, {"digest": f"sha256:{'3a' * 32}"}
    return job.id


@pytest.fixture(scope="module")
def past(house: House) -> str:
    """A workspace in which data was prepared, models were trained on it and one was evaluated."""
    house.cli("workspace", "create", "--name", "past")
    studio = Studio(house.settings())
    with studio.scope(SYSTEM, "past", write=True) as scope:
        raw = assets.register(
            scope, AssetKind.data, "iris-raw", None, Content("11" * 32, "uri_file", "https://host/iris.csv")
        )
        clean = assets.register(
            scope, AssetKind.data, "iris", None, Content("22" * 32, "uri_folder", "azureml://datastores/a/paths/iris")
        )
        prepare = ran(scope, "prepare", "Prepare the table")
        lineage.record(scope, ("data", raw.id), ("job", prepare), "raw")
        lineage.record(scope, ("job", prepare), ("data", clean.id), "clean")
        for place in range(16):
            job = ran(scope, f"train-{place}", f"Train {place}")
            lineage.record(scope, ("data", clean.id), ("job", job), "table")
            if place >= 14:
                model = assets.register(
                    scope, AssetKind.model, "flowers", None, Content(f"{place}" * 32, "mlflow_model", f"x/{place}")
                )
                lineage.record(scope, ("job", job), ("model", model.id), "model")
        judge = ran(scope, "judge", "Evaluate")
        lineage.record(scope, ("model", model.id), ("job", judge), "model")
        lineage.record(scope, ("data", clean.id), ("job", judge), "table")
        report = assets.register(
            scope, AssetKind.data, "report", None, Content("33" * 32, "uri_folder", "azureml://datastores/a/paths/r")
        )
        lineage.record(scope, ("job", judge), ("data", report.id), "report")
    studio.close()
    return "past"


def card(page: Page, label: str) -> Locator:
    return page.locator(".card").filter(has_text=label)


def test_from_the_data_to_the_model_and_back(page: Page, past: str) -> None:
    visit(page, f"/job?ws={past}&job=prepare")
    page.get_by_role("link", name="Lineage").last.click()
    expect(card(page, "Prepare the table")).to_have_attribute("data-root", "")
    expect(page.locator(".card")).not_to_have_count(0)
    expect(card(page, "iris-raw")).to_contain_text("hash 111111111111")
    expect(card(page, "Prepare the table")).to_contain_text("code 8f8f8f8f8f8f")
    expect(card(page, "Train 15")).to_be_visible()
    expect(card(page, "Train 1").get_by_text("Train 1", exact=True)).to_have_count(0)
    more = page.get_by_role("link", name=re.compile(r"Show \d+ more later of iris"))
    more.click()
    settled(page)
    expect(card(page, "Train 1").get_by_text("Train 1", exact=True)).to_be_visible()

    card(page, "flowers").first.hover()
    expect(card(page, "Prepare the table")).to_have_class(re.compile("near"))
    expect(card(page, "Train 3")).not_to_have_class(re.compile("near"))

    card(page, "flowers").filter(has_text="v2").get_by_role("link").first.click()
    title(page, "flowers")
    page.get_by_role("link", name="Lineage").last.click()
    expect(card(page, "flowers")).to_have_attribute("data-root", "")
    expect(card(page, "report")).to_be_visible()
    page.get_by_role("link", name=re.compile(r"Show \d more earlier of Prepare the table")).click()
    expect(card(page, "iris-raw")).to_be_visible()
    page.get_by_role("link", name="Fewer").click()
    page.get_by_role("link", name="Fewer").click()
    settled(page)
    expect(card(page, "iris-raw")).to_have_count(0)
    page.get_by_role("link", name="Lineage from Train 15").click(force=True)
    expect(card(page, "Train 15")).to_have_attribute("data-root", "")
    page.go_back()
    expect(card(page, "flowers")).to_have_attribute("data-root", "")


def test_two_ticked_jobs_are_compared(page: Page, past: str) -> None:
    visit(page, f"/jobs?ws={past}&q=Train")
    page.get_by_role("checkbox", name="Select train-15").check()
    page.get_by_role("checkbox", name="Select train-14").check()
    page.get_by_role("link", name="Compare", exact=True).click()
    title(page, "Compare runs")
    expect(page.get_by_text("2 runs")).to_be_visible()
    page.get_by_role("tab", name="Code", exact=True).click()
    expect(page.get_by_role("tab", name="Code", exact=True)).to_have_attribute("aria-selected", "true")


def test_a_folder_becomes_a_component_and_the_component_a_job(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "echoing"
    (folder / "src").mkdir(parents=True)
    (folder / "component.yml").write_text(COMPONENT)
    (folder / "src" / "say.py").write_text("print('said')\n")
    visit(page, "/components?ws=lab")
    page.get_by_role("button", name="New component").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose folder").click()
    chooser.value.set_files(folder)
    expect(page.get_by_text("1 file", exact=True)).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, "echo_it")
    expect(page.get_by_role("cell", name="1 … 5")).to_be_visible()
    page.get_by_role("tab", name="Code").click()
    expect(page.get_by_text("print('said')")).to_be_visible()

    page.get_by_role("button", name="Use in a job").click()
    page.get_by_role("spinbutton", name="times (integer, optional)").fill("3")
    box(page, "Display name").fill("three times")
    page.get_by_role("button", name="Submit").click()
    title(page, "three times")
    expect(page.get_by_text("--times ${{inputs.times}}")).to_be_visible()
    visit(page, "/component?ws=lab&name=echo_it&tab=jobs")
    expect(page.get_by_role("link").filter(has_text="three times")).to_be_visible()
    visit(page, "/components?ws=lab")
    expect(row(page, "echo_it")).to_contain_text("command")
