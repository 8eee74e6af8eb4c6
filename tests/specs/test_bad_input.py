"""The rest of what people get wrong in a YAML file: numbers, versions, variables, servers, names."""

import time

import pytest

from services.core.errors import Invalid
from services.specs import kinds, source
from services.specs.jobs import CommandJob
from services.specs.problems import checked

JOB = "command: echo hi\nenvironment: azureml:e:1\n"
DEPLOYMENT = "name: blue\nendpoint_name: e-1\ninstance_type: x\nmodel: azureml:m:1\n"
BATCH = "type: model\nname: one\nendpoint_name: e-1\n"
CLUSTER = "type: amlcompute\nname: cpu\n"


def said_of(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        kinds.load(text, "x.yml")
    assert str(caught.value.where).startswith("x.yml:")
    return " ".join([str(caught.value), *caught.value.details])


@pytest.mark.parametrize("kind", ["type: uri_file\npath: x\n", "image: a:1\n", "type: mlflow_model\npath: x\n"])
def test_a_version_that_a_number_would_shorten_is_to_be_quoted(kind: str) -> None:
    assert "version must be a string; quote it: '1.10'" in said_of(f"name: x\n{kind}version: 1.10\n")
    _, spec = kinds.load(f"name: x\n{kind}version: '1.10'\n")
    assert spec.version == "1.10"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("limits: {timeout: 0777}", "whole number"),
        ("limits: {timeout: 1_000}", "whole number"),
        ("limits: {timeout: 22:22}", "whole number"),
        ("limits: {timeout: yes}", "whole number"),
        ("limits: {timeout: true}", "whole number"),
        ("limits: {timeout: .inf}", "finite number"),
        (f"limits: {{timeout: {'9' * 5000}}}", "whole number"),
        ("resources: {cpus: .inf}", "finite number"),
        ("resources: {cpus: .nan}", "finite number"),
        ("resources: {cpus: 1_0}", "must be a number"),
        ("resources: {cpus: 0}", "must be more than 0"),
        ("resources: {memory: ∞}", "not a size"),
        ("resources: {memory: 1.5}", "not a size"),
        ("resources: {memory: 0}", "not a size"),
        ("inputs: {a: {type: integer, default: 1.5}}", "not of the type integer"),
        ("inputs: {a: {type: number, min: 2, max: 1, default: 1}}", "min 2 is more than max 1"),
        ("inputs: {a: {type: string, enum: [], default: x}}", "must not be empty"),
        ("inputs: {a: {type: string, enum: [b], default: c}}", "none of"),
        ("inputs: {a: {type: string}}", "needs a value"),
        ("inputs: {a: [1]}", "an input is a text"),
        ("inputs: {a/b: 1}", "is not a name"),
        ("tags: [a]", "must be a mapping"),
        ("description: " + "x" * 10_001, "at most 10000 characters"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(field: str, said: str) -> None:
    assert said in said_of(f"type: command\ncompute: cpu\n{JOB}{field}\n")


@pytest.mark.parametrize("name", ["A=B", "", "A B", "A\\nB", "A\\0B", "É", "1X", "A-B", "$X"])
def test_a_variable_has_a_name_that_every_shell_takes(name: str) -> None:
    text = f'{JOB}environment_variables: {{"{name}": y}}\n'
    assert "not a name for a variable" in said_of(text) or "Unicode" in said_of(text)


def test_a_variable_fits_into_what_a_process_can_be_given() -> None:
    fits = {"command": "x", "environment": "azureml:e:1", "environment_variables": {"X": "y" * (128 << 10)}}
    assert checked(CommandJob, fits).environment_variables["X"]
    with pytest.raises(Invalid, match="longer than the 131072 bytes"):
        checked(CommandJob, {**fits, "environment_variables": {"X": "y" * ((128 << 10) + 1)}})


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("LD_PRELOAD: x", "changes how every program in the container starts"),
        ("PYTHONPATH: x", "changes how every program in the container starts"),
        ("PATH: x", "changes how every program in the container starts"),
        ("DOCKER_HOST: x", "takes the place of what the studio or the engine would say"),
        ("AZUREML_RUN_ID: x", "takes the place of what the studio or the engine would say"),
        ("MLFLOW_TRACKING_URI: x", "is set by the studio"),
        ("X: '${{inputs.a}}'", "is passed as it is written"),
    ],
)
def test_a_variable_that_means_something_is_told(variable: str, said: str) -> None:
    read = kinds.read(source.load(f"{JOB}environment_variables: {{{variable}}}\n"))
    assert read.problems == []
    assert any(said in each for each in read.warnings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: ab\nauth_mode: key\n", "3–32 letters"),
        ("name: 1abc\nauth_mode: key\n", "3–32 letters"),
        ("name: abc-\nauth_mode: key\n", "3–32 letters"),
        ("name: a_c\nauth_mode: key\n", "3–32 letters"),
        ('name: "abc\\n"\nauth_mode: key\n', "3–32 letters"),
        ("name: ａｂｃ\nauth_mode: key\n", "3–32 letters"),
        (f"name: {'a' * 33}\nauth_mode: key\n", "3–32 letters"),
        ("name: abc\nauth_mode: none\n", "auth_mode must be one of 'key', 'aml_token', 'aad_token'"),
        ("name: abc\nauth_mode: key\ntraffic: {a: 60, b: 50}\n", "sum to 0 or 100, not to 110"),
        ("name: abc\nauth_mode: key\ntraffic: {a: -1}\n", "must be at least 0"),
        ("name: abc\nauth_mode: key\nmirror_traffic: {a: 101}\n", "must be at most 100"),
        ("name: abc\nauth_mode: key\ntrafic: {a: 100}\n", "Did you mean 'traffic'?"),
        (DEPLOYMENT + "instance_count: 0\n", "must be at least 1"),
        (DEPLOYMENT + "code_configuration: {code: src}\n", "'code_configuration.scoring_script' is required"),
        (DEPLOYMENT + "scale_settings: {min_instances: 3, max_instances: 2}\n", "3 is more than max_instances 2"),
        (DEPLOYMENT + "request_settings: {request_timeout_ms: 0}\n", "must be at least 1"),
        (DEPLOYMENT + "environment: {image: '; rm'}\n", "not a valid image reference"),
        (DEPLOYMENT + "environment: {image: a, build: {path: .}}\n", "not both"),
        (DEPLOYMENT.replace("azureml:m:1", "{name: m}"), "'model.path' is required"),
        (BATCH + "settings: {output_action: append}\n", "Did you mean 'append_row'?"),
        (BATCH + "mini_batch_size: 1\nsettings: {mini_batch_size: 2}\n", "mini_batch_size is given twice"),
        (BATCH + "settings: {mini_batch_size: 0}\n", "must be at least 1"),
        ("type: pipeline\nendpoint_name: e-1\nname: one\n", "a 'component' or a 'job_definition'"),
        (CLUSTER + "min_instances: 5\n", "min_instances 5 is more than max_instances 4"),
        (CLUSTER + "tier: cheap\n", "tier must be one of"),
        (CLUSTER + "ssh_settings: {admin_password: 1234}\n", "must be text; put it in quotes"),
        ("type: amlcmpute\nname: x\n", "Did you mean 'amlcompute'?"),
        ("dependencies: [numpy, {conda: [x]}]\n", "nested among the dependencies"),
        ("dependencies: [python=three]\n", "does not say which Python"),
        ("dependencies: ['a b c']\n", "not a conda dependency"),
        ("paths: []\n", "paths must not be empty"),
        ("hbi_workspace: false\n", "'name' is required"),
    ],
)
def test_other_files_are_told_what_is_wrong_too(text: str, said: str) -> None:
    assert said in said_of(text)


