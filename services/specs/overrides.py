"""`--set a.b.c=value`: changes what a file says before it is checked."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from services.core.errors import Invalid
from services.specs.fields import texts_of
from services.specs.source import scalar


def apply(value: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy with each `path=value` set, missing levels made. Raises Invalid naming the setting.

    A literal in the way becomes a mapping's `path`: `inputs.data.type=uri_file` on a mapping adds to it.
    """
    changed = deepcopy(value)
    for setting in settings:
        path, equals, text = setting.partition("=")
        parts = re.sub(r"\[(\d+)\]", r".\1", path).split(".")
        if not equals or not all(part.strip() for part in parts):
            raise Invalid(f"'{setting[:120]}' is not a setting.", where="--set", hint="Write --set name.name=value.")
        _put(changed, parts, scalar(text), setting)
    return changed


def changed(now: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The same of what a call to change details sends: tags and properties are texts, as in files."""
    value = apply(now, settings)
    return value | {key: texts_of(value[key]) for key in ("tags", "properties") if key in value}


def merged(written: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with the changed fields, mappings field by field; None takes one away."""
    found = dict(written)
    for key, value in changes.items():
        here = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(here, Mapping):
            found[key] = merged(here, value)
        else:
            found[key] = value
    return found


def _put(here: Any, parts: list[str], value: Any, setting: str) -> None:
    for part in parts[:-1]:
        inner = _step(here, part, setting)
        if inner is None:
            inner = {}
            here[_key(here, part, setting)] = inner
        here = inner
    here[_key(here, parts[-1], setting)] = value


def _step(here: Any, part: str, setting: str) -> Any:
    key = _key(here, part, setting)
    inner = here[key] if isinstance(here, list) else here.get(key)
    if inner is not None and not isinstance(inner, dict | list):
        raise Invalid(f"'{setting[:120]}': '{part}' is {inner!r} and has no fields.", where="--set")
    return inner


def _key(here: Any, part: str, setting: str) -> Any:
    if not isinstance(here, list):
        return part
    if not part.isdecimal() or int(part) >= len(here):
        raise Invalid(f"'{setting[:120]}': the list has no item '{part}'; it has {len(here)}.", where="--set")
    return int(part)
