"""Batch endpoints over REST: what scripts send and get back, and what is said when it cannot be."""

from typing import Any

import httpx
import pytest

from services import models
from services.specs.models import Model
from tests.api.conftest import House
from tests.test_batch_endpoints import mlflow_model

AT = "/api/v1/workspaces/lab/batch-endpoints"
INPUT = {"path": "azureml://datastores/workspaceblobstore/paths/x"}


@pytest.fixture
def ben(house: House) -> httpx.Client:
    """He has an endpoint with a deployment of an MLflow model."""
    with house.stage.scope(house.stage.ben) as scope:
        mlflow_model(scope)
    client = house.bearer("ben")
    assert client.post(AT, json={"spec": {"name": "heart-batch"}}).status_code == 201
    secret = {"environment_variables": {"API_KEY": "s3cret", "RATE": "1"}}
    spec = {"name": "blue", "model": "azureml:heart@latest", "settings": secret}
    assert client.post(f"{AT}/heart-batch/deployments", json={"spec": spec}).status_code == 201
    return client


def test_an_invocation_answers_with_the_job(ben: httpx.Client, house: House) -> None:
    shown = ben.get(f"{AT}/heart-batch").json()
    assert shown["scoring_uri"] == f"{house.url}{AT}/heart-batch/invoke"
    answer = ben.post(shown["scoring_uri"], json={"inputs": {"input": INPUT}, "settings": {"mini_batch_size": 4}})
    assert answer.status_code == 201
    job = answer.json()
    assert (job["status"], job["experiment_name"]) == ("Queued", "heart-batch")
    assert ben.get(f"/api/v1/workspaces/lab/jobs/{job['name']}").json()["name"] == job["name"]
    assert [row["name"] for row in ben.get(f"{AT}/heart-batch/jobs?deployment=blue").json()["value"]] == [job["name"]]
    assert house.bearer("dan").post(shown["scoring_uri"], json={"inputs": {"input": INPUT}}).status_code == 404
    assert house.anonymous().post(shown["scoring_uri"], json={"inputs": {"input": INPUT}}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({"inputs": {}}, 422, "inputs"),
        ({"inputs": {"input": {"path": "nowhere", "type": "uri"}}}, 422, "inputs.input.type"),
        ({"inputs": {"input": INPUT}, "settings": {"mini_batch_size": 0}}, 422, "mini_batch_size"),
        ({"inputs": {"input": INPUT}, "settings": {"what": 0}}, 422, "what"),
        ({"inputs": {"input": INPUT}, "deployment_name": "nobody"}, 404, "deployment_name"),
        ({"inputs": {"input": INPUT}, "instance_count": 0}, 422, "instance_count"),
        ({"inputs": {"input": {"path": "azureml:nobody@latest"}}}, 404, "inputs.input.path"),
    ],
)
def test_what_is_wrong_names_its_place(ben: httpx.Client, body: dict[str, Any], status: int, where: str) -> None:
    answer = ben.post(f"{AT}/heart-batch/invoke", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["where"] == where
    assert ben.get(f"{AT}/heart-batch/jobs").json()["value"] == []


def test_secrets_of_a_deployment_are_shown_to_nobody(ben: httpx.Client, house: House) -> None:
    ben.post(f"{AT}/heart-batch/invoke", json={"inputs": {"input": INPUT}})
    for client in (ben, house.bearer("cleo")):
        for path in ("deployments/blue", "deployments", "jobs"):
            assert "s3cret" not in client.get(f"{AT}/heart-batch/{path}").text
    shown = ben.get(f"{AT}/heart-batch/deployments/blue").json()["settings"]["environment_variables"]
    assert shown == {"API_KEY": "***", "RATE": "1"}


def test_single_fields_of_a_deployment_change_and_the_rest_stays(ben: httpx.Client) -> None:
    changed = ben.patch(f"{AT}/heart-batch/deployments/blue", json={"spec": {"mini_batch_size": 3}}).json()
    assert (changed["settings"]["mini_batch_size"], changed["settings"]["environment_variables"]["RATE"]) == (3, "1")
    assert ben.delete(f"{AT}/heart-batch/deployments/blue").status_code == 204
    assert ben.delete(f"{AT}/heart-batch").status_code == 204
    assert ben.get(f"{AT}/heart-batch").status_code == 404


def test_another_workspaces_model_is_not_found(ben: httpx.Client, house: House) -> None:
    ada = house.bearer("ada")
    assert ada.post("/api/v1/workspaces", json={"name": "other"}).status_code == 201
    with house.stage.scope(house.stage.ada, "other") as scope:
        models.create(scope, Model(name="theirs", path="https://example.com/x.onnx"))
    spec = {"name": "x-y", "model": "azureml:theirs:1"}
    assert ben.post(f"{AT}/heart-batch/deployments", json={"spec": spec}).status_code == 404


def test_pipeline_components_are_refused_with_a_sentence(ben: httpx.Client) -> None:
    spec = {"type": "pipeline", "name": "p-p", "component": "azureml:x:1"}
    answer = ben.post(f"{AT}/heart-batch/deployments", json={"spec": spec})
    assert (answer.status_code, answer.json()["where"]) == (422, "type")
    assert answer.json()["detail"] == "Deployments of pipeline components are not run by this version."
