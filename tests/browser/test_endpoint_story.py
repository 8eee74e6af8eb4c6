"""A model's way into service, by mouse: registered, deployed, tried, followed by another, rolled back, deleted."""

import json
import pickle
import re
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import sklearn
from playwright.sync_api import Page, expect
from sklearn.linear_model import LogisticRegression

from tests.browser.conftest import House, box, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1200)]
LONG = 300_000
MLMODEL = f"""flavors:
  python_function: {{loader_module: mlflow.sklearn, model_path: model.pkl, env: {{conda: conda.yaml}}}}
  sklearn: {{sklearn_version: {sklearn.__version__}, pickled_model: model.pkl, serialization_format: pickle}}
mlflow_version: 2.9.2
signature:
  inputs: '[{{"name": "petal_length", "type": "double"}}, {{"name": "petal_width", "type": "double"}}]'
  outputs: '[{{"type": "string"}}]'
"""
CONDA = f"""channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip: [scikit-learn=={sklearn.__version__}, numpy=={np.__version__}]
"""
ASKED = {"input_data": {"columns": ["petal_length", "petal_width"], "index": [0], "data": [[1.4, 0.2]]}}


def saved(folder: Path, words: tuple[str, str]) -> Path:
    """A model that says the first word of short petals."""
    made = folder / "model"
    made.mkdir(parents=True)
    x, y = np.array([[1.0, 0.1], [1.5, 0.3], [4.5, 1.4], [5.5, 2.0]]), np.array([words[0]] * 2 + [words[1]] * 2)
    (made / "MLmodel").write_text(MLMODEL)
    (made / "conda.yaml").write_text(CONDA)
    (made / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(x, y)))
    return made


def register(page: Page, folder: Path) -> None:
    visit(page, "/new_model?ws=lab")
    page.locator("input.folder").first.set_input_files(folder)
    expect(page.get_by_text("3 files")).to_be_visible()
    box(page, "Name").fill("petals")
    box(page, "Name").blur()
    page.get_by_role("button", name="Register", exact=True).click()
    title(page, "petals")


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    settled(page)


def asked(house: House, count: int) -> set[str]:
    """What callers were answered, with the key that they were given."""
    uri = json.loads(house.cli("online-endpoint", "show", "-n", "petals", "-o", "json"))["scoring_uri"]
    keys = json.loads(house.cli("online-endpoint", "get-credentials", "-n", "petals", "-o", "json"))
    with httpx.Client(headers={"Authorization": f"Bearer {keys['primaryKey']}"}, trust_env=False, timeout=60) as client:
        answers = [client.post(uri, json=ASKED) for _ in range(count)]
    assert {each.status_code for each in answers} == {200}
    return {each.headers["azureml-model-deployment"] for each in answers}


def confirmed(page: Page, name: str, verb: str) -> None:
    dialog = page.get_by_role("dialog").filter(has_text="Are you sure?")
    dialog.get_by_role("textbox", name="Name").fill(name)
    dialog.get_by_role("textbox", name="Name").press("Enter")
    dialog.get_by_role("button", name=verb).click()


