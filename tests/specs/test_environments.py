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
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy=1.26.4=py311_0", "numpy==1.26.4.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy>=1.2", "numpy>=1.2"),
        ("numpy>=1.2,<2", "numpy>=1.2,<2"),
        ("numpy '>=1.2, <2'", "numpy>=1.2,<2"),
        ('numpy ">=1.2"', "numpy>=1.2"),
        ("numpy 1.26.4", "numpy==1.26.4"),
        ("conda-forge::numpy=1", "numpy==1.*"),
        ("pytorch=2.3", "torch==2.3.*"),
    ],
)
def test_a_conda_dependency_in_pips_words(entry: str, requirement: str) -> None:
    assert environments.translate({"dependencies": [entry, "numpy"]}).packages[0] == requirement


@pytest.mark.parametrize(
    ("entry", "python"),
    [
        ("python=3.8.5", "3.8"),
        ("python=3.10", "3.10"),
        ("python==3.9.*", "3.9"),
        ("python>=3.8,<3.11", "3.8-nearest"),
        ("python<3.11", "3.10-nearest"),
        ("python<=3.11", "3.11-nearest"),
        ("python", None),
        ("python=3", None),
    ],
)
def test_python_chooses_the_interpreter_by_major_and_minor(entry: str, python: str | None) -> None:
    assert environments.translate({"dependencies": [entry]}).python == python


def test_the_installer_is_no_package_and_nested_lists_may_hold_options() -> None:
    nested = {"pip": ["six", "--extra-index-url https://example.org/simple", "--pre"]}
    found = environments.translate({"dependencies": ["pip=22", "pip", "setuptools", nested]})
    assert found.packages == ["six"]
    assert found.options == ["--extra-index-url https://example.org/simple", "--pre"]


def test_channels_are_no_matter() -> None:
    entries = {"dependencies": ["six"]}
    assert environments.translate(entries) == environments.translate({**entries, "channels": ["conda-forge"]})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scikit-learn=1.4", "scikit-learn=1.5"),
        ("pandas==2.2.1", "pandas==2.2.2"),
        ("scipy=1.12", "scipy=1.13"),
        ("tensorflow==2.17.1", "tensorflow=2.18"),
        ("xgboost=1.7", "xgboost=2.0"),
        ("pandas<2", "pandas>=1.5"),
        ("scipy>=1.7,<1.8", "scipy>=1.7,<1.14"),
    ],
)
def test_an_old_pinned_package_gets_an_old_numpy_unless_numpy_is_pinned(old: str, new: str) -> None:
    found = environments.translate({"dependencies": [old]})
    assert "numpy<2" in found.packages
    assert "numpy<2" in found.notes[0]
    assert "numpy<2" in environments.translate({"dependencies": [old, "numpy"]}).packages, "no version is named"
    for entries in ([new], [old, "numpy=1.26"], [old, {"pip": ["numpy==2.0.0"]}]):
        assert "numpy<2" not in environments.translate({"dependencies": entries}).packages


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


@pytest.mark.parametrize(
    "reference",
    [
        "azureml:AzureML-sklearn-1.5@latest",
        "azureml:AzureML-sklearn-1.5:7",
        "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
        "azureml://registries/azureml/environments/sklearn-1.5/versions/12",
    ],
)
def test_a_curated_one_is_the_same_by_all_of_its_names(reference: str) -> None:
    maps = Maps.load()
    assert maps.curated(reference) == maps.curated("azureml:sklearn-1.5")


def test_every_curated_name_is_one_that_resolves_and_can_be_translated() -> None:
    maps = Maps.load()
    names = [each.name for each in maps.all_curated()]
    assert {"sklearn-1.5", "lightgbm-3.3", "acpt-pytorch-2.8-cuda12.6"} < set(names)
    for each in maps.all_curated():
        assert [maps.curated(reference) for reference in each.references] == [each.definition] * 2
        assert isinstance(each.definition.conda_file, dict)
        assert environments.translate(each.definition.conda_file).packages
        assert each.definition.description


def test_a_users_own_curated_rule_is_listed_before_ours() -> None:
    maps = Maps.load('environments:\n  - {match: "sklearn-1.5", use: "own:1"}\n  - {match: "team-*", use: "own:2"}\n')
    found = {each.name: each for each in maps.all_curated()}
    assert (found["sklearn-1.5"].definition.image, found["sklearn-1.5"].is_shipped) == ("own:1", False)
    assert found["team-*"].definition.image == "own:2"


def test_a_name_that_only_looks_like_a_curated_one_is_not() -> None:
    assert Maps.load().curated("azureml:sklearn-of-my-team:1") is None
