"""The request log: whole batches or nothing, roll-ups that agree with the rows, percentiles to two percent."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import Unavailable
from services.store import latency, request_rolls, requests
from services.store.request_rolls import ERRORS, class_of
from services.store.requests import BODY_LIMIT, WORST, Compared, Diff, Gauge, Record, Requests, Sample

HOUR = 1_767_222_000.0
"""The beginning of one, in seconds since 1970."""


class Clock:
    """Now, as a test sets it."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock(HOUR + 100)


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[Requests]:
    made = Requests(tmp_path / "requests.db", clock)
    yield made
    made.close()


def record(at: float = HOUR, deployment: str = "blue", endpoint: str = "e1", **changes) -> Record:
    names = {"workspace_id": "w1", "endpoint_id": endpoint, "endpoint": "credit"}
    return Record(at=at, **names, deployment_id=f"{endpoint}-{deployment}", deployment=deployment, **changes)


def compared(distance: float, at: float = HOUR, body: bytes = b"{}") -> Compared:
    return Compared("e1", "blue", "green", Diff(distance, body, body, body, at))


def brute(records: list[Record], start: int, end: int) -> dict[str, object]:
    """What a span comes to, counted from the rows themselves."""
    inside = [each for each in records if start <= each.at + each.total_ms / 1000 < end]
    return {
        "requests": len(inside),
        "classes": Counter(class_of(each.code) for each in inside),
        "bytes_in": sum(each.request_size for each in inside),
        "bytes_out": sum(each.response_size for each in inside),
        "most": max((each.in_flight for each in inside), default=0),
        "ms": sorted(each.total_ms for each in inside),
    }


def test_what_was_written_is_listed_newest_first_as_it_was(log: Requests):
    first = record(HOUR, code=200, total_ms=3.5, request_id="a", user_agent="curl/8", in_flight=2, kind="test")
    second = record(HOUR + 1, "green", code=424, reason="Model Error", model_code=500, model_reason="boom")
    log.write([first, second])

    listed = log.listed("e1")

    assert [each.id for each in listed] == [2, 1]
    assert [replace(each, id=0) for each in listed] == [second, first]
    assert log.listed("e2") == []


def test_a_list_is_narrowed_by_deployment_code_text_and_time(log: Requests):
    log.write(
        [
            record(HOUR, code=200, user_agent="100%_sure"),
            record(HOUR + 1, code=404, path="/score?x=1"),
            record(HOUR + 2, "green", code=503),
            record(HOUR + 3, "", code=401),
        ]
    )

    def ids(**wanted) -> list[int]:
        return [each.id for each in log.listed("e1", **wanted)]

    assert ids(deployment="green") == [3]
    assert ids(codes=(404,)) == [2]
    assert ids(codes=("4xx", 503)) == [4, 3, 2]
    assert ids(search="0%_S") == [1]
    assert ids(search="%s%e") == []
    assert ids(since=HOUR + 2) == [4, 3]
    assert ids(limit=2) == [4, 3]
    assert ids(before=3) == [2, 1]


