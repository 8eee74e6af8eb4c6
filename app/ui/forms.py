"""What people type in forms, made into what specs ask for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def pairs(text: str) -> dict[str, str]:
    """`a=1, b=2` as tags."""
    found = (part.partition("=") for part in text.split(",") if part.strip())
    return {key.strip(): value.strip() for key, _, value in found if key.strip()}


def spelled(tags: Mapping[str, str]) -> str:
    """The inverse of `pairs`."""
    return ", ".join(f"{key}={value}" for key, value in tags.items())


def rows(state: Any, start: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a data editor holds, without a data frame: the rows given first with its edits applied."""
    state = state or {}
    kept = [dict(row) for row in start]
    for place, edits in state.get("edited_rows", {}).items():
        kept[int(place)].update(edits)
    gone = {int(place) for place in state.get("deleted_rows", [])}
    added = [dict(row) for row in state.get("added_rows", [])]
    return [row for place, row in enumerate(kept) if place not in gone] + added


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
