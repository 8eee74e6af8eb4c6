"""MLflow's own database, where it is a SQLite file of ours: many points written at once, counted, and analysed.

Its tables are private: nothing is written or counted unless their revision is the one that these statements were
tried with. What stands there afterwards is what MLflow's log-batch would have left, row for row; a test holds it so.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.core.errors import Conflict, EngineError, NotFound, Unavailable

REVISION = "dc11669786a5"
"""Alembic's, of MLflow 3.17."""
SLICE = 10_000
# MLflow itself waits 20 seconds for its turn: it gets one between any two slices.
PAUSE_SECONDS = 0.005
BUSY_SECONDS = 20.0
ANALYSED_ROWS = 1000
LARGEST = 1.7976931348623157e308
_POINT = (
    "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key, timestamp, step, run_uuid, value, is_nan) DO NOTHING"
)
_LATEST = (
    "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp,"
    " step = excluded.step, is_nan = excluded.is_nan"
    " WHERE (excluded.step, excluded.timestamp, excluded.value)"
    " > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)"
)
_EXTREMES = "min(value) FILTER (WHERE NOT is_nan), max(value) FILTER (WHERE NOT is_nan)"
_COUNTED = f"SELECT key, count(*), {_EXTREMES} FROM metrics WHERE run_uuid = ? GROUP BY key"  # noqa: S608 (ours)
Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counted:
    """What MLflow has of one metric of a run; the extremes leave NaN out and are None where there is nothing else."""

    n: int
    min: float | None
    max: float | None


class NativeMetrics:
    """The file at `path`, which need not be there. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_known(self) -> bool:
        """Whether the file is there, with tables of the revision that we know."""
        if not self.path.exists():
            return False
        with self._open() as connection:
            return _is_known(connection)

    def log(
        self, run_id: str, names: Sequence[str], *, key: Whole, step: Whole, time: Whole, value: Real
    ) -> Iterator[slice]:
        """Writes points in slices and says of each that it is kept; `key` is each point's place in `names`.

        Raises NotFound, Conflict when the run was deleted, Unavailable while the file is locked. Written again,
        points stay single.
        """
        for start in range(0, len(value), SLICE):
            part = slice(start, start + SLICE)
            if start:
                _pause()
            with self._write(run_id) as connection:
                _insert(connection, run_id, names, key[part], step[part], time[part], value[part])
            yield part

    def counted(self, run_id: str) -> dict[str, Counted]:
        with self._open() as connection:
            return {key: Counted(n, low, high) for key, n, low, high in connection.execute(_COUNTED, (run_id,))}

    def size(self) -> int:
        """How much is in the tables, as far as can be said at once: the highest row number."""
        with self._open() as connection:
            row = connection.execute("SELECT coalesce(max(rowid), 0) FROM metrics").fetchone()
            return int(row[0])

    def analyse(self) -> None:
        """Lets SQLite learn how the tables are filled, which MLflow never asks it to; looks at samples only.

        Raises Unavailable when somebody writes just now.
        """
        with self._open(busy=1.0) as connection:
            connection.execute(f"PRAGMA analysis_limit = {ANALYSED_ROWS}")
            connection.execute("ANALYZE")

    @contextmanager
    def _write(self, run_id: str) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _check(connection, run_id)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _open(self, busy: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        try:
            address = f"{self.path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(address, uri=True, timeout=busy, isolation_level=None)) as connection:
                yield connection
        except sqlite3.OperationalError as cause:
            raise Unavailable(f"MLflow's database cannot be used now: {cause}.") from cause
        except sqlite3.DatabaseError as cause:
            raise EngineError(f"MLflow's database refused: {cause}.") from cause


def _pause() -> None:
    time.sleep(PAUSE_SECONDS)


def _is_known(connection: sqlite3.Connection) -> bool:
    try:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.OperationalError:  # a file without tables
        return False
    return rows == [(REVISION,)]


def _check(connection: sqlite3.Connection, run_id: str) -> None:
    if not _is_known(connection):
        raise EngineError("MLflow's database has changed: points go through its own door.")
    stage = connection.execute("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
    if stage is None:
        raise NotFound(f"Run '{run_id[:80]}' was not found.")
    if stage[0] != "active":
        raise Conflict(f"Run '{run_id[:80]}' was deleted.", hint="Restore it, then log to it.")


def _insert(
    connection: sqlite3.Connection,
    run_id: str,
    names: Sequence[str],
    key: Whole,
    step: Whole,
    time: Whole,
    value: Real,
) -> None:
    """Infinities become the largest numbers and NaN a marked 0, as MLflow keeps them; SQLite keeps no sign of 0."""
    is_nan = np.isnan(value)
    stored = np.nan_to_num(value, nan=0.0, posinf=LARGEST, neginf=-LARGEST) + 0.0
    order = np.lexsort((step, time, key))  # neighbours in the index
    rows = zip(
        [names[at] for at in key[order].tolist()],
        stored[order].tolist(),
        time[order].tolist(),
        repeat(run_id),
        step[order].tolist(),
        is_nan[order].tolist(),
        strict=False,
    )
    connection.executemany(_POINT, rows)
    last = _latest(key, step, time, stored)
    latest = [
        (names[key[at]], float(stored[at]), int(time[at]), int(step[at]), bool(is_nan[at]), run_id) for at in last
    ]
    connection.executemany(_LATEST, latest)


def _latest(key: Whole, step: Whole, time: Whole, stored: Real) -> list[int]:
    """Of each key the greatest (step, time, value); of equals the first that came, as MLflow decides."""
    order = np.lexsort((-np.arange(len(key)), stored, time, step, key))
    ends = np.flatnonzero(np.diff(key[order], append=-1))
    return [int(at) for at in order[ends]]
