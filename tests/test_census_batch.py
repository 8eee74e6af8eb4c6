"""The batch endpoint of the examples, unmodified: from its files to containers and a table of predictions."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from tests.test_census import Outside, needs, outside  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
FOLDER = "endpoints/batch/deploy-models/heart-classifier-mlflow"


def test_p28_an_mlflow_model_without_code_over_files(outside: Outside, census: Path) -> None:  # noqa: F811
    needs("3.8")
    folder, studio = census / FOLDER, outside.studio
    simple = folder / "deployment-simple"
    studio.ok(
        "model", "create", "-n", "heart-classifier-mlflow", "--type", "mlflow_model", "--path", "model", cwd=simple
    )
    studio.ok("batch-endpoint", "create", "-f", "endpoint.yml", cwd=folder)
    words = ("batch-deployment", "create", "-f", "deployment.yml", "--set-default")
    made = studio.ok(*words, cwd=simple)
    assert (made["provisioning_state"], made["is_default"]) == ("Succeeded", True)
    data = studio.ok("data", "create", "-f", "heart-dataset-unlabeled.yml", cwd=folder)
    invoke = ("batch-endpoint", "invoke", "--name", "heart-classifier-batch")
    said = studio.said(*invoke, "--input", f"azureml:{data['name']}@latest", "--query", "name", "-o", "tsv")
    assert said.code == 0, said.err
    name = said.out.strip()
    followed = studio.said("job", "stream", "-n", name)
    assert followed.code == 0, followed.out + followed.err
    got = outside.got / "p28"
    said = studio.said("job", "download", "-n", name, "--output-name", "score", "--download-path", str(got))
    assert said.code == 0, said.err
    rows = list(csv.reader((got / "named-outputs" / "score" / "predictions.csv").open()))
    assert len(rows) == 303
    assert {len(row) for row in rows} == {3}
    assert rows[0][0] == "0", "there is no header"
    assert {row[1] for row in rows} == {"0", "1"}
    assert list(dict.fromkeys(row[2] for row in rows)) == [f"heart-unlabeled-{number}.csv" for number in range(4)]
    assert [row["name"] for row in studio.ok("batch-endpoint", "list-jobs", "-n", "heart-classifier-batch")] == [name]
    metrics = {row["metric"]: row["last"] for row in studio.ok("job", "metrics", "--name", name)}
    assert (metrics["mini_batches_total"], metrics["mini_batches_done"], metrics["items_failed"]) == (2, 2, 0)


SCRIPT = """
import glob, os

def init():
    global weights
    (path,) = glob.glob(os.path.join(os.environ["AZUREML_MODEL_DIR"], "*", "weights.txt"))
    weights = os.path.relpath(path, os.environ["AZUREML_MODEL_DIR"])

def run(mini_batch):
    if any(path.endswith("bad.txt") for path in mini_batch):
        raise ValueError("no good")
    return [f"{os.path.basename(path)} {weights} {os.environ['RATE']}" for path in mini_batch]
"""


def test_a_scoring_script_in_a_container_and_what_it_says_when_it_fails(outside: Outside, tmp_path: Path) -> None:  # noqa: F811
    studio = outside.studio
    for name, text in {
        "weights/weights.txt": "1", "code/score.py": SCRIPT, "good/b.txt": "", "good/deep/a.txt": "", "bad/bad.txt": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    deployment = {
        "name": "scripted",
        "endpoint_name": "scripted-batch",
        "model": {"path": "weights"},
        "code_configuration": {"code": "code", "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "resources": {"instance_count": 2},
        "settings": {"error_threshold": 0, "mini_batch_size": 1, "environment_variables": {"RATE": "0.5"}},
        "retry_settings": {"max_retries": 0},
    }
    (tmp_path / "deployment.yml").write_text(yaml.safe_dump(deployment))
    studio.ok("batch-endpoint", "create", "--name", "scripted-batch")
    studio.ok("batch-deployment", "create", "-f", "deployment.yml", cwd=tmp_path)
    invoke = ("batch-endpoint", "invoke", "-n", "scripted-batch", "--stream", "--input")
    good = studio.said(*invoke, "good", "--job-name", "good", "--set", "output_file_name=out.txt", cwd=tmp_path)
    assert good.code == 0, good.out + good.err
    assert "2 files in 2 mini-batches of up to 1, 2 worker processes" in good.out
    studio.said("job", "download", "-n", "good", "--all", "-p", str(tmp_path / "got"))
    lines = (tmp_path / "got" / "named-outputs" / "score" / "out.txt").read_text().splitlines()
    assert lines == ["b.txt weights/weights.txt 0.5", "a.txt weights/weights.txt 0.5"], "in the order of their paths"
    kept = tmp_path / "got" / "artifacts" / "logs"
    assert json.loads((kept / "job_result.txt").read_text())["status"] == "Completed"
    bad = studio.said(*invoke, "bad", "--job-name", "bad", cwd=tmp_path)
    assert bad.code == 1
    assert "1 items failed, which is more than the error_threshold of 0" in bad.out
    assert "ValueError: no good (files: bad.txt)" in bad.out
    shown = studio.ok("job", "show", "-n", "bad")
    assert (shown["status"], shown["exit_code"]) == ("Failed", 1)
    assert "error_threshold of 0" in shown["message"]
