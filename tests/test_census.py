"""Examples that nobody here wrote run unmodified, from the command line to containers and back."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sklearn.datasets import load_iris

from services.engines.docker import DockerEngine
from services.engines.interpreters import interpreters
from services.studio import Settings, Studio
from tests.conftest import forget_install
from tests.launched import Launched

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
IRIS = "datasets@azuremlexamples.blob.core.windows.net/iris.csv"


@dataclass
class Outside:
    """A studio with real containers, and the folder of examples."""

    studio: Launched
    examples: Path
    got: Path
    jobs: dict[str, "Ran"] = field(default_factory=dict)

    def run(self, example: str) -> "Ran":
        """Submitted and followed to its end, which must be a good one; each example once."""
        if example not in self.jobs:
            path = self.examples / example
            said = self.studio.said("job", "create", "--file", str(path), "--stream", cwd=path.parent)
            assert said.code == 0, said.out + said.err
            (name,) = re.findall(r"\ARunId: (\S+)", said.out)
            assert said.out.endswith("Status: Completed\n")
            self.jobs[example] = Ran(self, name, said.out.partition("\n\n")[2].partition("\nExecution Summary\n")[0])
        return self.jobs[example]

    def mlflow(self, method: str, path: str, **what: Any) -> Any:
        """MLflow's REST as a client on this machine calls it."""
        token = (self.studio.home / "token").read_text().strip()
        url = f"http://127.0.0.1:{self.studio.port}/mlflow/api/2.0/mlflow/{path}"
        answer = httpx.request(method, url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, **what)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Ran:
    """A job of an example, and what it printed."""

    outside: Outside
    name: str
    log: str

    def run(self) -> dict[str, Any]:
        """Its MLflow run, asked for by the job's name."""
        found: dict[str, Any] = self.outside.mlflow("GET", "runs/get", params={"run_id": self.name})["run"]
        return found

    def params(self) -> dict[str, str]:
        return {each["key"]: each["value"] for each in self.run()["data"].get("params", [])}

    def metrics(self) -> dict[str, float]:
        """As the command line shows them."""
        rows = self.outside.studio.ok("job", "metrics", "--name", self.name)
        return {row["metric"]: row["last"] for row in rows}

    def artifacts(self) -> Path:
        """All that it left behind, downloaded."""
        target = self.outside.got / self.name
        said = self.outside.studio.said("job", "download", "--name", self.name, "--all", "-p", str(target))
        assert said.code == 0, said.err
        return target / "artifacts"


@pytest.fixture(scope="module")
def outside(
    census: Path, docker: None, python_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "home").mkdir()
    iris = _iris(folder / "iris.csv")
    urls = [{"match": f"wasbs://{IRIS}", "use": str(iris)}]
    (folder / "home" / "maps.yml").write_text(yaml.safe_dump({"urls": urls}))
    studio = Launched(folder / "home", {"ATELIER_ENGINE": "docker", "ATELIER_WORKSPACE": "lab"})
    try:
        studio.up()
        studio.ok("workspace", "create", "--name", "lab")
        yield Outside(studio, census, folder / "got")
    finally:
        studio.close()
        _forget(studio.home)


def _iris(path: Path) -> Path:
    """The table that the cloud's examples read: four measures and the species."""
    found = load_iris(as_frame=True)
    table = found.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis="columns")
    table.assign(species=[found.target_names[each] for each in found.target]).to_csv(path, index=False)
    return path


def _forget(home: Path) -> None:
    studio = Studio(Settings(home=home))
    forget_install(DockerEngine(install=studio.install, home=home))
    studio.close()


def needs(python: str) -> None:
    if python not in {one.version for one in interpreters()}:
        pytest.skip(f"the example stands on Python {python}, which is not on this host")


def test_p01_hello_world(outside: Outside) -> None:
    assert outside.run("jobs/basics/hello-world.yml").log == "hello world\n"


def test_p02_literal_inputs(outside: Outside) -> None:
    assert outside.run("jobs/basics/hello-world-input.yml").log == "hello world\n42\n"


