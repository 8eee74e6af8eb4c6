"""JSON schemas of every kind of file that people write: what editors complete, explain and underline.

They come from the same specs that read the files, and never refuse what those accept.
"""

from functools import lru_cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from services.core.errors import NotFound
from services.specs import kinds, words
from services.specs.kinds import Kind
from services.specs.problems import nearest

DIALECT = "http://json-schema.org/draft-07/schema#"
SUFFIX = ".schema.json"
# Pydantic leaves these as they are on a bound number that may also be null.
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def listed() -> list[dict[str, str]]:
    """All kinds that have a schema, with the file's name."""
    return [
        {"name": kind.name, "noun": kind.noun, "title": kind.title, "file": kind.name + SUFFIX}
        for kind in kinds.WRITTEN
    ]


def schema(name: str) -> dict[str, Any]:
    """The schema of a kind, by our name or by the cloud's. Raises NotFound."""
    kind = kinds.named(name.removesuffix(SUFFIX))
    if kind is None or kind.spec is None:
        known = [each.name for each in kinds.WRITTEN]
        raise NotFound(
            f"There is no schema '{name[:80]}'.{nearest(name, known)}", hint="'atelier schema list' shows all."
        )
    return _made(kind)


@lru_cache
def _made(kind: Kind) -> dict[str, Any]:
    spec = kind.spec
    if spec is None:
        return {}
    made = spec.model_json_schema(
        by_alias=True, ref_template="#/definitions/{model}", schema_generator=_Generator, mode="validation"
    )
    definitions = made.pop("$defs", {})
    root = made.pop("$ref", "")
    if root:  # a spec that holds itself
        made = dict(definitions[root.rpartition("/")[2]])
    for name, each in [(spec.__name__, made), *definitions.items()]:
        _explained(each, name)
    told = {"$schema": DIALECT, **made, "title": f"{kind.title[:1].upper()}{kind.title[1:]}"}
    tidy: dict[str, Any] = _tidied({**told, "definitions": definitions} if definitions else told)
    return tidy


def _explained(definition: dict[str, Any], name: str) -> None:
    """Each property with its sentence, which an editor shows beside it."""
    for key, shape in definition.get("properties", {}).items():
        if sentence := words.sentence(name, key):
            shape["description"] = sentence


def _tidied(shape: Any) -> Any:
    """Without branches that another one holds already, and without defaults that say nothing."""
    if isinstance(shape, list):
        return [_tidied(each) for each in shape]
    if not isinstance(shape, dict):
        return shape
    tidy = {_BOUNDS.get(key, key): _tidied(each) for key, each in shape.items() if (key, each) != ("default", None)}
    branches = tidy.get("anyOf")
    if isinstance(branches, list):
        flat = [part for each in branches for part in (each["anyOf"] if each.keys() == {"anyOf"} else [each])]
        is_any_text = {"type": "string"} in flat
        kept: list[Any] = []
        for each in flat:
            if each not in kept and not (is_any_text and each.keys() == {"type", "pattern"}):
                kept.append(each)
        tidy["anyOf"] = kept
    return tidy


class _Generator(GenerateJsonSchema):
    """As the loader reads: numbers and booleans in quotes too, unions by any branch, no titles of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _quoted(super().int_schema(schema), r"^-?(0|[1-9][0-9]{0,17})$")

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _quoted(super().float_schema(schema), r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$")

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _quoted(super().bool_schema(schema), "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$")

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        made = super().tagged_union_schema(schema)
        return {"anyOf" if key == "oneOf" else key: each for key, each in made.items() if key != "discriminator"}


def _quoted(shape: JsonSchemaValue, pattern: str) -> JsonSchemaValue:
    return {"anyOf": [shape, {"type": "string", "pattern": pattern}]}
