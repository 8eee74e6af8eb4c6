"""What the gateway answered (`requests.db`): a row each, rolled up as they come, and shadow answers that differ.

The gateway writes requests and the worker samples of replicas; any process reads. A file that is damaged or gone is
opened anew, and what cannot be written is dropped and counted: a log never stops scoring.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import nlargest
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from filelock import FileLock

from services.core.errors import EngineError, Unavailable
from services.store import latency, request_rolls
from services.store.request_rolls import Series, Tallies, Tally

log = logging.getLogger("atelier.requests")
Kind: TypeAlias = Literal["live", "mirror", "test"]
Answer = TypeVar("Answer")

KEPT_ROWS = 1_000_000
KEPT_SECONDS = 14 * 86400
WORST = 20
BODY_LIMIT = 4096
EQUAL_UNTIL = 1e-6
"""Answers whose distance is at most this count as equal."""

GAUGE_SECONDS = 10
"""A gauge that is older says nothing of now: the gateway that told it has ended."""

BUSY_SECONDS = 10
TRIM_SECONDS = 60
_TRIM_ROWS = 20_000
_IDLE_READERS = 8
_TEXT_LIMIT = 2048


@dataclass(slots=True)
class Record:
    """One request and its answer. `at` is when it arrived, in seconds since 1970; sizes in bytes.

    `in_flight` and `queued` are of the deployment when it arrived. `deployment_id` is empty when none was chosen
    (a wrong key, an endpoint that is stopped). `id` is given by the log and grows.
    """

    at: float
    workspace_id: str
    endpoint_id: str
    endpoint: str
    deployment_id: str = ""
    deployment: str = ""
    replica_id: str = ""
    method: str = "POST"
    path: str = "/score"
    protocol: str = "HTTP/1.1"
    code: int = 200
    reason: str = ""
    model_code: int = 0
    model_reason: str = ""
    request_size: int = 0
    response_size: int = 0
    user_agent: str = ""
    request_id: str = ""
    client_request_id: str = ""
    total_ms: float = 0.0
    request_ms: float = 0.0
    response_ms: float = 0.0
    throttle_ms: float = 0.0
    kind: Kind = "live"
    in_flight: int = 0
    queued: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True)
class Gauge:
    """How busy a deployment is at this moment, whether or not anything was answered."""

    at: float
    workspace_id: str
    endpoint_id: str
    endpoint: str
    deployment_id: str
    deployment: str
    in_flight: int
    queued: int = 0


@dataclass(frozen=True, slots=True)
class Diff:
    """A request, both answers to it and how far they are apart (core.answers.distance). Bodies are cut at 4 KB."""

    distance: float
    request: bytes
    live: bytes
    shadow: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A request that a live and a shadow deployment have answered, by the names of the two."""

    endpoint_id: str
    live: str
    shadow: str
    diff: Diff


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two deployments gave the same answer; `percent` is None before the first. Worst first, at most 20."""

    total: int
    equal: int
    percent: float | None
    worst: Sequence[Diff]


@dataclass(frozen=True, slots=True)
class Window:
    """The last seconds of a deployment: what callers sent, without copies and tests.

    Latencies in milliseconds, None without requests. `errors` are 408, 424, 429 and 5xx, `error_rate` is from 0 to 1,
    `rpm` requests a minute. `last_at` is when a caller or a test was last answered, also before the window, or None.
    `in_flight` is as last heard of. `classes` counts answers by class (request_rolls.CLASSES).
    """

    requests: int = 0
    errors: int = 0
    error_rate: float = 0.0
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    rpm: float = 0.0
    max_in_flight: int = 0
    last_at: float | None = None
    max_queued: int = 0
    in_flight: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a replica uses at one moment: processor in percent of one core, memory in bytes (`limit` 0: none)."""

    at: float
    deployment_id: str
    replica_id: str
    cpu: float
    memory: int
    limit: int = 0


