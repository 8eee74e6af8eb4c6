"""Histories: exact whatever is logged, in whatever order, whenever the process dies."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.store import downsampling
from services.store.columns import CHUNK, POINT, Chunk, Series
from services.store.history import SEAL_AT, History

RUN = "a" * 32
FAR = 2**62
values = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, float("inf"), float("-inf")])


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "history.db")
    yield made
    made.close()


def points(steps, values, times=None, key=1):
    made = np.zeros(len(steps), POINT)
    made["key"], made["step"], made["value"] = key, steps, values
    made["time"] = np.arange(len(steps)) + 1_700_000_000_000 if times is None else times
    return made


def test_what_was_appended_is_read_back_live_sealed_and_finished(history):
    for start in range(0, 30, 10):
        history.append({RUN: points(np.arange(start, start + 10), np.arange(start, start + 10) / 2)})
    live = history.series(RUN, 1)

    history.seal(RUN)
    sealed = history.series(RUN, 1)
    history.append({RUN: points([30], [15.0])})
    history.finish(RUN)
    finished = history.series(RUN, 1)

    assert list(live.step) == list(sealed.step) == list(range(30))
    assert list(finished.value) == [step / 2 for step in range(31)]
    assert history.counts(RUN) == {1: 31}


def test_not_a_number_infinities_and_minus_zero_are_kept_exactly(history):
    odd = [float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 5e-324]

    history.append({RUN: points(range(6), odd)})
    history.finish(RUN)
    read = history.series(RUN, 1).value

    assert np.array(odd).tobytes() == read.tobytes()


def test_points_come_in_order_of_step_and_time_whatever_came_first(history):
    history.append({RUN: points([5, 1, 1], [50.0, 11.0, 10.0], [9, 8, 7])})
    history.append({RUN: points([0, 5], [0.0, 49.0], [9, 1])})

    assert list(history.series(RUN, 1).value) == [0.0, 10.0, 11.0, 49.0, 50.0]
    history.finish(RUN)
    assert list(history.series(RUN, 1).value) == [0.0, 10.0, 11.0, 49.0, 50.0]


def test_equal_steps_stay_as_they_came(history):
    history.append({RUN: points([0] * 5, [3.0, 1.0, 2.0, 5.0, 4.0], [7] * 5)})
    history.finish(RUN)

    assert list(history.series(RUN, 1).value) == [3.0, 1.0, 2.0, 5.0, 4.0]


def test_exact_duplicates_are_dropped_at_the_end_as_mlflow_drops_them(history):
    nan = float("nan")
    history.append({RUN: points([1, 1, 1, 1, 1, 1], [2.0, nan, 0.0, 2.0, nan, -0.0], [7] * 6)})

    history.finish(RUN)

    assert history.counts(RUN) == {1: 3}


def test_times_far_apart_and_steps_of_any_size_are_kept(history):
    history.append({RUN: points([-FAR, 0, FAR], [1.0, 2.0, 3.0], [0, 1_700_000_000_000, 2**60])})
    history.finish(RUN)
    read = history.series(RUN, 1)

    assert list(read.step) == [-FAR, 0, FAR]
    assert list(read.time) == [0, 1_700_000_000_000, 2**60]


def test_a_long_run_seals_itself_and_a_constant_stride_costs_no_steps(history):
    history.append({RUN: points(np.arange(SEAL_AT) * 10, np.zeros(SEAL_AT))})

    with history._read() as connection:
        live = connection.execute("SELECT count(*) FROM live").fetchone()[0]
        stored = connection.execute("SELECT n, ds, step FROM chunk ORDER BY seq").fetchall()

    assert live == 0
    assert stored == [(CHUNK, 10, None)] * (SEAL_AT // CHUNK)


def test_extremes_ends_and_gaps_survive_the_roll_up(history):
    rng = np.random.default_rng(4)
    values = rng.normal(size=100_000)
    values[[12_345, 77_777]] = 99.0, -99.0
    values[500] = np.nan
    history.append({RUN: points(np.arange(100_000), values)})
    history.finish(RUN)

    drawn = history.series(RUN, 1, max_points=1000)

    assert len(drawn) <= 1000
    assert {99.0, -99.0} <= set(drawn.value)
    assert (drawn.step[0], drawn.step[-1]) == (0, 99_999)
    assert np.isnan(drawn.value).any()


def test_zooming_in_shows_the_points_themselves(history):
    history.append({RUN: points(np.arange(50_000), np.arange(50_000.0))})
    history.finish(RUN)

    read = history.series(RUN, 1, max_points=1000, start=40_000, end=40_099)

    assert list(read.step) == list(range(40_000, 40_100))


def test_points_after_the_end_are_seen_and_merged(history):
    history.append({RUN: points(np.arange(5000), np.zeros(5000))})
    history.finish(RUN)
    history.append({RUN: points([5000, 3], [7.0, 0.0], [1, 1_700_000_000_003])})

    seen = history.series(RUN, 1, max_points=100)
    history.seal(RUN)
    sealed = history.series(RUN, 1, max_points=100)
    history.finish(RUN)

    assert seen.value[-1] == sealed.value[-1] == 7.0
    assert history.counts(RUN) == {1: 5001}


def test_a_chart_of_many_runs_holds_an_empty_line_for_those_without(history):
    runs = [f"{index:032x}" for index in range(700)]
    history.append({run: points([0, 1], [1.0, 2.0]) for run in runs[:-1]})

    drawn = history.chart(1, runs, max_points=10)

    assert len(drawn) == 700
    assert [len(drawn[run]) for run in runs[-2:]] == [2, 0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 12), st.integers(0, 3), values), min_size=1, max_size=40),
    st.integers(-4, 13),
    st.sampled_from(["live", "sealed", "finished"]),
    st.sampled_from([1, 3, 2**20]),
)
def test_the_value_at_a_step_is_the_latest_that_was_logged_there(rows, step, state, stride):
    with TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.db")
        steps, times, numbers = (list(column) for column in zip(*rows, strict=True))
        history.append(
            {RUN: points([at * stride for at in steps], numbers, times), "b" * 32: points([1], [1.0], key=2)}
        )
        if state != "live":
            (history.seal if state == "sealed" else history.finish)(RUN)
        found = history.at(1, [RUN, "b" * 32], step * stride)
        history.close()

    here = [(time, number) for at, time, number in rows if at == step]
    expected = max(here, key=lambda each: (each[0], 0.0 if np.isnan(each[1]) else each[1]), default=None)
    assert list(found) == ([] if expected is None else [RUN])
    if expected is not None:
        same = [number for time, number in here if time == expected[0]]
        assert found[RUN] in same or np.isnan(found[RUN])
        assert (0.0 if np.isnan(found[RUN]) else found[RUN]) == (0.0 if np.isnan(expected[1]) else expected[1])


def test_of_a_steady_series_the_value_at_any_step_is_found_in_any_chunk(history):
    history.append({RUN: points(np.arange(20_000) * 10, np.arange(20_000.0))})
    history.finish(RUN)

    assert [history.at(1, [RUN], step) for step in (0, 81_920, 199_990)] == [{RUN: 0.0}, {RUN: 8192.0}, {RUN: 19_999.0}]
    assert history.at(1, [RUN], 15) == history.at(1, [RUN], 200_000) == history.at(2, [RUN], 0) == {}


def test_dropping_and_replacing_leave_nothing_of_before(history):
    history.append({RUN: points([0], [1.0]), "b" * 32: points([0], [1.0])})
    history.replace(RUN, points([3, 2], [1.0, 2.0], key=9))
    history.drop("b" * 32)

    assert history.counts(RUN) == {9: 2}
    assert history.counts("b" * 32) == {}


def test_readers_in_other_threads_never_miss_or_double_a_point(history):
    wrong: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            steps = history.series(RUN, 1).step
            if not np.array_equal(steps, np.arange(len(steps))):
                wrong.append(len(steps))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(0, 400, 10):
        history.append({RUN: points(np.arange(start, start + 10), np.zeros(10))})
        if start % 50 == 0:
            history.seal(RUN)
    history.finish(RUN)
    done.set()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert history.counts(RUN) == {1: 400}


WRITER = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np
from services.store.columns import POINT
from services.store.history import History
history = History(Path(sys.argv[1]))
for step in range(10_000):
    points = np.zeros(100, POINT)
    points["key"] = 1
    points["step"] = np.arange(step * 100, step * 100 + 100)
    history.append({"run": points})
    print(step, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [3, 170, 340])
def test_a_kill_in_the_middle_loses_and_doubles_nothing_acknowledged(tmp_path, acknowledged):
    path = tmp_path / "history.db"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    for _ in range(acknowledged):
        last = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    last = max([last, *(int(line) for line in child.stdout.read().split())])
    child.wait()

    history = History(path)
    steps = history.series("run", 1).step
    history.close()

    assert len(steps) >= (last + 1) * 100
    assert np.array_equal(steps, np.arange(len(steps)))


@settings(max_examples=300, deadline=None)
@given(st.lists(values, min_size=1, max_size=300), st.integers(4, 60))
def test_down_sampling_keeps_ends_extremes_and_gaps(line, most):
    array = np.array(line)
    chosen = downsampling.kept(array, most)
    numbers = array[~np.isnan(array)]

    assert list(chosen) == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, len(line) - 1)
    assert len(chosen) <= max(most, 5)
    if len(numbers):
        assert {numbers.min(), numbers.max()} <= set(array[chosen])
    assert np.isnan(array).any() == np.isnan(array[chosen]).any()


@settings(max_examples=300, deadline=None)
@given(st.lists(values, min_size=1, max_size=400), st.integers(4, 60))
def test_every_bucket_keeps_its_own_minimum_and_maximum_exactly(line, most):
    array = np.array(line)
    chosen = set(downsampling.kept(array, most).tolist())
    if len(line) <= most:
        assert chosen == set(range(len(line)))
        return
    buckets = max(1, (most - 2) // (3 if np.isnan(array).any() else 2))
    size = -(-len(line) // buckets)
    for start in range(0, len(line), size):
        bucket = array[start : start + size]
        here = [array[at] for at in chosen if start <= at < start + size]
        numbers = bucket[~np.isnan(bucket)]
        if len(numbers):
            assert {numbers.min(), numbers.max()} <= set(here)
        assert np.isnan(bucket).any() == np.isnan(here).any()


def test_a_million_points_in_one_series_are_kept_and_drawn(history):
    rng = np.random.default_rng(1)
    values = rng.normal(size=1_000_000)
    values[[333_333, 777_777, 5]] = np.inf, -np.inf, np.nan
    for start in range(0, len(values), 100_000):
        history.append({RUN: points(np.arange(start, start + 100_000), values[start : start + 100_000])})
    live = history.series(RUN, 1, max_points=1000)
    history.finish(RUN)

    assert history.counts(RUN) == {1: 1_000_000}
    assert history.series(RUN, 1).value.tobytes() == values.tobytes()
    for drawn in (live, history.series(RUN, 1, max_points=1000)):
        assert len(drawn) <= 1000
        assert {np.inf, -np.inf} <= set(drawn.value)
        assert (drawn.step[0], drawn.step[-1]) == (0, 999_999)


def test_ten_thousand_keys_of_a_run_are_kept_apart(history):
    for step in range(2):
        batch = np.concatenate([points([step], [key + step / 2], key=key) for key in range(10_000)])
        history.append({RUN: batch})
    history.finish(RUN)

    assert history.counts(RUN) == dict.fromkeys(range(10_000), 2)
    assert list(history.series(RUN, 9_876).value) == [9_876.0, 9_876.5]
    assert history.at(9_999, [RUN], 1) == {RUN: 9_999.5}


def test_a_thinned_run_keeps_extremes_and_ends_and_says_so_until_it_is_replaced(history):
    rng = np.random.default_rng(2)
    history.append({RUN: np.concatenate([points(range(50_000), rng.normal(size=50_000)), points([1], [2.0], key=2)])})
    history.finish(RUN)
    whole, drawn = history.series(RUN, 1), history.series(RUN, 1, max_points=500)

    assert history.thin(RUN)
    assert not history.thin(RUN)
    thin = history.series(RUN, 1)
    assert len(thin) <= 2000
    assert {whole.value.min(), whole.value.max(), whole.value[0], whole.value[-1]} <= set(thin.value)
    assert history.series(RUN, 1, max_points=500).value.tobytes() == drawn.value.tobytes()
    assert history.thinned([RUN, "b" * 32]) == {RUN}
    assert list(history.series(RUN, 2).value) == [2.0]
    history.replace(RUN, points([0], [1.0]))
    assert history.thinned([RUN]) == set()


def test_a_run_without_long_series_is_not_thinned(history):
    history.append({RUN: points(range(100), np.zeros(100))})
    history.finish(RUN)

    assert not history.thin(RUN)
    assert history.thinned([RUN]) == set()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62), values), min_size=1, max_size=50))
def test_a_chunk_gives_back_what_it_was_given(rows):
    steps, times, numbers = (list(column) for column in zip(*rows, strict=True))
    series = Series(np.array(steps, np.int64), np.array(times, np.int64), np.array(numbers))

    back = Chunk.of(series).series()

    assert list(back.step) == steps
    assert list(back.time) == times
    assert back.value.tobytes() == series.value.tobytes()
