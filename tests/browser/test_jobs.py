"""Jobs by clicking: from the form to the page, the log that grows, cancel, clone, archive, delete; and the list."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from services.core.states import TERMINAL, JobStatus
from services.core.times import now
from services.studio import SYSTEM, Studio
from tests.browser.conftest import PATIENCE, House, box, row, settled, title, visit
from tests.pages import seed

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow]
COUNTING = 'for i in $(seq 1 {count}); do echo "line $i"; sleep 0.5; done'


def submitted(page: Page, command: str, name: str) -> None:
    """A new job by the form's fields."""
    visit(page, "/new_job?ws=lab")
    written(box(page, "Display name"), name)
    written(box(page, "Command"), command)
    page.get_by_role("button", name="Submit").click()
    title(page, name)


def written(box: Locator, text: str) -> None:
    """As a person does it: one field, then the page answers, then the next; once more where a busy page was faster."""
    for _ in range(3):
        box.fill(text)
        box.blur()
        settled(box.page)
        if box.input_value() == text:
            break
    expect(box).to_have_value(text)


def ended(page: Page, word: str) -> None:
    expect(page.locator(f".at-title [data-status={word}]")).to_be_visible()


def more(page: Page, action: str) -> None:
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name=action, exact=True).click()


def test_a_job_goes_from_the_form_to_its_log_line_by_line(page: Page) -> None:
    submitted(page, COUNTING.format(count=40), "counting")
    expect(page.get_by_text("Job 'counting' was submitted.")).to_be_visible()
    page.get_by_role("tab", name="Outputs + logs").click()
    lines = page.get_by_role("log").locator("div")
    expect(lines.filter(has_text=re.compile(r"^line 3$"))).to_be_visible()
    early = lines.count()
    assert early < 40, "the log was not seen while it grew"
    expect(lines.filter(has_text=re.compile(r"^line 40$"))).to_be_visible()
    assert [line.inner_text() for line in lines.all()] == [f"line {place}" for place in range(1, 41)]
    ended(page, "Completed")
    expect(page.get_by_text("complete", exact=True)).to_be_visible()


def test_a_running_job_is_cancelled_then_archived_and_deleted_by_its_name(page: Page) -> None:
    submitted(page, COUNTING.format(count=2000), "endless")
    ended(page, "Running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The job was asked to stop.")).to_be_visible()
    ended(page, "Canceled")

    more(page, "Archive")
    expect(page.get_by_text("This job is archived")).to_be_visible()
    page.keyboard.press("Escape")
    name = page.locator("dd .at-mono").first.inner_text()
    more(page, "Delete")
    dialog = page.get_by_role("dialog")
    sure = dialog.get_by_role("button", name="Delete job")
    expect(sure).to_be_disabled()
    dialog.get_by_role("textbox").fill(name)
    dialog.get_by_role("textbox").press("Enter")
    sure.click()
    title(page, "Jobs")
    expect(row(page, "endless")).to_have_count(0)


def test_a_job_is_cloned_with_its_code(page: Page, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "say.py").write_text("print('said by the code')\n")
    visit(page, "/new_job?ws=lab")
    written(box(page, "Display name"), "first")
    written(box(page, "Command"), "python say.py")
    page.locator("input.folder").first.set_input_files(tmp_path / "code")
    expect(page.get_by_text("1 file")).to_be_visible()
    page.get_by_role("button", name="Submit").click()
    title(page, "first")
    ended(page, "Completed")

    page.get_by_role("link", name="Edit and submit").click()
    expect(page.get_by_text("From first")).to_be_visible()
    settled(page)
    expect(box(page, "Command")).to_have_value("python say.py")
    written(box(page, "Display name"), "second")
    expect(box(page, "job.yml")).to_have_value(re.compile("display_name: second"))
    page.get_by_role("button", name="Submit").click()
    title(page, "second")
    ended(page, "Completed")
    page.get_by_role("tab", name="Outputs + logs").click()
    expect(page.get_by_role("log")).to_contain_text("said by the code")
    page.get_by_role("tab", name="Code").click()
    expect(page.get_by_text("print('said by the code')")).to_be_visible()


