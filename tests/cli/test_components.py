"""atelier component … and atelier lineage …: sent with its code, used as a job, and what came of it."""

import zipfile
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Terminal

TRAIN = """
name: train
command: python train.py --rate ${{inputs.rate}} $[[--epochs ${{inputs.epochs}}]]
code: ./src
environment: ./env.yml
inputs:
  rate: {type: number, default: 0.1, max: 1}
  epochs: {type: integer, optional: true}
outputs:
  model: {type: uri_folder}
"""


@pytest.fixture
def folder(terminal: Terminal) -> Path:
    """A component with code, things to include and an environment file of its own."""
    for path, text in {
        "part/train.yml": TRAIN,
        "part/env.yml": "image: debian:12\nconda_file: conda.yml\n",
        "part/conda.yml": "dependencies: [python=3.11]\n",
        "part/src/train.py": "print(1)\n",
        "part/src/lib/one.py": "ONE = 1\n",
        "shared/lib/two.py": "TWO = 2\n",
        "shared/tool.py": "TOOL = 1\n",
    }.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    return Path("part")


def changed(folder: Path, name: str, **changes: object) -> str:
    """The file with other fields, beside it."""
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(TRAIN), "name": name, **changes}))
    return str(path)


def files(terminal: Terminal, name: str) -> set[str]:
    found = terminal.house.bearer("ben").get(f"/api/v1/workspaces/lab/components/{name}/versions/latest/code")
    return {file["path"] for file in found.json()["value"]}


def test_a_component_is_sent_with_its_code_and_its_environment(terminal: Terminal, folder: Path) -> None:
    made = terminal.ok("component", "create", "--file", str(folder / "train.yml"))
    assert (made["name"], made["version"], made["type"]) == ("train", "1", "command")
    assert made["environment"] == {"image": "debian:12", "conda_file": {"dependencies": ["python=3.11"]}}
    assert files(terminal, "train") == {"train.py", "lib/one.py"}
    again = terminal.ok("component", "create", "--file", str(folder / "train.yml"), "--version", "1")
    assert again["id"] == made["id"]
    assert "train" in [row["name"] for row in terminal.ok("component", "list")]


def test_what_is_included_lies_at_the_root_and_folders_merge(terminal: Terminal, folder: Path) -> None:
    file = changed(folder, "including", additional_includes=["../shared/lib", "../shared/tool.py", "../shared.zip"])
    terminal.ok("component", "create", "-f", file)
    assert files(terminal, "including") == {"train.py", "lib/one.py", "lib/two.py", "tool.py", "shared.zip"}
    terminal.ok("component", "download", "-n", "including", "-p", "got")
    with zipfile.ZipFile("got/including/code/shared.zip") as archive:
        assert set(archive.namelist()) == {"lib/two.py", "tool.py"}
    first = terminal.ok("component", "show", "-n", "including")["code"]
    assert terminal.ok("component", "create", "-f", file)["code"] == first, "the same folder makes the same zip"