def test_p03_what_lies_in_outputs_is_kept(outside: Outside) -> None:
    kept = outside.run("jobs/basics/hello-world-output.yml").artifacts()
    assert (kept / "outputs" / "helloworld.txt").read_text() == "hello world\n"


def test_p04_installing_at_run_time_and_no_repository(outside: Outside) -> None:
    assert "Repository('.').head.shorthand error" in outside.run("jobs/basics/hello-git.yml").log


def test_p05_mlflow_without_a_word_of_set_up(outside: Outside) -> None:
    job = outside.run("jobs/basics/hello-mlflow.yml")
    assert job.params()["hello_param"] == "world"
    assert 0 <= job.metrics()["hello_metric"] < 1
    assert (job.artifacts() / "helloworld.txt").is_file()


def test_p07_a_file_of_a_datastore(outside: Outside, census: Path) -> None:
    (datastore,) = (outside.studio.home / "workspaces").glob("*/datastores/workspaceblobstore")
    seed = datastore / "example-data" / "iris.csv"
    seed.parent.mkdir(exist_ok=True)
    seed.write_bytes((census / "assets/data/example-data/iris.csv").read_bytes())
    job = outside.run("jobs/basics/hello-iris-datastore-file.yml")
    assert re.search(r"^--iris-csv: \S+/iris\.csv$", job.log, re.MULTILINE)
    assert (job.artifacts() / "outputs" / "iris.csv").is_file()


def test_p08_a_model_as_an_input(outside: Outside) -> None:
    log = outside.run("jobs/basics/hello-model-as-input.yml").log
    assert log.split() == ["MLmodel", "conda.yaml", "input_example.json", "model.pkl", "requirements.txt"]


def test_p11_scikit_learn_with_autolog(outside: Outside) -> None:
    job = outside.run("jobs/single-step/scikit-learn/iris/job.yml")
    params, metrics = job.params(), job.metrics()
    assert {key: params[key] for key in ("C", "kernel", "coef0")} == {"C": "0.8", "kernel": "rbf", "coef0": "0.1"}
    assert metrics["training_accuracy_score"] == 0.975
    assert round(metrics["training_f1_score"], 6) == 0.975004
    run = job.run()
    models = outside.mlflow("POST", "logged-models/search", json={"experiment_ids": [run["info"]["experiment_id"]]})
    assert run["info"]["run_id"] in {model["info"]["source_run_id"] for model in models["models"]}


def test_p12_a_build_context_whose_from_is_mapped(outside: Outside) -> None:
    needs("3.8")
    job = outside.run("jobs/single-step/scikit-learn/iris/job-docker-context.yml")
    params, metrics = job.params(), job.metrics()
    assert {key: params[key] for key in ("C", "kernel", "coef0")} == {"C": "0.8", "kernel": "rbf", "coef0": "0.1"}
    assert metrics["training_accuracy_score"] == 0.975
    assert round(metrics["training_f1_score"], 6) == 0.975004
    said = outside.studio.said("environment", "packages", "--job", job.name)
    assert "scikit-learn==1.2.2" in said.out.split(), "what was really installed is known of the job"


def test_p15_an_environment_of_an_image_and_a_conda_file(outside: Outside, tmp_path: Path) -> None:
    needs("3.8")
    folder = outside.examples / "jobs/pipelines-with-components/basics/5c_env_conda_file"
    environment = yaml.safe_load((folder / "component.yml").read_text())["environment"]
    conda = folder / environment["conda_file"]
    named = ("--name", "p15", "--image", environment["image"], "--conda-file", str(conda))
    outside.studio.ok("environment", "create", *named)
    built = outside.studio.said("environment", "build", "--name", "p15", "--stream")
    assert built.code == 0, built.out + built.err
    packages = outside.studio.ok("environment", "show", "--name", "p15")["packages"]
    assert [each for each in packages if each.startswith("pyjokes==")]
    job = {"command": "python hello.py", "code": str(folder / "src"), "environment": "azureml:p15:1"}
    (tmp_path / "job.yml").write_text(yaml.safe_dump(job))
    log = outside.run(str(tmp_path / "job.yml")).log
    assert log.startswith("Hello Python World\nI tell a new joke each time you run me. Today's joke:\n")


