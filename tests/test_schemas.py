"""JSON schemas: editors underline what the loader refuses, and never what it accepts."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.cli import main
from services import schemas
from services.core.errors import NotFound
from services.specs import kinds, source, words
from tests.specs.written import WRITTEN


@lru_cache
def validator(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(schemas.schema(name))


@lru_cache
def value_of(name: str) -> dict[str, Any]:
    return source.load(WRITTEN[name]).value


def underlined(name: str, value: object) -> list[tuple[Any, ...]]:
    """The places that an editor would underline, the deepest first."""
    places = set()
    todo = list(validator(name).iter_errors(value))
    while todo:
        error = todo.pop()
        places.add(tuple(error.absolute_path))
        todo += error.context or []
    return sorted(places, key=len, reverse=True)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_schema_is_one_itself(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(schemas.schema(name))
    assert schemas.schema(name)["$schema"] == schemas.DIALECT


@pytest.mark.parametrize("name", WRITTEN)
def test_a_good_file_has_nothing_underlined(name: str) -> None:
    assert underlined(name, value_of(name)) == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_wrong_key_is_underlined(name: str) -> None:
    value = {**value_of(name), "zebra": 1}
    assert [error.message for error in validator(name).iter_errors(value)] == [
        "Additional properties are not allowed ('zebra' was unexpected)"
    ]


@pytest.mark.parametrize(
    ("name", "path", "wrong"),
    [
        ("commandJob", ("limits", "timeout"), "soon"),
        ("commandJob", ("limits", "timeout"), 0),
        ("commandJob", ("resources", "instance_count"), 1.5),
        ("commandJob", ("inputs", "data", "type"), "uri_foldr"),
        ("commandJob", ("command",), 3),
        ("commandComponent", ("inputs", "epochs", "type"), "int"),
        ("commandComponent", ("is_deterministic",), "perhaps"),
        ("commandComponent", ("distribution", "type"), "horovod"),
        ("pipelineJob", ("jobs", "a", "comand"), "ls"),
        ("pipelineJob", ("jobs", "c", "task", "entry_script"), None),
        ("pipelineJob", ("settings", "force_rerun"), "often"),
        ("sweepJob", ("objective", "goal"), "lower"),
        ("sweepJob", ("search_space", "c", "min_value"), "low"),
        ("data", ("type",), "uri_foldr"),
        ("model", ("type",), "onnx"),
        ("azureBlob", ("credentials", "acount_key"), "x"),
        ("s3Datastore", ("path_style",), "maybe"),
        ("onlineEndpoint", ("name",), "-x"),
        ("onlineEndpoint", ("traffic", "blue"), 101),
        ("onlineDeployment", ("liveness_probe", "period"), "often"),
        ("modelBatchDeployment", ("settings", "output_action"), "append"),
        ("schedule", ("trigger", "interval"), 0),
        ("schedule", ("trigger", "frequency"), "fortnight"),
        ("amlCompute", ("max_instances",), -1),
    ],
)
def test_a_wrong_value_is_underlined_by_both(name: str, path: tuple[str, ...], wrong: object) -> None:
    value = copy.deepcopy(value_of(name))
    here = value
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = wrong
    places = underlined(name, value)
    assert path in places or path[:-1] in places
    spec = kinds.KINDS[name].spec
    assert spec is not None
    with pytest.raises(ValueError, match=path[-1]):
        spec.model_validate(value)


@pytest.mark.parametrize("name", WRITTEN)
def test_every_field_says_what_it_is_for(name: str) -> None:
    schema = schemas.schema(name)
    for each in (schema, *schema.get("definitions", {}).values()):
        assert each.get("description") or each is schema, each
        silent = [key for key, shape in each.get("properties", {}).items() if not shape.get("description")]
        assert silent == []


def test_no_sentence_is_about_a_field_that_is_gone() -> None:
    known = set()
    for kind in kinds.WRITTEN:
        schema = schemas.schema(kind.name)
        spec = kind.spec.__name__ if kind.spec else ""
        for name, each in [(spec, schema), *schema.get("definitions", {}).items()]:
            known |= {text for key in each.get("properties", {}) for text in (key, f"{name}.{key}")}
    assert set(words.FIELDS) <= known


_VALUES = (
    some.none()
    | some.booleans()
    | some.integers(-2, 200)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.sampled_from(["", "x", "1", "0.5", "True", "azureml:x:1", "${{inputs.a}}", "uri_file", "5", "random", "Key"])
    | some.text(max_size=6)
    | some.just([])
    | some.just({})
    | some.lists(some.integers(0, 3) | some.text(max_size=3), max_size=2)
    | some.dictionaries(
        some.sampled_from(["type", "path", "x"]), some.sampled_from(["a", 1, None, "uri_file"]), max_size=2
    )
)


def _paths(value: object, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    if isinstance(value, dict):
        found += [path for key, inner in value.items() for path in _paths(inner, (*here, key))]
    if isinstance(value, list):
        found += [path for index, inner in enumerate(value) for path in _paths(inner, (*here, index))]
    return found


@given(some.sampled_from(list(WRITTEN)), some.data())
@settings(max_examples=3000, deadline=None)
def test_what_the_loader_accepts_the_schema_accepts(name: str, data: some.DataObject) -> None:
    value = copy.deepcopy(value_of(name))
    for _ in range(data.draw(some.integers(1, 2))):
        paths = _paths(value)
        if not paths:
            break
        *above, last = data.draw(some.sampled_from(paths))
        here: Any = value
        for part in above:
            here = here[part]
        match data.draw(some.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                here[last] = data.draw(_VALUES)
            case "remove":
                del here[last]
            case "add" if isinstance(here, dict):
                fields = some.sampled_from(kinds.KINDS[name].fields) | some.text(max_size=4)
                here[data.draw(fields)] = data.draw(_VALUES)
    spec = kinds.KINDS[name].spec
    assert spec is not None
    try:
        spec.model_validate(value)
    except ValueError:
        return
    assert list(validator(name).iter_errors(value)) == []


def test_the_census_has_nothing_underlined(census: Path) -> None:
    seen = 0
    for path in [*census.rglob("*.y*ml"), *census.rglob("MLTable")]:
        if path.is_file():
            written = source.load_file(path)
            assert underlined(kinds.detect(written.value).name, written.value) == [], path
            seen += 1
    assert seen >= 60


def test_a_schema_has_the_clouds_name_too() -> None:
    assert schemas.schema("managedOnlineDeployment.schema.json") == schemas.schema("onlineDeployment")
    with pytest.raises(NotFound, match="Did you mean 'commandJob'"):
        schemas.schema("comandJob")
    with pytest.raises(NotFound):
        schemas.schema("sparkJob")


def test_schemas_are_exported_as_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["schema", "export", "--output-dir", str(tmp_path / "deep" / "er")])
    assert end.value.code in {0, None}
    assert f"{len(WRITTEN)} schemas in" in capsys.readouterr().err
    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "deep" / "er").iterdir()}
    assert written == {f"{name}.schema.json": schemas.schema(name) for name in WRITTEN}
    with pytest.raises(SystemExit):
        main(["schema", "list", "-o", "json"])
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(WRITTEN)
    with pytest.raises(SystemExit):
        main(["schema", "show", "--name", "data"])
    assert json.loads(capsys.readouterr().out) == schemas.schema("data")
