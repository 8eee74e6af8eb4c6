"""Importances: which parameters a target depends on, over the shown runs."""

from collections.abc import Sequence

import numpy as np

from services import runs as nouns
from services.engines import importance
from services.runs import RunLine
from services.specs.run_fields import Field, field
from services.specs.tiles import Importance
from services.store import metrics as store
from services.studio import Scope
from services.tiles.columns import Column, column
from services.tiles.readings import Nothing, Share, Shares

FEWEST = 8
MOST_PARAMS = 60
MOST_WORDS = 20


def shares(scope: Scope, tile: Importance, runs: Sequence[RunLine]) -> Shares | Nothing:
    """Of all parameters that vary. Raises Unavailable and EngineError as the engine does."""
    asked = field(tile.target)
    params = _params(scope, runs)
    lines = nouns.lines(scope, [run.run_id for run in runs], [str(asked), *map(str, params)])
    target = column(asked, lines)
    kept = [run for run, is_there in zip(lines, np.isfinite(target.values), strict=True) if is_there]
    if target.kind == "category":
        return Nothing(f"'{asked.label}' is text, not a number.")
    if len(kept) < FEWEST:
        return Nothing(
            f"{len(kept)} of the shown runs have a value of '{asked.label}'; "
            f"what matters can be told from {FEWEST} on, and well from some dozens."
        )
    values = column(asked, kept).values
    if np.ptp(values) == 0:
        return Nothing(f"'{asked.label}' is the same in all {len(kept)} runs: nothing to explain.")
    varying, notes = _varying([column(each, kept) for each in params])
    if not varying:
        return Nothing(" ".join(["No parameter varies over these runs.", *notes]))
    found = importance.of({each.field.name: _given(each) for each in varying}, values.tolist())
    listed = [Share(name, mean, spread) for name, (mean, spread) in found.shares.items()]
    listed.sort(key=lambda share: (-share.mean, share.name))
    return Shares(asked.label, len(kept), found.r2, listed, notes)


def _params(scope: Scope, runs: Sequence[RunLine]) -> list[Field]:
    """Those that have more than one value, or that some runs lack."""
    ids = [run.run_id for run in runs]
    values: dict[int, set[str]] = {}
    counts: dict[int, int] = {}
    for row in store.params_of(scope.session, ids):
        values.setdefault(row.key_id, set()).add(row.value)
        counts[row.key_id] = counts.get(row.key_id, 0) + 1
    varying = [key for key, some in values.items() if len(some) > 1 or counts[key] < len(ids)]
    names = store.key_names(scope.session, varying)
    return [Field("params", name) for name in sorted(names.values())][: nouns.MOST_COLUMNS - 1]


def _varying(columns: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """Without those that name each run, such as paths."""
    varying = [each for each in columns if len(set(each.texts)) > 1]
    usable = [each for each in varying if each.kind == "number" or len(each.names) <= MOST_WORDS]
    notes = []
    if wordy := [each.label for each in varying if each not in usable]:
        notes.append(
            f"Left out, because they have more than {MOST_WORDS} values that are no numbers: {_listed(wordy)}."
        )
    if len(usable) > MOST_PARAMS:
        notes.append(f"The first {MOST_PARAMS} of {len(usable)} parameters.")
    return usable[:MOST_PARAMS], notes


def _given(one: Column) -> list[float] | list[str]:
    """A number that is missing lies below all others: a tree can tell it from them."""
    if one.kind == "category":
        return list(one.texts)
    known = one.known
    low = float(known.min()) - max(1.0, float(np.ptp(known))) if len(known) else 0.0
    return [float(value) for value in np.where(np.isfinite(one.values), one.values, low)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