def test_pages_meet_without_gap_or_double_when_times_are_equal(log: Requests):
    log.write([record(HOUR + index // 7, ("blue", "green")[index % 2]) for index in range(100)])

    seen: list[int] = []
    while page := log.listed("e1", before=seen[-1] if seen else None, limit=9):
        seen += [each.id for each in page]

    assert sorted(seen) == list(range(1, 101))
    assert len(set(seen)) == 100


def test_failures_are_found_without_a_look_at_all_the_rest(log: Requests):
    log.write([record(HOUR + index, code=200) for index in range(500)])
    log.write([record(HOUR + 600, code=503), record(HOUR + 601, code=408)])
    asked: list[str] = []
    assert log._writer is not None
    log._readers.put(log._writer)
    log._writer.connection.set_trace_callback(asked.append)

    listed = log.listed("e1", codes=("5xx", 408))

    log._writer.connection.set_trace_callback(None)
    log._readers.get()
    assert [each.code for each in listed] == [408, 503]
    (query,) = [each for each in asked if "FROM request" in each]
    plan = log._writer.connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert "request_failed" in plan[0][3]


def test_who_follows_gets_what_came_after_oldest_first(log: Requests):
    assert log.newest() == 0
    log.write([record(endpoint="e1"), record(endpoint="e2"), record(endpoint="e1")])

    assert log.newest() == 3
    assert [each.id for each in log.fresh("e1", 1)] == [3]
    assert [each.id for each in log.fresh("e2", 0)] == [2]
    assert log.fresh("e1", 3) == []


def test_roll_ups_agree_with_the_rows_across_the_borders_of_seconds_minutes_and_hours(log: Requests, clock: Clock):
    chance = random.Random(6)
    clock.at = HOUR + 7000
    records = [
        record(
            HOUR + chance.choice([3595, 3599.5, 3600, 3655, 3659.9, 3660, 3661]) + chance.random(),
            chance.choice(["blue", "green"]),
            code=chance.choice([200, 200, 200, 302, 400, 408, 424, 429, 499, 500, 502, 0]),
            total_ms=chance.lognormvariate(3, 1.5),
            request_size=chance.randrange(5000),
            response_size=chance.randrange(5000),
            in_flight=chance.randrange(9),
        )
        for _ in range(4000)
    ]
    for start in range(0, len(records), 37):
        log.write(records[start : start + 37])

    for step in (1, 5, 60, 3600, 7200):
        found = log.series(endpoint_id="e1", since=HOUR + 3590, until=HOUR + 3680, step_s=step)
        assert found.step == step
        for row, at in enumerate(found.at.tolist()):
            wanted = brute(records, at, at + step)
            assert found.requests[row] == wanted["requests"]
            assert {
                kind: found.classes[kind][row] for kind in request_rolls.CLASSES if found.classes[kind][row]
            } == dict(wanted["classes"])
            assert found.errors[row] == sum(wanted["classes"][each] for each in ERRORS)
            assert (found.bytes_in[row], found.bytes_out[row]) == (wanted["bytes_in"], wanted["bytes_out"])
            assert found.max_in_flight[row] == wanted["most"]
            if wanted["ms"]:
                assert found.mean[row] == pytest.approx(np.mean(wanted["ms"]))
                for percent in (50, 90, 95, 99):
                    exact = np.percentile(wanted["ms"], percent, method="inverted_cdf")
                    assert getattr(found, f"p{percent}")[row] == pytest.approx(exact, rel=0.02)
            else:
                assert np.isnan(found.p50[row])
        assert found.requests.sum() == 4000

    blue = log.series(deployment_id="e1-blue", since=HOUR + 3590, until=HOUR + 3680, step_s=60)
    assert blue.requests.sum() == sum(each.deployment == "blue" for each in records)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50), min_size=1, max_size=5))
def test_percentiles_of_merged_histograms_are_those_of_all_the_numbers(parts: list[list[float]]):
    blob = b""
    for part in parts:
        blob = latency.merged(blob, latency.packed(Counter(map(latency.bucket, part))))

    found = latency.percentiles(latency.dense([blob], [0], 1), (50, 90, 95, 99))[0]

    exact = np.percentile(np.concatenate(parts), (50, 90, 95, 99), method="inverted_cdf")
    assert found == pytest.approx(exact, rel=0.02)


def test_latencies_beyond_the_buckets_are_in_the_outermost():
    assert latency.bucket(-1) == latency.bucket(0) == latency.bucket(float("nan")) == 0
    assert latency.bucket(1e12) == latency.bucket(float("inf")) == latency.BUCKETS - 1


def test_a_window_counts_the_callers_requests_of_the_last_seconds(log: Requests, clock: Clock):
    clock.at = HOUR + 60
    log.write(
        [
            *(record(HOUR + 55, code=200, total_ms=float(ms)) for ms in range(1, 96)),
            *(record(HOUR + 56, code=code, total_ms=100) for code in (408, 424, 429, 500, 404)),
            record(HOUR + 57, code=500, kind="mirror"),
            record(HOUR + 58, code=500, kind="test"),
            record(HOUR + 20, code=500),
        ],
        gauges=[Gauge(HOUR + 59, "w1", "e1", "credit", "e1-blue", "blue", in_flight=7, queued=3)],
    )

    window = log.window("e1-blue", 10)

    assert (window.requests, window.errors, window.error_rate) == (100, 4, 0.04)
    assert window.classes == {"2xx": 95, "4xx": 1, "408": 1, "424": 1, "429": 1, "499": 0, "5xx": 1}
    assert (window.p50, window.p99) == (pytest.approx(50, rel=0.02), pytest.approx(100, rel=0.02))
    assert window.rpm == 600
    assert (window.max_in_flight, window.max_queued, window.in_flight) == (7, 3, 7)
    assert window.last_at == HOUR + 59
    assert log.window("e1-blue", 10, since=HOUR + 56).requests == 5
    clock.at = HOUR + 90
    assert log.window("e1-blue", 10).in_flight == 0


def test_a_window_without_requests_still_knows_when_the_last_one_was(log: Requests, clock: Clock):
    log.write([record(HOUR, total_ms=500), record(HOUR + 9, kind="mirror")])
    clock.at = HOUR + 5000

    window = log.window("e1-blue", 60)

    assert (window.requests, window.error_rate, window.p99, window.last_at) == (0, 0.0, None, HOUR + 0.5)
    assert log.window("unknown", 60).last_at is None


