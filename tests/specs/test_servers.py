"""The server is chosen by what a deployment says."""

import pytest

from services.specs.deployments import OnlineDeployment
from services.specs.servers import chosen, package_name

IMAGE = "example/base:1"
CODE = {"code": "src", "scoring_script": "score.py"}
OWN = {"image": IMAGE, "inference_config": {"scoring_route": {"port": 8080, "path": "/v1:predict"}}}
CLOUD = ("numpy", "azureml_inference_server_http==1.4.1")


@pytest.mark.parametrize(
    ("written", "model_type", "packages", "expected"),
    [
        ({"code_configuration": CODE}, "custom_model", (), "script"),
        ({"code_configuration": CODE, "environment": {"image": IMAGE}}, "custom_model", ("numpy",), "script"),
        ({"code_configuration": CODE, "environment": {"image": IMAGE}}, "custom_model", CLOUD, "azureml"),
        ({"code_configuration": CODE}, "mlflow_model", (), "script"),
        ({"code_configuration": CODE}, "mlflow_model", CLOUD, "azureml"),
        ({}, "mlflow_model", (), "mlflow"),
        ({}, "mlflow_model", CLOUD, "mlflow"),
        ({"environment": OWN}, "custom_model", (), "custom"),
        ({"environment": OWN, "code_configuration": CODE}, "mlflow_model", CLOUD, "custom"),
    ],
)
def test_the_server_is_chosen_by_what_a_deployment_says(written, model_type, packages, expected):
    deployment = OnlineDeployment.model_validate({"model": "azureml:m:1", **written})

    assert chosen(deployment, model_type, packages) == expected


@pytest.mark.parametrize(
    "text", ["azureml-inference-server-http", "AzureML_Inference.server-http[x] >=1; python_version>'3'"]
)
def test_a_package_is_known_however_it_is_written(text):
    assert package_name(text) == "azureml-inference-server-http"