def test_a_password_is_not_repeated() -> None:
    for written in ("{admin_password: 1234}", "{admin_password: [1234]}", "'1234'", "[1234]"):
        assert "1234" not in said_of(f"{CLUSTER}ssh_settings: {written}\n")
    _, spec = kinds.load(CLUSTER + "ssh_settings: {admin_password: canary}\n")
    assert "canary" not in repr(spec) + spec.model_dump_json()


def test_settings_of_older_files_count_the_same() -> None:
    _, old = kinds.load("name: one\ncompute: cpu\nmini_batch_size: 7\noutput_file_name: o.csv\n")
    _, new = kinds.load(
        "type: model\nname: one\ncompute: cpu\nsettings: {mini_batch_size: 7, output_file_name: o.csv}\n"
    )
    assert old.batching.model_dump() == new.batching.model_dump()  # type: ignore[attr-defined]


def test_texts_that_grow_with_the_square_are_read_quickly() -> None:
    parent = "${{parent." * 50_000
    started = time.process_time()
    for text in (
        f"jobs:\n  a:\n    command: ls\n    environment: azureml:e:1\n    inputs: {{i: '{parent}'}}\n",
        f"name: x\ncommand: '{'$[[' * 40_000}'\nenvironment: azureml:e:1\nversion: 1\n",
        f"trigger: {{type: cron, expression: '{'1,' * 100} * * * *'}}\ncreate_job: x\n",
    ):
        kinds.read(source.load(text))
    assert time.process_time() - started < 10  # an order of magnitude above what it takes