VERSION = 1
_PLACED = ("workspace_id", "endpoint_id", "endpoint", "deployment_id", "deployment")
_TEXTS = (
    *("replica_id", "method", "path", "protocol", "reason", "model_reason"),
    *("user_agent", "request_id", "client_request_id"),
)
_SEARCHED = ("path", "reason", "model_reason", "user_agent", "request_id", "client_request_id", "replica_id")
_KEPT = (
    *("at", "replica_id", "method", "path", "protocol", "code", "reason", "model_code", "model_reason"),
    *("request_size", "response_size", "user_agent", "request_id", "client_request_id"),
    *("total_ms", "request_ms", "response_ms", "throttle_ms", "kind", "in_flight", "queued"),
)
_placed, _values, _texts = attrgetter(*_PLACED), attrgetter(*_KEPT), attrgetter(*_TEXTS)
_SCHEMA = (
    """
CREATE TABLE place (
  id INTEGER PRIMARY KEY AUTOINCREMENT, workspace_id TEXT NOT NULL, endpoint_id TEXT NOT NULL, endpoint TEXT NOT NULL,
  deployment_id TEXT NOT NULL, deployment TEXT NOT NULL, last_at REAL, in_flight INTEGER NOT NULL DEFAULT 0,
  gauged_at REAL, UNIQUE (endpoint_id, deployment_id));
CREATE INDEX place_of ON place (deployment_id);
CREATE TABLE request (
  id INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL, at REAL NOT NULL, replica_id TEXT NOT NULL,
  method TEXT NOT NULL, path TEXT NOT NULL, protocol TEXT NOT NULL, code INTEGER NOT NULL, reason TEXT NOT NULL,
  model_code INTEGER NOT NULL, model_reason TEXT NOT NULL, request_size INTEGER NOT NULL,
  response_size INTEGER NOT NULL, user_agent TEXT NOT NULL, request_id TEXT NOT NULL,
  client_request_id TEXT NOT NULL, total_ms REAL NOT NULL, request_ms REAL NOT NULL, response_ms REAL NOT NULL,
  throttle_ms REAL NOT NULL, kind TEXT NOT NULL, in_flight INTEGER NOT NULL, queued INTEGER NOT NULL);
CREATE INDEX request_of ON request (place, at);
CREATE INDEX request_failed ON request (place, at) WHERE code >= 400;
CREATE TABLE agreement (
  endpoint_id TEXT NOT NULL, live TEXT NOT NULL, shadow TEXT NOT NULL, total INTEGER NOT NULL,
  equal INTEGER NOT NULL, PRIMARY KEY (endpoint_id, live, shadow)) WITHOUT ROWID;
CREATE TABLE diff (
  id INTEGER PRIMARY KEY, endpoint_id TEXT NOT NULL, live TEXT NOT NULL, shadow TEXT NOT NULL,
  distance REAL NOT NULL, request BLOB NOT NULL, live_body BLOB NOT NULL, shadow_body BLOB NOT NULL, at REAL NOT NULL);
CREATE INDEX diff_of ON diff (endpoint_id, live, shadow, distance, at);
CREATE TABLE sample (
  replica_id TEXT NOT NULL, at REAL NOT NULL, deployment_id TEXT NOT NULL, cpu REAL NOT NULL, memory INTEGER NOT NULL,
  memory_limit INTEGER NOT NULL, PRIMARY KEY (replica_id, at)) WITHOUT ROWID;
CREATE INDEX sample_of ON sample (deployment_id, at);
CREATE TABLE sample_minute (
  replica_id TEXT NOT NULL, at INTEGER NOT NULL, deployment_id TEXT NOT NULL, n INTEGER NOT NULL, cpu REAL NOT NULL,
  memory INTEGER NOT NULL, memory_limit INTEGER NOT NULL, PRIMARY KEY (replica_id, at)) WITHOUT ROWID;
CREATE INDEX sample_minute_of ON sample_minute (deployment_id, at);
"""
    + request_rolls.SCHEMA
)
_PLACE = (
    f"INSERT INTO place ({', '.join(_PLACED)}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (endpoint_id, deployment_id)"  # noqa: S608
    " DO UPDATE SET endpoint = excluded.endpoint, deployment = excluded.deployment RETURNING id"
)
_INSERT = f"INSERT INTO request (place, {', '.join(_KEPT)}) VALUES ({','.join('?' * (1 + len(_KEPT)))})"  # noqa: S608
_NEWEST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'request'"
_PAIR = "endpoint_id = ? AND live = ? AND shadow = ?"
_WORST_FIRST = "ORDER BY distance DESC, at DESC"
_AGREE = (
    "INSERT INTO agreement (endpoint_id, live, shadow, total, equal) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (endpoint_id, live, shadow)"
    " DO UPDATE SET total = total + excluded.total, equal = equal + excluded.equal"
)


