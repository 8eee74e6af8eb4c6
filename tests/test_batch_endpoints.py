"""Batch endpoints: addresses and deployments as rows, and invocations that become jobs; on both databases."""

import hashlib
import json
from typing import Any

import pytest

from services import assets, batch_endpoints, endpoints, environments, events, jobs, lineage, models, uploads
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import AssetKind
from services.specs.code import Entry
from services.specs.deployments import BatchSettings, ModelBatchDeployment
from services.specs.endpoints import BatchEndpoint, Invocation, OnlineEndpoint
from services.specs.environments import Environment
from services.specs.jobs import CommandJob
from services.specs.models import Model
from services.store.endpoints import EndpointQuery
from services.store.rows import Job
from services.store.serving import Deployment
from services.studio import Scope
from tests.conftest import Stage
from tests.test_components import uploaded

CONDA = "dependencies:\n- python=3.8.5\n- pip\n- pip:\n  - mlflow\n"
MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"
DATA = {"inputs": {"input": {"path": "azureml://datastores/workspaceblobstore/paths/heart", "type": "uri_folder"}}}


def mlflow_model(scope: Scope, *, conda: str = CONDA) -> None:
    """Registered as `heart`: version 1."""
    files = {"model/MLmodel": MLMODEL, **({"model/conda.yaml": conda} if conda else {})}
    models.create(scope, Model(name="heart", path=f"azureml://uploads/{data(scope, files)}/model"))


def data(scope: Scope, files: dict[str, str]) -> str:
    """An upload of these files, as a client sends one."""
    contents = {name: text.encode() for name, text in files.items()}
    entries = [Entry(path, len(text), hashlib.sha256(text).hexdigest()) for path, text in contents.items()]
    state = uploads.begin(scope, "data", entries)
    for path in contents if not state.complete else ():
        landing = uploads.landing(scope, state.id, path)
        with landing.open() as file:
            file.write(contents[path])
        landing.finish()
    if not state.complete:
        uploads.seal(scope, state.id)
    return state.id


def opened(scope: Scope, name: str = "heart-batch", **more: Any) -> None:
    batch_endpoints.create(scope, BatchEndpoint.model_validate({"name": name, **more}))


def deployed(scope: Scope, name: str = "blue", *, set_default: bool = False, **more: Any) -> Deployment:
    written = {"name": name, "model": "azureml:heart@latest", **more}
    return batch_endpoints.create_deployment(
        scope, "heart-batch", ModelBatchDeployment.model_validate(written), set_default=set_default
    )


def invoked(scope: Scope, invocation: dict[str, Any] | None = None, **more: Any) -> Job:
    return batch_endpoints.invoke(scope, "heart-batch", Invocation.model_validate(invocation or DATA), **more)


def told(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job.spec["environment_variables"][batch_endpoints.SETTINGS])
    return found


def test_an_endpoint_is_made_listed_changed_and_deleted(stage: Stage):
    with stage.scope(stage.ben) as scope:
        opened(scope, "heart-batch", description="d", tags={"a": "1"})
        opened(scope, "other-batch")
        row = batch_endpoints.get(scope, "Heart-Batch")
        assert (row.name, row.kind, row.auth_mode, row.provisioning_state) == (
            "heart-batch", "batch", "aad_token", "Succeeded",
        )  # fmt: skip
        assert [each.name for each in batch_endpoints.listed(scope).rows] == ["heart-batch", "other-batch"]
        assert [each.name for each in batch_endpoints.listed(scope, EndpointQuery(search="oth")).rows] == [
            "other-batch"
        ]
        shown = batch_endpoints.as_json(scope, row, "http://here")
        assert shown["scoring_uri"] == "http://here/api/v1/workspaces/lab/batch-endpoints/heart-batch/invoke"
        batch_endpoints.update(scope, "heart-batch", description="new", tags={})
        assert (row.description, row.tags, row.revision) == ("new", {}, 2)
        batch_endpoints.delete(scope, "heart-batch")
        with pytest.raises(NotFound, match="heart-batch"):
            batch_endpoints.get(scope, "heart-batch")
        said = [each.message for each in events.of(scope, "batch-endpoint", "heart-batch")]
        assert said[-1] == "Batch endpoint 'heart-batch' was deleted"


