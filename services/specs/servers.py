"""Which scoring server a deployment runs on, and what our own one needs in the image."""

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from services.specs.deployments import OnlineDeployment
from services.specs.environments import Environment

Server: TypeAlias = Literal["script", "mlflow", "azureml", "custom"]

REQUIREMENTS = ("uvicorn", "uvloop", "httptools", "orjson", "pyyaml")
CLOUD_SERVER = "azureml-inference-server-http"


def chosen(deployment: OnlineDeployment, model_type: str, packages: Sequence[str] = ()) -> Server:
    """`custom`: the image brings its own server; `mlflow`: no code is needed; `azureml`: the cloud's server, which the
    environment lists; `script`: ours.

    The environment of `deployment` is resolved (no reference); `packages` are its requirements as pip writes them. An
    MLflow model without code runs on ours even where the cloud's server is listed: that one needs a script.
    """
    environment = deployment.environment
    if isinstance(environment, Environment) and environment.inference_config:
        return "custom"
    if deployment.code_configuration is None and model_type == "mlflow_model":
        return "mlflow"
    return "azureml" if CLOUD_SERVER in {package_name(each) for each in packages} else "script"


def package_name(requirement: str) -> str:
    """`Azureml_Inference.Server-HTTP[x]>=1` is `azureml-inference-server-http`."""
    name = re.split(r"[\s\[<>=!~;@]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