def test_the_same_answers_are_counted_and_the_worst_are_kept(log: Requests):
    log.write(
        [], diffs=[compared(0.0), compared(1e-9), *(compared(index / 100, HOUR + index) for index in range(1, 19))]
    )
    log.write([], diffs=[compared(index / 10, HOUR + 50 + index, b"x" * 9000) for index in range(1, 11)])

    found = log.diffs("e1", "blue", "green")

    assert (found.total, found.equal, found.percent) == (30, 2, pytest.approx(100 * 2 / 30))
    assert len(found.worst) == WORST
    distances = [each.distance for each in found.worst]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == 1.0
    assert len(found.worst[0].request) == len(found.worst[0].live) == BODY_LIMIT
    assert log.diffs("e1", "green", "blue").percent is None
    assert log.pairs("e1") == [("blue", "green")]


def test_what_is_old_goes_and_hours_stay(log: Requests, clock: Clock):
    day = 86_400
    log.write([record(HOUR, code=200), record(HOUR + 15 * day, code=200)])
    log.sample([Sample(HOUR, "e1-blue", "r1", 50.0, 100)])
    clock.at = HOUR + 15 * day + 60

    log.trim()
    assert [each.at for each in log.listed("e1")] == [HOUR + 15 * day]
    assert counted(log, "second") == counted(log, "sample") + 1 == 1
    assert counted(log, "minute") == 2

    clock.at = HOUR + 90 * day
    log.trim()
    assert (counted(log, "request"), counted(log, "minute"), counted(log, "sample_minute")) == (0, 0, 0)
    old = log.series(endpoint_id="e1", since=HOUR, until=HOUR + 3600, step_s=60)
    assert (old.step, old.requests.tolist()) == (3600, [1])


def test_no_more_rows_are_kept_than_the_limit(log: Requests, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "KEPT_ROWS", 100)
    monkeypatch.setattr(requests, "_TRIM_ROWS", 30)
    log.write([record(HOUR + index / 100) for index in range(250)])

    log.trim()

    assert [each.id for each in log.listed("e1", limit=1000)] == list(range(250, 150, -1))


def test_long_spans_come_in_longer_steps(log: Requests, clock: Clock):
    log.write([record(HOUR)])

    found = log.series(endpoint_id="e1", since=HOUR - 86_400, until=HOUR + 60, step_s=1)

    assert len(found.at) <= request_rolls.MOST_ROWS + 1
    assert found.requests.sum() == 1


def test_what_replicas_use_is_kept_by_the_second_and_then_by_the_minute(log: Requests, clock: Clock):
    log.sample([Sample(HOUR + at, "e1-blue", "r1", cpu=at, memory=1000 + at, limit=4000) for at in range(0, 120, 2)])
    log.sample([Sample(HOUR + 1, "e1-green", "r2", cpu=9.0, memory=1)])

    fine = log.samples("e1-blue", since=HOUR, until=HOUR + 120)
    clock.at = HOUR + 3 * 3600
    log.trim()
    coarse = log.samples("e1-blue", since=HOUR, until=HOUR + 120)

    assert [(each.at, each.cpu) for each in fine] == [(HOUR + at, at) for at in range(0, 120, 2)]
    assert [(each.at, each.cpu, each.memory) for each in coarse] == [(HOUR, 29.0, 1029), (HOUR + 60, 89.0, 1089)]


def test_an_endpoint_that_is_forgotten_leaves_nothing_and_the_others_stay(log: Requests):
    for endpoint in ("e1", "e2"):
        log.write([record(endpoint=endpoint)], [replace(compared(1.0), endpoint_id=endpoint)])
        log.sample([Sample(HOUR, f"{endpoint}-blue", f"r-{endpoint}", 1.0, 1)])
    before = {table: counted(log, table) for table in tables(log)}

    log.forget("e1")
    log.forget("e1")
    assert log.listed("e1") == log.samples("e1-blue", since=0, until=HOUR + 60) == log.pairs("e1") == []
    assert (
        log.window("e1-blue", 200).last_at,
        log.series(endpoint_id="e1", since=0, until=HOUR, step_s=60).requests.sum(),
    ) == (None, 0)
    log.trim()

    assert {table: counted(log, table) for table in tables(log)} == {
        table: count // 2 for table, count in before.items()
    }
    assert len(log.listed("e2")) == 1
    log.write([record(endpoint="e3")])
    assert log.listed("e1") == []