def test_form_and_yaml_write_each_other_and_faults_are_said_with_their_line(page: Page) -> None:
    visit(page, "/new_job?ws=lab")
    text = box(page, "job.yml")
    written(text, "type: command\ndisplay_name: typed\ncommand: echo\nenvironment:\n  image: python:3.11\n")
    expect(box(page, "Display name")).to_have_value("typed")
    written(box(page, "Experiment"), "by hand")
    expect(text).to_have_value(re.compile("experiment_name: by hand"))
    page.get_by_role("button", name="Validate").click()
    expect(page.get_by_text("This can be submitted.")).to_be_visible()

    written(text, "type: command\ncomand: echo\nenvironment:\n  image: python:3.11\n")
    page.get_by_role("button", name="Validate").click()
    expect(page.get_by_role("alert")).to_contain_text("comand")
    expect(page.get_by_role("alert")).to_contain_text("job.yml:2")


@pytest.fixture(scope="module")
def many(house: House) -> str:
    """A workspace with a hundred and twenty jobs that are over."""
    house.cli("workspace", "create", "--name", "many")
    studio = Studio(house.settings())
    with studio.scope(SYSTEM, "many", write=True) as scope:
        for place, job in enumerate(seed.jobs(scope, 120)):
            if job.status not in TERMINAL:
                job.status = JobStatus.Canceled
            job.started_at, job.finished_at, job.collected_at = job.created_at, now(), now()
            job.run_id, job.display_name = None, f"train {place:03d}"
    studio.close()
    return "many"


def names(page: Page) -> list[str]:
    settled(page)
    return page.get_by_role("row").locator("td.link a").all_inner_texts()


def test_the_list_is_searched_filtered_sorted_and_paged_and_the_address_keeps_it(page: Page, many: str) -> None:
    visit(page, f"/jobs?ws={many}")
    expect(page.get_by_text("1–50 of 120 jobs")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("51–100 of 120 jobs")).to_be_visible()
    page.reload()
    expect(page.get_by_text("51–100 of 120 jobs")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("1–50 of 120 jobs")).to_be_visible()

    page.get_by_role("columnheader", name="Display name").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Display name")).to_have_attribute("aria-sort", "ascending")
    assert names(page)[:2] == ["train 000", "train 001"]
    page.get_by_role("columnheader", name="Display name").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Display name")).to_have_attribute("aria-sort", "descending")
    assert names(page)[:2] == ["train 119", "train 118"]

    page.get_by_placeholder("Search name or experiment").fill("train 01")
    expect(page.get_by_text("10 jobs", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_text("10 jobs", exact=True)).to_be_visible()
    expect(page.get_by_placeholder("Search name or experiment")).to_have_value("train 01")
    assert names(page)[0] == "train 019"
    settled(page)
    page.get_by_role("combobox", name="Status").click()
    page.get_by_role("option", name="Failed", exact=True).click()
    page.wait_for_url("**status=Failed**")
    page.keyboard.press("Escape")
    expect(page.get_by_text(re.compile(r"^[12] jobs$"))).to_be_visible()
    page.get_by_role("link", name=names(page)[0]).click()
    page.wait_for_url("**/job?**")
    settled(page)
    page.go_back()
    expect(page.get_by_text(re.compile(r"^[12] jobs$"))).to_be_visible()


def test_columns_are_chosen(page: Page, many: str) -> None:
    visit(page, f"/jobs?ws={many}")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("combobox", name="Columns").click()
    for label in ("Status", "Compute"):
        page.get_by_role("option", name=label, exact=True).click()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="Compute")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Tags")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("columnheader", name="Compute")).to_be_visible()


def test_many_jobs_are_archived_and_deleted_at_once(page: Page, many: str) -> None:
    visit(page, f"/jobs?ws={many}&q=train+11")
    expect(page.get_by_text("10 jobs", exact=True)).to_be_visible()
    page.get_by_role("checkbox", name="Select all rows").check()
    expect(page.get_by_text("10 selected")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("10 jobs were archived.")).to_be_visible()
    expect(page.get_by_text("No job matches")).to_be_visible()

    visit(page, f"/jobs?ws={many}&q=train+10")
    page.get_by_role("row").nth(1).get_by_role("checkbox").check()
    page.get_by_role("row").nth(2).get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete").click()
    box = page.get_by_role("dialog").get_by_role("textbox")
    box.fill("delete 2 jobs")
    box.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("2 jobs were deleted.")).to_be_visible()
    expect(page.get_by_text("8 jobs", exact=True)).to_be_visible(timeout=PATIENCE)
