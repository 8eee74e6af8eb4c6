"""Roll-ups of requests by second, minute and hour: counted as they come in, read as windows and as series."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.store import latency

Whole: TypeAlias = NDArray[np.int64]
Real: TypeAlias = NDArray[np.float64]

STEPS = {"second": 1, "minute": 60, "hour": 3600}
KEPT_SECONDS = {"second": 2 * 3600, "minute": 60 * 86400}
PERCENTS = (50, 90, 95, 99)
MOST_ROWS = 5000
CLASSES = ("2xx", "4xx", "408", "424", "429", "499", "5xx")
ERRORS = ("408", "424", "429", "5xx")
"""What the side that answers is to blame for; other 4xx are the caller's, 499 is a caller who left."""

_SUMS = ("requests", *(f"n{each}" for each in CLASSES), "bytes_in", "bytes_out", "ms")
_MOST = ("max_in_flight", "max_queued")
_COLUMNS = (*_SUMS, *_MOST, "histogram")
SCHEMA = "".join(
    f"CREATE TABLE IF NOT EXISTS {table} (place INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, "
    + "".join(f"{name} {'REAL' if name == 'ms' else 'INTEGER'} NOT NULL, " for name in (*_SUMS, *_MOST))
    + "histogram BLOB NOT NULL, PRIMARY KEY (place, kind, at)) WITHOUT ROWID;\n"
    for table in STEPS
)


@dataclass(slots=True)
class Tally:
    """What was answered in one span of time."""

    requests: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    ms: float = 0.0
    max_in_flight: int = 0
    max_queued: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, code: int, bytes_in: int, bytes_out: int, ms: float) -> None:
        """One request."""
        self.requests += 1
        kind = class_of(code)
        self.classes[kind] = self.classes.get(kind, 0) + 1
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.ms += ms
        number = latency.bucket(ms)
        self.buckets[number] = self.buckets.get(number, 0) + 1

    def load(self, in_flight: int, queued: int) -> None:
        """How busy it was at one moment."""
        if in_flight > self.max_in_flight:
            self.max_in_flight = in_flight
        if queued > self.max_queued:
            self.max_queued = queued

    def join(self, other: "Tally") -> None:
        self.requests += other.requests
        for kind, count in other.classes.items():
            self.classes[kind] = self.classes.get(kind, 0) + count
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.ms += other.ms
        self.load(other.max_in_flight, other.max_queued)
        for number, count in other.buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count

    def cells(self) -> tuple[object, ...]:
        counts = (self.classes.get(kind, 0) for kind in CLASSES)
        sums = (self.requests, *counts, self.bytes_in, self.bytes_out, self.ms)
        return (*sums, self.max_in_flight, self.max_queued, latency.packed(self.buckets))


Tallies: TypeAlias = dict[tuple[int, str, int], Tally]
"""By place, kind, and when the span begins."""


@dataclass(frozen=True, slots=True)
class Sums:
    """A window added up. Latencies in milliseconds, None without requests; `classes` counts by class of answer."""

    requests: int
    classes: Mapping[str, int]
    percentiles: Sequence[float | None]
    max_in_flight: int
    max_queued: int

    @property
    def errors(self) -> int:
        return sum(self.classes[each] for each in ERRORS)


@dataclass(frozen=True)
class Series:
    """Columns of one length, a row for each `step` seconds from `at` (seconds since 1970).

    `classes` counts answers by class, `bytes_in` and `bytes_out` add up bodies, `mean` and `p50` to `p99` are
    milliseconds, NaN where nothing was answered.
    """

    step: int
    at: Whole
    requests: Whole
    errors: Whole
    classes: Mapping[str, Whole]
    bytes_in: Whole
    bytes_out: Whole
    mean: Real
    p50: Real
    p90: Real
    p95: Real
    p99: Real
    max_in_flight: Whole
    max_queued: Whole


def class_of(code: int) -> str:
    """One of CLASSES; what is no answer at all counts as a failure."""
    if code in {408, 424, 429, 499}:
        return str(code)
    if 200 <= code < 400:
        return "2xx"
    return "4xx" if 400 <= code < 500 else "5xx"


def add(connection: sqlite3.Connection, seconds: Tallies) -> None:
    """Adds what was tallied by second to all three tables, within the caller's transaction."""
    for table, step in STEPS.items():
        spans = _wider(seconds, step) if step > 1 else seconds
        connection.executemany(_UPSERT[table], [(*key, *tally.cells()) for key, tally in spans.items()])


def trim(connection: sqlite3.Connection, now: float) -> None:
    """Removes what is older than is kept; each table has its own span, hours stay."""
    places = [row[0] for row in connection.execute("SELECT id FROM place")]
    for table, kept in KEPT_SECONDS.items():
        # By the whole key: `at` alone would read the table.
        kinds = [row[0] for row in connection.execute(f"SELECT DISTINCT kind FROM {table}")]  # noqa: S608
        connection.executemany(
            f"DELETE FROM {table} WHERE place = ? AND kind = ? AND at < ?",  # noqa: S608
            [(place, kind, int(now - kept)) for place in places for kind in kinds],
        )


