"""The tee: points that MLflow has acknowledged go into our summaries and columns, at most a second later.

Acknowledged first, kept second: a tick that a crash loses is repaired from MLflow when the run ends.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.core.errors import AtelierError
from services.store import metrics as store
from services.store.columns import POINT
from services.store.metrics import Point, Run, Summary
from services.studio import Studio

log = logging.getLogger("atelier.tracking")
TICK_SECONDS = 1.0
MOST = 50_000


@dataclass
class _Batch:
    """What came in since the last tick."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    params: dict[tuple[str, str], str] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    count: int = 0

    def is_empty(self) -> bool:
        return not (self.points or self.params or self.tags or self.runs or self.gone)


class Tee:
    """Any thread may give; one thread of its own writes. `close` writes what is left."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._lock, self._full, self._stopped = threading.Lock(), threading.Event(), threading.Event()
        self._batch = _Batch()
        self._thread = threading.Thread(target=self._run, daemon=True, name="tee")
        self._thread.start()

    def points(self, run_id: str, points: Sequence[Point]) -> None:
        with self._lock:
            self._batch.points.setdefault(run_id, []).extend(points)
            self._batch.count += len(points)
            if self._batch.count > MOST:
                self._full.set()

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        with self._lock:
            self._batch.params |= {(run_id, key): value for key, value in params.items()}

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        with self._lock:
            self._batch.tags |= {(run_id, key): value for key, value in tags.items()}

    def run(self, run: Run) -> None:
        """A run that a client made or changed."""
        with self._lock:
            self._batch.runs[run.run_id] = run

    def deleted(self, run_id: str) -> None:
        with self._lock:
            self._batch.gone.add(run_id)

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
        """Keys commit before the columns that use them."""
        with self.studio.database.session(write=True) as session:
            names = {point.key for points in batch.points.values() for point in points}
            numbers = store.ensure_keys(session, [*names, *(key for _, key in batch.params)])
            for run in batch.runs.values():
                store.save_run(session, run)
            store.fold(session, _summaries(batch.points, numbers))
            store.save_params(session, [(run, numbers[key], value) for (run, key), value in batch.params.items()])
            store.save_tags(session, [(run, key, value) for (run, key), value in batch.tags.items()])
            for run_id in batch.gone:
                store.remove_run(session, run_id)
        if batch.points:
            self.studio.history.append(
                {
                    run: np.array([(numbers[each.key], each.step, each.time, each.value) for each in points], POINT)
                    for run, points in batch.points.items()
                }
            )

    def _put_back(self, batch: _Batch) -> None:
        with self._lock:
            later, self._batch = self._batch, batch
            for run_id, points in later.points.items():
                self._batch.points.setdefault(run_id, []).extend(points)
            self._batch.params |= later.params
            self._batch.tags |= later.tags
            self._batch.runs |= later.runs
            self._batch.gone |= later.gone
            self._batch.count += later.count


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
