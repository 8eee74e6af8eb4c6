"""What a file is, told from its content; every kind is read, and what is wrong is said with its line."""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from services.core.errors import Invalid
from services.specs import kinds, source, words
from tests.specs.written import WRITTEN

DOCUMENT = Path(__file__).parents[2] / "docs" / "yaml.md"
SECRET = re.compile("credentials|password")
SCHEMA = "$schema: https://somewhere.example/latest/{}.schema.json\n"


def kind_of(text: str) -> str:
    return kinds.detect(source.load(text).value).name


def test_every_kind_has_an_example() -> None:
    assert list(WRITTEN) == [kind.name for kind in kinds.WRITTEN]


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_is_read_as_what_it_is(name: str) -> None:
    kind, spec = kinds.load(WRITTEN[name], "x.yml")
    assert kind.name == name
    assert isinstance(spec, kind.spec)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name, text in WRITTEN.items() if not SECRET.search(text)])
def test_what_is_written_again_is_read_as_the_same(name: str) -> None:
    kind, spec = kinds.load(WRITTEN[name], "x.yml")
    text = source.dump(spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
    again, same = kinds.load(SCHEMA.format(kind.name) + text, "x.yml")
    assert (again, same.model_dump()) == (kind, spec.model_dump())


@pytest.mark.parametrize("name", WRITTEN)
def test_an_unknown_field_is_named_with_its_line(name: str) -> None:
    read = kinds.read(source.load(WRITTEN[name] + "\nzebra: 1\n", file="x.yml"))
    (problem,) = read.problems
    assert (problem.field, problem.line) == ("zebra", WRITTEN[name].count("\n") + 2)
    assert "Unknown field 'zebra'" in problem.message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("command: ls\nenvironment: azureml:x:1\n", "commandJob"),
        ("command: ls\nenvironment: azureml:x:1\nversion: 1\nname: x\n", "commandComponent"),
        ("command: ls\ninputs: {a: {type: number}}\n", "commandComponent"),
        ("command: ls\ninputs: {a: {type: uri_file, path: x}}\n", "commandJob"),
        (SCHEMA.format("commandComponent") + "type: command\ncommand: ls\n", "commandComponent"),
        (SCHEMA.format("data") + "type: command\ncommand: ls\n", "commandJob"),
        (SCHEMA.format("commandJob") + "type: pipeline\njobs: {}\n", "pipelineJob"),
        ("jobs: {a: {command: ls}}\n", "pipelineJob"),
        ("trial: ./train.yml\nsearch_space: {}\n", "sweepJob"),
        ("type: pipeline\nendpoint_name: x\ncomponent: x.yml\n", "pipelineComponentBatchDeployment"),
        ("name: x\npath: y\n", "data"),
        (SCHEMA.format("model") + "name: x\npath: y\n", "model"),
        ("name: x\npath: y\ntype: triton_model\n", "model"),
        ("type: mltable\nname: x\npath: y\n", "data"),
        ("type: mltable\npaths: [{file: x}]\n", "mltable"),
        ("name: blue\nendpoint_name: e\nmodel: azureml:m:1\ninstance_type: x\n", "onlineDeployment"),
        (SCHEMA.format("kubernetesOnlineDeployment") + "type: kubernetes\nname: blue\nmodel: x\n", "onlineDeployment"),
        ("type: kubernetes\nname: k\nnamespace: n\n", "kubernetesCompute"),
        ("name: demo\ncompute: cpu\nmini_batch_size: 10\n", "modelBatchDeployment"),
        (SCHEMA.format("managedOnlineEndpoint") + "name: e-1\n", "onlineEndpoint"),
        (SCHEMA.format("batchEndpoint") + "name: e-1\nauth_mode: aad_token\n", "batchEndpoint"),
        ("name: e-1\nauth_mode: aad_token\n", "onlineEndpoint"),
        ("trigger: {type: cron}\ncreate_job: x\n", "schedule"),
        ("build: {path: .}\n", "environment"),
        ("comand: ls\nenvironment: azureml:x:1\n", "commandJob"),
    ],
)
def test_the_content_says_what_it_is(text: str, name: str) -> None:
    assert kind_of(text) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: spark\nentry: {file: x}\n", "Spark jobs are not run by this version."),
        ("type: spark\nversion: 1\n", "Spark components are not run"),
        ("type: automl\ntask: classification\n", "AutoML jobs are not run"),
        ("type: mltable\nname: x\npath: y\nsource: {type: database}\n", "Data imports are not run"),
        ("trigger: {}\nimport_data: x\n", "Import schedules are not run"),
        ("trigger: {}\ncreate_monitor: {}\n", "Monitoring schedules are not run"),
        ("type: git\nname: x\ntarget: y\n", "Connections are not run"),
        ("type: s3\nname: x\ntarget: y\n", "Connections are not run"),
        ("name: r\nlocation: x\nreplication_locations: []\n", "Registry files are not run"),
        ("type: synapsespark\nname: x\n", "Attached Spark pools are not run"),
        ("type: one_lake\nname: x\n", "OneLake datastores are not run"),
        ("type: comand\ncommand: ls\n", "Did you mean 'command'?"),
        ("type: azure_blb\n", "Did you mean 'azure_blob'?"),
        ("type: [command]\n", "is not known here"),
        ("services: {web: {}}\nnetworks: {}\n", "no kind of file that is known here"),
        ("python: 3.10\nbuild_dependencies: []\ndependencies: []\n", "no kind of file that is known here"),
    ],
)
def test_what_is_not_run_is_refused_by_its_name(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        kinds.load(text, "x.yml")
    assert said in str(caught.value)
    assert str(caught.value.where).startswith("x.yml:1")


def test_schemas_of_the_clouds_names_are_ours() -> None:
    for theirs, ours in (("managedOnlineEndpoint", "onlineEndpoint"), ("BATCHDEPLOYMENT", "modelBatchDeployment")):
        assert kinds.named(theirs) == kinds.KINDS[ours]
    assert kinds.named("nothing") is None


def test_every_file_of_the_census_is_read(census: Path) -> None:
    files = sorted([*census.rglob("*.y*ml"), *census.rglob("MLTable")])
    seen = {}
    for path in files:
        if path.is_file():
            kind, _ = kinds.load(path.read_bytes(), str(path))
            seen[path.relative_to(census).as_posix()] = kind.name
    assert len(seen) >= 60
    assert len(set(seen.values())) >= 14


def test_the_document_knows_every_kind_and_every_field() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [kind.name for kind in kinds.WRITTEN if f"| `{kind.name}` | `{kind.noun}` |" not in text] == []
    assert [each for each in words.FIELDS.values() if f"| {each} |" not in text] == []


def test_yaml_in_the_document_is_right() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    found = {kinds.load(block, "docs/yaml.md")[0].name for block in blocks}
    assert len(found) == len(blocks) >= 9


@given(some.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_file_of_ours_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(Invalid):
        kind, spec = kinds.load(text)
        assert isinstance(spec, kind.spec)  # type: ignore[arg-type]


@given(
    some.dictionaries(
        some.sampled_from(sorted({key for kind in kinds.WRITTEN for key in kind.fields})),
        some.none() | some.booleans() | some.integers() | some.text(max_size=9) | some.just({}) | some.just([]),
        max_size=5,
    )
)
@settings(max_examples=500, deadline=None)
def test_any_mix_of_fields_is_told_what_it_is_or_refused(value: dict[str, object]) -> None:
    with contextlib.suppress(Invalid):
        assert kinds.detect(value) in kinds.KINDS.values()
