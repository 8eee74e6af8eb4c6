"""One story through every door: data is sent, a job makes a model of it, and all doors tell the same of both."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import House, settled, title, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TRAIN = """
import pathlib, sys
rows = pathlib.Path(sys.argv[1], "iris.csv").read_text().splitlines()[1:]
out = pathlib.Path(sys.argv[2])
(out / "MLmodel").write_text("flavors:\\n  python_function:\\n    loader_module: story\\nmodel_uuid: story\\n")
(out / "rows.txt").write_text(str(len(rows)))
"""
JOB = """
command: python train.py ${{inputs.raw}} ${{outputs.model}}
code: src
environment: {image: python:3.11}
display_name: Trained by hand
inputs:
  raw: {path: azureml:story-petals@latest}
outputs:
  model: {type: mlflow_model, name: story-model}
"""


@pytest.fixture(scope="module")
def job(house: House, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("story")
    (folder / "flowers").mkdir()
    (folder / "flowers" / "iris.csv").write_text("petal,kind\n1.4,setosa\n5.1,virginica\n")
    (folder / "src").mkdir()
    (folder / "src" / "train.py").write_text(TRAIN)
    (folder / "job.yml").write_text(JOB)
    words = ["data", "create", "-n", "story-petals", "--path", str(folder / "flowers"), "--type", "uri_folder"]
    house.cli(*words)
    made = json.loads(house.cli("job", "create", "-f", str(folder / "job.yml"), "-o", "json"))
    house.cli("job", "stream", "-n", made["name"])
    until = time.monotonic() + 60
    while not json.loads(house.cli("model", "show", "-n", "story-model", "-o", "json"))["facts"]["mlflow"]["version"]:
        assert time.monotonic() < until, "MLflow's registry was not told"
        time.sleep(0.5)
    return str(made["name"])


def test_the_lineage_leads_from_the_data_to_the_model_and_back(page: Page, house: House, job: str) -> None:
    visit(page, "/data_asset?ws=lab&name=story-petals")
    main = page.locator("[data-testid=stMain]")
    main.get_by_role("link", name="Lineage").click()
    title(page, "story-petals")
    main.get_by_role("link", name="story-model").first.click()
    title(page, "story-model")
    main.get_by_role("link", name="Lineage").click()
    settled(page)
    main.get_by_role("link", name="Trained by hand").or_(main.get_by_role("link", name=job)).first.click()
    title(page, "Trained by hand")
    page.get_by_role("link", name="story-petals:1").click()
    title(page, "story-petals")
    settled(page)


def test_every_door_tells_the_same_of_a_model(page: Page, house: House, job: str, tmp_path: Path) -> None:
    shown = json.loads(house.cli("model", "show", "-n", "story-model", "-o", "json"))
    token = (house.home / "token").read_text().strip()
    answer = httpx.get(
        f"{house.url}/api/v1/workspaces/lab/models/story-model/versions/1", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.json() == shown
    assert (shown["version"], shown["type"], shown["job_name"]) == ("1", "mlflow_model", job)

    visit(page, "/model?ws=lab&name=story-model")
    for text in (shown["path"], "MLflow", job):
        expect(page.get_by_text(text).first).to_be_visible()

    client = (
        "import json, mlflow, pathlib, sys\n"
        "version = mlflow.MlflowClient().get_model_version('story-model', '1')\n"
        "folder = pathlib.Path(mlflow.artifacts.download_artifacts('models:/story-model/1', dst_path=sys.argv[1]))\n"
        "print(json.dumps([version.name, version.version, (folder / 'rows.txt').read_text()]))\n"
    )
    variables = {"MLFLOW_TRACKING_URI": f"{house.url}/mlflow", "MLFLOW_TRACKING_TOKEN": token}
    variables["MLFLOW_WORKSPACE"] = "lab"
    done = subprocess.run(
        [sys.executable, "-c", client, str(tmp_path)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == ["story-model", "1", "2"]