@pytest.mark.parametrize("include", ["./src/train.py", "../clash/lib", "../nowhere", "../clash/train.py"])
def test_what_would_cover_a_file_is_refused(terminal: Terminal, folder: Path, include: str) -> None:
    for path in ("clash/lib/one.py", "clash/train.py/inner.py"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("")
    said = terminal.run("component", "create", "-f", changed(folder, "clashing", additional_includes=[include]))
    assert said.code == 2
    assert "has one already" in said.err or "was not found" in said.err
    assert "clashing.yml:" in said.err


def test_what_show_prints_makes_an_equal_one(terminal: Terminal, folder: Path) -> None:
    file = changed(folder, "shown", tags={"team": "x"}, description="a text")
    terminal.ok("component", "create", "-f", file)
    Path("shown.yml").write_text(terminal.run("component", "show", "-n", "shown", "-o", "yaml").out)
    before = terminal.ok("component", "show", "-n", "shown")
    assert terminal.ok("component", "create", "-f", "shown.yml") == before


def test_what_is_downloaded_makes_an_equal_one(terminal: Terminal, folder: Path) -> None:
    terminal.ok("component", "create", "-f", changed(folder, "carried"))
    terminal.ok("component", "download", "--name", "carried", "--download-path", "elsewhere")
    assert Path("elsewhere/carried/code/lib/one.py").read_text() == "ONE = 1\n"
    again = terminal.ok("component", "create", "-f", "elsewhere/carried/component.yml", "--version", "1")
    assert again == terminal.ok("component", "show", "-n", "carried", "-v", "1")


def test_steps_that_are_files_are_sent_with_their_pipeline(terminal: Terminal, folder: Path) -> None:
    steps = {"one": {"component": "./train.yml"}, "two": {"type": "command", "component": "file:./train.yml"}}
    Path("part/all.yml").write_text(yaml.safe_dump({"name": "all", "type": "pipeline", "jobs": steps}))
    made = terminal.ok("component", "create", "-f", "part/all.yml")
    named = {step["component"] for step in made["jobs"].values()}
    assert len(named) == 1, "the same content is one component"
    assert named.pop().startswith("azureml:azureml_anonymous:")
    said = terminal.run("component", "use", "-n", "all")
    assert said.code == 5
    assert "step of a pipeline" in said.err


def test_a_pipeline_that_is_made_of_itself_ends(terminal: Terminal, folder: Path) -> None:
    text = yaml.safe_dump(
        {"name": "loop", "type": "pipeline", "jobs": {"one": {"type": "pipeline", "component": "./loop.yml"}}}
    )
    Path("part/loop.yml").write_text(text)
    said = terminal.run("component", "create", "-f", "part/loop.yml")
    assert said.code == 2
    assert "is made of itself" in said.err


def test_settings_and_flags_change_what_the_file_says(terminal: Terminal, folder: Path) -> None:
    words = ["--name", "renamed", "--version", "7", "--set", "description=short", "inputs.rate.max=2"]
    made = terminal.ok("component", "create", "-f", str(folder / "train.yml"), *words)
    assert (made["name"], made["version"], made["description"]) == ("renamed", "7", "short")
    assert made["inputs"]["rate"]["max"] == 2


def test_what_is_wrong_is_said_with_its_line(terminal: Terminal, folder: Path) -> None:
    Path("part/bad.yml").write_text(TRAIN.replace("optional", "optionl"))
    said = terminal.run("component", "create", "-f", "part/bad.yml")
    assert said.code == 2
    assert "bad.yml:8" in said.err
    assert "Did you mean 'optional'?" in said.err


def test_a_component_is_used_and_its_lineage_shown(terminal: Terminal, folder: Path) -> None:
    terminal.ok("component", "create", "-f", changed(folder, "used"))
    first = terminal.ok("component", "use", "-n", "used", "--display-name", "first")
    second = terminal.ok("component", "use", "-n", "used", "--set", "inputs.epochs=3", "inputs.rate=0.5")
    assert "--epochs" not in first["command"]
    assert "--epochs ${{inputs.epochs}}" in second["command"]
    graph = terminal.ok("lineage", "show", "--name", second["name"])
    assert (graph["nodes"][0]["kind"], graph["nodes"][0]["level"]) == ("job", 0)
    assert {node["label"] for node in graph["nodes"] if node["kind"] == "component"} == {"used"}
    table = terminal.run("lineage", "show", "-k", "component", "-n", "used", "--direction", "down", "-o", "table")
    assert "first" in table.out
    changes = terminal.ok("lineage", "compare", "-n", first["name"], "--other", second["name"])["changes"]
    assert {change["name"] for change in changes["parameters"]} == {"rate", "epochs"}
    assert (
        "rate" in terminal.run("lineage", "compare", "-n", first["name"], "--other", second["name"], "-o", "table").out
    )
    said = terminal.run("component", "use", "-n", "used", "--set", "inputs.rate=5")
    assert said.code == 2
    assert "more than max 1" in said.err


def test_one_that_is_used_is_archived_not_deleted(terminal: Terminal, folder: Path) -> None:
    terminal.ok("component", "create", "-f", changed(folder, "kept"))
    terminal.ok("component", "use", "-n", "kept")
    assert terminal.run("component", "delete", "-n", "kept", "-v", "1", "--yes").code == 5
    terminal.ok("component", "archive", "-n", "kept")
    assert "kept" not in [row["name"] for row in terminal.ok("component", "list")]
    terminal.ok("component", "restore", "-n", "kept")
    assert terminal.ok("component", "update", "-n", "kept", "--set", "tags.a=1")["tags"] == {"a": "1"}


def test_p20_registers_unmodified(terminal: Terminal, census: Path) -> None:
    made = terminal.ok("component", "create", "--file", str(census / "assets" / "component" / "train.yml"))
    assert (made["name"], made["version"], made["type"]) == ("train_data_component_cli", "1", "command")
    assert made["environment"] == "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
    data = "inputs.training_data.path=azureml://datastores/workspaceblobstore/paths/x"
    plain = terminal.ok("component", "use", "-n", made["name"], "--set", data)
    full = terminal.ok("component", "use", "-n", made["name"], "--set", data, "inputs.max_epocs=7")
    assert "--max_epocs" not in plain["command"]
    assert plain["inputs"]["learning_rate"] == 0.01
    assert "--max_epocs ${{inputs.max_epocs}}" in full["command"]


def test_every_component_of_the_census_registers(terminal: Terminal, census: Path) -> None:
    found = [
        path
        for path in sorted(census.rglob("*.yml"))
        if (value := yaml.safe_load(path.read_text()))
        and "omponent.schema.json" in str(value.get("$schema"))
        and ("command" in value or "jobs" in value)
    ]
    assert len(found) > 15
    for place, path in enumerate(found):
        made = terminal.ok("component", "create", "--file", str(path), "--name", f"example_{place}")
        assert made["id"].startswith("azureml:")
