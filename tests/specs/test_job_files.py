"""What people write and what they are told: field, line, rule, and the nearest right word."""

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from services.core.errors import AtelierError, Invalid
from services.specs import local, source
from services.specs.jobs import CommandJob
from services.specs.problems import checked

GOOD = "command: echo hi\nenvironment:\n  image: python:3.11\n"


def read(text: str | bytes) -> CommandJob:
    written = source.load(text, file="job.yml")
    return checked(CommandJob, written.value, written)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expected a mapping"),
        ("hello", "Expected a mapping"),
        ("- a\n- b\n", "Expected a mapping"),
        (GOOD + "---\n" + GOOD, "document"),
        (GOOD.replace("command", "comand"), "Did you mean 'command'?"),
        (GOOD + "Command: x\n", "Did you mean 'command'?"),
        (GOOD + "command: again\n", "given twice"),
        (GOOD + "tags:\n\tteam: x\n", "job.yml:5"),
        (GOOD + 'description: "open\n', "job.yml"),
        ((GOOD + "description: caf\xe9\n").encode("latin-1"), "UTF-8"),
        (GOOD.encode("utf-16"), "UTF-8"),
        (GOOD.encode() + b"description: a\0b\n", "job.yml"),
        (GOOD + "display_name: 1.10\n", "quote it: '1.10'"),
        (GOOD + "display_name: [a]\n", "must be text"),
        (GOOD + "tags: &a\n  x: *a\n", "alias"),
        (GOOD + "tags: !!python/object:os.system {}\n", "ag"),
        (GOOD + "tags: !include secrets.yml\n", "ag"),
        (GOOD + "description: " + "[" * 1600 + "]" * 1600 + "\n", "deep"),
        (GOOD + 'description: "\\ud800"\n', "nicode"),
        (GOOD.replace("python:3.11", '"; rm -rf /"'), "not a valid image reference"),
        (GOOD.replace("python:3.11", "x:" + "t" * 300), "not a valid image reference"),
        (GOOD.replace("python:3.11", "Upper/Case:1"), "not a valid image reference"),
        (GOOD.replace("python:3.11", "a@sha256:12"), "not a valid image reference"),
        (
            GOOD.replace("echo hi", "echo ${{inputs.x}}") + "inputs:\n  a: 1\n  b: 2\n",
            "Unknown input 'x'. Defined: a, b",
        ),
        (GOOD.replace("echo hi", "echo ${{inputs.x"), "not closed"),
        (GOOD.replace("echo hi", "echo ${{ ${{inputs.x}} }}"), "not closed"),
        (GOOD.replace("echo hi", "echo ${{parent.inputs.x}}"), "steps of a pipeline"),
        (GOOD + "limits:\n  timeout: -1\n", "limits.timeout"),
        (GOOD + "limits:\n  timeout: 0\n", "limits.timeout"),
        (GOOD + "limits:\n  timeout: 1e12\n", "limits.timeout"),
        (GOOD + "limits:\n  timeout: 5m\n", "whole number"),
        (GOOD + "resources:\n  memory: 2gb\n", "not a size"),
        (GOOD + "resources:\n  memory: 2GG\n", "not a size"),
        (GOOD + "resources:\n  instance_count: 0\n", "resources.instance_count"),
        (GOOD + "resources:\n  instance_count: 1.5\n", "resources.instance_count"),
        (GOOD + "resources:\n  instance_count: 1000000000\n", "resources.instance_count"),
        (GOOD + "resources:\n  docker_args: --privileged\n", "docker_args is refused"),
        (GOOD + "environment_variables:\n  1X: y\n", "not a name for a variable"),
        (GOOD + 'environment_variables:\n  X: "a\\0b"\n', "NUL"),
        (GOOD + "inputs:\n  d:\n    type: uri_foldr\n    path: x\n", "inputs.d"),
        (GOOD + "outputs:\n  o:\n    path: ./here\n", "datastore URI"),
        (GOOD + "name: ../evil\n", "not a valid name"),
        ("command: ''\nenvironment: azureml:x:1\n", "command"),
        ("environment: azureml:x:1\n", "'command' is required"),
        ("command: x\n", "'environment' is required"),
        ("command: x\nenvironment: {}\n", "needs an 'image' or a 'build'"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert said in str(caught.value)


def test_words_stay_words() -> None:
    job = read(GOOD + "display_name: no\nexperiment_name: 2024-01-01\ndescription: 22:22\n")
    assert (job.display_name, job.experiment_name, job.description) == ("no", "2024-01-01", "22:22")


def test_a_problem_names_its_line() -> None:
    with pytest.raises(Invalid) as caught:
        read("command: x\nenvironment: azureml:x:1\nlimits:\n  timeout: soon\n")
    assert str(caught.value.where).startswith("job.yml:4")


def test_all_problems_are_listed() -> None:
    with pytest.raises(Invalid) as caught:
        read(GOOD + "limits:\n  timeout: soon\nresources:\n  memory: lots\n")
    assert len(caught.value.details) == 2


def test_hostile_files_are_refused_quickly() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(8)
    )
    for text in (bomb, "x: " + "[" * 5000, "y: " + "1" * 5000, "z: " + "a" * (5 << 20)):
        started = time.process_time()
        with pytest.raises(Invalid):
            read(text)
        assert time.process_time() - started < 5  # an order of magnitude above what it takes; a bomb takes minutes


@given(some.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_job_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(AtelierError):
        assert isinstance(read(text), CommandJob)


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=20),
        lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
        max_leaves=12,
    ),
    some.sampled_from(sorted(CommandJob.model_fields)),
)
@settings(max_examples=400, deadline=None)
def test_any_value_in_any_field_is_accepted_or_explained(value: object, field: str) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(
            checked(CommandJob, {"command": "x", "environment": {"image": "a:1"}, field: value}), CommandJob
        )


@pytest.mark.parametrize("code", ["../../../nowhere", "/", "'~'", "missing"])
def test_a_code_path_must_be_meant(tmp_path: Path, code: str) -> None:
    path = tmp_path / "job.yml"
    path.write_text(f"{GOOD}code: {code}\n")
    with pytest.raises(Invalid) as caught:
        local.job(source.load_file(path), tmp_path)
    assert "job.yml:4" in str(caught.value)


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "conda.yml").write_text("dependencies: [python=3.10]\n")
    (tmp_path / "env" / "environment.yml").write_text("image: python:3.11\nconda_file: conda.yml\n")
    (tmp_path / "job.yml").write_text("command: x\nenvironment: file:./env/environment.yml\n")
    found = local.job(source.load_file(tmp_path / "job.yml"), tmp_path)
    assert not isinstance(found.spec.environment, str)
    assert found.spec.environment.conda_file == {"dependencies": ["python=3.10"]}


def test_literals_reach_the_command_as_python_says_them() -> None:
    job = read(GOOD + "inputs:\n  yes_: true\n  rate: 1.8\n  n: 42\n  type: word\n")
    assert job.literals() == {"yes_": "True", "rate": "1.8", "n": "42", "type": "word"}


def test_every_command_job_of_the_census_is_understood(census: Path) -> None:
    seen = 0
    for path in sorted(census.rglob("*.y*ml")):
        try:
            written = source.load_file(path)
        except Invalid:
            continue
        value = written.value
        if "commandJob" in str(value.get("$schema", "")) and "command" in value:
            local.job(written, path.parent)
            seen += 1
    assert seen >= 8