class Requests:
    """Threads may share it. The file is opened, and made, by the first call. `dropped` counts what was not written."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.dropped = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._writer: _Opened | None = None
        self._readers: queue.LifoQueue[_Opened] = queue.LifoQueue(_IDLE_READERS)
        self._trimmed = clock()
        self._told = 0.0

    def write(self, records: Sequence[Record], diffs: Sequence[Compared] = (), gauges: Sequence[Gauge] = ()) -> None:
        """Keeps all of it, or none: then it is counted in `dropped`, and a line of the log says why. Never raises.

        Gauges are told for whoever has requests in flight or waiting, and once more when it has none.
        """
        if not self._written(partial(_add, records=records, diffs=diffs, gauges=gauges)):
            self.dropped += len(records)
        if self._clock() - self._trimmed > TRIM_SECONDS:
            self._trimmed = self._clock()
            self.trim()

    def sample(self, samples: Sequence[Sample]) -> None:
        """Keeps what replicas use; never raises."""
        self._written(partial(_sample, samples=samples))

    def trim(self) -> None:
        """Removes what is older than is kept, some thousand rows at a time, so that writers come between."""
        now = self._clock()
        while self._written(removed := _Removed(_trim_requests, now)) and removed.count >= _TRIM_ROWS:
            pass
        self._written(partial(_trim_rest, now=now))

    def forget(self, endpoint_id: str) -> None:
        """Nothing that is known of an endpoint is found any more; its requests go with the next trim. Never raises.

        For when the endpoint was deleted; may be repeated.
        """
        if self.path.exists():
            self._written(partial(_forget, endpoint_id=endpoint_id))

    def listed(
        self,
        endpoint_id: str,
        *,
        deployment: str = "",
        codes: Sequence[int | str] = (),
        search: str = "",
        since: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Record]:
        """Newest first. `before` is the `id` of the last record that is known already.

        `codes` are numbers or classes as `5xx`; `search` is looked for in paths, reasons, user agents and ids.
        """
        wanted = _Wanted(tuple(codes), search, since, before, limit)
        return self._read(lambda connection: _listed(connection, endpoint_id, deployment, wanted))

    def newest(self) -> int:
        """The id of the record that came last, of any endpoint; 0 before the first."""
        return self._read(lambda connection: int(connection.execute(_NEWEST).fetchone()[0]))

    def fresh(self, endpoint_id: str, after: int, limit: int = 200) -> list[Record]:
        """Those with a higher id, oldest first; of more than `limit` the newest: for who follows the log."""
        return self._read(lambda connection: _fresh(connection, endpoint_id, after, limit))

    def window(self, deployment_id: str, seconds: float, *, since: float | None = None) -> Window:
        """The last `seconds`, or those since then if they are fewer; whole seconds, the present one included."""
        return self._read(lambda connection: _window(connection, deployment_id, seconds, since, self._clock()))

    def series(
        self,
        *,
        endpoint_id: str = "",
        deployment_id: str = "",
        since: float,
        until: float,
        step_s: int,
        kinds: Sequence[Kind] = ("live",),
    ) -> Series:
        """Of a deployment, or of a whole endpoint with what reached no deployment; a row each step.

        Steps are longer than `step_s` where finer roll-ups are not kept so long, or where there would be too many.
        """

        def asked(connection: sqlite3.Connection) -> Series:
            column, value = ("deployment_id", deployment_id) if deployment_id else ("endpoint_id", endpoint_id)
            places = [each[0] for each in _places(connection, column, value)]
            return request_rolls.series(
                connection, places, kinds, since=since, until=until, step=step_s, now=self._clock()
            )

        return self._read(asked)

    def diffs(self, endpoint_id: str, live: str, shadow: str) -> Agreement:
        """Of two deployments of an endpoint, by name."""
        return self._read(lambda connection: _agreement(connection, endpoint_id, live, shadow))

    def pairs(self, endpoint_id: str) -> list[tuple[str, str]]:
        """Names of the live and the shadow deployments of which answers were compared."""
        query = "SELECT live, shadow FROM agreement WHERE endpoint_id = ? ORDER BY live, shadow"
        return self._read(lambda connection: connection.execute(query, (endpoint_id,)).fetchall())

    def samples(self, deployment_id: str, *, since: float, until: float) -> list[Sample]:
        """By replica and time; of the last two hours as they came, before that the mean of each minute."""
        return self._read(lambda connection: _samples(connection, deployment_id, since, until, self._clock()))

    def close(self) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.connection.close()
                self._writer = None
        while True:
            try:
                self._readers.get_nowait().connection.close()
            except queue.Empty:
                return

    def _written(self, act: Callable[[sqlite3.Connection], object]) -> bool:
        """One transaction; once more in a new file when the old one turns out to be damaged."""
        with self._lock:
            for _ in range(2):
                held, self._writer = self._writer, None
                try:
                    self._writer = _current(self.path, held)
                    with _transaction(self._writer.connection) as connection:
                        act(connection)
                    return True
                except (sqlite3.Error, OSError, OverflowError, ValueError) as cause:
                    if not _is_damage(cause):
                        self._tell(cause)
                        return False
                    _put_aside(self.path, self._writer, cause)
                    self._writer = None
        return False

    def _read(self, ask: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """In one snapshot."""
        for _ in range(2):
            opened = None
            try:
                opened = _current(self.path, self._idle())
                opened.connection.execute("BEGIN")
                return ask(opened.connection)
            except (sqlite3.Error, OSError) as cause:
                if not _is_damage(cause):
                    raise Unavailable(f"The request log cannot be read now: {cause}.") from cause
                _put_aside(self.path, opened, cause)
                opened = None
            finally:
                self._back(opened)
        raise EngineError("The request log is damaged.", hint="Remove requests.db; it is begun anew.")

    def _idle(self) -> "_Opened | None":
        try:
            return self._readers.get_nowait()
        except queue.Empty:
            return None

    def _back(self, opened: "_Opened | None") -> None:
        if opened is None:
            return
        with suppress(sqlite3.OperationalError):
            opened.connection.execute("ROLLBACK")
        try:
            self._readers.put_nowait(opened)
        except queue.Full:
            opened.connection.close()

    def _tell(self, cause: Exception) -> None:
        """Not more than once a minute: a full disk is met four times a second."""
        if self._clock() - self._told > TRIM_SECONDS:
            self._told = self._clock()
            log.warning("The request log cannot be written, requests are answered without it: %s", cause)


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: sqlite3.Connection
    file: tuple[int, int]
    """Device and inode: another process may have put a new file in its place."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    codes: tuple[int | str, ...]
    search: str
    since: float | None
    before: int | None
    limit: int


