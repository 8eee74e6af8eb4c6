"""Tiles: what is drawn of runs, on both databases; odd data makes a figure or a sentence, never a fault."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import tiles
from services import experiments, jobs, workspaces
from services import runs as nouns
from services import tiles as noun
from services.core.errors import Denied, Invalid, NotFound
from services.engines import importance
from services.metric_healing import note_run
from services.specs.jobs import CommandJob
from services.specs.problems import checked
from services.specs.tiles import Board, Drawing, Markdown
from services.specs.workspaces import Workspace
from services.store import metrics as store
from services.store.columns import POINT
from services.store.metrics import Run, Summary
from services.store.rows import Job, RoleAssignment
from services.studio import run_root
from services.tiles import lines, readings
from services.tiles.smoothing import ema, smoothed
from tests.conftest import Stage
from tests.specs.test_tiles import EVERY

HOSTILE = '<img src=x onerror="alert(1)">'
START = 1_700_000_000_000
Values = Sequence[float]


def run_id(number: int) -> str:
    return f"{number:032x}"


def log(
    stage: Stage,
    number: int,
    metrics: Mapping[str, Values] | None = None,
    *,
    name: str = "",
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    workspace: str = "",
    stage_word: str = "active",
) -> str:
    """A run that no job made, a point a second; its id."""
    own = run_id(number)
    with stage.studio.database.session(write=True) as session:
        fields = {"run_id": own, "workspace_id": workspace or stage.lab.id, "experiment_id": "1", "start_time": START}
        row = Run.model_validate({**fields, "name": name or f"run {number}", "status": "FINISHED"})
        store.save_run(session, row)
        store.move_run(session, own, stage_word)
        ids = store.ensure_keys(session, [*(metrics or {}), *(params or {})])
        summaries = []
        for key, values in (metrics or {}).items():
            summary = Summary(own, ids[key])
            for step, value in enumerate(values):
                summary.add(value, START + step * 1000, step)
            summaries.append(summary)
        store.fold(session, summaries)
        store.save_params(session, [(own, ids[key], value) for key, value in (params or {}).items()])
        store.save_tags(session, [(own, key, value) for key, value in (tags or {}).items()])
    parts = []
    for key, values in (metrics or {}).items():
        points = np.zeros(len(values), POINT)
        points["key"], points["step"], points["value"] = ids[key], np.arange(len(values)), values
        points["time"] = START + np.arange(len(values)) * 1000
        parts.append(points)
    if parts:
        stage.studio.history.replace(own, np.concatenate(parts))
    return own


def with_job(stage: Stage, name: str, number: int) -> str:
    """The run is the job's own; the job's id."""
    with stage.scope() as scope:
        spec = {"command": "x", "environment": {"image": "python:3.11"}, "name": name, "experiment_name": "iris"}
        job = jobs.submit(scope, CommandJob.model_validate(spec))
        scope.session.get_one(Job, job.id).run_id = run_id(number)
        experiments.get(scope, "iris").mlflow_id = "1"
        note_run(scope.session, job, run_id(number), "1", START)
        return job.id


def ask(stage: Stage, runs: Sequence[str], **tile: Any) -> Any:
    """As it is sent."""
    asked = checked(Drawing, {"tile": {"id": "a", **tile}, "runs": list(runs)})
    with stage.scope(write=False) as scope:
        return orjson.loads(tiles.answer(scope, asked))


def read(stage: Stage, runs: Sequence[str], **tile: Any) -> Any:
    asked = checked(Drawing, {"tile": {"id": "a", **tile}, "runs": list(runs)})
    with stage.scope(write=False) as scope:
        return noun.read(scope, asked.tile, asked.runs)


def numbers(array: Any) -> Any:
    """What Plotly makes of it."""
    if isinstance(array, list):
        return np.array(array, dtype=float)
    return np.frombuffer(base64.b64decode(array["bdata"]), f"<{array['dtype']}").astype(float)


def test_lines_of_runs_with_and_without_a_job(stage: Stage):
    log(stage, 1, {"loss": [3.0, 2.0, 1.0]}, name="one")
    with_job(stage, "two", 2)
    log(stage, 2, {"loss": [5.0, 4.0]})
    found = ask(stage, [run_id(1), "two", "nobody"], type="line", metrics=["loss"])
    assert found["kind"] == "figure"
    first, second = found["figure"]["data"]
    assert (first["meta"], second["meta"]) == ({"run": run_id(1)}, {"run": "two"})
    assert numbers(first["x"]).tolist() == [0, 1, 2]
    assert (numbers(first["y"]).tolist(), numbers(second["y"]).tolist()) == ([3, 2, 1], [5, 4])


def test_runs_of_other_workspaces_and_deleted_ones_are_left_out(stage: Stage):
    with stage.scope(workspace=None) as scope:
        other = workspaces.create(scope, Workspace(name="other"))
    log(stage, 1, {"loss": [1.0]}, workspace=other.id)
    log(stage, 2, {"loss": [1.0]}, stage_word="deleted")
    log(stage, 3, {"loss": [1.0]})
    found = ask(stage, [run_id(1), run_id(2), run_id(3)], type="line", metrics=["loss"])
    assert [trace["meta"]["run"] for trace in found["figure"]["data"]] == [run_id(3)]
    assert ask(stage, [run_id(1), run_id(2)], type="line", metrics=["loss"])["kind"] == "empty"


def test_a_person_without_a_role_reads_no_tile(lite: Stage):
    with pytest.raises(NotFound), lite.scope(lite.dan) as scope:
        noun.read(scope, Markdown(id="a", text="x"), [])
    with lite.scope() as scope:
        scope.session.add(RoleAssignment(principal_id=lite.dan.id, role="AzureML Compute Operator", scope=lite.lab.id))
    with pytest.raises(Denied), lite.scope(lite.dan) as scope:
        noun.read(scope, Markdown(id="a", text="x"), [])


def test_a_colour_that_somebody_chose_is_the_line_s(lite: Stage):
    log(lite, 1, {"loss": [1.0, 2.0]}, tags={"atelier.color": "#123456"})
    log(lite, 2, {"loss": [1.0, 2.0]}, tags={"atelier.color": "red;background:url(x)"})
    first, second = ask(lite, [run_id(1), run_id(2)], type="line", metrics=["loss"])["figure"]["data"]
    assert first["line"]["color"] == "#123456"
    assert second["line"]["color"].startswith("#")


# Lines


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=400), st.floats(0.01, 0.99))
def test_the_moving_average_is_what_a_loop_makes_of_it(values: list[float], weight: float):
    last, scale, expected = 0.0, 0.0, []
    for value in values:
        last, scale = last * weight + (1 - weight) * value, scale * weight + (1 - weight)
        expected.append(last / scale)
    np.testing.assert_allclose(ema(np.array(values), weight), expected, rtol=1e-9, atol=1e-6)


ODD = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([float("nan"), float("inf"), -float("inf")]))


@given(st.lists(ODD, max_size=300), st.sampled_from(["ema", "gaussian", "none"]), st.floats(0, 0.99))
def test_smoothing_leaves_gaps_and_stays_between_the_extremes(values: list[float], kind: str, weight: float):
    given_ = np.array(values, dtype=np.float64)
    found = smoothed(given_, kind, weight)
    finite = np.isfinite(given_)
    np.testing.assert_array_equal(found[~finite], given_[~finite])
    if finite.any():
        low, high = given_[finite].min(), given_[finite].max()
        room = 1e-6 * max(1.0, abs(low), abs(high))
        assert np.all((found[finite] >= low - room) & (found[finite] <= high + room))


@pytest.mark.parametrize("kind", ["ema", "gaussian"])
@pytest.mark.parametrize("weight", [0.1, 0.9, 0.99])
def test_what_is_constant_stays_so(kind: str, weight: float):
    np.testing.assert_allclose(smoothed(np.full(5000, 7.25), kind, weight), 7.25, rtol=1e-9)


@pytest.mark.parametrize("count", [3, 2000, 2001, 30_000])
@pytest.mark.parametrize("smoothing", ["none", "ema"])
def test_extremes_and_ends_are_drawn_however_long_a_line_is(lite: Stage, count: int, smoothing: str):
    values = np.random.default_rng(count).normal(size=count)
    values[count // 2] = np.nan
    log(lite, 1, {"loss": values.tolist()})
    traces = ask(lite, [run_id(1)], type="line", metrics=["loss"], smoothing=smoothing)["figure"]["data"]
    drawn = numbers(traces[0]["y"])
    assert len(drawn) <= lines.MOST_POINTS
    assert (np.nanmin(drawn), np.nanmax(drawn)) == pytest.approx((np.nanmin(values), np.nanmax(values)), rel=1e-6)
    assert (drawn[0], drawn[-1]) == pytest.approx((values[0], values[-1]), rel=1e-6)
    assert np.isnan(drawn).any()


def test_lines_that_were_thinned_say_so(lite: Stage):
    run = log(lite, 1, {"loss": [float(step % 7) for step in range(5000)]})
    tile = {"type": "line", "metrics": ["loss"]}
    assert "Archived" not in ask(lite, [run], **tile)["note"]
    assert lite.studio.history.thin(run)
    assert "Archived runs keep 2,000 points" in ask(lite, [run], **tile)["note"]


def test_a_smoothed_line_lies_over_the_faint_raw_one(lite: Stage):
    log(lite, 1, {"loss": [0.0, 1.0] * 50})
    raw, line = ask(lite, [run_id(1)], type="line", metrics=["loss"], smoothing="ema", weight=0.9)["figure"]["data"]
    assert (raw["opacity"], raw["showlegend"], raw["hoverinfo"]) == (0.25, False, "skip")
    assert np.ptp(numbers(raw["y"])) == 1
    assert np.ptp(numbers(line["y"])[20:]) < 0.2


@pytest.mark.parametrize("count", [1, 60, 200, 2000])
def test_many_lines_share_the_points_of_a_chart(count: int):
    assert lines.FEWEST_POINTS <= lines.points(count) <= lines.MOST_POINTS
    assert lines.points(count) * count <= max(lines.POINTS, lines.FEWEST_POINTS * count)


def test_x_is_step_time_seconds_since_the_start_or_another_metric(lite: Stage):
    log(lite, 1, {"loss": [3.0, 2.0, 1.0], "epoch": [0.0, 0.5, 1.0]})
    shown = {
        x: numbers(
            ask(lite, [run_id(1)], type="line", metrics=["loss"], x=x, x_metric="epoch")["figure"]["data"][0]["x"]
        )
        for x in ("step", "time", "relative", "metric")
    }
    assert shown["step"].tolist() == [0, 1, 2]
    assert shown["time"].tolist() == [START, START + 1000, START + 2000]
    assert shown["relative"].tolist() == [0, 1, 2]
    assert shown["metric"].tolist() == [0, 0.5, 1]


def test_another_metric_is_paired_by_step(lite: Stage):
    log(lite, 1, {"loss": [5.0, 4.0, 3.0, 2.0], "epoch": [10.0, 20.0]})
    (line,) = read(lite, [run_id(1)], type="line", metrics=["loss"], x="metric", x_metric="epoch").lines
    assert (line.x.tolist(), line.y.tolist()) == ([10, 20], [5, 4])
    said = ask(lite, [run_id(1)], type="line", metrics=["loss"], x="metric", x_metric="nothing")
    assert (said["kind"], "nothing" in said["note"]) == ("empty", True)


def test_long_runs_are_told_in_minutes_hours_or_days(lite: Stage):
    log(lite, 1, {"loss": [1.0] * 400})
    figure = ask(lite, [run_id(1)], type="line", metrics=["loss"], x="relative")["figure"]
    assert figure["layout"]["xaxis"]["title"]["text"] == "minutes"
    assert numbers(figure["data"][0]["x"])[-1] == pytest.approx(399 / 60)


def test_several_metrics_have_a_dash_each_and_runs_a_colour_each(lite: Stage):
    for number in (1, 2):
        log(lite, number, {"a": [1.0, 2.0], "b": [1.0, 2.0]})
    data = ask(lite, [run_id(1), run_id(2)], type="line", metrics=["a", "b"])["figure"]["data"]
    assert [trace["line"]["dash"] for trace in data] == ["solid", "solid", "dash", "dash"]
    assert data[0]["line"]["color"] == data[2]["line"]["color"]
    assert [trace["name"] for trace in data] == ["run 1 · a", "run 2 · a", "run 1 · b", "run 2 · b"]


def test_outliers_do_not_stretch_the_axis_and_that_is_said(lite: Stage):
    log(lite, 1, {"loss": [*np.linspace(1, 2, 500).tolist(), 1e9]})
    found = ask(lite, [run_id(1)], type="line", metrics=["loss"], ignore_outliers=True)
    low, high = found["figure"]["layout"]["yaxis"]["range"]
    assert 0.9 < low < high < 2.2
    assert found["note"] == "Points far out lie beyond the axis: 1."
    logarithmic = ask(lite, [run_id(1)], type="line", metrics=["loss"], ignore_outliers=True, log_y=True)
    assert logarithmic["figure"]["layout"]["yaxis"]["range"][1] < 1


def test_the_best_point_is_marked_by_the_direction_of_the_metric(lite: Stage):
    log(lite, 1, {"loss": [3.0, 1.0, 2.0], "accuracy": [0.1, 0.9, 0.5]})
    found = read(lite, [run_id(1)], type="line", metrics=["loss", "accuracy"], mark_best=True)
    assert [(mark.curve.metric, mark.x, mark.y) for mark in found.marks] == [("loss", 1, 1), ("accuracy", 1, 0.9)]
    with lite.scope() as scope:
        nouns.set_direction(scope, "loss", True)
    found = read(lite, [run_id(1)], type="line", metrics=["loss"], mark_best=True)
    assert [mark.y for mark in found.marks] == [3]


def test_of_many_lines_only_the_best_of_all_is_marked(lite: Stage):
    for number in range(20):
        log(lite, number, {"loss": [1.0, number * 1.0]})
    (mark,) = read(lite, [run_id(at) for at in range(20)], type="line", metrics=["loss"], mark_best=True).marks
    assert (mark.curve.run, mark.y) == (run_id(0), 0)


@pytest.mark.parametrize("band", ["std", "range"])
def test_the_mean_of_a_group_lies_in_its_band(lite: Stage, band: str):
    chance = np.random.default_rng(3)
    for number in range(6):
        values = chance.normal(size=100 + 37 * number)
        values[5] = np.nan
        log(lite, number, {"loss": values.tolist()}, params={"opt": "adam" if number % 2 else "sgd"})
    names = [run_id(at) for at in range(6)]
    found = read(lite, names, type="line", metrics=["loss"], group_by=["params.opt"], band=band)
    assert [line.name for line in found.lines] == ["opt = adam (3)", "opt = sgd (3)"]
    for line in found.lines:
        assert len({len(line.x), len(line.y), len(line.low), len(line.high)}) == 1
        assert np.all((line.low <= line.y + 1e-12) & (line.y <= line.high + 1e-12))
    assert len({line.color for line in found.lines}) == 2


def test_the_range_of_a_group_knows_every_extreme(lite: Stage):
    chance = np.random.default_rng(4)
    rows = [chance.normal(size=5000) for _ in range(3)]
    for number, values in enumerate(rows):
        log(lite, number, {"loss": values.tolist()})
    (line,) = read(
        lite, [run_id(at) for at in range(3)], type="line", metrics=["loss"], group_by=["status"], band="range"
    ).lines
    assert (line.low.min(), line.high.max()) == (min(map(np.min, rows)), max(map(np.max, rows)))


def test_a_group_of_one_is_the_line_itself(lite: Stage):
    log(lite, 1, {"loss": [3.0, 1.0, 2.0]})
    (line,) = read(lite, [run_id(1)], type="line", metrics=["loss"], group_by=["params.none"]).lines
    assert (line.name, line.y.tolist()) == ("none = — (1)", [3, 1, 2])


# What runs came to


def sweep(stage: Stage, count: int = 24) -> list[str]:
    """`score` follows `lr`; `noise` says nothing, and `kind` a little."""
    chance = np.random.default_rng(1)
    for number in range(count):
        lr = 10 ** float(chance.uniform(-4, -1))
        kind = "a" if number % 3 else "b"
        score = np.log10(lr) + (kind == "a") * 0.2
        params = {"lr": repr(lr), "kind": kind, "noise": repr(float(chance.normal())), "same": "1"}
        log(stage, number, {"score": [0.0, float(score)], "train/loss": [1.0]}, params=params)
    return [run_id(number) for number in range(count)]


def test_bars_stand_in_the_order_of_the_list_or_are_means_of_groups(lite: Stage):
    for number, value in enumerate([3.0, 1.0, 2.0]):
        log(lite, number, {"loss": [value]}, params={"opt": "x" if number else "y"})
    names = [run_id(2), run_id(0), run_id(1)]
    bars = read(lite, names, type="bar", value="metrics.loss").bars
    assert [(bar.run, bar.value) for bar in bars] == [(run_id(2), 2), (run_id(0), 3), (run_id(1), 1)]
    bars = read(lite, names, type="bar", value="metrics.loss", group_by=["params.opt"]).bars
    assert [(bar.name, bar.value, bar.spread, bar.count) for bar in bars] == [
        ("opt = x", 1.5, 0.5, 2),
        ("opt = y", 3, None, 1),
    ]


def test_a_regression_line_goes_through_what_lies_on_one(lite: Stage):
    for number in range(10):
        lr = 10.0 ** (number - 9)
        log(lite, number, {"score": [2.0 * number + 1]}, params={"lr": repr(lr)})
    names = [run_id(at) for at in range(10)]
    found = read(lite, names, type="scatter", x="params.lr", y="metrics.score", regression=True)
    assert found.x.is_log
    assert found.fit.r2 == pytest.approx(1)
    assert found.fit.y == pytest.approx((1, 19))
    sent = ask(lite, names, type="scatter", x="params.lr", y="metrics.score", regression=True)
    assert "R² = 1 over 10 runs" in sent["note"]
    assert sent["figure"]["layout"]["xaxis"]["type"] == "log"


def test_points_are_coloured_by_words_or_numbers_and_sized(lite: Stage):
    names = sweep(lite)
    by_word = ask(
        lite, names, type="scatter", x="params.lr", y="metrics.score", color="params.kind", size="params.noise"
    )
    assert [trace["name"] for trace in by_word["figure"]["data"]] == ["a", "b"]
    sizes = [size for trace in by_word["figure"]["data"] for size in trace["marker"]["size"]]
    assert (min(sizes), max(sizes)) == pytest.approx((6, 20))
    by_number = ask(lite, names, type="scatter", x="params.kind", y="metrics.score", color="metrics.score")
    assert by_number["figure"]["data"][0]["marker"]["showscale"]


def test_parallel_axes_are_from_nought_to_one(lite: Stage):
    names = sweep(lite)
    log(lite, 99, {"score": [1.0]})
    found = ask(lite, [*names, run_id(99)], type="parallel", fields=["params.lr", "params.kind", "metrics.score"])
    assert [axis["type"] for axis in found["axes"]] == ["log", "category", "number"]
    assert found["axes"][1]["ticks"] == [[0, "a"], [1, "b"]]
    assert len(found["lines"]) == len(names)
    values = np.array([line["values"] for line in found["lines"]])
    assert (values.min(axis=0).tolist(), values.max(axis=0).tolist()) == ([0, 0, 0], [1, 1, 1])
    assert "1 run has no value" in found["note"]


def test_a_map_has_the_mean_of_each_cell(lite: Stage):
    for number, (depth, opt, loss) in enumerate([("1", "x", 1.0), ("1", "x", 3.0), ("2", "x", 5.0), ("2", "y", 7.0)]):
        log(lite, number, {"loss": [loss]}, params={"depth": depth, "opt": opt})
    found = read(
        lite, [run_id(at) for at in range(4)], type="contour", x="params.depth", y="params.opt", z="metrics.loss"
    )
    np.testing.assert_array_equal(found.values, [[2, 5], [np.nan, 7]])
    assert (found.x_names, found.y_names) == (["1", "2"], ["x", "y"])


def test_a_contour_is_exact_where_runs_are_and_blank_far_from_them(lite: Stage):
    for number in range(30):
        place = number / 29
        log(lite, number, {"z": [place]}, params={"x": repr(place), "y": repr(place)})
    found = read(lite, [run_id(at) for at in range(30)], type="contour", x="params.x", y="params.y", z="metrics.z")
    assert (found.values[0, 0], found.values[-1, -1]) == pytest.approx((0, 1), abs=1e-3)
    assert np.isnan(found.values[0, -1])
    assert np.nanmin(found.values) >= 0
    assert np.nanmax(found.values) <= 1


def test_boxes_have_the_values_of_their_groups(lite: Stage):
    for number in range(4):
        log(lite, number, {"loss": [float(number)]}, params={"opt": "x" if number % 2 else "y"})
    found = read(lite, [run_id(at) for at in range(4)], type="box", value="metrics.loss", group_by=["params.opt"])
    assert [(box.name, box.values.tolist()) for box in found.boxes] == [("opt = x", [1, 3]), ("opt = y", [0, 2])]


def test_a_density_counts_every_number(lite: Stage):
    log(lite, 1, {"loss": [*np.random.default_rng(1).normal(size=3000).tolist(), 1e6, float("nan")]})
    log(lite, 2, {"loss": [0.5]})
    found = read(lite, [run_id(1), run_id(2)], type="histogram", metric="loss")
    assert found.counts.sum() == 3002
    assert "counted at the edge" in found.note
    assert found.edges[-1] < 100


def test_scalars_are_the_latest_or_the_best(lite: Stage):
    log(lite, 1, {"loss": [3.0, 1.0, 2.0], "accuracy": [0.9, 0.1]})
    values = {
        (metric, pick): ask(lite, [run_id(1)], type="scalar", value=f"metrics.{metric}", pick=pick)["items"][0]["value"]
        for metric in ("loss", "accuracy")
        for pick in ("last", "best")
    }
    assert values == {("loss", "last"): 2, ("loss", "best"): 1, ("accuracy", "last"): 0.1, ("accuracy", "best"): 0.9}


def test_a_comparison_says_how_far_from_the_baseline_and_whether_that_is_good(lite: Stage):
    log(lite, 1, {"loss": [1.0], "accuracy": [0.5]}, params={"lr": "0.1", "same": "x"})
    log(lite, 2, {"loss": [1.5], "accuracy": [0.75]}, params={"lr": "0.2", "same": "x"})
    found = ask(
        lite, [run_id(2)], type="compare", baseline=run_id(1), fields=["metrics.loss", "metrics.accuracy", "params.lr"]
    )
    assert [head["label"] for head in found["columns"][1:]] == ["run 1 (baseline)", "run 2"]
    assert [row[0] for row in found["rows"]] == ["loss", "accuracy", "lr"]
    assert [(row[2]["delta"], row[2]["tone"]) for row in found["rows"][:2]] == [(0.5, "bad"), (0.25, "good")]
    assert (found["rows"][2][2]["delta"], found["rows"][2][2]["tone"]) == (pytest.approx(0.1), "")
    every = ask(lite, [run_id(1), run_id(2)], type="compare")
    assert [row[0] for row in every["rows"]] == ["accuracy", "loss", "lr"]
    assert "delta" not in every["rows"][0][2]
    assert "not here" in ask(lite, [run_id(1)], type="compare", baseline="nobody")["note"]


def test_fields_of_runs_are_a_table(lite: Stage):
    log(lite, 1, {"loss": [0.25]}, params={"lr": "0.1"})
    found = ask(lite, [run_id(1)], type="table", fields=["status", "params.lr", "metrics.loss", "created"])
    assert found["columns"] == ["Run", "status", "lr", "loss", "created"]
    ((first, *rest),) = found["rows"]
    assert (first["run"], [cell["text"] for cell in rest]) == (
        run_id(1),
        ["Completed", "0.1", "0.25", "2023-11-14 22:13:20"],
    )


# Files


def keep(stage: Stage, number: int, path: str, content: bytes) -> None:
    target = run_root(stage.studio, stage.lab.id, "1", run_id(number)) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def test_a_logged_table_is_shown_of_each_run_that_has_one(lite: Stage):
    for number in (1, 2, 3):
        log(lite, number, {"loss": [1.0]})
    for number in (1, 3):
        keep(
            lite,
            number,
            "eval.json",
            json.dumps({"columns": ["q", "score"], "data": [["x", number], [None, 2.5]]}).encode(),
        )
    found = ask(lite, [run_id(at) for at in (1, 2, 3)], type="table", path="eval.json")
    assert found["columns"] == ["Run", "q", "score"]
    assert [(row[0]["run"], row[2]["value"]) for row in found["rows"]] == [
        (run_id(1), 1),
        (run_id(1), 2.5),
        (run_id(3), 3),
        (run_id(3), 2.5),
    ]
    assert ask(lite, [run_id(2)], type="table", path="eval.json")["kind"] == "empty"


def test_a_damaged_table_is_a_sentence(lite: Stage):
    log(lite, 1, {"loss": [1.0]})
    keep(lite, 1, "eval.json", b"{")
    found = ask(lite, [run_id(1)], type="table", path="eval.json")
    assert (found["kind"], "no table" in found["note"]) == ("empty", True)


def test_images_of_runs_stand_beside_each_other_by_step(lite: Stage):
    for number in (1, 2):
        log(lite, number, {"loss": [1.0]})
    for number, step in ((1, 0), (1, 5), (2, 5)):
        keep(lite, number, f"images/a~b%step%{step}%timestamp%1%{'c' * 32}.png", b"png")
    keep(lite, 1, "plots/roc & <b>.png", b"png")
    found = ask(lite, [run_id(1), run_id(2)], type="images", pattern="a/")
    assert (found["keys"], found["steps"]) == (["a/b"], [0, 5])
    assert [[item["step"] for item in run["items"]] for run in found["runs"]] == [[0, 5], [5]]
    every = ask(lite, [run_id(1)], type="images")
    sources = [item["src"] for item in every["runs"][0]["items"]]
    assert all(source.startswith(f"/files/run-artifact/lab/{run_id(1)}?path=") for source in sources)
    assert not any(sign in source for source in sources for sign in '<> "')


# Resources


def test_containers_are_sampled_from_their_first_second(lite: Stage):
    job = with_job(lite, "one", 1)
    folder = lite.studio.folders.run(job) / "system_logs"
    folder.mkdir(parents=True)
    samples = [
        {
            "at": f"2023-11-14T22:13:{20 + at:02d}Z",
            "cpu_seconds": at * 0.5,
            "memory": (at + 1) * 1_000_000,
            "network_in": at * 4000,
        }
        for at in range(5)
    ]
    (folder / "monitoring.jsonl").write_text("\n".join(map(json.dumps, samples)))
    (cpu,) = read(lite, ["one"], type="resource", name="cpu").lines
    assert cpu.x.tolist() == [0, 1, 2, 3, 4]
    assert cpu.y.tolist() == [0, 50, 50, 50, 50]
    received, sent = read(lite, ["one"], type="resource", name="network").lines
    assert (received.name, received.y.tolist(), sent.y.tolist()) == ("one · received", [0, 4, 4, 4, 4], [0] * 5)


def test_runs_without_a_container_show_what_mlflow_measured(lite: Stage):
    logged = {
        "system/cpu_utilization_percentage": [10.0, 20.0],
        "system/network_receive_megabytes": [0.0, 1.0, 1.5],
        "system/gpu_0_utilization_percentage": [5.0],
        "system/gpu_1_utilization_percentage": [7.0],
    }
    log(lite, 1, logged, name="one")
    (cpu,) = read(lite, [run_id(1)], type="resource", name="cpu").lines
    assert cpu.y.tolist() == [10, 20]
    (received,) = read(lite, [run_id(1)], type="resource", name="network").lines
    assert (received.name, received.y.tolist()) == ("one · received", [0, 1000, 500])
    assert [line.name for line in read(lite, [run_id(1)], type="resource", name="gpu").lines] == [
        "one · GPU 0",
        "one · GPU 1",
    ]
    assert "enable_system_metrics_logging" in ask(lite, [run_id(1)], type="resource", name="disk")["note"]


# Importance


def test_what_the_target_follows_is_the_most_important(lite: Stage):
    found = read(lite, sweep(lite, 40), type="importance", target="metrics.score")
    assert (found.count, found.shares[0].name) == (40, "lr")
    assert {share.name for share in found.shares} == {"lr", "kind", "noise"}
    assert found.r2 > 0.5
    assert found.shares[0].mean > 10 * abs({share.name: share for share in found.shares}["noise"].mean)


def test_the_same_question_grows_no_second_forest(monkeypatch: pytest.MonkeyPatch):
    asked = {"lr": [float(at) for at in range(12)]}, [float(at % 5) for at in range(12)]
    first = importance.of(*asked)
    monkeypatch.setattr(importance, "_computed", lambda asked: pytest.fail("it was grown again"))
    assert importance.of(*asked) is first


@pytest.mark.parametrize(
    ("count", "target", "said"),
    [
        (5, "metrics.score", "5 of the shown runs"),
        (12, "metrics.train/loss", "is the same in all 12 runs"),
        (12, "params.kind", "is text, not a number"),
        (12, "metrics.nothing", "0 of the shown runs"),
    ],
)
def test_an_importance_that_cannot_be_told_says_why(lite: Stage, count: int, target: str, said: str):
    found = ask(lite, sweep(lite, count), type="importance", target=target)
    assert (found["kind"], said in found["note"]) == ("empty", True)


# Odd data

SITUATIONS = ("no runs", "one run", "nothing logged", "only NaN", "constant", "infinite", "hostile")


def situation(stage: Stage, word: str) -> list[str]:
    match word:
        case "no runs":
            return []
        case "one run":
            log(stage, 1, {"loss": [1.0]}, params={"lr": "0.1", "depth": "1", "opt": "x"})
        case "nothing logged":
            log(stage, 1)
            log(stage, 2)
        case "only NaN":
            for number in (1, 2):
                log(stage, number, {"loss": [float("nan")] * 3}, params={"lr": "nan", "depth": "inf", "opt": ""})
        case "constant":
            for number in range(10):
                log(stage, number, {"loss": [2.0] * 5}, params={"lr": "0.1", "depth": "3", "opt": "x"})
        case "infinite":
            for number in range(10):
                values = [float("inf"), -float("inf"), 1.7e308, -1.7e308, 0.0, float(number)]
                log(stage, number, {"loss": values}, params={"lr": "1e308", "depth": "-1e308", "opt": str(number)})
        case _:
            for number in range(10):
                log(
                    stage,
                    number,
                    {"loss": [1.0, float(number)], HOSTILE: [1.0]},
                    name=HOSTILE,
                    params={
                        "lr": str(number),
                        "depth": HOSTILE + str(number % 2),
                        "opt": HOSTILE,
                        HOSTILE: str(number),
                    },
                )
            return [run_id(number) for number in range(10)]
    return [run_id(number) for number in range(10)]


@pytest.mark.parametrize("tile", EVERY, ids=lambda tile: tile["type"])
@pytest.mark.parametrize("word", SITUATIONS)
def test_odd_data_makes_a_figure_or_a_sentence(lite: Stage, word: str, tile: dict[str, Any]):
    found = ask(lite, situation(lite, word), **tile)
    assert found["kind"] in {"figure", "parallel", "images", "table", "markdown", "scalar", "empty"}
    if word == "no runs" and tile["type"] != "markdown":
        assert (found["kind"], "No runs are shown" in found["note"]) == ("empty", True)
    if found["kind"] == "figure":
        assert found["figure"]["data"]


HOSTILE_TILES: list[dict[str, Any]] = [
    {"type": "line", "metrics": ["loss", HOSTILE], "mark_best": True},
    {"type": "line", "metrics": ["loss"], "group_by": ["params.depth"]},
    {"type": "line", "metrics": ["loss"], "x": "metric", "x_metric": HOSTILE},
    {"type": "bar", "value": f"metrics.`{HOSTILE}`"},
    {"type": "bar", "value": "metrics.loss", "group_by": ["params.depth"]},
    {"type": "scatter", "x": "params.depth", "y": "metrics.loss", "color": "params.depth"},
    {"type": "scatter", "x": "params.lr", "y": f"params.`{HOSTILE}`", "color": f"params.`{HOSTILE}`"},
    {"type": "contour", "x": "params.depth", "y": "params.lr", "z": f"params.`{HOSTILE}`"},
    {"type": "contour", "x": "params.lr", "y": "metrics.loss", "z": f"params.`{HOSTILE}`"},
    {"type": "box", "value": "metrics.loss", "group_by": ["params.depth"]},
    {"type": "histogram", "metric": HOSTILE},
    {"type": "importance", "target": "metrics.loss"},
]


@pytest.mark.parametrize("tile", HOSTILE_TILES, ids=lambda tile: tile["type"])
def test_no_name_is_html_in_a_figure(lite: Stage, tile: dict[str, Any]):
    """Plotly reads some in names, titles, ticks and hover texts; the rest of the answers is set as text."""
    found = ask(lite, situation(lite, "hostile"), **tile)
    assert found["kind"] == "figure"
    assert "<img" not in json.dumps(found["figure"])
    assert "&lt;img" in json.dumps(found["figure"])


def test_two_hundred_runs_are_drawn_and_more_are_refused(lite: Stage):
    names = [log(lite, number, {"loss": [float(number), 1.0]}) for number in range(200)]
    found = ask(lite, names, type="line", metrics=["loss"])
    assert len(found["figure"]["data"]) == 200
    assert not found["figure"]["layout"]["showlegend"]
    with pytest.raises(Invalid, match="at most 200"):
        ask(lite, [*names, "x"], type="line", metrics=["loss"])


# The board that is made


def test_a_board_is_made_from_what_was_logged(stage: Stage):
    names = sweep(stage)
    log(stage, 100, {"val/loss": [1.0], "val.auc": [1.0], "system/gpu_0_utilization_percentage": [1.0]})
    with stage.scope(write=False) as scope:
        board = noun.default_board(scope)
        again = noun.default_board(scope)
    assert board == again
    assert [section.title for section in board.sections] == [
        "Metrics",
        "train",
        "val",
        "Parameters",
        "Resource metrics",
    ]
    assert [tile.metrics for tile in board.sections[2].tiles] == [["val.auc"], ["val/loss"]]
    parallel, target = board.sections[3].tiles
    assert set(parallel.fields) == {"params.lr", "params.kind", "params.noise", "metrics.score"}
    assert target.target == "metrics.score"
    assert [tile.name for tile in board.sections[4].tiles] == ["cpu", "memory", "gpu", "disk", "network"]
    assert checked(Board, board.model_dump(mode="json", exclude_defaults=True)) == board
    for section in board.sections:
        for tile in section.tiles:
            assert ask(stage, names, **tile.model_dump(mode="json"))["kind"] in {"figure", "parallel", "empty"}


def test_a_section_shows_twelve_hides_some_and_says_so(lite: Stage):
    log(lite, 1, {f"layer/{at}": [1.0] for at in range(100)})
    with lite.scope(write=False) as scope:
        (section,) = noun.default_board(scope).sections
    drawn = [tile for tile in section.tiles if tile.type == "line"]
    assert [tile.hidden for tile in drawn] == [False] * 12 + [True] * 12
    assert section.tiles[-1].text == (
        "12 of 100 metrics of this section are drawn, 12 more are hidden tiles. Add a tile for any of the other 76."
    )


def test_a_workspace_with_many_prefixes_has_a_board_that_ends(lite: Stage):
    log(lite, 1, {f"{'p' * 100}{at}/{HOSTILE}": [1.0] for at in range(600)})
    with lite.scope(write=False) as scope:
        board = noun.default_board(scope)
    assert len(board.sections) == 17
    assert board.sections[-1].title == "Other metrics"


def test_the_board_of_an_experiment_is_of_its_runs(lite: Stage):
    with_job(lite, "two", 2)
    log(lite, 2, {"loss": [1.0]})
    with lite.scope(write=False) as scope:
        board = noun.default_board(scope, ["iris"])
        with pytest.raises(NotFound):
            noun.default_board(scope, ["nobody's"])
    assert [section.title for section in board.sections] == ["Metrics", "Resource metrics"]


def test_every_reading_is_drawn():
    """What a tile comes to and nothing draws would be a fault of the page."""
    kinds = {kind.__name__ for kind in readings.Reading.__args__}
    assert kinds == {
        "Nothing", "Curves", "Bars", "Points", "Axes", "Boxes", "Surface", "Density", "Shares", "Pictures", "Grid",
        "Scalars", "Text",
    }  # fmt: skip
