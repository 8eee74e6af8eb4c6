"""Whether one way of running beats another by more than luck: runs that differ in their seeds alone are a group."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services import access, runs
from services.comparisons.sides import Side
from services.comparisons.tables import AGGREGATES, beside, heads, params_of, tags_of, values_of
from services.core.errors import Invalid
from services.engines import statistics
from services.engines.statistics import LEAST, Compared, Test
from services.specs.run_fields import field as read_field
from services.studio import Scope

# A parameter whose name ends so only starts the dice: `seed`, `np_seed`, `seed_everything`, `random_state`, `repeat`.
SEED = re.compile(r"(?i)(?:^|[._/\-])(?:\w*seed\w*|random_?state|rng|repeat|replicate)$")


@dataclass(frozen=True)
class Group:
    """Runs that are alike but for luck. `values` is what tells them from the others; `n` have a number."""

    values: Mapping[str, str]
    runs: list[str]
    n: int
    mean: float | None
    deviation: float | None

    @property
    def label(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.values.items()) or "all runs"


@dataclass(frozen=True)
class Tested:
    """One group against the baseline's. `adjusted` is the p-value after Holm, for all the tests made here."""

    group: int
    result: Compared
    adjusted: float
    is_better: bool | None


@dataclass(frozen=True)
class Significance:
    """`groups` with the baseline's first, then the best; `set_aside` are parameters that were taken for seeds."""

    metric: str
    aggregate: str
    is_higher_better: bool
    grouped_by: list[str]
    set_aside: list[str]
    groups: list[Group]
    tests: list[Tested] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        groups = [{**vars(group), "values": dict(group.values), "label": group.label} for group in self.groups]
        tests = [{**vars(test), "result": vars(test.result)} for test in self.tests]
        return {**vars(self), "groups": groups, "tests": tests}


def significance(
    scope: Scope,
    names: Sequence[str],
    metric: str,
    *,
    baseline: str = "",
    group_by: Sequence[str] = (),
    set_aside: Sequence[str] = (),
    aggregate: str = "last",
    test: Test | None = None,
) -> Significance:
    """The baseline's group against every other, each of three runs or more.

    Groups are by `group_by` (fields as in filters), else by all parameters that differ but those that look like
    seeds or are named in `set_aside`. Raises NotFound and Invalid as `compare_runs`.
    """
    access.require(scope, "experiments/runs/read")
    if aggregate not in AGGREGATES:
        raise Invalid(f"'{aggregate[:80]}' is nothing that is kept of a metric.", where="aggregate")
    sides, _ = beside(scope, names, baseline)
    columns, aside = _columns(scope, sides, group_by, set_aside)
    values = values_of(scope, sides, metric, aggregate)
    is_higher_better = runs.directions(scope, [metric])[metric]
    groups = _groups(sides, columns, values, is_higher_better=is_higher_better)
    numbers = [_numbers(group.runs, values) for group in groups]
    tested = [
        (place, statistics.compared(numbers[0], numbers[place], test=test))
        for place in range(1, len(groups))
        if min(groups[0].n, groups[place].n) >= LEAST
    ]
    adjusted = statistics.adjusted([result.p for _, result in tested])
    tests = [
        Tested(place, result, p, (result.difference > 0) == is_higher_better if result.difference else None)
        for (place, result), p in zip(tested, adjusted, strict=True)
    ]
    return Significance(
        metric, aggregate, is_higher_better, list(columns), aside, groups, tests, _notes(groups, bool(tests))
    )


def _columns(
    scope: Scope, sides: Sequence[Side], group_by: Sequence[str], set_aside: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """What tells the runs apart, a value for each; and what was left out of it."""
    if group_by:
        return {text: _values(scope, sides, text) for text in dict.fromkeys(group_by)}, []
    params = params_of(scope, sides)
    differing = {name: values for name, values in params.items() if len(set(values)) > 1}
    aside = [name for name in differing if name in set_aside or SEED.search(name)]
    kept = {f"params.{name}": values for name, values in differing.items() if name not in aside}
    return {name: [value or "" for value in kept[name]] for name in sorted(kept)}, sorted(aside)


def _values(scope: Scope, sides: Sequence[Side], text: str) -> list[str]:
    asked = read_field(text)
    if asked.kind == "params":
        return [value or "" for value in params_of(scope, sides).get(asked.name, [None] * len(sides))]
    if asked.kind == "tags":
        return [value or "" for value in tags_of(scope, sides).get(asked.name, [None] * len(sides))]
    known = {
        "experiment": "experiment",
        "status": "status",
        "creator": "user",
        "compute": "compute",
        "source": "source",
    }
    if asked.kind != "attribute" or asked.name not in known:
        hint = f"Group by params.NAME, tags.NAME or one of: {', '.join(known)}."
        raise Invalid(f"Runs are not grouped by '{text[:80]}' here.", where="group_by", hint=hint)
    return [str(getattr(head, known[asked.name])) for head in heads(scope, sides)]


def _groups(
    sides: Sequence[Side],
    columns: Mapping[str, Sequence[str]],
    values: Mapping[str, float | None],
    *,
    is_higher_better: bool,
) -> list[Group]:
    members: dict[tuple[str, ...], list[str]] = {}
    for place, side in enumerate(sides):
        members.setdefault(tuple(column[place] for column in columns.values()), []).append(side.name)
    found = []
    for told, names in members.items():
        spread = statistics.spread(_numbers(names, values))
        found.append(Group(dict(zip(columns, told, strict=True)), names, *spread))
    first, *rest = found
    sign = -1 if is_higher_better else 1
    return [first, *sorted(rest, key=lambda group: (group.mean is None, sign * (group.mean or 0.0)))]


def _numbers(names: Sequence[str], values: Mapping[str, float | None]) -> list[float]:
    return [value for name in names if (value := values.get(name)) is not None]


def _notes(groups: Sequence[Group], is_tested: bool) -> list[str]:
    if len(groups) == 1:
        return ["All runs are alike but for their seeds: there is nothing to test them against."]
    if groups[0].n < LEAST:
        return [f"The baseline's group has {groups[0].n} runs with a number; {LEAST} are needed."]
    if not is_tested:
        return [f"No other group has {LEAST} runs with a number. Repeat with other seeds, or group by fewer fields."]
    small = sum(group.n < LEAST for group in groups[1:])
    said = "1 group of fewer than {} runs is" if small == 1 else f"{small} groups of fewer than {{}} runs are"
    return [f"{said.format(LEAST)} not tested."] if small else []
