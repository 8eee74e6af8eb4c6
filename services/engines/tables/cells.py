"""Values as people and JSON can take them, and the few names that types have here."""

import datetime as dt
import decimal
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.engines.tables.shapes import Cell

LONGEST = 500
NOT_A_NUMBER = ("nan", "NaN")
_SAFE = 1 << 53
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9.]+)?(?:Z|[+-][0-9:]{2,6})?\Z", re.ASCII
)
_KINDS = (("integer", _INTEGER), ("number", _NUMBER), ("date", _DATE), ("timestamp", _TIMESTAMP))


def cell(value: Any, longest: int = LONGEST) -> Cell:
    """A value as JSON and a browser can take it; long ones are cut."""
    match value:
        case None | bool():
            return value
        case int():
            return value if -_SAFE <= value <= _SAFE else cut(str(value), longest)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return cut(value, longest)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal():
            return cut(str(value), longest)
        case bytes():
            return cut(f"0x{value[:longest].hex()}", longest)
        case Mapping() | Sequence():
            return cut(json.dumps(value, default=_inner, ensure_ascii=False), longest)
        case _:
            return cut(str(value), longest)


def cut(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters, in Unicode that can be sent, an ellipsis where some are gone."""
    held = text[: longest + 1].encode(errors="replace").decode()
    return held if len(held) <= longest else f"{held[: longest - 1]}…"


def kind_of_texts(texts: Sequence[str]) -> str:
    """What all of these are written as; empty ones do not count."""
    filled = [text.strip() for text in texts if text.strip() and text.strip() not in NOT_A_NUMBER]
    if not filled:
        return "text"
    if all(text.casefold() in {"true", "false"} for text in filled):
        return "boolean"
    for name, pattern in _KINDS:
        if all(pattern.match(text) for text in filled):
            return name
    return "text"


def typed(text: str, kind: str) -> Cell:
    """A text as a value of the kind that its column has; an empty one is missing."""
    stripped = text.strip()
    if not stripped:
        return text or None
    if stripped in NOT_A_NUMBER and kind != "text":
        return None
    match kind:
        case "integer":
            return cell(int(stripped))
        case "number":
            return cell(float(stripped))
        case "boolean":
            return stripped.casefold() == "true"
        case _:
            return cut(text)


def kind_of_value(value: Any) -> str:
    """Of a value that JSON or a spreadsheet gave."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float() | decimal.Decimal():
            return "number"
        case str():
            return "text"
        case dt.datetime():
            return "timestamp"
        case dt.date():
            return "date"
        case dt.time():
            return "time"
        case list():
            return "list"
        case dict():
            return "mapping"
        case _:
            return "other"


def kind_of_values(values: Sequence[Any]) -> str:
    """Of a whole column: one kind, numbers where whole ones are among them, else text."""
    kinds = {kind_of_value(value) for value in values if value is not None}
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "text"


def unique(names: Sequence[str], prefix: str = "column") -> list[str]:
    """Column names without gaps and doubles, in the way they are counted everywhere here."""
    found: list[str] = []
    taken = set[str]()
    for index, name in enumerate(names, start=1):
        wanted = cut(" ".join(name.split()), 200) or f"{prefix}_{index}"
        final, count = wanted, 1
        while final.casefold() in taken:
            count += 1
            final = f"{wanted}_{count}"
        taken.add(final.casefold())
        found.append(final)
    return found


def _inner(value: Any) -> Any:
    shown = cell(value)
    return shown if not isinstance(shown, float) or math.isfinite(shown) else str(shown)