def test_a_file_that_is_damaged_is_begun_anew_and_the_old_one_kept(log: Requests, caplog: pytest.LogCaptureFixture):
    log.path.write_bytes(b"this is no database" * 100)

    log.write([record()])

    assert len(log.listed("e1")) == 1
    assert log.dropped == 0
    assert Path(f"{log.path}.damaged").read_bytes().startswith(b"this is no")
    assert "begun anew" in caplog.text


def test_damage_in_the_middle_is_met_by_a_reader_and_by_the_writer(log: Requests, clock: Clock):
    log.write([record(HOUR + index, user_agent="x" * 200) for index in range(2000)])
    log.close()
    content = bytearray(log.path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    log.path.write_bytes(content)

    assert log.listed("e1") == []
    log.write([record()])
    assert len(log.listed("e1")) == 1


def test_a_file_that_is_removed_is_made_again_under_all_who_have_it_open(log: Requests, clock: Clock):
    reader = Requests(log.path, clock)
    log.write([record()])
    assert len(reader.listed("e1")) == 1
    for end in ("", "-wal", "-shm"):
        Path(f"{log.path}{end}").unlink(missing_ok=True)

    log.write([record(), record()])

    assert len(reader.listed("e1")) == 2
    reader.close()


def test_a_file_of_another_version_is_put_aside(log: Requests):
    log.write([record()])
    log.close()
    with sqlite3.connect(log.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    assert log.listed("e1") == []


def test_on_a_full_disk_requests_are_dropped_and_counted(log: Requests, caplog: pytest.LogCaptureFixture):
    log.write([record()])
    assert log._writer is not None
    connection = log._writer.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    log.write([record(user_agent="x" * 2000) for _ in range(500)])
    log.write([record(user_agent="x" * 2000) for _ in range(500)])

    assert log.dropped == 1000
    assert caplog.text.count("cannot be written") == 1
    connection.execute("PRAGMA max_page_count = 1000000")
    log.write([record()])
    assert len(log.listed("e1", limit=1000)) == 2


def test_a_place_that_cannot_be_opened_stops_no_writer(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    log = Requests(tmp_path / "file" / "requests.db")

    log.write([record()])

    assert log.dropped == 1
    with pytest.raises(Unavailable, match="cannot be read"):
        log.listed("e1")


def test_what_a_caller_sends_is_stored_whatever_it_is(log: Requests):
    log.write([record(user_agent="caf\udce9", path="/" + "x" * 9000, client_request_id="\0'; DROP TABLE request; --")])

    (found,) = log.listed("e1")

    assert found.user_agent == "caf?"
    assert len(found.path) == 2048
    assert found.client_request_id == "\0'; DROP TABLE request; --"


def test_gateway_and_worker_write_at_once_while_others_read(log: Requests, clock: Clock):
    worker, page = Requests(log.path, clock), Requests(log.path, clock)
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: [log.write([record(), record(code=500)]) for _ in range(150)]),
        threading.Thread(
            target=lambda: [worker.sample([Sample(HOUR + at, "e1-blue", "r1", 1.0, 1)]) for at in range(150)]
        ),
        threading.Thread(target=lambda: seen.extend(page.window("e1-blue", 200).requests for _ in range(150))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (log.dropped, worker.dropped) == (0, 0)
    assert page.window("e1-blue", 200).requests == 300
    assert len(page.samples("e1-blue", since=HOUR, until=HOUR + 200)) == 150
    assert seen == sorted(seen)
    assert all(count % 2 == 0 for count in seen)
    worker.close()
    page.close()


def test_a_writer_that_is_killed_leaves_whole_batches(log: Requests):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(log.path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(5):
        assert writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()

    rows = log._read(
        lambda connection: connection.execute("SELECT request_id, count(*) FROM request GROUP BY 1").fetchall()
    )

    assert len(rows) >= 5
    assert {count for _, count in rows} == {400}
    hours = log.series(endpoint_id="e", since=HOUR, until=HOUR + 3600, step_s=3600)
    assert hours.requests.tolist() == [400 * len(rows)]
    agreement = log.diffs("e", "blue", "green")
    assert agreement.total == len(rows)


WRITER = f"""
import sys
from pathlib import Path
from services.store.requests import Compared, Diff, Record, Requests
log = Requests(Path(sys.argv[1]), lambda: {HOUR})
number = 0
while True:
    number += 1
    log.write(
        [Record({HOUR}, "w", "e", "e", request_id=str(number)) for _ in range(400)],
        [Compared("e", "blue", "green", Diff(0.5, b"", b"", b"", {HOUR}))],
    )
    print(number, flush=True)
"""


def tables(log: Requests) -> list[str]:
    return ["place", "request", "second", "minute", "hour", "agreement", "diff", "sample", "sample_minute"]


def counted(log: Requests, table: str) -> int:
    return log._read(lambda connection: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))  # noqa: S608
