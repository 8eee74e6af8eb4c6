"""Metric histories in columns (`history.db`): appended as points arrive, sealed, sorted when a run ends.

One process appends (the web process, which sees the points pass); any process reads, and the worker finishes
and drops runs: every change is one transaction under SQLite's write lock, so a reader or a crash sees all of
it or nothing. Numbers of keys live in the studio's database and commit there before they are used here.
"""

import queue
import sqlite3
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path

import numpy as np
from filelock import FileLock

from services.core import failpoints
from services.core.errors import EngineError, Unavailable
from services.store import columns
from services.store.columns import POINT, ROLLED, Chunk, Packed, Series

BUSY_SECONDS = 10
SEAL_AT = 16_384
# Of a run with few metrics chunks are long enough sooner, and cost less to read than what just came in.
SEAL_FEW_AT, FEW_KEYS = 4_096, 4
_IDLE_READERS = 8
_SCHEMA = """
CREATE TABLE IF NOT EXISTS live (id INTEGER PRIMARY KEY, run TEXT NOT NULL, b BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS live_run ON live (run);
CREATE TABLE IF NOT EXISTS chunk (
  id INTEGER PRIMARY KEY, key INTEGER NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL,
  n INTEGER NOT NULL, s0 INTEGER NOT NULL, ds INTEGER NOT NULL, t0 INTEGER NOT NULL,
  step BLOB, roll BLOB, value BLOB NOT NULL, time BLOB NOT NULL, UNIQUE (key, run, seq));
CREATE INDEX IF NOT EXISTS chunk_run ON chunk (run, key);
CREATE TABLE IF NOT EXISTS retention (run TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
"""
_DOUBLE = struct.Struct("<d")
_RANK = itemgetter(0, 1)
_NEVER = (-(2**63), float("-inf"), float("nan"))
_CHUNK = "seq, n, s0, ds, t0, step, value, time"


