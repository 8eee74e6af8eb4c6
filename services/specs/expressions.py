"""`${{ }}` and `$[[ ]]`: plain text substitution into a command, before any shell sees it.

A segment in `$[[ … ]]` is dropped when an optional input inside has neither value nor default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.core.errors import Invalid

_REFERENCE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_SEGMENT = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_NAMED = re.compile(
    r"\A\s*(?P<group>inputs|outputs|search_space)\.(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*\Z", re.ASCII
)


@dataclass(frozen=True)
class Reference:
    """`group` is inputs, outputs or search_space."""

    group: str
    name: str


def references(command: str, *, field: str = "command") -> list[Reference]:
    """All that a command names, in order. Raises Invalid for anything that is not understood."""
    for opening, closing in (("${{", "}}"), ("$[[", "]]")):
        rest = command
        while opening in rest:
            _, _, rest = rest.partition(opening)
            inside, closed, after = rest.partition(closing)
            if not closed or opening in inside:
                raise Invalid(f"'{opening}' is not closed by '{closing}': {opening}{inside[:40]}", where=field)
            rest = after
    return [_reference(found[1], field) for found in _REFERENCE.finditer(command)]


def check(
    command: str,
    *,
    inputs: Mapping[str, bool],
    outputs: Mapping[str, object],
    space: Mapping[str, object] | None = None,
    field: str = "command",
) -> None:
    """Every reference must be defined; only optional inputs may stand in `$[[ ]]`.

    `inputs` says of each whether it is optional, `space` is a sweep's. Raises Invalid naming what is defined.
    """
    for reference in references(command, field=field):
        if reference.group == "search_space" and space is None:
            raise Invalid(f"'${{{{search_space.{reference.name}}}}}' is only understood in a sweep.", where=field)
        groups = {"inputs": list(inputs), "outputs": list(outputs), "search_space": list(space or ())}
        known = groups[reference.group]
        if reference.name not in known:
            listed = ", ".join(known) or "none"
            raise Invalid(f"Unknown {reference.group.rstrip('s')} '{reference.name}'. Defined: {listed}.", where=field)
    for segment in _SEGMENT.finditer(command):
        for reference in references(segment[1], field=field):
            if reference.group == "inputs" and not inputs[reference.name]:
                raise Invalid(f"Input '{reference.name}' stands in $[[ ]] but is not optional.", where=field)


def render(command: str, *, inputs: Mapping[str, str | None], outputs: Mapping[str, str]) -> str:
    """The command as the shell gets it. None is an optional input without a value.

    Substituted text is not looked at again. Raises Invalid for an unknown name.
    """
    kept = settled(command, inputs)
    return _REFERENCE.sub(lambda found: _valued(_reference(found[1], "command"), inputs, outputs), kept)


def settled(command: str, inputs: Mapping[str, object | None]) -> str:
    """Each `$[[ ]]` kept without its brackets, or dropped; what stands in `${{ }}` stays."""
    return _SEGMENT.sub(lambda segment: segment[1] if _has_values(segment[1], inputs) else "", command)


def _has_values(segment: str, inputs: Mapping[str, object | None]) -> bool:
    return all(
        inputs.get(reference.name) is not None for reference in references(segment) if reference.group == "inputs"
    )


def _reference(text: str, field: str) -> Reference:
    found = _NAMED.match(text)
    if found is not None:
        return Reference(found["group"], found["name"])
    if text.strip().startswith("parent."):
        raise Invalid(f"'${{{{{text}}}}}' is only understood in the steps of a pipeline.", where=field)
    raise Invalid(
        f"'${{{{{text[:60]}}}}}' is not understood.",
        where=field,
        hint="Write ${{inputs.<name>}} or ${{outputs.<name>}}.",
    )


def _valued(reference: Reference, inputs: Mapping[str, str | None], outputs: Mapping[str, str]) -> str:
    values: Mapping[str, str | None] = inputs if reference.group == "inputs" else outputs
    if reference.name not in values:
        raise Invalid(f"Unknown {reference.group.rstrip('s')} '{reference.name}'.", where="command")
    value = values[reference.name]
    if value is None:
        raise Invalid(f"Optional input '{reference.name}' has no value and stands outside of $[[ ]].", where="command")
    return value
