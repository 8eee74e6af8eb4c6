"""The whole sentence that a wrong job file is answered with: line, field, rule, nearest right word."""

from pathlib import Path

import pytest

from services.core.errors import Invalid
from services.specs import local, source
from services.specs.jobs import CommandJob
from services.specs.problems import checked

GOOD = "command: echo hi\nenvironment:\n  image: python:3.11\n"
SIZES = "write a positive whole number with b, k, m or g, such as '2g'"
NAMES = "is not a name for a variable: letters, digits and '_', no digit first"
NAME = "is not a valid name: 1–255 letters, digits, '-' and '_', starting with a letter or digit."
MODES = "'rw_mount', 'mount', 'upload', 'direct'"
TYPES = "'uri_file', 'uri_folder', 'mltable', 'mlflow_model', 'custom_model', 'triton_model'"


def said(text: str | bytes) -> str:
    """What the person reads."""
    with pytest.raises(Invalid) as caught:
        read(text)
    return str(caught.value)


def read(text: str | bytes) -> CommandJob:
    written = source.load(text, file="job.yml")
    return checked(CommandJob, written.value, written)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "job.yml: Expected a mapping at top level, got an empty file."),
        ("# nothing\n", "job.yml: Expected a mapping at top level, got an empty file."),
        ("hello", "job.yml:1: Expected a mapping at top level, got a text."),
        ("42", "job.yml:1: Expected a mapping at top level, got a number."),
        ("- a\n", "job.yml:1: Expected a mapping at top level, got a list."),
        (GOOD + "---\n" + GOOD, "job.yml:5: Expected one document, got two (a second '---')."),
        (GOOD + 'description: "open\n', "job.yml:5: This is not YAML, column 1: found unexpected end of stream."),
        (GOOD.encode() + b"x: caf\xe9\n", "job.yml:4: The file must be UTF-8; byte 57 is not."),
        (GOOD.encode("utf-16"), "job.yml: The file must be UTF-8; this one is UTF-16."),
        (GOOD + "x: a\0b\n", "job.yml:4: Invalid character U+0000."),
        (GOOD + "description: *nobody\n", "job.yml:4: This is not YAML, column 14: found undefined alias."),
        (GOOD + "properties: &a [*a]\n", "job.yml:4: Recursive alias."),
        (GOOD + "tags:\n  <<: 3\n", "job.yml:5: Only mappings can be merged with '<<'."),
        (GOOD + "x: &a 1\ny: [" + "*a," * 300 + "]\n", "job.yml:5: Too many aliases."),
        (GOOD + "tags: !!python/object:os.system {}\n", "job.yml:4: Tag not allowed: python/object:os.system."),
        (GOOD + "tags: !include s.yml\n", "job.yml:4: Tag not allowed: !include."),
        (GOOD + "description: !!binary aGk=\n", "job.yml:4: Tag not allowed: binary."),
        (GOOD + "x: " + "[" * 1600 + "]" * 1600, "job.yml:4: The file is too deep: more than 64 levels."),
        ("x: " + "a" * (5 << 20), "job.yml: The file is too large: 5242883 bytes, at most 1048576 are read."),
        (GOOD + "? [a]\n: b\n", "job.yml:4: A field's name must be text."),
        (GOOD + "tags:\n  a: 1\n  a: 2\n", "job.yml:6: Field 'a' given twice (lines 5, 6)."),
    ],
)
def test_a_file_that_cannot_be_read(text: str | bytes, answer: str) -> None:
    assert said(text) == answer