class _Removed:
    """Removes some rows, and says how many."""

    def __init__(self, act: Callable[[sqlite3.Connection, Any], int], subject: Any) -> None:
        self.act, self.subject, self.count = act, subject, 0

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.count = self.act(connection, self.subject)


def _current(path: Path, opened: _Opened | None) -> _Opened:
    """The connection, or a new one when there is none or the file is another."""
    if opened is not None:
        if _identity(path) == opened.file:
            return opened
        opened.connection.close()
    with FileLock(f"{path}.lock"):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            known = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if known and connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                raise sqlite3.DatabaseError("it was written by another version")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.create_function("merged", 2, latency.merged, deterministic=True)
            if not known:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.Error as cause:
            connection.close()
            if _is_damage(cause):
                _rename(path, cause)
            raise
        return _Opened(connection, _identity(path))


def _is_damage(cause: Exception) -> bool:
    """Whether the file is to blame. The classes below DatabaseError mean a busy or full disk, or a value of ours."""
    return type(cause) is sqlite3.DatabaseError


def _put_aside(path: Path, opened: _Opened | None, cause: Exception) -> None:
    """A damaged file gets another name, unless somebody was faster."""
    if opened is None:
        return
    opened.connection.close()
    with FileLock(f"{path}.lock"):
        if _identity(path) == opened.file:
            _rename(path, cause)