def test_a_name_is_taken_once_whatever_its_case_and_online_ones_have_their_own(stage: Stage):
    with stage.scope() as scope:
        opened(scope)
        with pytest.raises(Conflict):
            opened(scope, "HEART-batch")
        endpoints.create(scope, OnlineEndpoint.model_validate({"name": "heart-batch"}))
        assert [row.kind for row in batch_endpoints.listed(scope).rows] == ["batch"]
        assert [row.kind for row in endpoints.listed(scope).rows] == ["online"]


@pytest.mark.parametrize(
    ("written", "where"),
    [({"auth_mode": "key"}, "auth_mode"), ({"defaults": {"deployment_name": "blue"}}, "defaults.deployment_name")],
)
def test_what_an_endpoint_cannot_be(lite: Stage, written: dict[str, Any], where: str):
    with lite.scope() as scope, pytest.raises(Invalid) as error:
        opened(scope, **written)
    assert error.value.where == where


def test_an_mlflow_model_brings_its_environment(stage: Stage):
    with stage.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        row = deployed(scope)
        environment = assets.get_by_id(scope, row.environment_id or "")
        assert environment.spec["conda_file"]["dependencies"][0] == "python=3.8.5"
        assert (row.provisioning_state, row.kind, row.type) == ("Succeeded", "batch", "model")
        shown = batch_endpoints.deployment_as_json(scope, row)
        assert (shown["model"], shown["endpoint_name"], shown["is_default"]) == ("azureml:heart:1", "heart-batch", True)
        assert shown["settings"]["output_file_name"] == "predictions.csv"
        heart = models.get(scope, "heart")
        assert [use.name for use in assets.uses(scope, heart)] == ["heart-batch/blue"]


def test_a_script_needs_an_environment_and_must_be_in_the_code(stage: Stage):
    with stage.scope() as scope:
        models.create(scope, Model(name="heart", path=f"azureml://uploads/{data(scope, {'w.bin': 'x'})}/w.bin"))
        opened(scope)
        code = uploaded(scope, score_py="def run(b): return b")
        image = {"image": "debian:12"}
        script = {"code": f"azureml:{code}", "scoring_script": "score.py"}
        with pytest.raises(Invalid, match="environment"):
            deployed(scope, code_configuration=script)
        with pytest.raises(Invalid) as error:
            deployed(scope, code_configuration={**script, "scoring_script": "other.py"}, environment=image)
        assert error.value.where == "code_configuration.scoring_script"
        with pytest.raises(Invalid) as error:
            deployed(scope, environment=image)
        assert error.value.where == "code_configuration"
        row = deployed(scope, code_configuration=script, environment=image)
        assert (row.snapshot_id, row.resolved["script"]) == (code, "score.py")
        job = invoked(scope)
        assert (job.snapshot_id, told(job)["entry_script"], told(job)["flavor"]) == (code, "score.py", "")


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ({"model": "azureml:nobody@latest"}, NotFound),
        ({"model": None}, Invalid),
        ({"endpoint_name": "another"}, Invalid),
        ({"environment": "azureml:nobody:1"}, NotFound),
        ({"settings": {"output_file_name": "../x.csv"}}, Invalid),
        ({"settings": {"environment_variables": {"KEY": "${{secrets.key}}"}}}, Invalid),
    ],
)
def test_what_a_deployment_cannot_be(lite: Stage, written: dict[str, Any], error: type[Exception]):
    with lite.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        with pytest.raises(error):
            deployed(scope, **written)


def test_the_only_deployment_is_the_default_and_of_two_the_one_that_was_chosen(stage: Stage):
    with stage.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        with pytest.raises(Conflict, match="no deployment yet"):
            invoked(scope)
        blue = deployed(scope)
        assert invoked(scope).deployment_id == blue.id
        green = deployed(scope, "green")
        with pytest.raises(Invalid, match="2 deployments and no default") as error:
            invoked(scope)
        assert error.value.where == "deployment_name"
        assert invoked(scope, deployment="green").deployment_id == green.id
        batch_endpoints.update(scope, "heart-batch", default_deployment="Green")
        assert invoked(scope).deployment_id == green.id
        with pytest.raises(Conflict, match="default"):
            batch_endpoints.delete_deployment(scope, "heart-batch", "green")
        deployed(scope, "red", set_default=True)
        batch_endpoints.delete_deployment(scope, "heart-batch", "green")
        assert batch_endpoints.default_of(scope, batch_endpoints.get(scope, "heart-batch")) == "red"
        with pytest.raises(NotFound):
            batch_endpoints.update(scope, "heart-batch", default_deployment="green")