def forget(connection: sqlite3.Connection, places: Iterable[int]) -> None:
    for table in STEPS:
        connection.executemany(f"DELETE FROM {table} WHERE place = ?", [(each,) for each in places])  # noqa: S608


def sums(
    connection: sqlite3.Connection, places: Sequence[int], kinds: Sequence[str], since: float, *, table: str = "second"
) -> Sums:
    """From the span of time on in which `since` lies."""
    rows = _rows(connection, table, places, kinds, int(since) // STEPS[table] * STEPS[table], 2**62)
    columns = list(zip(*rows, strict=True)) or [()] * (1 + len(_COLUMNS))
    total = {name: int(sum(columns[1 + at])) for at, name in enumerate(_SUMS)}
    found = latency.percentiles(latency.dense(columns[-1], [0] * len(rows), 1), PERCENTS)[0]
    return Sums(
        total["requests"],
        {each: total[f"n{each}"] for each in CLASSES},
        [None if np.isnan(each) else float(each) for each in found],
        max(columns[-3], default=0),
        max(columns[-2], default=0),
    )


def series(
    connection: sqlite3.Connection,
    places: Sequence[int],
    kinds: Sequence[str],
    *,
    since: float,
    until: float,
    step: int,
    now: float,
) -> Series:
    """In steps of at least `step` seconds: longer ones where finer roll-ups are gone, or where they are too many."""
    step = max(1, step, int((until - since) / MOST_ROWS) + 1 if until - since > MOST_ROWS else 1)
    table = _table(step, since, now)
    step = -(-step // STEPS[table]) * STEPS[table]
    first = int(since // step) * step
    size = max(0, -(-int(np.ceil(until - first)) // step))
    rows = _rows(connection, table, places, kinds, first, first + size * step)
    at = np.array([row[0] for row in rows], np.int64)
    spots = (at - first) // step
    sums_ = {name: np.zeros(size, np.float64) for name in _SUMS}
    most = {name: np.zeros(size, np.int64) for name in _MOST}
    for number, name in enumerate(_SUMS):
        np.add.at(sums_[name], spots, np.array([row[1 + number] for row in rows], np.float64))
    for number, name in enumerate(_MOST):
        np.maximum.at(most[name], spots, np.array([row[1 + len(_SUMS) + number] for row in rows], np.int64))
    counted = latency.dense([row[-1] for row in rows], spots.tolist(), size)
    p50, p90, p95, p99 = latency.percentiles(counted, PERCENTS).T
    whole = {name: values.astype(np.int64) for name, values in sums_.items() if name != "ms"}
    classes = {each: whole[f"n{each}"] for each in CLASSES}
    mean = np.full(size, np.nan)
    np.divide(sums_["ms"], whole["requests"], out=mean, where=whole["requests"] > 0)
    return Series(
        step,
        first + step * np.arange(size, dtype=np.int64),
        whole["requests"],
        np.sum([classes[each] for each in ERRORS], axis=0, dtype=np.int64),
        classes,
        whole["bytes_in"],
        whole["bytes_out"],
        mean,
        p50,
        p90,
        p95,
        p99,
        most["max_in_flight"],
        most["max_queued"],
    )


def _upsert(table: str) -> str:
    changes = [f"{name} = {name} + excluded.{name}" for name in _SUMS]
    changes += [f"{name} = max({name}, excluded.{name})" for name in _MOST]
    changes += ["histogram = merged(histogram, excluded.histogram)"]
    marks = ",".join("?" * (3 + len(_COLUMNS)))
    return (
        f"INSERT INTO {table} (place, kind, at, {', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608
        f" ON CONFLICT (place, kind, at) DO UPDATE SET {', '.join(changes)}"
    )


_UPSERT = {table: _upsert(table) for table in STEPS}


def _wider(seconds: Tallies, step: int) -> Tallies:
    found: Tallies = {}
    for (place, kind, at), tally in seconds.items():
        found.setdefault((place, kind, at // step * step), Tally()).join(tally)
    return found


def _table(step: int, since: float, now: float) -> str:
    """The coarsest that can still be divided so, of those that reach back to `since`."""
    fitting = [table for table, span in STEPS.items() if span <= step] or ["second"]
    table = fitting[-1] if step % STEPS[fitting[-1]] == 0 else "second"
    tables = list(STEPS)
    for each in tables[tables.index(table) :]:
        if now - since <= KEPT_SECONDS.get(each, float("inf")):
            return each
    return "hour"


def _rows(
    connection: sqlite3.Connection, table: str, places: Sequence[int], kinds: Sequence[str], since: int, until: int
) -> list[tuple[Any, ...]]:
    query = f"SELECT at, {', '.join(_COLUMNS)} FROM {table} WHERE place = ? AND kind = ? AND at >= ? AND at < ?"  # noqa: S608
    return [
        row
        for place in places
        for kind in kinds
        for row in connection.execute(query, (place, kind, since, until)).fetchall()
    ]