def _rename(path: Path, cause: Exception) -> None:
    log.error("The request log is begun anew, the old one is kept as %s.damaged: %s", path.name, cause)
    with suppress(FileNotFoundError):
        path.replace(f"{path}.damaged")
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_dev, facts.st_ino


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.DatabaseError):  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def _add(
    connection: sqlite3.Connection, *, records: Sequence[Record], diffs: Sequence[Compared], gauges: Sequence[Gauge]
) -> None:
    names: list[tuple[str, ...]] = [_placed(each) for each in records]
    places = dict.fromkeys([*names, *map(_placed, gauges)], 0)
    for each in places:
        places[each] = int(connection.execute(_PLACE, [_text(part) for part in each]).fetchone()[0])
    connection.executemany(
        _INSERT, [(places[name], *_values(_clean(record))) for name, record in zip(names, records, strict=True)]
    )
    seconds: Tallies = {}
    last: dict[int, float] = {}
    for name, record in zip(names, records, strict=True):
        place, ended = places[name], record.at + record.total_ms / 1000
        tally = seconds.get((place, record.kind, int(ended)))
        if tally is None:
            tally = seconds[place, record.kind, int(ended)] = Tally()
        tally.add(record.code, record.request_size, record.response_size, record.total_ms)
        tally.load(record.in_flight, record.queued)
        if record.kind != "mirror":
            last[place] = max(ended, last.get(place, 0.0))
    for gauge in gauges:
        place = places[_placed(gauge)]
        seconds.setdefault((place, "live", int(gauge.at)), Tally()).load(gauge.in_flight, gauge.queued)
        connection.execute(
            "UPDATE place SET in_flight = ?, gauged_at = ? WHERE id = ?", (gauge.in_flight, gauge.at, place)
        )
        if gauge.in_flight or gauge.queued:
            last[place] = max(gauge.at, last.get(place, 0.0))
    request_rolls.add(connection, seconds)
    connection.executemany(
        "UPDATE place SET last_at = max(coalesce(last_at, 0), ?) WHERE id = ?",
        [(at, place) for place, at in last.items()],
    )
    _compare(connection, diffs)


def _clean(record: Record) -> Record:
    """As it can be stored: what a caller sends may be long, or no text at all."""
    joined = "".join(_texts(record))
    if len(joined) <= _TEXT_LIMIT and joined.isascii():
        return record
    changes: dict[str, Any] = {name: _text(getattr(record, name)) for name in _TEXTS}
    return replace(record, **changes)


def _text(text: str) -> str:
    return text[:_TEXT_LIMIT].encode("utf-8", "replace").decode()


def _compare(connection: sqlite3.Connection, diffs: Sequence[Compared]) -> None:
    pairs: dict[tuple[str, str, str], list[Diff]] = {}
    for each in diffs:
        pairs.setdefault((each.endpoint_id, each.live, each.shadow), []).append(each.diff)
    for pair, found in pairs.items():
        differing = [diff for diff in found if diff.distance > EQUAL_UNTIL]
        connection.execute(_AGREE, (*pair, len(found), len(found) - len(differing)))
        connection.executemany(
            "INSERT INTO diff (endpoint_id, live, shadow, distance, request, live_body, shadow_body, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*pair, diff.distance, *(body[:BODY_LIMIT] for body in (diff.request, diff.live, diff.shadow)), diff.at)
                for diff in nlargest(WORST, differing, key=attrgetter("distance", "at"))
            ],
        )
        connection.execute(
            f"DELETE FROM diff WHERE {_PAIR} AND id NOT IN (SELECT id FROM diff WHERE {_PAIR} {_WORST_FIRST} LIMIT ?)",  # noqa: S608
            (*pair, *pair, WORST),
        )