class History:
    """Threads may share it. The file is opened, and made, by the first call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(_IDLE_READERS)
        self._unsealed: dict[str, int] = {}

    def append(self, points: Mapping[str, Packed]) -> None:
        """Adds points (dtype POINT) by run, all or none; seals runs that have enough of them."""
        with self._write() as connection:
            connection.executemany(
                "INSERT INTO live (run, b) VALUES (?, ?)", [(run, some.tobytes()) for run, some in points.items()]
            )
        failpoints.reach("history_appended")
        for run, some in points.items():
            held = self._unsealed.get(run)
            self._unsealed[run] = held + len(some) if held is not None else self._counted_live(run)
            if self._unsealed[run] >= (SEAL_FEW_AT if len(np.unique(some["key"])) <= FEW_KEYS else SEAL_AT):
                self.seal(run)

    def seal(self, run: str) -> None:
        """Turns what came in into chunks, in order of arrival; no-op when there is nothing."""
        with self._write() as connection:
            for key, series in columns.by_key(_live(connection, run)).items():
                top = connection.execute("SELECT max(seq) FROM chunk WHERE key = ? AND run = ?", (key, run)).fetchone()
                _insert(connection, run, key, series, first=0 if top[0] is None else top[0] + 1)
                _unroll(connection, run, key)
            connection.execute("DELETE FROM live WHERE run = ?", (run,))
        self._unsealed[run] = 0

    def finish(self, run: str) -> None:
        """Merges, sorts and rolls up what a run logged, without exact duplicates; may be repeated."""
        with self._write() as connection:
            fresh = columns.by_key(_live(connection, run))
            known = [row[0] for row in connection.execute("SELECT DISTINCT key FROM chunk WHERE run = ?", (run,))]
            for key in sorted({*known, *fresh}):
                parts = [chunk.series() for _, chunk in _chunks(connection, key, [run])]
                parts += [fresh[key]] if key in fresh else []
                series = Series.joined(parts).distinct()
                connection.execute("DELETE FROM chunk WHERE key = ? AND run = ?", (key, run))
                _insert(connection, run, key, series, roll=columns.rolled(series))
            connection.execute("DELETE FROM live WHERE run = ?", (run,))
        self._unsealed.pop(run, None)

    def thin(self, run: str) -> bool:
        """Keeps of each long series of a finished run its roll-up alone, and remembers that; False where none is long.

        No-op for a run that somebody has restored, and for one that has points which came after its end.
        """
        with self._write() as connection:
            if _retention(connection, [run]) or len(_live(connection, run)):
                return False
            rolls = connection.execute("SELECT key, roll FROM chunk WHERE run = ? AND roll IS NOT NULL", (run,))
            found = {key: columns.unrolled(roll) for key, roll in rolls.fetchall()}
            for key, few in found.items():
                connection.execute("DELETE FROM chunk WHERE key = ? AND run = ?", (key, run))
                _insert(connection, run, key, few)
            if found:
                connection.execute("INSERT INTO retention (run, state) VALUES (?, 'thinned')", (run,))
        return bool(found)

    def thinned(self, runs: Sequence[str]) -> set[str]:
        """Those of which only roll-ups are left."""
        with self._read() as connection:
            return {run for run, state in _retention(connection, runs).items() if state == "thinned"}

    def restored(self, run: str) -> None:
        """Somebody wants this run whole: it is not thinned again."""
        with self._write() as connection:
            connection.execute("INSERT OR REPLACE INTO retention (run, state) VALUES (?, 'restored')", (run,))

    def replace(self, run: str, points: Packed) -> None:
        """Forgets what was known of a run and keeps these instead, finished."""
        with self._write() as connection:
            _forget(connection, run)
            for key, arrived in columns.by_key(points).items():
                series = arrived.distinct()
                _insert(connection, run, key, series, roll=columns.rolled(series))
        self._unsealed.pop(run, None)

    def drop(self, run: str) -> None:
        """No-op when nothing is known of it."""
        with self._write() as connection:
            _forget(connection, run)
        self._unsealed.pop(run, None)

    def series(
        self, run: str, key: int, *, max_points: int | None = None, start: int | None = None, end: int | None = None
    ) -> Series:
        """In order of step and time; with `max_points` its extremes, gaps and ends among at most so many."""
        return self.chart(key, [run], max_points=max_points, start=start, end=end)[run]

    def chart(
        self,
        key: int,
        runs: Sequence[str],
        *,
        max_points: int | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> dict[str, Series]:
        """The same metric of many runs; empty for those that never logged it."""
        whole = start is None and end is None
        with self._read() as connection:
            parts: dict[str, list[Series]] = {run: [] for run in runs}
            for run, points in _live_by_run(connection, runs).items():
                mine = points[points["key"] == key]
                parts[run] += [Series.of(mine)] if len(mine) else []
            rolls: dict[str, Series] = {}
            if whole and max_points is not None and max_points <= ROLLED:
                rolls = _rolls(connection, key, [run for run in runs if not parts[run]])
            settled: dict[str, list[Series]] = {}
            for run, chunk in _chunks(connection, key, [run for run in runs if run not in rolls]):
                settled.setdefault(run, []).append(chunk.series())
        found = {}
        for run in runs:
            line = rolls.get(run) or Series.joined(settled.get(run, []) + parts[run]).in_order().between(start, end)
            found[run] = line if max_points is None else line.drawn(max_points)
        return found

    def at(self, key: int, runs: Sequence[str], step: int) -> dict[str, float]:
        """The value that each run logged at just this step, the latest where it did so twice; others are left out."""
        latest: dict[str, tuple[int, float, float]] = {}

        def seen(run: str, times: Iterable[int], values: Iterable[float]) -> None:
            for time, value in zip(times, values, strict=True):
                latest[run] = max(latest.get(run, _NEVER), (time, 0.0 if value != value else value, value), key=_RANK)

        with self._read() as connection:
            for run, times, values in _settled_at(connection, key, runs, step):
                seen(run, times, values)
            for run, points in _live_by_run(connection, runs).items():
                mine = points[(points["key"] == key) & (points["step"] == step)]
                seen(run, mine["time"].tolist(), mine["value"].tolist())
        return {run: value for run, (_, _, value) in latest.items()}

    def counts(self, run: str) -> dict[int, int]:
        """How many points of each key."""
        with self._read() as connection:
            rows = connection.execute("SELECT key, sum(n) FROM chunk WHERE run = ? GROUP BY key", (run,))
            found = {int(key): int(n) for key, n in rows}
            keys, counts = np.unique(_live(connection, run)["key"], return_counts=True)
        for key, n in zip(keys, counts, strict=True):
            found[int(key)] = found.get(int(key), 0) + int(n)
        return found

    def close(self) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        with suppress(queue.Empty):
            while True:
                self._readers.get_nowait().close()

    def _counted_live(self, run: str) -> int:
        with self._read() as connection:
            row = connection.execute("SELECT coalesce(sum(length(b)), 0) FROM live WHERE run = ?", (run,)).fetchone()
            return int(row[0]) // POINT.itemsize

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _explained():
            if self._writer is None:
                self._writer = _opened(self.path)
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.OperationalError):  # SQLite may have rolled back by itself
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One snapshot, so that a seal in between neither hides nor doubles a point."""
        with _explained():
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = _opened(self.path)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                with suppress(sqlite3.OperationalError):
                    connection.execute("ROLLBACK")
                try:
                    self._readers.put_nowait(connection)
                except queue.Full:
                    connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    with FileLock(f"{path}.lock"):  # two processes may open it for the first time at once
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    return connection


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as cause:
        if "locked" in str(cause) or "full" in str(cause):
            raise Unavailable(f"The metric history cannot be written now: {cause}.") from cause
        raise EngineError(f"The metric history cannot be opened: {cause}.") from cause
    except sqlite3.DatabaseError as cause:
        raise EngineError(
            f"The metric history is damaged: {cause}.", hint="Remove history.db; it is rebuilt."
        ) from cause


