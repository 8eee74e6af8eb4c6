"""The tee: points that MLflow has acknowledged go into our summaries and columns, at most a second later.

Acknowledged first, kept second: a tick that a crash loses is repaired from MLflow when the run ends.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.core.errors import AtelierError
from services.specs.metric_batches import MetricBatch
from services.store import columns
from services.store import metrics as store
from services.store.columns import POINT, Packed, Series
from services.store.metrics import Point, Run, Summary
from services.studio import Studio

log = logging.getLogger("atelier.tracking")
TICK_SECONDS = 1.0
MOST = 50_000
MOST_NAMES = 200_000
# Below this many points a loop is faster than arrays.
FEW = 48


@dataclass
class _Batch:
    """What came in since the last tick."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    arrays: dict[str, list[MetricBatch]] = field(default_factory=dict)
    params: dict[tuple[str, str], str] = field(default_factory=dict)
    tags: dict[tuple[str, str], str | None] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def is_empty(self) -> bool:
        return not (self.points or self.arrays or self.params or self.tags or self.runs or self.stages)

    def take(self, later: "_Batch") -> None:
        """Adds what came after."""
        for run_id, points in later.points.items():
            self.points.setdefault(run_id, []).extend(points)
        for run_id, some in later.arrays.items():
            self.arrays.setdefault(run_id, []).extend(some)
        self.params |= later.params
        self.tags |= later.tags
        for run in later.runs.values():
            self.take_run(run)
        self.stages |= later.stages
        self.count += later.count

    def take_run(self, run: Run) -> None:
        """An end says nothing of whose run it is; its beginning, perhaps in the same tick, did."""
        known = self.runs.get(run.run_id)
        if known is not None:
            run.job_id = run.job_id or known.job_id
            run.parent_run_id = run.parent_run_id or known.parent_run_id
        self.runs[run.run_id] = run


class Tee:
    """Any thread may give; one thread of its own writes. `close` writes what is left."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._lock, self._full, self._stopped = threading.Lock(), threading.Event(), threading.Event()
        self._batch = _Batch()
        self._numbers: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="tee")
        self._thread.start()

    def points(self, run_id: str, points: Sequence[Point]) -> None:
        with self._lock:
            self._batch.points.setdefault(run_id, []).extend(points)
            self._batch.count += len(points)
            if self._batch.count > MOST:
                self._full.set()

    def batch(self, run_id: str, batch: MetricBatch) -> None:
        """Many points at once."""
        with self._lock:
            self._batch.arrays.setdefault(run_id, []).append(batch)
            self._batch.count += len(batch)
            if self._batch.count > MOST:
                self._full.set()

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        with self._lock:
            self._batch.params |= {(run_id, key): value for key, value in params.items()}

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        with self._lock:
            self._batch.tags |= {(run_id, key): value for key, value in tags.items()}

    def untagged(self, run_id: str, key: str) -> None:
        with self._lock:
            self._batch.tags[run_id, key] = None

    def run(self, run: Run) -> None:
        """A run that a client made or changed."""
        with self._lock:
            self._batch.take_run(run)

    def moved(self, run_id: str, stage: str) -> None:
        """`stage` is MLflow's word: deleted runs keep what they logged and may become active again."""
        with self._lock:
            self._batch.stages[run_id] = stage

    def flush(self) -> None:
        """Writes what came in; a batch that cannot be written now is kept for the next tick."""
        with self._lock:
            batch, self._batch = self._batch, _Batch()
        if batch.is_empty():
            return
        try:
            self._write(batch)
        except AtelierError as cause:
            log.warning("Metrics wait for the next tick: %s", cause)
            self._put_back(batch)

    def close(self) -> None:
        self._stopped.set()
        self._full.set()
        self._thread.join(timeout=5)
        self.flush()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._full.wait(TICK_SECONDS)
            self._full.clear()
            try:
                self.flush()
            except Exception:
                log.exception("A tick of the tee failed; the run's end repairs it")

    def _write(self, batch: _Batch) -> None:
        """Keys commit before the columns that use them, summaries after the points that they tell of.

        So a crash in between leaves a summary that lacks something, which the comparison at the run's end sees.
        """
        logged = {point.key for points in batch.points.values() for point in points}
        logged |= {name for some in batch.arrays.values() for each in some for name in each.names}
        numbers = self._numbered(logged)
        packed = _packed(batch, numbers)
        if packed:
            self.studio.history.append(packed)
        summaries = _summaries(batch.points, numbers)
        summaries += [
            summarised(run_id, number, series)
            for run_id, some in batch.arrays.items()
            for number, series in columns.by_key(np.concatenate([_of_batch(each, numbers) for each in some])).items()
        ]
        with self.studio.database.session(write=True) as session:
            for run in batch.runs.values():
                store.save_run(session, run)
            store.fold(session, summaries)
            names = store.ensure_keys(session, [key for _, key in batch.params])
            store.save_params(session, [(run, names[key], value) for (run, key), value in batch.params.items()])
            store.save_tags(session, [(run, key, text) for (run, key), text in batch.tags.items() if text is not None])
            for (run_id, key), text in batch.tags.items():
                if text is None:
                    store.remove_tag(session, run_id, key)
            for run_id, stage in batch.stages.items():
                store.move_run(session, run_id, stage)
            store.note_points(session, list(packed))

    def _numbered(self, names: set[str]) -> dict[str, int]:
        """Numbers never change: only names that are new here are asked for."""
        missing = names - self._numbers.keys()
        if missing:
            if len(self._numbers) > MOST_NAMES:
                self._numbers, missing = {}, names
            with self.studio.database.session(write=True) as session:
                self._numbers |= store.ensure_keys(session, missing)
        return self._numbers

    def _put_back(self, batch: _Batch) -> None:
        with self._lock:
            later, self._batch = self._batch, batch
            self._batch.take(later)


