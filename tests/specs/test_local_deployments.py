"""A deployment's file on somebody's machine: what must be sent, and what is left."""

from pathlib import Path

import pytest

from services.core.errors import Invalid
from services.specs import local
from services.specs.deployments import InlineModel, OnlineDeployment
from services.specs.environments import Environment
from services.specs.source import load, load_file

ONLINE = Path("endpoints/online")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A model, a scoring script, and a folder beside them that holds the YAML files."""
    for path, text in {
        "model-1/model/model.pkl": "x",
        "model-1/onlinescoring/score.py": "def init(): ...\n",
        "model-1/environment/conda.yaml": "dependencies: [python=3.11]\n",
        "yaml/context/Dockerfile": "FROM python:3.11\n",
        "yaml/environment.yml": "image: python:3.11\nconda_file: ../model-1/environment/conda.yaml\n",
        "yaml/model.yml": "name: iris\nversion: 3\npath: ../model-1/model\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def read(place: Path, text: str) -> local.LocalDeployment[OnlineDeployment]:
    return local.deployment(load(text, file="blue.yml"), place / "yaml")


def test_paths_are_relative_to_the_file_and_keep_their_last_name(place: Path) -> None:
    found = read(
        place,
        "name: blue\nmodel: {path: ../model-1/model/}\nenvironment: {image: python:3.11, conda_file: "
        "../model-1/environment/conda.yaml}\n"
        "code_configuration: {code: ../model-1/onlinescoring/, scoring_script: score.py}\n",
    )
    assert found.model == place / "model-1/model"
    assert found.code == place / "model-1/onlinescoring"
    assert isinstance(found.spec.environment, Environment)
    assert found.spec.environment.conda_file == {"dependencies": ["python=3.11"]}


def test_files_of_models_and_environments_are_read_where_they_lie(place: Path) -> None:
    found = read(place, "model: model.yml\nenvironment: environment.yml\n")
    assert isinstance(found.spec.model, InlineModel)
    assert (found.spec.model.name, found.spec.model.version) == ("iris", "3")
    assert found.model == place / "model-1/model"
    assert isinstance(found.spec.environment, Environment)
    assert found.spec.environment.image == "python:3.11"


def test_a_plain_path_is_a_model_and_a_reference_is_none(place: Path) -> None:
    assert read(place, "model: ../model-1/model/model.pkl\n").model == place / "model-1/model/model.pkl"
    for text in ("model: azureml:iris:1\n", "model: {path: 'runs:/r1/model'}\n", "name: blue\n"):
        assert read(place, text).model is None


def test_a_build_context_is_sent(place: Path) -> None:
    assert read(place, "environment: {build: {path: context}}\n").context == place / "yaml/context"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {path: nowhere}\n", "'nowhere' was not found"),
        ("model: nowhere/there\n", "'nowhere/there' was not found"),
        (
            "code_configuration: {code: ../model-1/onlinescoring, scoring_script: other.py}\n",
            "'other.py' was not found",
        ),
        ("code_configuration: {code: ../model-1/onlinescoring/score.py, scoring_script: score.py}\n", "is a file"),
        (
            "code_configuration: {code: ../model-1/onlinescoring, scoring_script: ../model/model.pkl}\n",
            "'../model/model.pkl' was not found",
        ),
        ("code_configuration: {code: 'azureml://x/y', scoring_script: score.py}\n", "must be a local folder"),
        ("instance_cuont: 2\n", "instance_count"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(place: Path, text: str, said: str) -> None:
    with pytest.raises(Invalid, match=r"blue\.yml:1") as raised:
        read(place, text)
    assert said in str(raised.value)


def test_the_census(census: Path) -> None:
    root = census / ONLINE
    blue = local.deployment(load_file(root / "managed/sample/blue-deployment.yml"), root / "managed/sample")
    assert blue.model is not None
    assert blue.code is not None
    assert (blue.model.name, blue.code.name, blue.spec.endpoint_name) == ("model", "onlinescoring", "my-endpoint")
    ncd = local.deployment(load_file(root / "ncd/sklearn-deployment.yaml"), root / "ncd")
    assert isinstance(ncd.spec.model, InlineModel)
    assert ncd.model == (root / "ncd/sklearn-diabetes/model").resolve()
    assert (ncd.spec.model.name, ncd.spec.model.type) == ("mir-sample-sklearn-ncd-model", "mlflow_model")
