"""`atelier batch-endpoint` and `batch-deployment`: files as the cloud has them, every form of input, overrides."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.batch_endpoints import SETTINGS
from tests.cli.conftest import Terminal

CONDA = "dependencies:\n- python=3.11\n- pip\n- pip:\n  - mlflow\n"
BATCH = {"type": "model", "model": "azureml:heart@latest", "settings": {"mini_batch_size": 2}}


def written(name: str, value: Any) -> str:
    Path(name).write_text(yaml.safe_dump(value))
    return name


@pytest.fixture
def heart(terminal: Terminal) -> str:
    """An endpoint of its own for each test, with a registered model beside it."""
    Path("model").mkdir()
    Path("model/MLmodel").write_text("flavors:\n  python_function:\n    loader_module: os\n")
    Path("model/conda.yaml").write_text(CONDA)
    terminal.ok("model", "create", "--name", "heart", "--path", "model")
    name = f"e-{abs(hash(str(Path.cwd()))) % 10**8}"
    terminal.ok("batch-endpoint", "create", "-f", written("endpoint.yml", {"name": name, "auth_mode": "aad_token"}))
    return name


def deployed(terminal: Terminal, endpoint: str, *words: str, name: str = "blue", **more: Any) -> Any:
    file = written("deployment.yml", {**BATCH, "endpoint_name": endpoint, "name": name, **more})
    return terminal.ok("batch-deployment", "create", "--file", file, *words)


def settings(job: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job["environment_variables"][SETTINGS])
    return found


def test_an_endpoint_from_its_creation_to_its_end(terminal: Terminal, heart: str) -> None:
    shown = terminal.ok("batch-endpoint", "show", "--name", heart)
    assert shown["scoring_uri"].endswith(f"/api/v1/workspaces/lab/batch-endpoints/{heart}/invoke")
    deployed(terminal, heart)
    assert terminal.ok("batch-endpoint", "show", "-n", heart)["defaults"] == {"deployment_name": "blue"}
    deployed(terminal, heart, "--set-default", name="green")
    said = terminal.run(
        "batch-endpoint", "show", "-n", heart, "--query", "defaults.deployment_name", "-o", "tsv", "-g", "rg"
    )
    assert said.out.strip() == "green"
    terminal.ok("batch-endpoint", "update", "-n", heart, "--set", "defaults.deployment_name=blue")
    changed = terminal.ok("batch-endpoint", "update", "-n", heart, "--description", "new", "--set", "tags.a=1")
    assert (changed["defaults"]["deployment_name"], changed["description"], changed["tags"]) == (
        "blue", "new", {"a": "1"},
    )  # fmt: skip
    said = terminal.run("batch-deployment", "delete", "-n", "blue", "-e", heart, "--yes")
    assert said.code == 5
    assert "is the default deployment" in said.err
    terminal.ok("batch-endpoint", "update", "-n", heart, "--defaults", "deployment_name=green")
    terminal.ok("batch-deployment", "delete", "-n", "blue", "-e", heart, "--yes")
    assert [row["name"] for row in terminal.ok("batch-deployment", "list", "-e", heart)] == ["green"]
    assert heart in [row["name"] for row in terminal.ok("batch-endpoint", "list", "--search", heart)]
    terminal.ok("batch-endpoint", "delete", "--name", heart, "--yes", "--no-wait")
    assert terminal.run("batch-endpoint", "show", "--name", heart).code == 3


def test_a_deployment_with_local_code_and_model(terminal: Terminal, heart: str) -> None:
    Path("code").mkdir()
    Path("code/driver.py").write_text("def run(b):\n    return b\n")
    Path("env.yml").write_text("image: debian:12\n")
    made = deployed(
        terminal,
        heart,
        model={"path": "model", "type": "custom_model"},
        code_configuration={"code": "code", "scoring_script": "driver.py"},
        environment="./env.yml",
    )
    assert made["code_configuration"]["scoring_script"] == "driver.py"
    assert made["model"].startswith("azureml:azureml_anonymous:")
    changed = terminal.ok(
        "batch-deployment", "update", "-n", "blue", "-e", heart, "--set", "settings.mini_batch_size=7", "tags.x=y"
    )
    assert (changed["settings"]["mini_batch_size"], changed["tags"]) == (7, {"x": "y"})
    assert changed["code_configuration"] == made["code_configuration"], "what is not named stays"
    again = terminal.ok("batch-deployment", "update", "-f", "deployment.yml", "--set", "description=d")
    assert (again["settings"]["mini_batch_size"], again["description"]) == (2, "d")
    said = terminal.run("batch-deployment", "create", "-f", "deployment.yml", "-n", "x", "-e", heart, "--set",
                        "code_configuration.scoring_script=nobody.py")  # fmt: skip
    assert said.code == 2


def test_every_form_of_input(terminal: Terminal, heart: str) -> None:
    deployed(terminal, heart)
    Path("data").mkdir()
    Path("data/a.csv").write_text("x\n1\n")
    terminal.ok("data", "create", "--name", f"d-{heart}", "--type", "uri_folder", "--path", "data")
    invoke = ("batch-endpoint", "invoke", "--name", heart)
    for words, path, type_ in (
        (("--input", "data"), "azureml://datastores/", "uri_folder"),
        (("--input", "data/a.csv"), "azureml://datastores/", "uri_file"),
        (("--input", "https://example.com/a.csv", "--input-type", "uri_file"), "https://example.com/a.csv", "uri_file"),
        (("--input", "azureml://datastores/workspaceblobstore/paths/x"), "azureml://datastores/", "uri_folder"),
        (("--input", f"azureml:d-{heart}@latest"), f"azureml:d-{heart}@latest", "uri_folder"),
        (("--inputs", f"more.path=azureml:d-{heart}:1", "more.type=uri_folder"), f"azureml:d-{heart}:1", "uri_folder"),
    ):
        job = terminal.ok(*invoke, *words)
        (data,) = (value for name, value in job["inputs"].items() if name != "azureml_model")
        assert data["path"].startswith(path), words
        assert data["type"] == type_, words
        assert job["properties"] == {"azureml.endpoint": heart, "azureml.deployment": "blue"}
    rows = terminal.ok("batch-deployment", "list-jobs", "-n", "blue", "-e", heart)
    assert [row["name"] for row in terminal.ok("batch-endpoint", "list-jobs", "-n", heart)] == [
        row["name"] for row in rows
    ]
    assert len(rows) == 6


def test_a_file_of_inputs_and_outputs(terminal: Terminal, heart: str) -> None:
    deployed(terminal, heart)
    Path("below").mkdir()
    Path("below/data").mkdir()
    Path("below/data/a.csv").write_text("x\n1\n")
    score = "azureml://datastores/workspaceblobstore/paths/results"
    literal = {"type": "string", "default": "append"}
    value = {"inputs": {"rows": {"path": "data"}, "mode": literal}, "outputs": {"score": {"path": score}}}
    job = terminal.ok("batch-endpoint", "invoke", "-n", heart, "-f", written("below/inputs.yml", value))
    assert job["outputs"]["score"]["path"] == score
    assert job["inputs"]["mode"]["default"] == "append"
    assert settings(job)["inputs"] == ["AZURE_ML_INPUT_rows"]


def test_overrides_of_one_job(terminal: Terminal, heart: str) -> None:
    deployed(terminal, heart)
    path = "azureml://datastores/workspaceblobstore/paths/out"
    job = terminal.ok(
        "batch-endpoint", "invoke", "-n", heart, "-d", "blue", "--input", "azureml://datastores/x/paths/y",
        "--mini-batch-size", "20", "--instance-count", "5", "--output-path", path,
        "--set", "output_file_name=mine.csv", "retry_settings.timeout=7", "--job-name", f"j-{heart}",
        "--experiment-name", "scored",
    )  # fmt: skip
    told = settings(job)
    assert (told["mini_batch_size"], told["workers"], told["output_file_name"]) == (20, 5, "mine.csv")
    assert (told["timeout"], told["max_retries"]) == (7, 3)
    assert (job["name"], job["experiment_name"], job["outputs"]["score"]["path"]) == (f"j-{heart}", "scored", path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "There is nothing to work on"),
        (("--input", "nowhere"), "--input"),
        (("--input", "model", "--input-type", "uri"), "inputs.input.type"),
        (("--input-type", "uri_file"), "--input-type"),
        (("--input", "model", "-f", "endpoint.yml"), "--input"),
        (("--input", "model", "-d", "nobody"), "has no deployment 'nobody'"),
        (("--input", "model", "--set", "mini_batch_size=0"), "mini_batch_size"),
        (("--input", "model", "--set", "output_file_name=a/b"), "output_file_name"),
        (("--input", "model", "--output-path", "/tmp"), "outputs.score.path"),
        (("--input", "azureml:nobody@latest"), "nobody"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(
    terminal: Terminal, heart: str, words: tuple[str, ...], why: str
) -> None:
    deployed(terminal, heart)
    said = terminal.run("batch-endpoint", "invoke", "-n", heart, *words)
    assert said.code in {2, 3}, said.out + said.err
    assert why in said.err


def test_deployments_of_pipeline_components_are_not_for_this_version(terminal: Terminal, heart: str) -> None:
    file = written("p.yml", {"type": "pipeline", "name": "p", "endpoint_name": heart, "component": "azureml:x@latest"})
    said = terminal.run("batch-deployment", "create", "-f", file)
    assert said.code == 2
    assert "Deployments of pipeline components are not run by this version." in said.err


def test_readers_look_and_start_nothing(terminal: Terminal, heart: str) -> None:
    deployed(terminal, heart)
    terminal.sit("cleo")
    assert terminal.ok("batch-deployment", "show", "-n", "blue", "-e", heart)["is_default"] is True
    assert terminal.run("batch-endpoint", "invoke", "-n", heart, "--input", "azureml:x:1").code == 4
    assert terminal.run("batch-endpoint", "delete", "-n", heart, "--yes").code == 4
