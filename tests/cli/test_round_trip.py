"""What `show -o yaml` prints is a file from which `create` makes an equal one under another name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Terminal

OF_THE_VERSION = {"name", "version", "id", "creation_context", "labels", "facts", "build_status", "digest"}


def written(name: str) -> list[str]:
    """The words that create each kind; files lie in the folder where one sits."""
    files: dict[str, tuple[list[str], dict[str, str]]] = {
        "data: sent": (
            ["data", "create", "-n", "a", "--path", "flowers", "--type", "uri_folder"],
            {"flowers/x.csv": "1\n"},
        ),
        "data: a URI": (
            ["data", "create", "-f", "a.yml"],
            {"a.yml": "name: a\ntype: uri_file\npath: https://x.org/a.csv\ntags: {team: ml}\ndescription: Old\n"},
        ),
        "data: a table": (
            ["data", "create", "-n", "a", "--path", "t", "--type", "mltable"],
            {
                "t/MLTable": "paths:\n- file: ./x.csv\ntransformations:\n- read_delimited:\n    delimiter: ','\n",
                "t/x.csv": "a\n1\n",
            },
        ),
        "environment: image": (["environment", "create", "-n", "a", "--image", "python:3.11"], {}),
        "environment: conda": (
            ["environment", "create", "-f", "a.yml"],
            {
                "a.yml": "name: a\nimage: python:3.11\nconda_file: conda.yml\ntags: {team: ml}\n",
                "conda.yml": "dependencies: [python=3.11, pip: [six]]\n",
            },
        ),
        "component": (
            ["component", "create", "-f", "a.yml"],
            {
                "a.yml": "type: command\nname: a\ncode: src\nenvironment: {image: python:3.11}\n"
                "command: python main.py $[[--rate ${{inputs.rate}}]]\n"
                "inputs:\n  rate: {type: number, default: 0.1, optional: true, min: 0, max: 1}\n",
                "src/main.py": "print(1)\n",
            },
        ),
        "model: sent": (
            ["model", "create", "-n", "a", "--path", "m", "--type", "mlflow_model"],
            {"m/MLmodel": "flavors: {}\n"},
        ),
        "model: a URI": (
            [
                "model",
                "create",
                "-n",
                "a",
                "--path",
                "azureml://datastores/workspaceblobstore/paths/m",
                "--type",
                "custom_model",
            ],
            {},
        ),
    }
    words, contents = files[name]
    for path, content in contents.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content)
    return words


@pytest.mark.parametrize(
    "name",
    [
        "data: sent",
        "data: a URI",
        "data: a table",
        "environment: image",
        "environment: conda",
        "component",
        "model: sent",
        "model: a URI",
    ],
)
def test_a_shown_asset_makes_an_equal_one(terminal: Terminal, name: str) -> None:
    noun, own = name.partition(":")[0], name.replace(": ", "-").replace(" ", "-")
    lie = terminal.house.stage.studio.folders.datastore(terminal.house.stage.lab.id, "workspaceblobstore") / "m"
    lie.mkdir(exist_ok=True)
    (lie / "weights.bin").write_bytes(b"1")
    first = terminal.ok(*(own if word == "a" else word for word in written(name)), *set_name(name, own))
    shown = terminal.run(noun, "show", "-n", first["name"], "-v", first["version"], "-o", "yaml").out
    document = yaml.safe_load(shown)
    Path("again").mkdir()
    Path("again/again.yml").write_text(yaml.safe_dump({**document, "name": f"{own}-again"}))
    second = terminal.ok(noun, "create", "-f", "again/again.yml")
    assert content(second) == content(first)
    assert second["name"] == f"{own}-again"


def set_name(name: str, own: str) -> list[str]:
    return ["--name", own] if name in {"data: a URI", "environment: conda", "component"} else []


def content(asset: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asset.items() if key not in OF_THE_VERSION}
