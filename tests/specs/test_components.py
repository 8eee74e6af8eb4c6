"""Components as people write them: typed inputs, and values that must fit them."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.core.errors import Invalid
from services.specs import components, source
from services.specs.components import CommandComponent
from services.specs.interfaces import ComponentInput, fitted

GOOD = "name: x\ncommand: ls ${{inputs.a}}\nenvironment: azureml:e:1\ninputs:\n  a: {type: string}\n"


def read(text: str) -> components.Component:
    written = source.load(text, file="c.yml")
    return components.component(written.value, written)


@pytest.mark.parametrize(("written", "version"), [("01", "01"), ("1", "1"), ("'1.10'", "1.10"), ("2", "2")])
def test_a_version_stays_what_was_written(written: str, version: str) -> None:
    assert read(f"{GOOD}version: {written}\n").version == version


def test_a_legacy_path_is_a_folder() -> None:
    component = read("name: x\ncommand: ls\nenvironment: azureml:e:1\ninputs:\n  a: {type: path}\n")
    assert component.inputs["a"].type == "uri_folder"


def test_an_input_is_required_unless_it_may_be_left_out_or_has_a_default() -> None:
    text = "name: x\ncommand: ls\nenvironment: azureml:e:1\ninputs:\n  a: {type: string}\n"
    component = read(text + "  b: {type: string, optional: true}\n  c: {type: number, default: 1}\n")
    assert {name for name, wanted in component.inputs.items() if wanted.is_required} == {"a"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("inputs.a", "inputs.b"), "Unknown input 'b'. Defined: a"),
        (GOOD.replace("inputs.a}}", "inputs.a"), "not closed"),
        (GOOD.replace("${{inputs.a}}", "$[[--a ${{inputs.a}}]]"), "stands in $[[ ]] but is not optional"),
        (GOOD.replace("type: string", "type: strng"), "inputs.a.type must be one of"),
        (GOOD.replace("type: string", "type: strng"), "Did you mean 'string'?"),
        (GOOD.replace("type: string", "type: integer, default: 1.5"), "1.5 is not of the type integer"),
        (GOOD.replace("type: string", "type: integer, default: many"), "'many' is not of the type integer"),
        (GOOD.replace("type: string", "type: boolean, default: 1"), "1 is not of the type boolean"),
        (GOOD.replace("type: string", "type: number, min: 2, max: 1"), "min 2 is more than max 1"),
        (GOOD.replace("type: string", "type: number, max: 1, default: 2"), "2 is more than max 1"),
        (GOOD.replace("type: string", "type: number, min: 1, default: 0"), "0 is less than min 1"),
        (GOOD.replace("type: string", "type: string, enum: [a, b], default: c"), "'c' is none of 'a', 'b'"),
        (GOOD.replace("type: string", "type: uri_file, min: 1"), "min, max and enum are for numbers and text"),
        (GOOD.replace("type: string", "type: string, defalt: x"), "Did you mean 'default'?"),
        (GOOD.replace("  a: {", "  a b: {"), "'a b' is not a name"),
        (GOOD + "resources: {instance_count: 0}\n", "must be at least 1"),
        (GOOD + "resources: {instance_count: 1000000000}\n", "must be at most 1024"),
        (GOOD + "resources: {docker_args: --privileged}\n", "docker_args is refused"),
        (GOOD + "distribution: {type: horovod}\n", "distribution.type must be one of"),
        (GOOD + "is_deterministic: maybe\n", "must be true or false"),
        (GOOD + "additional_includes: ./src\n", "must be a list"),
        (GOOD + "type: comand\n", "Did you mean 'command'?"),
        ("type: parallel\nname: x\n", "'task' is required"),
        ("type: sweep\nname: x\ntrial: ./t.yml\n", "'search_space' is required"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert said in " ".join([str(caught.value), *caught.value.details])
    assert str(caught.value.where).startswith("c.yml:")


@pytest.mark.parametrize(
    ("kind", "value", "becomes"),
    [
        ("integer", "3", 3),
        ("integer", 3.0, 3),
        ("number", "0.1", 0.1),
        ("number", 3, 3),
        ("boolean", "True", True),
        ("boolean", False, False),
        ("string", 3, "3"),
        ("string", True, "True"),
    ],
)
def test_a_value_becomes_what_its_type_says(kind: str, value: object, becomes: object) -> None:
    found = fitted(ComponentInput(type=kind), value)  # type: ignore[arg-type]
    assert (found, type(found)) == (becomes, type(becomes))


@given(some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=9))
def test_whatever_fits_once_fits_again(value: bool | float | str) -> None:
    for kind in ("string", "number", "integer", "boolean"):
        wanted = ComponentInput(type=kind)  # type: ignore[arg-type]
        try:
            found = fitted(wanted, value)
        except ValueError:
            continue
        assert fitted(wanted, found) == found or found != found


def test_a_component_without_a_type_is_a_command() -> None:
    assert isinstance(read(GOOD), CommandComponent)
