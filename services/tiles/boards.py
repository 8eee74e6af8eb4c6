"""Boards from what was logged: a section for each prefix, what the machine did, and the parameters of a sweep."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import col, select

from services import experiments as nouns
from services.specs import tiles as specs
from services.specs.run_fields import Field
from services.specs.tiles import Board, Section, Tile
from services.store import metrics as store
from services.store.metrics import Metric, Run
from services.studio import Scope

# The newest runs tell what is logged here.
LOOKED_AT = 100
SHOWN = 12
HIDDEN = 12
MOST_SECTIONS = 16
PLAIN = "Metrics"
SYSTEM = "system/"
SWEEP_FROM = 8
# As a tile spells it.
LONGEST = 250
MOST_AXES = 7
MEASURED = ("val", "valid", "validation", "eval", "test")


@dataclass(frozen=True)
class _Logged:
    """`metrics` by name with the number of runs; `params` by name with their values."""

    runs: int
    metrics: Mapping[str, int]
    params: Mapping[str, Counter[str]]
    has_jobs: bool


def default_board(scope: Scope, experiments: Sequence[str]) -> Board:
    """Of these experiments, or of the whole workspace; the same logs make the same ids."""
    known = _logged(scope, experiments)
    own = {name: count for name, count in known.metrics.items() if not name.startswith(SYSTEM)}
    sections = [_section(title, names) for title, names in _by_prefix(own)]
    sweep = _sweep(known, own)
    machine = _machine(known)
    return Board(sections=[*sections, *([sweep] if sweep else []), *([machine] if machine else [])])


def main_metric(metrics: Mapping[str, int]) -> str | None:
    """The one that most runs logged; of several one that was measured on other data, then the shortest name."""
    return max(metrics, key=lambda name: (metrics[name], _is_measured(name), -len(name), name), default=None)


def _logged(scope: Scope, experiments: Sequence[str]) -> _Logged:
    here = (Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active")
    newest = select(Run.run_id, Run.job_id).where(*here)
    if experiments:
        own = [nouns.get(scope, name).mlflow_id for name in experiments]
        newest = newest.where(col(Run.experiment_id).in_([each for each in own if each]))
    found = scope.session.exec(newest.order_by(col(Run.start_time).desc(), Run.run_id).limit(LOOKED_AT)).all()
    ids = [run_id for run_id, _ in found]
    used = scope.session.exec(select(Metric.key_id).where(col(Metric.run_id).in_(ids)))
    counts = Counter(used)
    params: dict[int, Counter[str]] = {}
    for row in store.params_of(scope.session, ids):
        params.setdefault(row.key_id, Counter())[row.value] += 1
    names = store.key_names(scope.session, [*counts, *params])
    return _Logged(
        len(ids),
        {names[key]: count for key, count in counts.items() if len(str(Field("metrics", names[key]))) <= LONGEST},
        {names[key]: values for key, values in params.items() if len(str(Field("params", names[key]))) <= LONGEST},
        any(job for _, job in found),
    )


def _by_prefix(metrics: Mapping[str, int]) -> list[tuple[str, list[str]]]:
    """What has no prefix first, then by title; in each the metrics that most runs logged."""
    parts: dict[str, list[str]] = {}
    for name in sorted(metrics, key=lambda name: (-metrics[name], name)):
        parts.setdefault(_prefix(name), []).append(name)
    ordered = sorted(parts, key=lambda title: (title != PLAIN, title))
    kept = [(title, parts[title]) for title in ordered[:MOST_SECTIONS]]
    rest = [name for title in ordered[MOST_SECTIONS:] for name in parts[title]]
    return [*kept, *([("Other metrics", rest)] if rest else [])]


def _prefix(name: str) -> str:
    """Before the last stroke, else before the last dot."""
    for sign in "/.":
        before, found, after = name.rpartition(sign)
        if found and before and after:
            return before[:200]
    return PLAIN


def _section(title: str, names: Sequence[str]) -> Section:
    tiles: list[Tile] = [specs.Line(id=_id("m", name), metrics=[name]) for name in names[:SHOWN]]
    tiles += [specs.Line(id=_id("m", name), metrics=[name], hidden=True) for name in names[SHOWN : SHOWN + HIDDEN]]
    if len(names) > SHOWN:
        tiles.append(specs.Markdown(id=_id("n", title), width=12, height=160, text=_note(len(names))))
    return Section(title=title, tiles=tiles)


def _note(count: int) -> str:
    hidden = min(HIDDEN, count - SHOWN)
    rest = count - SHOWN - hidden
    said = f"{SHOWN} of {count:,} metrics of this section are drawn, {hidden} more are hidden tiles"
    return f"{said}." if not rest else f"{said}. Add a tile for any of the other {rest:,}."


def _sweep(known: _Logged, metrics: Mapping[str, int]) -> Section | None:
    """Where enough runs differ in their parameters."""
    varying = sorted(
        (name for name, values in known.params.items() if len(values) > 1),
        key=lambda name: (-sum(known.params[name].values()), len(known.params[name]), name),
    )
    main = main_metric(metrics)
    if known.runs < SWEEP_FROM or not varying or main is None:
        return None
    target = str(Field("metrics", main))
    axes = [str(Field("params", name)) for name in sorted(varying[:MOST_AXES])]
    return Section(
        title="Parameters",
        tiles=[
            specs.Parallel(id=_id("p", main), fields=[*axes, target], color=target, width=8),
            specs.Importance(id=_id("i", main), target=target, width=4, height=360),
        ],
    )


def _machine(known: _Logged) -> Section | None:
    """What the worker samples of containers, and what MLflow measures."""
    measured = [name.removeprefix(SYSTEM) for name in known.metrics if name.startswith(SYSTEM)]
    if not known.has_jobs and not measured:
        return None
    has_gpu = any(name.startswith("gpu") for name in measured)
    names = ("cpu", "memory", *(("gpu",) if has_gpu else ()), "disk", "network")
    tiles: list[Tile] = [specs.Resource.model_validate({"id": _id("r", name), "name": name}) for name in names]
    return Section(title="Resource metrics", tiles=tiles)


def _is_measured(name: str) -> bool:
    lowered = name.lower()
    return any(lowered.startswith(word) or f"/{word}" in lowered for word in MEASURED)


def _id(kind: str, name: str) -> str:
    return kind + hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
