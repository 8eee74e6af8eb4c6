"""A model registered by clicking: a folder is sent, looked at, approved, labelled, compared, and gone again."""

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, House, box, row, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
LONG = 240_000
MLMODEL = """flavors:
  python_function: {loader_module: os}
  sklearn: {sklearn_version: 1.5.0}
mlflow_version: 2.9.2
signature:
  inputs: '[{"name": "petal_width", "type": "double"}]'
  outputs: '[{"type": "long"}]'
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("saved") / "model"
    (made / "notes").mkdir(parents=True)
    (made / "MLmodel").write_text(MLMODEL)
    (made / "model.pkl").write_bytes(b"\0\1")
    (made / "notes" / "readme.md").write_text("<script>document.title = 'taken'</script>")
    return made


def register(page: Page, folder: Path, name: str) -> None:
    """The wizard with a folder of this machine."""
    visit(page, "/models?ws=lab")
    page.get_by_role("link", name="Register model").first.click()
    title(page, "Register model")
    page.locator("input.folder").first.set_input_files(folder)
    expect(page.get_by_text("3 files")).to_be_visible()
    expect(page.locator(".at-panel", has_text="What is there").get_by_text("sklearn")).to_be_visible()
    box(page, "Name").fill(name)
    box(page, "Name").blur()
    page.get_by_role("button", name="Register", exact=True).click()
    title(page, name)


def test_a_folder_is_sent_and_all_of_it_can_be_seen(page: Page, folder: Path) -> None:
    register(page, folder, "petals")
    expect(page.get_by_text(re.compile(r"azureml://datastores/.*/model$"))).to_be_visible()  # as containers show it
    for words in ("petal_width", "sklearn_version", "azureml:petals:1"):
        expect(page.get_by_text(words).first).to_be_visible()
    page.get_by_role("tab", name="Artifacts").click()
    page.locator(".at-tree").get_by_text("notes").click()
    page.locator(".at-tree").get_by_text("readme.md").click()
    settled(page)
    expect(page.get_by_text("document.title = 'taken'")).to_be_visible()
    assert "taken" not in page.title()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    assert download.value.suggested_filename == "petals-1.zip"


def test_mlflow_has_it_soon_and_a_label_is_put_on_it(page: Page, folder: Path) -> None:
    register(page, folder, "labelled")
    until = time.monotonic() + PATIENCE / 1000
    while not page.get_by_text("models:/labelled/1", exact=True).is_visible():
        assert time.monotonic() < until, "it never came to MLflow's registry"
        visit(page, "/model?ws=lab&name=labelled")
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Labels").click()
    dialog = page.get_by_role("dialog").filter(has_text="On this version")
    dialog.get_by_role("textbox", name="New label").fill("champion")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".at-tag", has_text="champion").first).to_be_visible()


def test_it_is_approved_with_a_note(page: Page, folder: Path) -> None:
    register(page, folder, "approved")
    page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Note").fill("read and tried")
    dialog.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("read and tried")).to_be_visible()
    expect(page.locator(".at-title").get_by_text("Approved", exact=True)).to_be_visible()


def test_two_versions_are_compared_and_one_is_deleted(page: Page, house: House, folder: Path, tmp_path: Path) -> None:
    register(page, folder, "grown")
    other = tmp_path / "model"
    other.mkdir()
    (other / "MLmodel").write_text(MLMODEL.replace("petal_width", "petal_length"))
    house.cli("model", "create", "--name", "grown", "--path", str(other))
    visit(page, "/model?ws=lab&name=grown&tab=compare")
    expect(page.get_by_text("petal_length")).to_be_visible()
    expect(page.get_by_text("petal_width")).to_be_visible()
    visit(page, "/model?ws=lab&name=grown&version=2&tab=versions")
    expect(row(page, "champion")).to_have_count(0)
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog").filter(has_text="Are you sure?")
    dialog.get_by_role("textbox", name="Name").fill("grown:2")
    dialog.get_by_role("textbox", name="Name").press("Enter")
    dialog.get_by_role("button", name="Delete").click()
    title(page, "Models")
    visit(page, "/model?ws=lab&name=grown")
    expect(page.get_by_text("azureml:grown:1").first).to_be_visible()


def test_what_a_job_left_behind_is_registered_from_its_page(page: Page, house: House, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text(
        "command: mkdir -p outputs/best && printf '%s' \"$MODEL\" > outputs/best/MLmodel\n"
        "environment: {image: 'python:3.11'}\n"
        f"environment_variables: {{MODEL: {json.dumps(MLMODEL)}}}\n"
        "display_name: leaves a model\n"
    )
    job = json.loads(house.cli("job", "create", "-f", str(tmp_path / "job.yml"), "-o", "json"))["name"]
    visit(page, f"/job?ws=lab&job={job}")
    expect(page.locator(".at-title [data-status=Completed]")).to_be_visible(timeout=LONG)
    page.get_by_role("link", name="Register model").click()
    title(page, "Register model")
    expect(page.locator(".at-panel", has_text="What is there").get_by_text("sklearn")).to_be_visible()
    box(page, "Name").fill("left-behind")
    box(page, "Name").blur()
    page.get_by_role("button", name="Register", exact=True).click()
    title(page, "left-behind")
    page.get_by_role("link", name="leaves a model").click()
    title(page, "leaves a model")