def test_an_invocation_is_a_job_that_names_all_that_it_reads(stage: Stage):
    with stage.scope(stage.ben) as scope:
        mlflow_model(scope)
        opened(scope)
        settings = {"mini_batch_size": 2, "max_concurrency_per_instance": 3, "environment_variables": {"A": "1"}}
        row = deployed(scope, compute="azureml:batch-cluster", resources={"instance_count": 2}, settings=settings)
        job = invoked(scope)
        assert (job.deployment_id, job.experiment_name, job.compute) == (row.id, "heart-batch", "batch-cluster")
        assert job.properties == {"azureml.endpoint": "heart-batch", "azureml.deployment": "blue"}
        assert job.spec["environment_variables"]["A"] == "1"
        assert job.resolved["assets"]["azureml_model"]["name"] == "heart"
        assert ("model", "azureml_model") in {
            (job_role[0].name and "model", job_role[1])
            for job_role in lineage.used_by(scope, models.get(scope, "heart"))
        }
        assert told(job) == {
            "inputs": ["AZURE_ML_INPUT_input"],
            "types": {"AZURE_ML_INPUT_input": "uri_folder"},
            "output": "AZURE_ML_OUTPUT_score",
            "entry_script": "",
            "model": "AZURE_ML_INPUT_azureml_model",
            "flavor": "mlflow",
            "mini_batch_size": 2,
            "workers": 6,
            "max_retries": 3,
            "timeout": 30,
            "error_threshold": -1,
            "output_action": "append_row",
            "output_file_name": "predictions.csv",
            "logging_level": "info",
        }
        assert [each.name for each in batch_endpoints.list_jobs(scope, "heart-batch")] == [job.name]
        assert [each.name for each in batch_endpoints.list_jobs(scope, "heart-batch", "blue")] == [job.name]


def test_overrides_are_for_one_job(stage: Stage):
    with stage.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        deployed(scope, settings={"retry_settings": {"max_retries": 5, "timeout": 300}})
        overrides = BatchSettings.model_validate(
            {"mini_batch_size": 7, "output_file_name": "out.csv", "retry_settings": {"timeout": 9}}
        )
        path = "azureml://datastores/workspaceblobstore/paths/results/${{name}}"
        wanted = {**DATA, "outputs": {"score": {"path": path}}}
        job = invoked(scope, wanted, overrides=overrides, instance_count=4, name="mine", experiment_name="e")
        found = told(job)
        assert (found["mini_batch_size"], found["workers"], found["output_file_name"]) == (7, 4, "out.csv")
        assert (found["max_retries"], found["timeout"]) == (5, 9)
        assert (job.name, job.experiment_name, job.spec["outputs"]["score"]["path"]) == ("mine", "e", path)
        assert told(invoked(scope))["mini_batch_size"] == 10


@pytest.mark.parametrize(
    ("invocation", "where"),
    [
        ({"inputs": {}}, "inputs"),
        ({"inputs": {"a": 1}}, "inputs"),
        ({"inputs": {"azureml_model": DATA["inputs"]["input"]}}, "inputs"),
        ({"inputs": {"a": {"type": "mlflow_model", "path": "azureml:heart:1"}}}, "inputs.a.type"),
        ({"inputs": {"a": {"path": "azureml:nobody:1"}}}, "inputs.a.path"),
        ({**DATA, "outputs": {"other": {}}}, "outputs"),
        ({**DATA, "outputs": {"score": {"type": "uri_file"}}}, "outputs.score.type"),
    ],
)
def test_an_invocation_that_cannot_be_names_the_field(lite: Stage, invocation: dict[str, Any], where: str):
    with lite.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        deployed(scope)
        with pytest.raises((Invalid, NotFound)) as error:
            invoked(scope, invocation)
        assert error.value.where == where


