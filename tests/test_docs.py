"""Documents tell the truth: the reference is what the code says, and every field, file and command named is there."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from app import cli, reference
from services.core.errors import Invalid
from services.specs import local, source
from services.specs.environments import BuildContext, Environment
from services.specs.jobs import CommandJob, Data, Limits, LiteralInput, Output, Resources
from services.specs.maps import Maps, Rules
from services.specs.workspaces import Workspace
from services.studio import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SPECS = (CommandJob, Data, LiteralInput, Output, Limits, Resources, Environment, BuildContext, Rules)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_reference_is_what_the_code_says() -> None:
    assert read("docs/reference.md") == reference.text(), "run scripts/reference"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_every_field_that_people_write_is_documented(spec: type[BaseModel]) -> None:
    words = set(re.findall(r"[$\w]+", read("docs/job-yaml.md")))
    fields = {field.alias or name for name, field in spec.model_fields.items()}
    assert fields <= words, f"not in docs/job-yaml.md: {sorted(fields - words)}"


def test_every_setting_is_documented() -> None:
    words = read("docs/reference.md")
    assert all(f"`ATELIER_{name.upper()}`" in words for name in Settings.model_fields)


def test_every_command_and_flag_says_what_it_does() -> None:
    for path, command in reference.commands(cli.tree()):
        assert command.help, path
        assert all(getattr(each, "help", None) for each in command.params if each.name != "help"), path


def test_every_route_says_what_it_does() -> None:
    silent = [what["operationId"] for what in reference.operations() if not what.get("description")]
    assert not silent


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local_ones = [target for target in targets if "://" not in target]
    missing = [target for target in local_ones if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(document: Path) -> None:
    known = {" ".join(path[1:]) for path, _ in reference.commands(cli.tree())}
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL))
    for line in re.findall(r"^\s*(?:\S*/)?atelier ([^#\n]+)", blocks, re.MULTILINE):
        words = line.split()
        assert any(" ".join(words[:count]) in known for count in (1, 2, 3)), line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_scripts_and_examples_in_documents_exist(document: Path) -> None:
    named = re.findall(r"\b(?:scripts|examples|docs|tests)/[\w./-]+\w", document.read_text(encoding="utf-8"))
    missing = sorted({path for path in named if not (ROOT / path).exists()})
    assert not missing


def test_yaml_in_the_documents_is_right() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", read("docs/job-yaml.md"), re.DOTALL)
    jobs = [block for block in blocks if block.startswith("command")]
    assert jobs
    for block in jobs:
        value = {key: part for key, part in source.load(block).value.items() if key not in {"code", "environment"}}
        CommandJob.model_validate({**value, "environment": {"image": "python:3.11"}})
    [maps] = [block for block in blocks if block.startswith("images")]
    assert Maps.load(maps).image("mcr.microsoft.com/azureml/anything:1") == "python:3.11"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/job.yml")), ids=lambda path: path.parent.name)
def test_every_example_is_a_job(path: Path) -> None:
    assert local.job(source.load_file(path), path.parent).spec.command


def test_a_workspace_file_takes_the_documented_fields() -> None:
    assert set(Workspace.model_fields) == {"name", "display_name", "description", "resource_group", "tags"}
    with pytest.raises(Invalid):
        Maps.load("images: 3")