def _summaries(points: Mapping[str, Sequence[Point]], numbers: Mapping[str, int]) -> list[Summary]:
    found: dict[tuple[str, int], Summary] = {}
    for run_id, some in points.items():
        for point in some:
            number = numbers[point.key]
            one = found.get((run_id, number))
            if one is None:
                one = found[run_id, number] = Summary(run_id, number)
            one.add(point.value, point.time, point.step)
    return list(found.values())


def summarised(run_id: str, number: int, series: Series) -> Summary:
    """What a whole series comes to: the same as adding point after point, in the order given."""
    if len(series) < FEW:
        one = Summary(run_id, number)
        for step, time, value in zip(series.step.tolist(), series.time.tolist(), series.value.tolist(), strict=True):
            one.add(value, time, step)
        return one
    is_nan = np.isnan(series.value)
    last = _place(np.max, series.step, series.time, np.where(is_nan, 0.0, series.value))
    first = _place(np.min, series.step, series.time)
    real = np.flatnonzero(~is_nan)
    low = int(real[series.value[real].argmin()]) if len(real) else None
    high = int(real[series.value[real].argmax()]) if len(real) else None
    return Summary(
        run_id,
        number,
        n=len(series),
        n_nan=int(is_nan.sum()),
        last=_number(series, last),
        last_nan=bool(is_nan[last]),
        last_step=int(series.step[last]),
        last_time=int(series.time[last]),
        min=_number(series, low),
        min_step=None if low is None else int(series.step[low]),
        max=_number(series, high),
        max_step=None if high is None else int(series.step[high]),
        first=_number(series, first),
        first_step=int(series.step[first]),
        first_time=int(series.time[first]),
    )


def _place(best: Callable[[Any], Any], *columns: Any) -> int:
    """Where the first column is best, of those the second, and so on; of equals the first that came."""
    places = np.arange(len(columns[0]))
    for column in columns:
        here = column[places]
        places = places[here == best(here)]
    return int(places[0])


def _number(series: Series, at: int | None) -> float | None:
    if at is None or np.isnan(series.value[at]):
        return None
    return float(series.value[at])


def _packed(batch: _Batch, numbers: Mapping[str, int]) -> dict[str, Packed]:
    found = {
        run: [np.array([(numbers[each.key], each.step, each.time, each.value) for each in points], POINT)]
        for run, points in batch.points.items()
    }
    for run, some in batch.arrays.items():
        found.setdefault(run, []).extend(_of_batch(each, numbers) for each in some)
    return {run: parts[0] if len(parts) == 1 else np.concatenate(parts) for run, parts in found.items()}


def _of_batch(batch: MetricBatch, numbers: Mapping[str, int]) -> Packed:
    made = np.empty(len(batch), POINT)
    made["key"] = np.array([numbers[name] for name in batch.names], np.uint32)[batch.key]
    made["step"], made["time"], made["value"] = batch.step, batch.time, batch.value
    return made