def test_p20_a_component_with_optional_inputs(outside: Outside, census: Path, tmp_path: Path) -> None:
    made = outside.studio.ok("component", "create", "--file", str(census / "assets" / "component" / "train.yml"))
    assert (made["name"], made["version"]) == ("train_data_component_cli", "1")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "rows.csv").write_text("a,b\n1,2\n")
    outside.studio.ok("data", "create", "--name", "p20", "--type", "uri_folder", "--path", str(tmp_path / "table"))
    use = ("component", "use", "--name", made["name"], "--set", "inputs.training_data=azureml:p20@latest")
    plain, full = outside.studio.ok(*use), outside.studio.ok(*use, "inputs.max_epocs=7")
    assert "--max_epocs" not in plain["command"]
    followed = outside.studio.said("job", "stream", "--name", plain["name"])
    assert followed.code == 0, followed.out + followed.err
    for line in ("Max epochs: None", "Learning rate: 0.01", "Learning rate: time-based", "['rows.csv']"):
        assert line in followed.out
    outputs = outside.got / "p20"
    outside.studio.said("job", "download", "-n", plain["name"], "--output-name", "model_output", "-p", str(outputs))
    (model,) = outputs.rglob("model.txt")
    assert model.read_text().startswith("This is a dummy model")
    refused = outside.studio.said("job", "stream", "--name", full["name"])
    assert "unrecognized arguments: --max_epocs 7" in refused.out, "its script spells the argument otherwise"
    graph = outside.studio.ok("lineage", "show", "--name", plain["name"])
    labels = {(node["kind"], node["label"]) for node in graph["nodes"]}
    assert {("data", "p20"), ("component", made["name"])} <= labels


def test_p21_a_data_asset_of_a_local_folder(outside: Outside, census: Path) -> None:
    folder = census / "assets" / "data"
    made = outside.studio.ok("data", "create", "--file", str(folder / "local-folder.yml"))
    assert (made["name"], made["version"], made["type"]) == ("local-folder-example-titanic", "1", "uri_folder")
    words = ("--name", made["name"], "--version", "1", "-p", str(outside.got))
    said = outside.studio.said("data", "download", *words)
    assert said.code == 0, said.err
    there = outside.got / made["name"]
    sent = {path.name: path.read_bytes() for path in (folder / "sample-data").iterdir()}
    assert {path.name: path.read_bytes() for path in there.iterdir()} == sent


def test_p14s_data_is_read_as_the_latest_of_its_name(outside: Outside, census: Path, tmp_path: Path) -> None:
    folder = census / "jobs" / "pipelines-with-components" / "basics" / "4d_data_input"
    made = outside.studio.ok("data", "create", "-f", str(folder / "data.yml"))
    read = {"type": "uri_folder", "path": f"azureml:{made['name']}@latest"}
    job = {"command": "ls ${{inputs.data}}", "environment": {"image": "python:3.11"}, "inputs": {"data": read}}
    (tmp_path / "job.yml").write_text(yaml.safe_dump(job))
    assert outside.run(str(tmp_path / "job.yml")).log == "sample.csv\n"
    said = outside.studio.said("data", "delete", "--name", made["name"], "--version", "1", "--yes")
    assert said.code == 5
    assert "is used by job" in said.err


def test_p23_a_datastore_with_placeholders(outside: Outside, census: Path) -> None:
    file = census / "resources" / "datastore" / "blob.yml"
    key = yaml.safe_load(file.read_text())["credentials"]["account_key"]
    said = [outside.studio.said("datastore", "create", "--file", str(file))]
    said += [
        outside.studio.said("datastore", "show", "--name", "blob_example", "-o", kind) for kind in ("json", "yaml")
    ]
    assert [each.code for each in said] == [0, 0, 0], said[0].err
    assert said[1].document["storage"] == "mytestblobstore/data-container"
    assert all(key not in each.out + each.err for each in said)
    used = outside.studio.said("datastore", "browse", "--name", "blob_example")
    assert used.code in {3, 4, 6}
    assert "blob_example" in used.err
    assert key not in used.err