def _sample(connection: sqlite3.Connection, *, samples: Sequence[Sample]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO sample (replica_id, at, deployment_id, cpu, memory, memory_limit)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(each.replica_id, each.at, each.deployment_id, each.cpu, each.memory, each.limit) for each in samples],
    )
    connection.executemany(
        "INSERT INTO sample_minute (replica_id, at, deployment_id, n, cpu, memory, memory_limit)"
        " VALUES (?, ?, ?, 1, ?, ?, ?) ON CONFLICT (replica_id, at) DO UPDATE SET"
        " n = n + 1, cpu = cpu + excluded.cpu, memory = memory + excluded.memory, memory_limit = excluded.memory_limit",
        [
            (each.replica_id, int(each.at) // 60 * 60, each.deployment_id, each.cpu, each.memory, each.limit)
            for each in samples
        ],
    )


def _trim_requests(connection: sqlite3.Connection, now: float) -> int:
    """How many were removed: of the oldest, of those beyond the number that is kept, and of what is forgotten."""
    last = connection.execute(_NEWEST).fetchone()[0]
    some = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE {} LIMIT ?)"
    count = connection.execute(some.format("id <= ?"), (last - KEPT_ROWS, _TRIM_ROWS)).rowcount
    for place, endpoint_id in connection.execute("SELECT id, endpoint_id FROM place").fetchall():
        before = now - KEPT_SECONDS if endpoint_id else float("inf")
        count += connection.execute(some.format("place = ? AND at < ?"), (place, before, _TRIM_ROWS)).rowcount
    return count


def _trim_rest(connection: sqlite3.Connection, *, now: float) -> None:
    request_rolls.trim(connection, now)
    used = "EXISTS (SELECT 1 FROM request WHERE request.place = place.id)"
    connection.execute(f"DELETE FROM place WHERE endpoint_id = '' AND NOT {used}")  # noqa: S608
    for table, span in (("sample", "second"), ("sample_minute", "minute")):
        connection.execute(f"DELETE FROM {table} WHERE at < ?", (now - request_rolls.KEPT_SECONDS[span],))  # noqa: S608


def _forget(connection: sqlite3.Connection, *, endpoint_id: str) -> None:
    """A million requests take seconds, for which nobody waits: their place stays, of no endpoint."""
    found = _places(connection, "endpoint_id", endpoint_id)
    request_rolls.forget(connection, [each[0] for each in found])
    for table in ("sample", "sample_minute"):
        connection.executemany(
            f"DELETE FROM {table} WHERE deployment_id = ?",  # noqa: S608
            [(each[4],) for each in found if each[4]],
        )
    for table in ("agreement", "diff"):
        connection.execute(f"DELETE FROM {table} WHERE endpoint_id = ?", (endpoint_id,))  # noqa: S608
    connection.execute(
        "UPDATE place SET workspace_id = '', endpoint_id = '', endpoint = '', deployment_id = id, deployment = '',"
        " last_at = NULL WHERE endpoint_id = ?",
        (endpoint_id,),
    )


def _places(connection: sqlite3.Connection, column: str, value: str) -> list[tuple[Any, ...]]:
    """Id, workspace, endpoint and deployment, each of the two by id and name."""
    return connection.execute(f"SELECT id, {', '.join(_PLACED)} FROM place WHERE {column} = ?", (value,)).fetchall()  # noqa: S608


def _listed(connection: sqlite3.Connection, endpoint_id: str, deployment: str, wanted: _Wanted) -> list[Record]:
    """Each deployment's by the index of its own, then merged: none of them is sorted."""
    places = {each[0]: each[1:] for each in _places(connection, "endpoint_id", endpoint_id)}
    clauses, values = _clauses(connection, wanted)
    query = (
        f"SELECT id, place, {', '.join(_KEPT)} FROM request WHERE place = ? {clauses} ORDER BY at DESC, id DESC LIMIT ?"  # noqa: S608
    )
    rows = [
        row
        for place, (*_, name) in places.items()
        if deployment in {"", name}
        for row in connection.execute(query, (place, *values, wanted.limit)).fetchall()
    ]
    rows.sort(key=lambda row: (row[2], row[0]), reverse=True)
    return [_record(row, places[row[1]]) for row in rows[: wanted.limit]]


def _clauses(connection: sqlite3.Connection, wanted: _Wanted) -> tuple[str, list[object]]:
    clauses, values = [""], list[object]()
    if wanted.codes:
        spans = [_span(code) for code in wanted.codes]
        clauses.append(f"({' OR '.join(['code BETWEEN ? AND ?'] * len(spans))})")
        clauses += ["code >= 400"] if all(low >= 400 for low, _ in spans) else []  # so that their own index is taken
        values += [border for span in spans for border in span]
    if wanted.search:
        clauses.append(f"({' OR '.join(f'{name} LIKE ? ESCAPE ?' for name in _SEARCHED)})")
        plain = wanted.search.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        values += [f"%{plain}%", "!"] * len(_SEARCHED)
    if wanted.since is not None:
        clauses.append("at >= ?")
        values.append(wanted.since)
    if wanted.before is not None:
        known = connection.execute("SELECT at FROM request WHERE id = ?", (wanted.before,)).fetchone()
        clauses.append("(at, id) < (?, ?)" if known else "id < ?")
        values += [known[0], wanted.before] if known else [wanted.before]
    return " AND ".join(clauses), values


