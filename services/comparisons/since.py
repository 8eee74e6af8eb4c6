"""What changed since the last good run, what most likely made the difference first.

The rule: something that the good runs before kept the same and none of them had as it is now is the likeliest.
A change's weight is the share of good runs that had what the last good one had, times the share of those that did
not have what it is now. Among equals code comes first, then packages, environment, data, parameters and host.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import col, select

from services import access, runs
from services.comparisons import facts
from services.comparisons.facts import CONTENT
from services.comparisons.sections import changed_files
from services.comparisons.sides import Side, side, sides
from services.comparisons.tables import AGGREGATES, values_of
from services.core.errors import Invalid, NotFound
from services.engines import files
from services.store.metrics import Run
from services.store.rows import Experiment
from services.studio import Scope

ORDER = ("code", "packages", "environment", "data", "params", "host")
MOST_GOOD = 50
MOST_FILES = 20
LARGEST = 16 << 20
LONGEST = 80
_COMMIT = re.compile(r"[0-9a-f]{40}")
Facts = dict[tuple[str, str], str]
_TABS = {"packages": "environment"}
_NOUNS = {"packages": "Package", "data": "Input", "params": "Parameter"}


@dataclass(frozen=True)
class What:
    """One change: of `good` runs `as_now` had it as it is now and `as_then` as in the last good one."""

    section: str
    name: str
    before: str
    after: str
    good: int
    as_now: int
    as_then: int

    @property
    def weight(self) -> float:
        return (self.as_then / self.good) * (1 - self.as_now / self.good)

    @property
    def tab(self) -> str:
        return _TABS.get(self.section, self.section)

    @property
    def sentence(self) -> str:
        noun = "File" if self.section == "code" and _is_file(self) else _NOUNS.get(self.section, "")
        subject = f"{noun} {self.name}".strip()
        return f"{subject[:1].upper()}{subject[1:]} {self._said()}"

    @property
    def evidence(self) -> str:
        if self.good == 1:
            return "There is one good run to compare with."
        now = "none" if not self.as_now else "all" if self.as_now == self.good else str(self.as_now)
        then = "all" if self.as_then == self.good else str(self.as_then)
        return f"Of the {self.good} good runs before, {then} had it as the last good one and {now} as it is now."

    def _said(self) -> str:
        if _is_file(self):
            return {"": "is new."}.get(self.before, "is gone." if not self.after else "changed.")
        before, after = _short(self.before), _short(self.after)
        if not before or not after:
            return f"is new: {after}." if after else f"is gone; it was {before}."
        if max(len(self.before), len(self.after)) > LONGEST:
            return "changed."
        return f"is {after} and was {before}."

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "weight": self.weight, "sentence": self.sentence, "evidence": self.evidence}


@dataclass(frozen=True)
class Changed:
    """`good` is the last good run, empty where there is none; `changes` with the likeliest first."""

    run: str
    good: str
    metric: str
    changes: list[What] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "changes": [each.as_json() for each in self.changes]}


def changed(scope: Scope, name: str, *, metric: str = "", aggregate: str = "last") -> Changed:
    """Since the last run of its experiment before it that completed and, by `metric`, was not worse.

    Without a metric, or where the run itself has no number, every run that completed is good. Raises NotFound.
    """
    access.require(scope, "experiments/runs/read")
    if aggregate not in AGGREGATES:
        raise Invalid(f"'{aggregate[:80]}' is nothing that is kept of a metric.", where="aggregate")
    mine = side(scope, name)
    good = _good(scope, mine, metric, aggregate)
    if not good:
        than = f" with {metric} not worse" if metric else ""
        return Changed(mine.name, "", metric, notes=[f"No run of this experiment completed before it{than}."])
    found = _changes(scope, mine, good)
    notes = (
        [] if found else ["Nothing that is known of the two differs: neither code, environment, data nor parameters."]
    )
    if mine.job is None or good[0].job is None:
        notes.append("Of a run that no job of the studio made only parameters and tags are known.")
    return Changed(mine.name, good[0].name, metric, found, notes)


def _good(scope: Scope, mine: Side, metric: str, aggregate: str) -> list[Side]:
    """The latest first; of a job's run other jobs', because of runs from elsewhere too little is known.

    Where there are none of its own kind, any.
    """
    experiment = _experiment(scope, mine)
    before = mine.run.start_time if mine.run is not None else None
    if before is None and mine.job is not None:
        before = int(mine.job.created_at.timestamp() * 1000)
    parent = mine.run.parent_run_id if mine.run is not None else None
    query = (
        select(Run.run_id)
        .where(
            Run.workspace_id == scope.workspace_id,
            Run.experiment_id == experiment,
            Run.lifecycle_stage == "active",
            Run.status == "FINISHED",
            Run.run_id != mine.run_id,
            col(Run.start_time) <= (before or 0),
            col(Run.parent_run_id).is_not(None) if parent else col(Run.parent_run_id).is_(None),
        )
        .order_by(col(Run.start_time).desc(), col(Run.run_id))
        .limit(4 * MOST_GOOD)
    )
    ended = [each for each in sides(scope, scope.session.exec(query).all()) if each.status == "Completed"]
    found = _not_worse(scope, mine, ended, metric, aggregate)
    alike = [each for each in found if (each.job is None) == (mine.job is None)]
    return (alike or found)[:MOST_GOOD]


def _not_worse(scope: Scope, mine: Side, ended: list[Side], metric: str, aggregate: str) -> list[Side]:
    if not metric:
        return ended
    values = values_of(scope, [mine, *ended], metric, aggregate)
    own = values.get(mine.name)
    numbers = [(each, value) for each in ended if (value := values.get(each.name)) is not None]
    if own is None or mine.status != "Completed":
        return [each for each, _ in numbers]
    is_higher_better = runs.directions(scope, [metric])[metric]
    return [each for each, value in numbers if (value >= own if is_higher_better else value <= own)]


def _experiment(scope: Scope, mine: Side) -> str:
    if mine.run is not None:
        return mine.run.experiment_id
    row = scope.session.get(Experiment, mine.job.experiment_id) if mine.job is not None else None
    if row is None:
        raise NotFound("The experiment of this run was not found.")
    return row.mlflow_id or ""


def _changes(scope: Scope, mine: Side, good: Sequence[Side]) -> list[What]:
    now, known = _facts(scope, mine), [_facts(scope, each) for each in good]
    contents = _contents(scope, mine, good)
    for table, more in zip([now, *known], contents, strict=True):
        table |= more
    then, found = known[0], []
    for key in dict.fromkeys([*then, *now]):
        before, after = then.get(key, ""), now.get(key, "")
        if before != after and not _is_told(key, then, now):
            as_now = sum(each.get(key, "") == after for each in known)
            as_then = sum(each.get(key, "") == before for each in known)
            found.append(What(*key, before, after, len(good), as_now, as_then))
    return sorted(found, key=lambda each: (-each.weight, ORDER.index(each.section), each.name))


def _is_told(key: tuple[str, str], then: Facts, now: Facts) -> bool:
    """Another version of the data says already that its content is another."""
    named = (key[0], key[1].removesuffix(CONTENT))
    return key[1].endswith(CONTENT) and then.get(named) != now.get(named)


def _facts(scope: Scope, each: Side) -> Facts:
    """What could have made a difference; how often it was tried and what came of it could not."""
    told: Mapping[str, dict[str, str]] = {
        "code": facts.code(scope, each),
        "packages": facts.packages(scope, each),
        "environment": facts.environment(scope, each),
        "data": facts.data(scope, each),
        "params": facts.params(scope, each),
        "host": facts.host(scope, each),
    }
    left_out = {("code", "snapshot"), ("code", "git dirty"), ("host", "attempt"), ("environment", "built image")}
    return {
        (section, name): value
        for section, values in told.items()
        for name, value in values.items()
        if (section, name) not in left_out
    }


def _contents(scope: Scope, mine: Side, good: Sequence[Side]) -> list[Facts]:
    """Of each run the files that changed since the last good one, by content; the same snapshot is read once."""
    paths = [each.path for each in changed_files(scope, good[0], mine)][:MOST_FILES]
    seen: dict[str, Facts] = {}
    found = []
    for each in (mine, *good):
        snapshot = each.job.snapshot_id if each.job is not None else None
        if snapshot and each.job is not None and snapshot not in seen:
            folder = scope.studio.folders.snapshot(each.job.workspace_id, snapshot)
            seen[snapshot] = dict(_digests(folder, paths))
        found.append(seen[snapshot] if snapshot else {})
    return found


def _digests(folder: Any, paths: Iterable[str]) -> Iterable[tuple[tuple[str, str], str]]:
    for path in paths:
        try:
            with files.open_inside(folder, path) as file:
                yield ("code", path), f"sha256:{hashlib.sha256(file.read(LARGEST)).hexdigest()}"
        except (NotFound, Invalid):
            continue


def _is_file(what: What) -> bool:
    return what.section == "code" and (what.before or what.after).startswith("sha256:")


def _short(text: str) -> str:
    if _COMMIT.fullmatch(text):
        return text[: facts.SHORT]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