def test_p25_an_endpoint_made_by_a_script_of_the_cloud(outside: Outside, census: Path, tmp_path: Path) -> None:
    needs("3.12")
    done = subprocess.run(
        ["bash", str(census / "deploy-managed-online-endpoint.sh")],
        env=as_the_cloud(outside.studio, tmp_path),
        cwd=census,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Endpoint created successfully\nSucceeded\nDeployment completed successfully\n" in done.stdout
    assert done.stdout.count("[11055.977245525679, 4503.079536107787]") == 2, "asked by the command line and by curl"
    assert '"POST /score HTTP/1.1" 200' in done.stdout, "the log of the cloud's own server"


def test_p26_a_model_of_mlflow_without_code(outside: Outside, census: Path) -> None:
    needs("3.12")
    folder = census / "endpoints" / "online" / "ncd"
    outside.studio.ok("online-endpoint", "create", "-n", "p26", "-f", str(folder / "create-endpoint.yaml"))
    made = ("online-deployment", "create", "-e", "p26", "-f", str(folder / "sklearn-deployment.yaml"), "--all-traffic")
    found = outside.studio.ok(*made)
    assert (found["provisioning_state"], found["server"]) == ("Succeeded", "mlflow")
    assert found["model"] == "azureml:mir-sample-sklearn-ncd-model:2"
    request = str(folder / "sample-request-sklearn.json")
    said = outside.studio.said("online-endpoint", "invoke", "-n", "p26", "-r", request)
    assert json.loads(said.out) == pytest.approx([11633.100167144927, 8522.117402885002], rel=1e-12), said.err
    outside.studio.ok("online-endpoint", "delete", "-n", "p26", "--yes")


def test_p27_decorated_parameters(outside: Outside, census: Path) -> None:
    needs("3.10")
    folder = census / "endpoints" / "online" / "managed" / "inference-schema"
    outside.studio.ok("model", "create", "-f", str(folder / "model.yml"))
    outside.studio.ok("online-endpoint", "create", "-n", "p27")
    file = str(folder / "deployment-standard.yml")
    outside.studio.ok("online-deployment", "create", "-f", file, "--set", "endpoint_name=p27", "--all-traffic")
    request = str(folder / "sample-inputs" / "standard.json")
    said = outside.studio.said("online-endpoint", "invoke", "-n", "p27", "-r", request)
    assert json.loads(said.out) == {"Category": ["Virginica", "Setosa"]}, said.err
    endpoint = outside.studio.ok("online-endpoint", "show", "-n", "p27")
    key = outside.studio.ok("online-endpoint", "get-credentials", "-n", "p27")["primaryKey"]
    swagger = httpx.get(endpoint["openapi_uri"], headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    assert all(name in swagger.text for name in ("sepal_length", "sepal_width", "petal_length", "petal_width"))
    outside.studio.ok("online-endpoint", "delete", "-n", "p27", "--yes")


def as_the_cloud(studio: Launched, folder: Path) -> dict[str, str]:
    """Where `az ml …` is our command line."""
    (folder / "az").write_text('#!/bin/sh\nshift; exec atelier "$@"\n')
    (folder / "atelier").write_text('#!/bin/sh\nexec "$PYTHON" -c "from app.cli import main; main()" "$@"\n')
    for name in ("az", "atelier"):
        (folder / name).chmod(0o755)
    return {**studio.environment, "PATH": f"{folder}:{studio.environment['PATH']}", "PYTHON": sys.executable}


def test_a_script_written_for_the_clouds_command_line(outside: Outside, census: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(census / "run-job.sh"), "hello-world.yml"],
        env=as_the_cloud(outside.studio, tmp_path),
        cwd=census / "jobs" / "basics",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Job completed\n")
    assert "/job?ws=lab&job=" in done.stdout
