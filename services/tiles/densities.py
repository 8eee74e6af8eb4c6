"""Densities: how the values of a metric are spread over the shown runs, as it goes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.runs import RunLine
from services.specs.tiles import Histogram
from services.store import metrics as store
from services.store.columns import ROLLED
from services.studio import Scope
from services.tiles.lines import WHOLE, counted
from services.tiles.readings import Density, Nothing
from services.tiles.smoothing import drawable

Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
ACROSS = 60
UP = 40
# Per cent at either end that do not stretch the axis.
OUTER = 0.5


def density(scope: Scope, tile: Histogram, runs: Sequence[RunLine]) -> Density | Nothing:
    """Counts points; those far out are counted at the edge."""
    numbers = store.key_ids(scope.session, [tile.metric])
    if tile.metric not in numbers:
        return Nothing(f"None of the shown runs logged '{tile.metric}'.")
    whole = counted(scope, [numbers[tile.metric]], runs) <= WHOLE
    drawn = scope.studio.history.chart(
        numbers[tile.metric], [run.run_id for run in runs], max_points=None if whole else ROLLED
    )
    steps = np.concatenate([each.step for each in drawn.values()]).astype(np.float64)
    values = drawable(np.concatenate([each.value for each in drawn.values()]))
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if not len(values):
        return Nothing(f"None of the shown runs logged a number as '{tile.metric}'.")
    low, high = np.percentile(values, [OUTER, 100 - OUTER])
    is_cut = bool(values.min() < low - (high - low) or values.max() > high + (high - low))
    if not is_cut:
        low, high = values.min(), values.max()
    across, up = _edges(steps.min(), steps.max(), ACROSS), _edges(low, high, UP)
    counts = _counts(_places(values, up), _places(steps, across), len(up) - 1, len(across) - 1)
    notes = ["Values far out are counted at the edge."] if is_cut else []
    notes += [] if whole else [f"Of long histories {ROLLED:,} points are counted."]
    logged = sum(1 for each in drawn.values() if len(each))
    notes.append(f"{len(values):,} points of {logged} {'run' if logged == 1 else 'runs'}.")
    return Density(tile.metric, across, up, counts, " ".join(notes))


def _places(values: Values, edges: Values) -> Places:
    """Between which edges; what lies outside counts at the edge."""
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    return np.asarray(np.clip((values - edges[0]) / width, 0, len(edges) - 2)).astype(np.intp)


def _counts(rows: Places, columns: Places, up: int, across: int) -> Values:
    return np.bincount(rows * across + columns, minlength=up * across).reshape(up, across).astype(np.float64)


def _edges(low: float, high: float, most: int) -> Values:
    if low == high:
        room = abs(low) * 0.01 or 0.5
        return np.array([low - room, low + room])
    return np.linspace(low, high, most + 1)
