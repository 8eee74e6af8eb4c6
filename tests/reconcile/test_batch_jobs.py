"""Jobs of batch deployments, from a row to their results, by the worker and the driver; as plain processes here."""

from typing import Any

import pytest

from services import batch_endpoints, jobs, models
from services.core.states import JobStatus
from services.specs.deployments import ModelBatchDeployment
from services.specs.endpoints import BatchEndpoint, Invocation
from services.specs.models import Model
from services.store.rows import Job
from tests.reconcile.conftest import Bench, eventually
from tests.reconcile.test_process_jobs import bench as processes  # noqa: F401 (a fixture)
from tests.test_batch_endpoints import data

pytestmark = pytest.mark.slow
SCRIPT = b"""
import glob, os, time

def init():
    print("ready", flush=True)

def run(mini_batch):
    (model,) = glob.glob(os.environ["AZUREML_MODEL_DIR"] + "/*/w.txt")
    if "SLOW" in os.environ:
        time.sleep(600)
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "beside.txt"), "a") as file:
        file.write(os.path.basename(os.path.dirname(model)))
    return [os.path.basename(path) for path in mini_batch]
"""


def invoked(bench: Bench, *, script: bytes = SCRIPT, memory: str | None = None, **settings: Any) -> Job:
    """A job over the files a, b and c, by a script beside a model in the folder `kept`."""
    code = bench.code({"deep/score.py": script})
    spec = {
        "name": "blue",
        "model": "azureml:weights:1",
        "code_configuration": {"code": f"azureml:{code}", "scoring_script": "deep/score.py"},
        "environment": {"image": "python:3.11"},
        "resources": {"memory": memory} if memory else None,
        "settings": {"mini_batch_size": 2, "max_concurrency_per_instance": 2, **settings},
    }
    for name in ("c", "a", "b"):
        bench.store("raw").mkdir(parents=True, exist_ok=True)
        (bench.store("raw") / name).write_text(name)
    where = {"inputs": {"input": {"path": "azureml://datastores/workspaceblobstore/paths/raw"}}}
    with bench.stage.scope() as scope:
        models.create(scope, Model(name="weights", path=f"azureml://uploads/{data(scope, {'kept/w.txt': '1'})}/kept"))
        batch_endpoints.create(scope, BatchEndpoint(name="scored"))
        batch_endpoints.create_deployment(scope, "scored", ModelBatchDeployment.model_validate(spec))
        return batch_endpoints.invoke(scope, "scored", Invocation.model_validate(where))


def test_results_are_in_the_datastore_and_logs_with_the_job(processes: Bench) -> None:  # noqa: F811
    name = invoked(processes).name
    job = processes.until(name, seconds=120)
    assert job.status == JobStatus.Completed, job.message + processes.log(name)
    score = processes.store(f"azureml/{name}/score")
    assert (score / "predictions.csv").read_text() == "a\nb\nc\n"
    assert (score / "beside.txt").read_text() == "keptkept", "the model lies under the base name of its path"
    assert sorted(path.name for path in score.iterdir()) == ["beside.txt", "predictions.csv"]
    assert processes.read(name, "logs/user/stdout/process000.stdout.txt") == b"ready\n"
    assert "logs/job_result.txt" in processes.files(name)
    assert "3 of 3 items" in processes.log(name)


def test_a_canceled_one_leaves_no_process_and_no_half_result(processes: Bench) -> None:  # noqa: F811
    name = invoked(processes, environment_variables={"SLOW": "1"}, retry_settings={"timeout": 900}).name
    run = processes.stage.studio.folders.run(processes.job(name).id)
    said = run / "logs" / "user" / "stdout" / "process000.stdout.txt"
    eventually(lambda: said.is_file() and "ready" in said.read_text(), "it works on files", seconds=120)
    with processes.stage.scope() as scope:
        jobs.cancel(scope, name)
    assert processes.until(name).status == JobStatus.Canceled
    assert not (processes.store(f"azureml/{name}/score") / "predictions.csv").exists()
    eventually(lambda: not processes.engine.found({}), "nothing is left")


HUNGRY = b"""
import os

def run(mini_batch):
    if mini_batch[0].endswith("b"):
        bytearray(1 << 30).find(b"x")
    return [os.path.basename(path) for path in mini_batch]
"""


@pytest.mark.docker
def test_one_that_is_killed_for_memory_costs_its_mini_batch_and_no_other(bench: Bench) -> None:
    settings = {"mini_batch_size": 1, "max_concurrency_per_instance": 1, "retry_settings": {"max_retries": 1}}
    name = invoked(bench, script=HUNGRY, memory="200m", **settings).name
    job = bench.until(name, seconds=120)
    assert job.status == JobStatus.Completed, job.message + bench.log(name)
    assert bench.store(f"azureml/{name}/score/predictions.csv").read_text() == "a\nc\n"
    assert bench.log(name).count("probably because there was no memory left (files: b)") == 2
    assert job.warning == "A child process was killed for memory."
