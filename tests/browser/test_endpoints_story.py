"""The whole life of an endpoint by clicking, in real containers: from a folder with a model to nothing left."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, House, box, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
LONG = 300_000
SCRIPT = """import json, os

def init():
    global weights
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "forest", "weights.json")
    weights = json.load(open(path))

def run(raw):
    rows = json.loads(raw)["data"]
    return [round(sum(a * b for a, b in zip(row, weights)), BIAS) for row in rows]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("story")
    (root / "forest").mkdir()
    (root / "forest" / "weights.json").write_text("[1.5, 2.25]")
    for name, digits in (("fine", "2"), ("coarse", "0")):
        (root / name).mkdir()
        (root / name / "score.py").write_text(SCRIPT.replace("BIAS", digits))
    return root


def deployed(page: Page, code: Path) -> None:
    """The rest of the wizard: code, environment, Create."""
    page.locator("input.folder").first.set_input_files(code)
    expect(page.get_by_text("1 file", exact=False).first).to_be_visible()
    environment = page.get_by_role("combobox", name="Environment", exact=True)
    environment.fill("python:3.11")
    environment.press("Enter")
    expect(page.locator("code", has_text="scoring_script: score.py")).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()


def card(page: Page, name: str) -> Locator:
    return page.locator(".at-deployment").filter(has=page.locator("h3", has_text=name))


def is_ready(page: Page, name: str) -> None:
    expect(card(page, name).locator("[data-status=Succeeded]")).to_be_visible(timeout=LONG)


def percent(page: Page, name: str, value: str) -> None:
    field = page.get_by_role("spinbutton", name=f"Traffic of {name} in percent", exact=True)
    field.fill(value)
    field.press("Tab")
    settled(page)


def test_from_a_folder_to_an_answer_and_back_to_nothing(page: Page, house: House, folders: Path) -> None:
    visit(page, "/models?ws=lab")
    page.get_by_role("link", name="Register model").first.click()
    page.locator("input.folder").first.set_input_files(folders / "forest")
    expect(page.get_by_text("1 file", exact=False).first).to_be_visible()
    box(page, "Name").fill("forest")
    box(page, "Name").blur()
    page.get_by_role("button", name="Register", exact=True).click()
    title(page, "forest")

    page.get_by_role("link", name="Deploy").click()
    title(page, "Deploy a model")
    deployed(page, folders / "fine")
    title(page, "forest")
    expect(page.locator(".at-crumbs", has_text="Endpoints")).to_be_visible()
    is_ready(page, "blue")
    expect(page.locator(".at-share").get_by_text("100 %")).to_be_visible()

    page.get_by_role("tab", name="Test").click()
    body = page.get_by_role("textbox", name="Request body")
    body.fill('{"data": [[1, 2], [3, 4]]}')
    body.blur()
    settled(page)
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.locator(".at-body")).to_have_text("[6.0, 13.5]")
    expect(page.locator(".at-answer")).to_contain_text("blue")

    page.get_by_role("link", name="Add deployment").click()
    title(page, "Deploy a model")
    deployed(page, folders / "coarse")
    title(page, "forest")
    is_ready(page, "green")

    page.get_by_role("link", name="Update traffic").click()
    percent(page, "green", "10")
    page.get_by_role("switch", name="Mirror traffic to green").check(force=True)
    settled(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".at-share").get_by_text("90 %")).to_be_visible()
    expect(page.locator(".at-share").get_by_text("copies of 10 %")).to_be_visible()
    shown = json.loads(house.cli("online-endpoint", "show", "--name", "forest", "-o", "json"))
    assert shown["traffic"] == {"blue": 90, "green": 10}
    assert shown["mirror_traffic"] == {"green": 10}

    visit(page, "/endpoint?ws=lab&name=forest&tab=test&deployment=blue&against=green")
    body = page.get_by_role("textbox", name="Request body")
    body.fill('{"data": [[3, 4]]}')
    body.blur()
    settled(page)
    page.get_by_role("button", name="Test both").click()
    expect(page.locator(".at-answer")).to_have_count(2)
    expect(page.get_by_text("furthest apart")).to_be_visible()

    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("tab", name="Details").click()
    expect(page.locator(".at-share").get_by_text("100 %")).to_be_visible()
    card(page, "green").get_by_role("link", name="Delete").click()
    confirmed(page, "green", "Delete deployment")
    expect(card(page, "green")).to_have_count(0, timeout=LONG)

    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    confirmed(page, "forest", "Delete endpoint")
    title(page, "Endpoints")
    until = time.monotonic() + PATIENCE / 1000
    while "forest" in house.cli("online-endpoint", "list", "-o", "json"):
        assert time.monotonic() < until, "the endpoint is not gone"
        time.sleep(0.3)


TRAIN = """import sys
import mlflow, sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

frame, target = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=500).fit(frame, target)
mlflow.sklearn.save_model(
    model,
    sys.argv[1],
    input_example=frame.head(1),
    signature=mlflow.models.infer_signature(frame, model.predict(frame)),
    serialization_format="pickle",
    pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
)
"""


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As training saves it: with its signature, an example, and what it needs."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("saved") / "model"
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_an_mlflow_model_needs_three_clicks_and_no_word(page: Page, house: House, iris: Path) -> None:
    house.cli("model", "create", "--name", "iris", "--type", "mlflow_model", "--path", str(iris))
    visit(page, "/model?ws=lab&name=iris")
    page.get_by_role("link", name="Deploy").click()
    title(page, "Deploy a model")
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, "iris")
    is_ready(page, "blue")
    page.get_by_role("tab", name="Test").click()
    expect(page.get_by_role("spinbutton", name="sepal length")).to_have_value("5.1")
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.locator(".at-answer .at-code")).to_have_text("200")
    expect(page.locator(".at-body")).to_contain_text("0")


def test_a_script_that_cannot_be_loaded_says_why_where_one_looks(page: Page, house: House, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "score.py").write_text("import pandaz\n")
    (tmp_path / "w.json").write_text("[]")
    house.cli("model", "create", "--name", "broken", "--path", str(tmp_path / "w.json"))
    visit(page, "/new_endpoint?ws=lab&model=broken")
    deployed(page, tmp_path / "bad")
    title(page, "broken")
    expect(page.locator(".at-title [data-status=Failed]")).to_be_visible(timeout=LONG)
    expect(card(page, "blue").get_by_text("pandaz").first).to_be_visible()


def confirmed(page: Page, name: str, verb: str) -> None:
    dialog = page.get_by_role("dialog").filter(has_text="Are you sure?")
    dialog.get_by_role("textbox", name="Name").fill(name)
    dialog.get_by_role("textbox", name="Name").press("Enter")
    dialog.get_by_role("button", name=verb).click()