def _span(code: int | str) -> tuple[int, int]:
    text = str(code)
    if text.endswith("xx"):
        return int(text[:-2]) * 100, int(text[:-2]) * 100 + 99
    return int(text), int(text)


def _fresh(connection: sqlite3.Connection, endpoint_id: str, after: int, limit: int) -> list[Record]:
    places = {each[0]: each[1:] for each in _places(connection, "endpoint_id", endpoint_id)}
    marks = ",".join("?" * len(places))
    # By the id, not by the place, whose index leads through all that the endpoint was ever asked.
    chosen = f"WHERE id > ? AND +place IN ({marks}) ORDER BY id DESC LIMIT ?"
    query = f"SELECT id, place, {', '.join(_KEPT)} FROM request {chosen}"  # noqa: S608
    rows = connection.execute(query, (after, *places, limit)).fetchall()
    return [_record(row, places[row[1]]) for row in reversed(rows)]


def _record(row: Sequence[Any], place: Sequence[str]) -> Record:
    values = dict(zip(_KEPT, row[2:], strict=True)) | dict(zip(_PLACED, place, strict=True))
    return Record(id=row[0], **values)


def _window(
    connection: sqlite3.Connection, deployment_id: str, seconds: float, since: float | None, now: float
) -> Window:
    query = "SELECT id, last_at, in_flight, gauged_at FROM place WHERE deployment_id = ?"
    found = connection.execute(query, (deployment_id,)).fetchall()
    start = max(now - seconds, since if since is not None else 0.0)
    table = "second" if now - start <= request_rolls.KEPT_SECONDS["second"] else "minute"
    sums = request_rolls.sums(connection, [each[0] for each in found], ("live",), start, table=table)
    p50, p90, p95, p99 = sums.percentiles
    return Window(
        sums.requests,
        sums.errors,
        sums.errors / sums.requests if sums.requests else 0.0,
        p50,
        p90,
        p95,
        p99,
        60 * sums.requests / max(1.0, now - start),
        sums.max_in_flight,
        max((at for _, at, _, _ in found if at is not None), default=None),
        sums.max_queued,
        sum(count for *_, count, at in found if at is not None and now - at <= GAUGE_SECONDS),
        sums.classes,
    )


def _agreement(connection: sqlite3.Connection, endpoint_id: str, live: str, shadow: str) -> Agreement:
    pair = (endpoint_id, live, shadow)
    row = connection.execute(f"SELECT total, equal FROM agreement WHERE {_PAIR}", pair).fetchone()  # noqa: S608
    total, equal = row or (0, 0)
    query = f"SELECT distance, request, live_body, shadow_body, at FROM diff WHERE {_PAIR} {_WORST_FIRST}"  # noqa: S608
    worst = [Diff(*each) for each in connection.execute(query, pair)]
    return Agreement(total, equal, 100 * equal / total if total else None, worst)


def _samples(
    connection: sqlite3.Connection, deployment_id: str, since: float, until: float, now: float
) -> list[Sample]:
    """Seconds from where they are still kept, minutes before."""
    border = min(until, max(since, (now - request_rolls.KEPT_SECONDS["second"]) // 60 * 60 + 60))
    minutes = connection.execute(
        "SELECT at, deployment_id, replica_id, cpu / n, memory / n, memory_limit FROM sample_minute"
        " WHERE deployment_id = ? AND at >= ? AND at < ?",
        (deployment_id, since // 60 * 60, border),
    ).fetchall()
    fine = connection.execute(
        "SELECT at, deployment_id, replica_id, cpu, memory, memory_limit FROM sample"
        " WHERE deployment_id = ? AND at >= ? AND at < ?",
        (deployment_id, border, until),
    ).fetchall()
    rows = minutes + fine if border > since else fine
    return sorted((Sample(*row) for row in rows), key=lambda each: (each.replica_id, each.at))