def _live(connection: sqlite3.Connection, run: str) -> Packed:
    return _live_by_run(connection, [run]).get(run, np.empty(0, POINT))


def _live_by_run(connection: sqlite3.Connection, runs: Sequence[str]) -> dict[str, Packed]:
    blobs: dict[str, list[bytes]] = {}
    for some in _batches(runs):
        query = f"SELECT run, b FROM live WHERE run IN ({_marks(some)}) ORDER BY id"  # noqa: S608 (only marks)
        for run, blob in connection.execute(query, some):
            blobs.setdefault(run, []).append(blob)
    return {run: np.frombuffer(b"".join(parts), POINT) for run, parts in blobs.items()}


def _chunks(connection: sqlite3.Connection, key: int, runs: Sequence[str]) -> Iterator[tuple[str, Chunk]]:
    for some in _batches(runs):
        query = f"SELECT run, {_CHUNK} FROM chunk WHERE key = ? AND run IN ({_marks(some)}) ORDER BY run, seq"  # noqa: S608
        for run, _seq, *fields in connection.execute(query, (key, *some)):
            yield run, Chunk(*fields)


def _settled_at(
    connection: sqlite3.Connection, key: int, runs: Sequence[str], step: int
) -> Iterator[tuple[str, list[int], list[float]]]:
    """Times and values at this step; of chunks with a stride only these few bytes are read."""
    place = "(:step - s0) / ds"
    even = "key = :key AND step IS NULL AND ds > 0 AND :step BETWEEN s0 AND s0 + ds * (n - 1) AND (:step - s0) % ds = 0"
    width = "(length(time) / n)"
    for some in _batches(runs):
        named = {f"r{at}": run for at, run in enumerate(some)} | {"key": key, "step": step}
        mine = f"run IN ({','.join(f':r{at}' for at in range(len(some)))})"
        query = (
            f"SELECT run, t0, substr(time, {width} * ({place}) + 1, {width}), substr(value, 8 * ({place}) + 1, 8)"  # noqa: S608
            f" FROM chunk WHERE {even} AND {mine}"
        )
        for run, t0, time, value in connection.execute(query, named):
            offset = (
                int.from_bytes(time, "little") + t0 if len(time) == 4 else int.from_bytes(time, "little", signed=True)
            )
            yield run, [offset], list(_DOUBLE.unpack(value))
        query = f"SELECT run, {_CHUNK} FROM chunk WHERE key = :key AND (step IS NOT NULL OR ds <= 0) AND {mine}"  # noqa: S608
        for run, _seq, *fields in connection.execute(query, named):
            series = Chunk(*fields).series()
            here = series[series.step == step]
            yield run, here.time.tolist(), here.value.tolist()


def _rolls(connection: sqlite3.Connection, key: int, runs: Sequence[str]) -> dict[str, Series]:
    found = {}
    for some in _batches(runs):
        query = (
            f"SELECT run, roll FROM chunk WHERE key = ? AND seq = 0 AND run IN ({_marks(some)}) AND roll IS NOT NULL"  # noqa: S608
        )
        for run, blob in connection.execute(query, (key, *some)):
            found[run] = columns.unrolled(blob)
    return found


def _insert(
    connection: sqlite3.Connection, run: str, key: int, series: Series, *, first: int = 0, roll: bytes | None = None
) -> None:
    connection.executemany(
        f"INSERT INTO chunk (key, run, roll, {_CHUNK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [
            (key, run, None if at else roll, first + at, one.n, one.s0, one.ds, one.t0, one.step, one.value, one.time)
            for at, one in enumerate(columns.chunks(series))
        ],
    )


def _unroll(connection: sqlite3.Connection, run: str, key: int) -> None:
    """A roll-up says nothing of points that came after the run's end."""
    connection.execute(
        "UPDATE chunk SET roll = NULL WHERE key = ? AND run = ? AND seq = 0 AND roll IS NOT NULL", (key, run)
    )


def _forget(connection: sqlite3.Connection, run: str) -> None:
    connection.execute("DELETE FROM live WHERE run = ?", (run,))
    connection.execute("DELETE FROM chunk WHERE run = ?", (run,))
    connection.execute("DELETE FROM retention WHERE run = ?", (run,))


def _retention(connection: sqlite3.Connection, runs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _batches(runs):
        query = f"SELECT run, state FROM retention WHERE run IN ({_marks(some)})"  # noqa: S608 (only marks)
        found |= dict(connection.execute(query, some).fetchall())
    return found


def _batches(runs: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(runs), size):
        yield runs[start : start + size]


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
