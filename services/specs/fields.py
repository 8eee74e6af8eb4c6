"""Field types that several specs share: strict bases, sizes, references to images, variables."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from services.core import names
from services.core.errors import Invalid

_SIZE = re.compile(r"\A(?P<number>[0-9]{1,15})(?P<unit>[bkmg]?)\Z", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"\A-?(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_NUMBER = re.compile(r"\A[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z", re.ASCII)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_VARIABLE = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"\A(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?\Z",
    re.ASCII,
)
VALUE_LIMIT = 128 << 10


@dataclass(frozen=True)
class Local:
    """Marks a field whose text may be a path, relative to the file that holds it.

    `what` is "any"; "file" for a YAML file of that `noun`; "yaml" when other text is a name; or "script" for a file
    below the `code` beside it.
    """

    what: str = "any"
    noun: str = ""


class Spec(BaseModel):
    """Frozen; unknown keys are refused; `$schema` is accepted wherever the cloud writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


TOLD = frozenset(
    {
        "archived",
        "build_error",
        "build_status",
        "creation_context",
        "digest",
        "facts",
        "files",
        "id",
        "image_reference",
        "image_size",
        "labels",
        "packages",
        "size",
    }
)


class Kept(Spec):
    """What a workspace keeps by name and version. What is told of one and never written (`TOLD`) is read as if it were
    not there, so that what is shown is a file that makes an equal one.
    """

    @model_validator(mode="before")
    @classmethod
    def written(cls, value: Any) -> Any:
        told = TOLD - cls.model_fields.keys()
        return {key: inner for key, inner in value.items() if key not in told} if isinstance(value, dict) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(schema))
        for key in sorted(TOLD - cls.model_fields.keys()):
            made["properties"][key] = {"description": "Told by the studio, never written.", "readOnly": True}
        return made


def text_of(value: Any) -> Any:
    """Tags, properties and variables take scalars as the cloud's SDK does: as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return "" if value is None else value


def texts_of(value: Any) -> Any:
    """The same for each value of a mapping."""
    return {str(key): text_of(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _version(value: Any) -> Any:
    """`1` is `'1'`; `1.10` would be `1.1` and is refused."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _empty_mapping(value: Any) -> Any:
    return {} if value is None else value


def _whole(value: Any) -> Any:
    """`true` is no number, and `0777` or `1_000` mean different things to different readers."""
    if isinstance(value, bool) or (isinstance(value, str) and not _DIGITS.match(value)):
        raise PydanticCustomError("int_type", "must be a whole number")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.match(value)):
        raise PydanticCustomError("float_type", "must be a number")
    return value


def _flag(value: Any) -> Any:
    """`'True'` in quotes is what many files say."""
    known = {"true": True, "false": False}
    if isinstance(value, str) and value.casefold() in known:
        return known[value.casefold()]
    if not isinstance(value, bool):
        raise PydanticCustomError("bool_type", "must be true or false")
    return value


def _secret(value: Any) -> Any:
    """Refused without being repeated: what is wrong may still be the secret."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str) or not value:
        raise PydanticCustomError("secret_type", "must be text; put it in quotes")
    return value


def _unspoken(value: Any) -> Any:
    """A mapping with secrets, or nothing; refused without being repeated."""
    if value is not None and not isinstance(value, Mapping | BaseModel):
        raise PydanticCustomError("secret_type", "must be a mapping")
    return value


def _shown(value: SecretStr, info: SerializationInfo) -> str:
    is_told = isinstance(info.context, dict) and info.context.get("secrets") is True
    return value.get_secret_value() if is_told else str(value)


def _asset_name(name: str) -> str:
    try:
        return names.checked_asset(name)
    except Invalid as cause:
        raise ValueError(cause.message) from cause


_Words = str | int | float | bool | None
Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Texts = Annotated[
    dict[str, str],
    BeforeValidator(texts_of),
    BeforeValidator(_empty_mapping, json_schema_input_type=dict[str, _Words] | None),
]
Version = Annotated[str, BeforeValidator(_version, json_schema_input_type=str | int)]
AssetName = Annotated[
    str,
    AfterValidator(_asset_name),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$"}),
]
Secret = Annotated[SecretStr, BeforeValidator(_secret, json_schema_input_type=str), PlainSerializer(_shown)]
UNSPOKEN = BeforeValidator(_unspoken)
Description = Annotated[str, Field(max_length=10_000)]


def caseless(*words: str) -> BeforeValidator:
    """Takes the words in any case; schemas offer them as they are written here."""
    pattern = "|".join("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in words)
    shape = {"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": f"^(?:{pattern})$"}]}
    return BeforeValidator(_folded, json_schema_input_type=Annotated[str, WithJsonSchema(shape)])


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def tagged(tags: Mapping[str, str], default: str = "") -> Callable[[Any], str | None]:
    """Chooses the branch of a union by `type`. Tags stand in brackets, as names that no field could have."""

    def tag(value: Any) -> str | None:
        kind = value.get("type", default) if isinstance(value, Mapping) else getattr(value, "type", default)
        return tags.get(kind) if isinstance(kind, str) else None

    return tag


def known_type(
    types: Collection[str], *, what: str, default: str = "", refused: Collection[str] = ()
) -> Callable[[Any], Any]:
    """Refuses a mapping whose `type` is none of them, with the nearest; those of `refused` by their name."""

    def known(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"{what} must be a mapping")
        kind = value.get("type", default)
        if kind in refused and isinstance(kind, str):
            raise ValueError(f"{what} of type '{kind}' is not run by this version")
        if kind == "":
            raise ValueError(f"{what} needs a 'type': one of {', '.join(types)}")
        if not isinstance(kind, str) or kind not in types:
            close = difflib.get_close_matches(str(kind), list(types), n=1)
            meant = f". Did you mean '{close[0]}'?" if close else ""
            raise ValueError(f"type must be one of {', '.join(map(repr, types))}, not {str(kind)[:80]!r}{meant}")
        return value

    return known


def size_of(text: str | int) -> int:
    """Bytes of `2g`, `512m`, `64k`, `1024`. Raises ValueError naming the units."""
    found = _SIZE.match(str(text))
    if found is None or (size := int(found["number"]) * _UNITS[found["unit"].lower()]) <= 0:
        raise ValueError(
            f"{str(text)[:40]!r} is not a size; write a positive whole number with b, k, m or g, such as '2g'"
        )
    if size > 1 << 50:
        raise ValueError(f"{str(text)[:40]!r} is more than any machine has")
    return size


def image_reference(text: str) -> str:
    """The reference itself. Raises ValueError."""
    if not _IMAGE.match(text) or len(text) > 512:
        raise ValueError(f"{text[:120]!r} is not a valid image reference, such as 'python:3.11' or 'host/name:tag'")
    return text


def variables(values: dict[str, str]) -> dict[str, str]:
    """Environment variables that a process can be given. Raises ValueError naming the first that cannot."""
    for name, value in values.items():
        if not _VARIABLE.match(name):
            raise ValueError(f"{name[:80]!r} is not a name for a variable: letters, digits and '_', no digit first")
        if "\0" in value:
            raise ValueError(f"{name} holds a NUL character")
        if len(value.encode("utf-8", "surrogatepass")) > VALUE_LIMIT:
            raise ValueError(f"{name} is longer than the {VALUE_LIMIT} bytes that a process can be given")
    return values