@pytest.mark.parametrize(
    ("added", "answer"),
    [
        ("comand: x", "Unknown field 'comand' (line 4). Did you mean 'command'?"),
        ("Inputs: {}", "Unknown field 'Inputs' (line 4). Did you mean 'inputs'?"),
        ("zzz: 1", "Unknown field 'zzz' (line 4)."),
        ("resources: {shm_sise: 1g}", "Unknown field 'resources.shm_sise' (line 4). Did you mean 'shm_size'?"),
        ("type: comand", "type must be 'command', not 'comand'. Did you mean 'command'?"),
        ("display_name: 1.10", "display_name must be a string; quote it: '1.10'."),
        ("display_name: true", "display_name must be a string; quote it: 'true'."),
        ("display_name: [a]", "display_name must be text, not a list."),
        ("tags: [a]", "tags must be a mapping, not a list."),
        ("tags: {a: {b: c}}", "tags.a must be text, not a mapping."),
        ("limits: {timeout: -1}", "limits.timeout must be at least 1, not -1."),
        ("limits: {timeout: 0}", "limits.timeout must be at least 1, not 0."),
        ("limits: {timeout: 1000000000000}", "limits.timeout must be at most 3153600000, not 1000000000000."),
        ("limits: {timeout: 5m}", "limits.timeout must be a whole number, not '5m'."),
        ("limits: {timeout: 0777}", "limits.timeout must be a whole number, not '0777'."),
        ("limits: {timeout: 22:22}", "limits.timeout must be a whole number, not '22:22'."),
        ("limits: {timeout: 1_000}", "limits.timeout must be a whole number, not '1_000'."),
        ("limits: {timeout: 1e3}", "limits.timeout must be a whole number, not '1e3'."),
        ("limits: {timeout: true}", "limits.timeout must be a whole number, not True."),
        ("limits: {timeout: .inf}", "limits.timeout must be a finite number, not inf."),
        ("limits: {timeout: 2024-01-01}", "limits.timeout must be a whole number, not '2024-01-01'."),
        ("resources: {memory: 2gb}", f"resources.memory: '2gb' is not a size; {SIZES}"),
        ("resources: {memory: 2GG}", f"resources.memory: '2GG' is not a size; {SIZES}"),
        ("resources: {memory: ∞}", f"resources.memory: '∞' is not a size; {SIZES}"),
        ("resources: {memory: 0}", f"resources.memory: '0' is not a size; {SIZES}"),
        ("resources: {memory: true}", "resources.memory: True is not a size, such as '2g'"),
        ("resources: {shm_size: 99999999g}", "resources.shm_size: '99999999g' is more than any machine has"),
        ("resources: {cpus: 0}", "resources.cpus must be more than 0, not 0."),
        ("resources: {cpus: 5000}", "resources.cpus must be at most 1024, not 5000."),
        ("resources: {cpus: .nan}", "resources.cpus must be a finite number, not nan."),
        ("resources: {instance_count: 0}", "resources.instance_count must be at least 1, not 0."),
        ("resources: {instance_count: 1.5}", "resources.instance_count must be a whole number, not 1.5."),
        (
            "resources: {instance_count: 1000000000}",
            "resources.instance_count: jobs on several machines are not run by this version; instance_count must be 1",
        ),
        ("name: ''", f"name: '' {NAME}"),
        ("name: ｆｏｏ", f"name: 'ｆｏｏ' {NAME}"),
        (f"display_name: {'x' * 300}", "display_name must have at most 255 characters, not 300."),
        ("inputs: [a]", "inputs must be a mapping, not a list."),
        ("inputs: {d: }", "inputs.d: an input is a text, a number, true or false, or a mapping with a 'path'"),
        ("inputs: {d: {type: uri_file}}", "'inputs.d.path' is required."),
        (
            "inputs: {d: {type: uri_fil, path: x}}",
            f"inputs.d.type must be one of {TYPES}, not 'uri_fil'. Did you mean 'uri_file'?",
        ),
        ("inputs: {n: {type: integer}}", "inputs.n: it needs a value ('default'), as it is not optional"),
        ("inputs: {n: {type: integer, default: a}}", "inputs.n: 'a' is not of the type integer"),
        ("inputs: {n: {type: integer, default: true}}", "inputs.n: True is not of the type integer"),
        ("inputs: {n: {type: number, min: 3, max: 2, optional: true}}", "inputs.n: min 3 is more than max 2"),
        ("inputs: {n: {type: number, default: 9, max: 2}}", "inputs.n: 9 is more than max 2"),
        ("inputs: {n: {type: number, default: 1, min: 2}}", "inputs.n: 1 is less than min 2"),
        ("inputs: {n: {type: string, default: c, enum: [a, b]}}", "inputs.n: 'c' is none of 'a', 'b'"),
        (
            "outputs: {o: {mode: ro_mount}}",
            f"outputs.o.mode must be one of {MODES}, not 'ro_mount'. Did you mean 'rw_mount'?",
        ),
        ("environment_variables: {1X: y}", f"environment_variables: '1X' {NAMES}"),
        ("environment_variables: {A=B: y}", f"environment_variables: 'A=B' {NAMES}"),
        ('environment_variables: {"A\\n": y}', f"environment_variables: 'A\\n' {NAMES}"),
        ("environment_variables: {'': y}", f"environment_variables: '' {NAMES}"),
        ("environment_variables: {ｆｏｏ: y}", f"environment_variables: 'ｆｏｏ' {NAMES}"),
        ("environment_variables: [A]", "environment_variables must be a mapping, not a list."),
        (
            "environment_variables: {X: " + "a" * (129 << 10) + "}",
            "environment_variables: X is longer than the 131072 bytes that a process can be given",
        ),
        ('environment_variables: {X: "a\\0b"}', "Invalid Unicode: a lone surrogate or NUL."),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong(added: str, answer: str) -> None:
    assert said(f"{GOOD}{added}\n") == f"job.yml:4: {answer}"


@pytest.mark.parametrize(
    ("command", "inputs", "answer"),
    [
        ("x ${{inputs.c}}", "{a: 1, b: 2}", "job.yml:1: command: Unknown input 'c'. Defined: a, b."),
        ("x ${{inputs.c}}", "{}", "job.yml:1: command: Unknown input 'c'. Defined: none."),
        ("x ${{outputs.c}}", "{}", "job.yml:1: command: Unknown output 'c'. Defined: none."),
        ("x ${{inputs.c", "{c: 1}", "job.yml:1: command: '${{' is not closed by '}}': ${{inputs.c"),
        ("x $[[ y", "{}", "job.yml:1: command: '$[[' is not closed by ']]': $[[ y"),
        ("x ${{ ${{inputs.c}} }}", "{c: 1}", "job.yml:1: command: '${{' is not closed by '}}': ${{ ${{inputs.c"),
        (
            "x ${{parent.inputs.c}}",
            "{}",
            "job.yml:1: command: '${{parent.inputs.c}}' is only understood in the steps of a pipeline.",
        ),
        ("x ${{search_space.c}}", "{}", "job.yml:1: command: '${{search_space.c}}' is only understood in a sweep."),
        (
            "x ${{secrets.c}}",
            "{}",
            "job.yml:1: command: '${{secrets.c}}' is not understood. Write ${{inputs.<name>}} or ${{outputs.<name>}}.",
        ),
        ("''", "{}", "job.yml:1: command must not be empty."),
        ("", "{}", "job.yml:1: command must be text, not nothing."),
        ("[a]", "{}", "job.yml:1: command must be text, not a list."),
    ],
)
def test_a_command_that_cannot_be_filled_in(command: str, inputs: str, answer: str) -> None:
    assert said(f"command: {command}\nenvironment: azureml:x:1\ninputs: {inputs}\n") == answer


@pytest.mark.parametrize(
    ("environment", "rule"),
    [
        ("image: '; rm'", "job.yml:2: environment.image: '; rm' is not a valid image reference"),
        ("image: Upper/Case:1", "job.yml:2: environment.image: 'Upper/Case:1' is not a valid image reference"),
        ("image: a@sha256:12", "job.yml:2: environment.image: 'a@sha256:12' is not a valid image reference"),
        ("image: 3.11", "job.yml:2: environment.image must be a string; quote it: '3.11'."),
        ("imagee: a", "job.yml:2: Unknown field 'environment.imagee' (line 2). Did you mean 'image'?"),
        ("", "job.yml:2: environment: an environment needs an 'image' or a 'build'"),
    ],
)
def test_an_environment_that_cannot_be(environment: str, rule: str) -> None:
    assert said(f"command: x\nenvironment: {{{environment}}}\n").startswith(rule)


def test_what_the_cloud_tolerates_is_tolerated() -> None:
    job = read(GOOD + "limits:\nresources:\ninputs:\noutputs:\n  o:\ntags:\n  n: 1\n  yes: true\n")
    assert (job.limits.timeout, job.resources.instance_count, dict(job.inputs)) == (None, 1, {})
    assert (job.outputs["o"].type, job.tags) == ("uri_folder", {"n": "1", "yes": "true"})


def test_variables_that_change_more_than_they_seem_are_spoken_of() -> None:
    names = "{PATH: /x, MLFLOW_RUN_ID: x, AZUREML_RUN_ID: x, DOCKER_HOST: x, PLAIN: '${{inputs.a}}', FINE: x}"
    warnings = read(GOOD + f"environment_variables: {names}\n").warnings()
    assert [line.split()[2] for line in warnings] == ["MLFLOW_RUN_ID", "PATH", "AZUREML_RUN_ID", "DOCKER_HOST", "PLAIN"]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("code: missing", "'missing' was not found"),
        ("code: /", "surely not meant to be sent whole"),
        ("code: '~'", "surely not meant to be sent whole"),
        ("code: http://169.254.169.254/x", "Code must be a local folder or file."),
        ("inputs: {a: {type: uri_file, path: gone.csv}}", "'gone.csv' was not found"),
        ("type: pipeline", "Jobs of type 'pipeline' are not run by this version."),
    ],
)
def test_a_path_that_is_not_meant(tmp_path: Path, line: str, rule: str) -> None:
    (tmp_path / "job.yml").write_text(f"{GOOD}{line}\n")
    with pytest.raises(Invalid, match=r"job\.yml:4: ") as caught:
        local.job(source.load_file(tmp_path / "job.yml"), tmp_path)
    assert rule in str(caught.value)
