"""A conda file for pip, and the maps from the cloud's names to what is here."""

import pytest

from services.core.errors import Invalid
from services.specs import environments
from services.specs.maps import Maps


@pytest.mark.parametrize(
    ("entry", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.4=py311_0", "numpy==1.26.4.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy>=1.2,<2", "numpy>=1.2,<2"),
        ("conda-forge::numpy=1", "numpy==1.*"),
        ("pytorch=2.3", "torch==2.3.*"),
    ],
)
def test_a_conda_dependency_in_pips_words(entry: str, requirement: str) -> None:
    assert environments.translate({"dependencies": [entry, "numpy"]}).packages[0] == requirement


def test_python_chooses_the_interpreter() -> None:
    found = environments.translate({"dependencies": ["python=3.10.4", "pip", {"pip": ["six", "--pre"]}]})
    assert (found.python, found.packages, found.options) == ("3.10", ["six"], ["--pre"])


def test_an_old_package_gets_an_old_numpy() -> None:
    assert "numpy<2" in environments.translate({"dependencies": ["scikit-learn=1.0"]}).packages
    assert "numpy<2" not in environments.translate({"dependencies": ["scikit-learn=1.6"]}).packages


@pytest.mark.parametrize("dependencies", ["x", [{"pip": "six"}], [{"npm": ["x"]}], ["a b c"], [{"pip": ["-r x.txt"]}]])
def test_what_is_not_understood_is_named(dependencies: object) -> None:
    with pytest.raises(Invalid, match=r"."):
        environments.translate({"dependencies": dependencies})


def test_the_users_rules_stand_above_the_shipped_ones() -> None:
    maps = Maps.load('images:\n  - {match: "mcr.microsoft.com/azureml/*", use: "python:3.12"}\n')
    assert maps.image("mcr.microsoft.com/azureml/openmpi4:latest") == "python:3.12"
    assert Maps.load().image("docker.io/library/python:3.10-slim") == "atelier/python:3.10"
    assert Maps.load().image("pytorch/pytorch:2") == "pytorch/pytorch:2"


def test_a_url_is_mapped_by_its_prefix() -> None:
    maps = Maps.load('urls:\n  - {match: "wasbs://d@a.blob.core.windows.net/", use: "/data"}\n')
    assert maps.url("wasbs://d@a.blob.core.windows.net/iris.csv") == "/data/iris.csv"
    assert maps.url("wasbs://e@a.blob.core.windows.net/iris.csv").startswith("wasbs://")


def test_a_wrong_map_says_where() -> None:
    with pytest.raises(Invalid, match="images"):
        Maps.load("images:\n  - {mach: x, use: y}\n")


def test_curated_names_have_an_equivalent() -> None:
    found = Maps.load().curated("azureml://registries/azureml/environments/sklearn-1.5/labels/latest")
    assert found is not None
    assert found.conda_file
