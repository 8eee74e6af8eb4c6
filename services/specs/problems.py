"""What Pydantic found wrong, said to the person who wrote it: field, line, rule and the nearest right word."""

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from services.core.errors import Invalid
from services.specs.source import Source

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the field's path, its line where a file is known, and a sentence."""

    field: str
    line: int | None
    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


_SAYS = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "list_type": "must be a list",
    "missing": "is required",
}


def checked(model: type[Model], value: Any, source: Source | None = None) -> Model:
    """`value` as a spec. Raises Invalid for the first problem; `details` holds a sentence for each."""
    try:
        return model.model_validate(value)
    except ValidationError as cause:
        raise translated(cause, model, source) from cause


def chosen(
    models: Mapping[str, type[Model]], value: Any, source: Source | None = None, *, what: str, default: str = ""
) -> Model:
    """`value` as the spec that its `type` names, or `default` when it has none. Raises Invalid."""
    if not isinstance(value, Mapping):
        raise Invalid(f"A {what} must be a mapping, not {_shown(value)}.", where=source.where() if source else None)
    kind = value.get("type", default)
    where = source.where(("type",)) if source else "type"
    if kind == "":
        raise Invalid(f"'type' is required: one of {', '.join(models)}.", where=where)
    if not isinstance(kind, str) or kind not in models:
        known = ", ".join(map(repr, models))
        raise Invalid(
            f"type must be one of {known}, not {_shown(kind)}.{nearest(str(kind), list(models))}", where=where
        )
    return checked(models[kind], value, source)


def translated(cause: ValidationError, model: type[BaseModel], source: Source | None = None) -> Invalid:
    """All of Pydantic's findings as one Invalid."""
    found = listed(cause, model, source)
    message = found[0].message
    if len(found) > 1:
        message += f" ({len(found) - 1} more problem{'s' if len(found) > 2 else ''})"
    invalid = Invalid(message, where=found[0].where)
    invalid.details = [str(each) for each in found]
    return invalid


def listed(cause: ValidationError, model: type[BaseModel], source: Source | None = None) -> list[Problem]:
    """All of Pydantic's findings, those about unknown fields first."""
    return [_told(error, model, source) for error in _relevant(cause.errors(include_url=False))]