def test_literal_inputs_come_along(lite: Stage):
    with lite.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        deployed(scope)
        inputs = {"the-data": DATA["inputs"]["input"], "rate": {"type": "string", "default": "0.5"}}
        job = invoked(scope, {"inputs": inputs})
        spec = CommandJob.model_validate(job.spec)
        assert (spec.literals()["rate"], told(job)["inputs"]) == ("0.5", ["AZURE_ML_INPUT_the_data"])


def test_a_changed_deployment_keeps_code_that_is_not_sent_again(stage: Stage):
    with stage.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        code = uploaded(scope, score_py="def run(b): return b")
        environments.create(scope, Environment.model_validate({"name": "env", "image": "debian:12"}))
        script = {"code": f"azureml:{code}", "scoring_script": "score.py"}
        row = deployed(scope, code_configuration=script, environment="azureml:env:1")
        again = {**row.spec, "code_configuration": {**script, "code": "./code"}, "settings": {"mini_batch_size": 3}}
        changed = batch_endpoints.update_deployment(
            scope, "heart-batch", "blue", ModelBatchDeployment.model_validate(again)
        )
        assert (changed.snapshot_id, changed.generation, changed.revision) == (code, 2, 2)
        assert told(invoked(scope))["mini_batch_size"] == 3


def test_single_fields_change_wherever_they_were_written(stage: Stage):
    with stage.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        deployed(scope, mini_batch_size=5, environment_variables={"KEY": "a", "B": "1"})
        changes = {"settings": {"mini_batch_size": 6}, "error_threshold": 0, "tags": {"a": "1"}}
        row = batch_endpoints.change_deployment(scope, "heart-batch", "blue", changes)
        assert row.spec["settings"] == {
            "mini_batch_size": 6, "error_threshold": 0, "environment_variables": {"KEY": "a", "B": "1"},
        }  # fmt: skip
        assert row.tags == {"a": "1"}
        with pytest.raises(Invalid, match="mini_batch_size"):
            batch_endpoints.change_deployment(scope, "heart-batch", "blue", {"settings": {"mini_batch_size": 0}})
        deployed(scope, "green")
        batch_endpoints.change_deployment(scope, "heart-batch", "green", {}, set_default=True)
        assert batch_endpoints.default_of(scope, batch_endpoints.get(scope, "heart-batch")) == "green"


def test_jobs_stay_when_endpoint_and_deployments_go(stage: Stage):
    with stage.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        deployed(scope)
        job = invoked(scope)
        batch_endpoints.delete(scope, "heart-batch")
        assert jobs.get(scope, job.name).spec == job.spec
        opened(scope)
        assert batch_endpoints.listed_deployments(scope, "heart-batch") == []
        assert assets.uses(scope, models.get(scope, "heart"))[0].kind == "job"


def test_readers_look_and_strangers_see_nothing(lite: Stage):
    with lite.scope() as scope:
        mlflow_model(scope)
        opened(scope)
        deployed(scope)
    with lite.scope(lite.cleo) as scope:
        assert batch_endpoints.get(scope, "heart-batch")
        for refused in (
            lambda: opened(scope, "new"),
            lambda: deployed(scope, "new"),
            lambda: invoked(scope),
            lambda: batch_endpoints.update(scope, "heart-batch", description="x"),
            lambda: batch_endpoints.delete(scope, "heart-batch"),
            lambda: batch_endpoints.delete_deployment(scope, "heart-batch", "blue"),
        ):
            with pytest.raises(Denied):
                refused()
    with pytest.raises(NotFound), lite.scope(lite.dan):
        pass


def test_an_anonymous_model_is_kept_by_its_files(lite: Stage):
    with lite.scope() as scope:
        opened(scope)
        upload = data(scope, {"model/MLmodel": MLMODEL, "model/conda.yaml": CONDA})
        row = deployed(scope, model={"path": f"azureml://uploads/{upload}/model"})
        model = assets.get_by_id(scope, row.model_id or "")
        assert (model.is_anonymous, model.type, model.kind) == (True, "mlflow_model", AssetKind.model)
        assert invoked(scope).resolved["assets"]["azureml_model"]["id"] == model.id
