"""What a run can be asked for, in one spelling for columns, sorting, grouping and filters.

    metrics.loss            the latest value, as MLflow counts it
    min(metrics.loss)       also max, first, last, count, min_step, max_step
    at(metrics.loss, 100)   the value at a step
    params.lr  tags.team    what was logged
    status  created  …      what every run has (ATTRIBUTES)

A name that has other characters than letters, digits, `_`, `.`, `/` and `-` stands in backticks, one inside doubled.
"""

import re
from dataclasses import dataclass
from typing import Literal

from services.core.errors import Invalid

Kind = Literal["metrics", "params", "tags", "attribute"]
Type = Literal["number", "text", "time", "flag"]
# `created` is when the run was made, `started` when its work began; durations are in seconds.
ATTRIBUTES: dict[str, Type] = {
    "id": "text",
    "name": "text",
    "job": "text",
    "experiment": "text",
    "status": "text",
    "created": "time",
    "started": "time",
    "ended": "time",
    "duration": "number",
    "creator": "text",
    "compute": "text",
    "source": "text",
    "parent": "text",
    "starred": "flag",
}
AGGREGATES = ("last", "min", "max", "first", "count", "min_step", "max_step")
AT = "at"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_KEYED = re.compile(r"(metrics|params|tags)\.(`(?:[^`]|``)+`|[A-Za-z0-9_][A-Za-z0-9_./-]*)")
_CALL = re.compile(r"([a-z_]+)\(\s*(.+?)\s*(?:,\s*(-?\d{1,18})\s*)?\)", re.DOTALL)


@dataclass(frozen=True)
class Field:
    """`str` of it is the canonical spelling, which `field` reads back."""

    kind: Kind
    name: str
    aggregate: str = "last"
    step: int | None = None

    @property
    def type(self) -> Type:
        """What its values are; parameters are text that may look like numbers."""
        if self.kind == "attribute":
            return ATTRIBUTES[self.name]
        return "number" if self.kind == "metrics" else "text"

    @property
    def label(self) -> str:
        """For the head of a column: without the prefix, with what is not the latest value."""
        if self.step is not None:
            return f"{self.name} at {self.step}"
        return self.name if self.aggregate == "last" else f"{self.aggregate.replace('_', ' ')} {self.name}"

    def __str__(self) -> str:
        if self.kind == "attribute":
            return self.name
        name = f"{self.kind}.{quoted(self.name)}"
        if self.step is not None:
            return f"{AT}({name}, {self.step})"
        return name if self.aggregate == "last" else f"{self.aggregate}({name})"


def field(text: str) -> Field:
    """Raises Invalid, saying what there is."""
    text = text.strip()
    if text in ATTRIBUTES:
        return Field("attribute", text)
    call = _CALL.fullmatch(text)
    aggregate, inner, step = call.groups() if call else ("last", text, None)
    keyed = _KEYED.fullmatch(inner)
    if keyed is None:
        raise Invalid(
            f"'{text[:80]}' is nothing that a run has.",
            hint=f"Write metrics.NAME, params.NAME, tags.NAME or one of: {', '.join(ATTRIBUTES)}.",
        )
    kind: Kind = keyed[1]  # type: ignore[assignment]  # the expression knows only these three
    name = unquoted(keyed[2])
    if call is None:
        return Field(kind, name)
    if kind != "metrics":
        raise Invalid(f"'{aggregate}(…)' is for metrics; '{inner[:80]}' has one value.")
    if (aggregate == AT) != (step is not None) or aggregate not in {AT, *AGGREGATES}:
        raise Invalid(
            f"'{text[:80]}' is not understood.",
            hint=f"Write {', '.join(f'{each}(metrics.NAME)' for each in AGGREGATES)} or at(metrics.NAME, STEP).",
        )
    return Field(kind, name, step=int(step)) if step is not None else Field(kind, name, aggregate)


def quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else f"`{name.replace('`', '``')}`"


def unquoted(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