def test_a_model_comes_into_service_and_goes_again(page: Page, house: House, tmp_path: Path) -> None:
    register(page, saved(tmp_path / "one", ("setosa", "virginica")))
    page.get_by_role("link", name="Deploy").click()
    title(page, "Deploy a model")
    began = time.monotonic()
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, "petals")
    expect(page.locator(".at-title [data-status=Healthy]")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("1 of 1 ready")).to_be_visible()
    print(f"from Create to Healthy, with its environment built: {time.monotonic() - began:.1f} s")

    tab(page, "Test")
    field = page.get_by_role("spinbutton", name="petal_length")
    field.fill("1.4")
    field.press("Tab")
    settled(page)
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.locator(".at-answer .at-code")).to_have_text("200")
    expect(page.locator(".at-body")).to_contain_text("setosa")

    register(page, saved(tmp_path / "two", ("Iris-setosa", "Iris-virginica")))
    visit(page, "/endpoint?ws=lab&name=petals")
    page.get_by_role("link", name="Add deployment").click()
    title(page, "Deploy a model")
    expect(page.locator("code", has_text="azureml:petals:2")).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    title(page, "petals")
    green = page.locator(".at-deployment").filter(has=page.locator("h3", has_text="green"))
    expect(green.get_by_text("1 of 1 ready")).to_be_visible(timeout=LONG)
    assert asked(house, 10) == {"blue"}, "the new one has no traffic yet"

    visit(page, "/endpoint?ws=lab&name=petals&edit=traffic")
    control = page.get_by_role("slider", name="Traffic of green", exact=True)
    control.focus()
    for _ in range(10):
        control.press("ArrowRight")
    page.get_by_role("switch", name="Mirror traffic to green").check(force=True)
    mirrored = page.get_by_role("spinbutton", name="Mirrored traffic of green in percent", exact=True)
    mirrored.fill("100")
    mirrored.press("Tab")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".at-share").get_by_text("90 %")).to_be_visible()
    expect(page.locator(".at-share").get_by_text("copies of 100 %")).to_be_visible()
    assert asked(house, 60) == {"blue", "green"}

    tab(page, "Monitoring")
    expect(page.locator(".tile[data-id=rpm] .scatterlayer .trace")).to_have_count(2)
    expect(page.locator(".tile[data-id=latency] .scatterlayer .trace")).to_have_count(4)
    expect(page.locator(".tile[data-id=cpu] .scatterlayer .trace").first).to_be_visible()
    shadow = page.locator(".at-shadow")
    expect(shadow.get_by_text("0.00 %")).to_be_visible()
    shadow.locator("summary").first.click()
    expect(shadow.locator("pre", has_text="Iris-setosa").first).to_be_visible()

    tab(page, "Logs")
    expect(page.locator(".requests .state[data-live]")).to_be_visible()
    before = page.locator("tr[data-id]").count()
    asked(house, 3)
    expect(page.locator("tr[data-new]").first).to_be_visible()
    assert page.locator("tr[data-id]").count() > before
    page.locator("tr[data-id]").first.click()
    expect(page.locator("tr.detail").get_by_text("RequestThrottlingDelayMs")).to_be_visible()
    page.get_by_role("radio", name="Container log").click()
    expect(page.get_by_role("log")).to_contain_text("took")
    page.get_by_role("radio", name="Container events").click()
    expect(page.locator(".at-events code", has_text="Created").first).to_be_visible()

    tab(page, "Rollout")
    expect(page.get_by_text("Send all to green")).to_be_visible()
    page.get_by_role("button", name=re.compile("Back to blue 100")).click()
    expect(page.get_by_text("The traffic is again as it was.")).to_be_visible()
    assert asked(house, 20) == {"blue"}

    page.get_by_role("spinbutton", name="Each step for").fill("2")
    page.get_by_role("spinbutton", name="Each step for").press("Tab")
    settled(page)
    page.get_by_role("combobox", name="Unit").click()
    page.get_by_role("option", name="s", exact=True).click()
    settled(page)
    page.get_by_role("button", name="Start rollout").click()
    expect(page.get_by_text("'green' has all of the traffic.").first).to_be_visible()
    assert asked(house, 10) == {"green"}

    visit(page, "/endpoint?ws=lab&name=petals")
    blue = page.locator(".at-deployment").filter(has=page.locator("h3", has_text="blue"))
    blue.get_by_role("link", name="Delete").click()
    confirmed(page, "blue", "Delete deployment")
    expect(blue).to_have_count(0, timeout=LONG)
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    confirmed(page, "petals", "Delete endpoint")
    title(page, "Endpoints")
    expect(page.get_by_text("No endpoints yet")).to_be_visible(timeout=LONG)