def nearest(word: str, known: Sequence[str]) -> str:
    """` Did you mean 'x'?`, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [
        name for name in known if name.casefold() == word.casefold()
    ]
    return f" Did you mean '{close[0]}'?" if close else ""


def _relevant(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """A union reports every branch: keep the one that comes nearest. Unknown fields come first: a misspelt
    key is often why another is missing."""
    kept: list[ErrorDetails] = []
    for prefix, group in _by_union(errors).items():
        branches: dict[object, list[ErrorDetails]] = {}
        for error in group:
            branches.setdefault(error["loc"][len(prefix)] if len(error["loc"]) > len(prefix) else None, []).append(
                error
            )
        nearest = min(branches.values(), key=_distance)
        kept += nearest
    return sorted(kept, key=lambda error: error["type"] != "extra_forbidden")


def _by_union(errors: list[ErrorDetails]) -> dict[tuple[int | str, ...], list[ErrorDetails]]:
    """Findings by the path before their union branch; those outside of a union stand alone."""
    groups: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for error in errors:
        loc = error["loc"]
        within = loc[:-1] if _is_key(error) else loc  # a misspelt key may look like a branch
        at = next((index for index, part in enumerate(within) if _is_branch(part)), None)
        groups.setdefault(loc if at is None else loc[:at], []).append(error)
    return groups


def _distance(found: list[ErrorDetails]) -> tuple[bool, int]:
    return _is_wrong_kind(found), len(found)


def _is_wrong_kind(found: list[ErrorDetails]) -> bool:
    """The branch did not even look inside."""
    return all(error["type"].endswith("_type") and _is_branch(error["loc"][-1]) for error in found if error["loc"])


def _told(error: ErrorDetails, model: type[BaseModel], source: Source | None) -> Problem:
    path = [*_names(error["loc"][:-1]), error["loc"][-1]] if _is_key(error) else _names(error["loc"])
    sentence = _sentence(error, ".".join(map(str, path)), source.line(path) if source else None, model, source)
    path = _closer(error, path, source) if source else path
    field = ".".join(map(str, path))
    return Problem(field, source.line(path) if source else None, sentence, source.where(path) if source else field)


def _closer(error: ErrorDetails, path: list[int | str], source: Source) -> list[int | str]:
    """A check of a whole mapping begins with the field that it is about: 'jobs.a: …'."""
    if error["type"] not in {"value_error", "assertion_error"}:
        return path
    within = [*path, *_said(error).partition(":")[0].split(".")]
    return within if tuple(within[: len(path) + 1]) in source.lines else path


def _said(error: ErrorDetails) -> str:
    """What a check of our own said."""
    return str(error.get("ctx", {}).get("error", error["msg"]))


def _sentence(error: ErrorDetails, field: str, line: int | None, model: type[BaseModel], source: Source | None) -> str:
    if _is_key(error):
        at = f" (line {line})" if line else ""
        *above, key = [*map(str, _names(error["loc"][:-1])), str(error["loc"][-1])]
        return f"Unknown field '{field}'{at}.{nearest(key, _fields(model, above))}"
    if error["type"] in {"value_error", "assertion_error"}:
        return f"{field}: {_said(error)}" if field else _said(error)
    if error["type"] in {"literal_error", "enum"}:
        return _not_among(field, str(error.get("ctx", {}).get("expected", "")), error["input"])
    if error["type"] in {"string_too_long", "string_too_short"}:
        return _wrong_length(field, error)
    limits = error.get("ctx", {})
    if error["type"] == "too_short":
        return f"{field} must not be empty."
    if error["type"] == "too_long":
        return f"{field} must have at most {limits['max_length']} entries, not {limits['actual_length']}."
    for bound, said in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if bound in limits:
            return f"{field} must be {said} {limits[bound]}, not {_shown(error['input'])}."
    rule = _SAYS.get(error["type"])
    if error["type"] == "missing":
        return f"'{field}' is required."
    if error["type"] == "string_type" and not isinstance(error["input"], dict | list | None):
        written = source.written.get(tuple(error["loc"])) if source else None
        return f"{field} must be a string; quote it: '{written or error['input']}'."
    if rule:
        return f"{field} {rule}, not {_shown(error['input'])}."
    said = f"{error['msg'][:1].lower()}{error['msg'][1:]}."
    return f"{field} {said}" if said.startswith("must ") else f"{field}: {said}"


def _not_among(field: str, expected: str, value: Any) -> str:
    known = re.findall(r"'([^']*)'", expected)
    rule = f"must be one of {', '.join(map(repr, known))}" if len(known) > 1 else f"must be {expected}"
    return f"{field} {rule}, not {_shown(value)}.{nearest(str(value), known)}"


def _wrong_length(field: str, error: ErrorDetails) -> str:
    limits, length = error.get("ctx", {}), len(error["input"])
    if not length:
        return f"{field} must not be empty."
    return f"{field} must have at most {limits.get('max_length')} characters, not {length}."


def _names(loc: tuple[int | str, ...]) -> list[int | str]:
    """Without the names of union branches that Pydantic puts in between."""
    return [part for part in loc if not _is_branch(part)]


def _is_key(error: ErrorDetails) -> bool:
    return error["type"] == "extra_forbidden"


def _is_branch(part: int | str) -> bool:
    """Pydantic names the branches of a union by type or class in between the fields."""
    return isinstance(part, str) and (
        part in {"str", "int", "float", "bool", "dict", "none"} or "[" in part or part in _classes()
    )


def _classes() -> frozenset[str]:
    todo, found = [BaseModel], set[str]()
    while todo:
        kinds = todo.pop().__subclasses__()
        todo += kinds
        found |= {kind.__name__ for kind in kinds if kind.__module__.startswith("services.specs")}
    return frozenset(found)


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    here: Any = model
    for part in path:
        here = _inner(here, part)
        if here is None:
            return []
    models = [arg for arg in _flat(here) if isinstance(arg, type) and issubclass(arg, BaseModel)]
    return [info.alias or name for found in models for name, info in found.model_fields.items()]


def _inner(here: Any, part: str) -> Any:
    for option in _flat(here):
        if isinstance(option, type) and issubclass(option, BaseModel):
            for name, info in option.model_fields.items():
                if part in {name, info.alias}:
                    return info.annotation
        elif typing.get_origin(option) in {dict, typing.get_origin(typing.Mapping[str, str])}:
            return typing.get_args(option)[1]
    return None


def _flat(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return [inner for arg in typing.get_args(annotation) for inner in _flat(arg)]
    if typing.get_origin(annotation) is typing.Annotated:
        return _flat(typing.get_args(annotation)[0])
    return [annotation]


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return repr(value)[:80]
