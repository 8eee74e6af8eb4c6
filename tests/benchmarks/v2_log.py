"""V2_LOG: what the request log costs the gateway, against the same rows into a table that is only rows.

Of a hundred thousand requests to two deployments, in the batches of a quarter of a second at two thousand a second.
"""

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

from services.store.requests import Record, Requests
from tests.benchmarks.__main__ import say
from tests.benchmarks.metering import Cost, Meter

PEER = "the rows alone, without index and roll-ups"
UNIT = "cpu"
ROUNDS = 5
BAR = 3
REQUESTS, BATCH = 100_000, 500


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-v2-log-") as folder:
        for at in range(rounds):
            batches = [[record(start + each) for each in range(BATCH)] for start in range(0, REQUESTS, BATCH)]
            yield ours(Path(folder) / f"{at}.db", batches), theirs(Path(folder) / f"{at}-bare.db", batches)


def record(number: int) -> Record:
    side = ("blue", "green")[number % 2]
    return Record(
        time.time(),
        *("workspace-1", "endpoint-1", "credit", f"deployment-{side}", side, "replica-1"),
        code=200 if number % 50 else 424,
        request_size=120,
        response_size=30,
        user_agent="python-requests/2.32.3",
        request_id=f"{number:036d}",
        total_ms=2 + number % 97 / 10,
    )


def ours(path: Path, batches: list[list[Record]]) -> Cost:
    log = Requests(path)
    log.write([])
    meter = Meter()
    for batch in batches:
        log.write(batch)
    cost = meter.read()
    say(f"  {REQUESTS / cost.cpu:,.0f} requests a second of processor, {1e6 * cost.cpu / REQUESTS:.1f} µs each")
    log.close()
    return cost


def theirs(path: Path, batches: list[list[Record]]) -> Cost:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    names = [each.name for each in fields(Record)]
    connection.execute(f"CREATE TABLE request ({', '.join(names)})")
    marks, cells = ", ".join("?" * len(names)), attrgetter(*names)
    meter = Meter()
    for batch in batches:
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO request VALUES ({marks})", map(cells, batch))  # noqa: S608
        connection.execute("COMMIT")
    cost = meter.read()
    connection.close()
    return cost
