"""Runs: a page with chosen columns, groups that are questions, keys, exports. On both databases."""

import csv
import io
import math
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pyarrow import parquet

from services import experiments, jobs, metric_healing, runs, workspaces
from services.core import directions
from services.core.errors import Denied, Invalid, NotFound
from services.core.times import now
from services.metric_tee import Tee
from services.runs import RunsQuery, Spread
from services.specs.jobs import CommandJob
from services.specs.run_fields import Field
from services.specs.workspaces import Workspace as WorkspaceSpec
from services.store import metrics as summaries
from services.store import runs as store
from services.store.metrics import Point, Run
from services.store.rows import Job
from tests.conftest import Stage
from tests.plain_runs import Dice

FIRST, SECOND, THIRD = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def tee(stage: Stage) -> Iterator[Tee]:
    made = Tee(stage.studio)
    yield made
    made.close()


def outside(stage: Stage, tee: Tee, run_id: str, **fields: object) -> None:
    """A run that no job made, in the experiment `iris`."""
    with stage.scope() as scope:
        experiments.ensure(scope, "iris").mlflow_id = "1"
    given = {"name": f"run {run_id[0]}", "start_time": 1000, "user": "ada", **fields}
    tee.run(Run.model_validate({"run_id": run_id, "workspace_id": stage.lab.id, "experiment_id": "1", **given}))
    tee.flush()


def log(tee: Tee, run_id: str, params: dict[str, str] | None = None, **metrics: float) -> None:
    tee.points(run_id, [Point(key, value, 1000, 0) for key, value in metrics.items()])
    tee.params(run_id, params or {})
    tee.flush()


def of_job(stage: Stage, name: str, run_id: str, **fields: object) -> None:
    with stage.scope() as scope:
        spec = {"command": "x", "environment": {"image": "python:3.11"}, "name": name, "experiment_name": "iris"}
        job = jobs.submit(scope, CommandJob.model_validate(spec), source="cli")
        experiments.get(scope, "iris").mlflow_id = "1"
        row = scope.session.get_one(Job, job.id)
        row.sqlmodel_update({"run_id": run_id, **fields})
        metric_healing.note_run(scope.session, job, run_id, "1", 5000)


def shown(stage: Stage, **asked: object) -> list[str]:
    """The first letters of what is listed."""
    with stage.scope(write=False) as scope:
        return [line.run_id[0] for line in runs.listed(scope, RunsQuery(**asked)).rows]  # type: ignore[arg-type]


def test_a_run_has_what_its_job_knows_of_it(stage: Stage, tee: Tee):
    began = now().replace(microsecond=123_000)
    of_job(stage, "one", FIRST, started_at=began, finished_at=began + timedelta(seconds=90), status="Completed")
    outside(stage, tee, SECOND, status="KILLED", end_time=3500)
    with stage.scope(write=False) as scope:
        found = runs.listed(scope, RunsQuery(columns=("duration", "compute", "source", "created")))
        own, other = found.rows
    assert (own.id, own.job, own.status, own.started, own.user, own.experiment) == (
        "one", "one", "Completed", began, "ada", "iris",
    )  # fmt: skip
    assert own.cells == {"duration": 90.0, "compute": None, "source": "cli", "created": own.created}
    assert (other.id, other.job, other.status, other.name) == (SECOND, "", "Canceled", "run b")
    assert other.cells == {"duration": 2.5, "compute": None, "source": None, "created": other.created}
    assert own.color != other.color


def test_a_nested_run_of_a_job_has_facts_of_its_own(stage: Stage, tee: Tee):
    of_job(stage, "one", FIRST, status="Running")
    with stage.scope(write=False) as scope:
        job_id = jobs.get(scope, "one").id
    outside(stage, tee, SECOND, job_id=job_id, parent_run_id=FIRST, status="FINISHED")
    tee.tags(SECOND, {"mlflow.parentRunId": FIRST})
    tee.flush()
    with stage.scope(write=False) as scope:
        child, parent = (runs.get(scope, name) for name in (SECOND, "one"))
    assert (child.line.job, child.line.status, child.parent) == ("", "Completed", parent.line)
    assert parent.line.has_children
    assert parent.children == [child.line]


def test_marks_are_read_with_the_run(stage: Stage, tee: Tee):
    outside(stage, tee, FIRST)
    tee.tags(FIRST, {"atelier.starred": "true", "atelier.color": "#12ab9f", "mlflow.note.content": "**good**"})
    outside(stage, tee, SECOND)
    tee.tags(SECOND, {"atelier.color": "red; background: url(x)"})
    tee.flush()
    with stage.scope(write=False) as scope:
        first, second = runs.get(scope, FIRST), runs.get(scope, SECOND)
    assert (first.line.is_starred, first.line.color, first.note) == (True, "#12ab9f", "**good**")
    assert second.line.color.startswith("#")
    assert shown(stage, filter="starred = true") == ["a"]


def test_a_tag_that_is_to_go_is_gone(stage: Stage, tee: Tee):
    outside(stage, tee, FIRST)
    with stage.scope() as scope:
        scope.session.add(summaries.Tag(run_id=FIRST, key="team", value="vision", wish="remove"))
    assert shown(stage, filter="tags.team is null") == ["a"]
    with stage.scope(write=False) as scope:
        assert runs.get(scope, FIRST).tags == {}
        assert runs.keys(scope, kind="tags").names == []


def test_a_search_wants_every_word_somewhere(stage: Stage, tee: Tee):
    of_job(stage, "deep-one", FIRST)
    outside(stage, tee, SECOND, name="Deep net")
    outside(stage, tee, THIRD, name="shallow")
    assert shown(stage, search="DEEP") == ["a", "b"]
    assert shown(stage, search=" net deep ") == ["b"]
    assert shown(stage, search="cccc") == ["c"]
    assert shown(stage, search="deep", filter="job is null") == ["b"]


def test_a_page_says_whether_there_is_more_and_how_far_was_counted(stage: Stage, tee: Tee):
    for letter in "abcdef":
        outside(stage, tee, letter * 32)
    with stage.scope(write=False) as scope:
        pages = [
            runs.listed(scope, RunsQuery(limit=limit, offset=offset, count_to=count_to))
            for limit, offset, count_to in ((6, 0, 3), (4, 4, 3), (2, 0, 3), (2, 0, 9), (2, 0, 0), (2, 8, 9))
        ]
        assert runs.count(scope) == 6
    assert [(len(each.rows), each.has_more, each.total, each.is_total_exact) for each in pages] == [
        (6, False, 6, True), (2, False, 6, True), (2, True, 3, False), (2, True, 6, True), (2, True, 3, False),
        (0, False, 6, True),
    ]  # fmt: skip


def test_only_the_columns_asked_for_are_read(stage: Stage, tee: Tee):
    outside(stage, tee, FIRST)
    log(tee, FIRST, {"lr": "0.1", "depth": "3"}, loss=1.0, acc=2.0)
    with stage.scope(write=False) as scope:
        columns = ("params.lr", "max(metrics.loss)", "metrics.none", "tags.none", "max(metrics.loss)")
        (line,) = runs.listed(scope, RunsQuery(columns=columns)).rows
    assert line.cells == {"params.lr": "0.1", "max(metrics.loss)": 1.0, "metrics.none": None, "tags.none": None}


def test_a_value_at_a_step_is_the_latest_of_that_step(stage: Stage, tee: Tee):
    outside(stage, tee, FIRST)
    outside(stage, tee, SECOND)
    tee.points(FIRST, [Point("loss", value, time, 7) for value, time in ((1.0, 30), (2.0, 50), (3.0, 40))])
    tee.flush()
    with stage.scope(write=False) as scope:
        found = runs.listed(scope, RunsQuery(columns=("at(metrics.loss, 7)", "at(metrics.loss, 8)"))).rows
    assert [list(line.cells.values()) for line in found] == [[2.0, None], [None, None]]


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"filter": "metrics.loss <"}, "filter:15"),
        ({"columns": ("loss",)}, "columns"),
        ({"columns": tuple(f"metrics.m{n}" for n in range(201))}, "columns"),
        ({"order_by": ("loss",)}, "order_by"),
        ({"order_by": ("at(metrics.loss, 3)",)}, "order_by"),
        ({"order_by": ("name",) * 11}, "order_by"),
        ({"search": "a\0"}, "search"),
        ({"columns": ("metrics.`a\0`",)}, "columns"),
        ({"order_by": ("-tags.`a\0`",)}, "order_by"),
    ],
)
def test_what_cannot_be_listed_is_said(stage: Stage, asked: dict[str, object], where: str):
    with stage.scope(write=False) as scope, pytest.raises(Invalid) as caught:
        runs.listed(scope, RunsQuery(**asked))  # type: ignore[arg-type]
    assert caught.value.where == where


def test_an_experiment_that_is_not_here_is_said(stage: Stage, tee: Tee):
    outside(stage, tee, FIRST)
    with stage.scope() as scope:
        experiments.ensure(scope, "new")
    assert shown(stage, experiments=("iris", "new")) == ["a"]
    assert shown(stage, experiments=("new",)) == []
    for name in ("wine", "a\0"):
        with stage.scope(write=False) as scope, pytest.raises(NotFound, match="was not found"):
            runs.listed(scope, RunsQuery(experiments=(name,)))


def test_runs_are_found_by_either_name_in_the_order_given(stage: Stage, tee: Tee):
    of_job(stage, "one", FIRST)
    outside(stage, tee, SECOND)
    with stage.scope(write=False) as scope:
        found = runs.resolve(scope, [SECOND, "nobody", "one", FIRST, SECOND])
        assert [row.run_id for row in found] == [SECOND, FIRST]
        assert [line.id for line in runs.lines(scope, ["one", SECOND])] == ["one", SECOND]
        assert runs.resolve(scope, ["a\0", "\ud800"]) == []
        with pytest.raises(Invalid, match="At most 200"):
            runs.resolve(scope, ["x"] * 201)


def test_what_was_deleted_is_nowhere(stage: Stage, tee: Tee):
    outside(stage, tee, FIRST)
    log(tee, FIRST, loss=1.0)
    tee.moved(FIRST, "deleted")
    tee.flush()
    with stage.scope(write=False) as scope:
        assert (
            runs.listed(scope).rows
            == runs.resolve(scope, [FIRST])
            == runs.grouped(scope, RunsQuery(), ["status"])
            == []
        )
        assert (runs.count(scope), runs.keys(scope).total) == (0, 0)
        with pytest.raises(NotFound):
            runs.get(scope, FIRST)


def test_another_workspace_sees_nothing_of_it(stage: Stage, tee: Tee):
    of_job(stage, "one", FIRST)
    outside(stage, tee, SECOND)
    log(tee, FIRST, {"lr": "1"}, loss=1.0)
    tee.tags(FIRST, {"team": "vision"})
    tee.flush()
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, WorkspaceSpec(name="other"))
    with stage.scope(workspace="other", write=False) as scope:
        for text in ("", "metrics.loss = 1", "params.lr = 1", f"id = {FIRST}", "job = one", "tags.team = vision"):
            for order in ("-created", "metrics.loss", "params.lr", "name"):
                assert runs.listed(scope, RunsQuery(filter=text, order_by=(order,))).rows == []
            assert runs.count(scope, RunsQuery(filter=text)) == 0
        assert runs.grouped(scope, RunsQuery(), ["tags.team"]) == []
        assert [runs.keys(scope, kind=kind).names for kind in ("metrics", "params", "tags")] == [[], [], []]  # type: ignore[arg-type]
        assert runs.resolve(scope, [FIRST, "one", SECOND]) == runs.lines(scope, [FIRST]) == []
        assert b"".join(runs.exported(scope, RunsQuery(), "csv")).count(b"\n") == 1
        for name in ("one", FIRST):
            with pytest.raises(NotFound, match="was not found"):
                runs.get(scope, name)


def test_readers_read_and_change_nothing(stage: Stage):
    with stage.scope(stage.cleo) as scope:
        assert runs.listed(scope).rows == []
        with pytest.raises(Denied):
            runs.set_direction(scope, "loss", True)


@pytest.fixture(params=["few", "many"])
def amount(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As if the runs were few or many: then names are looked for one by one."""
    if request.param == "many":
        monkeypatch.setattr(store, "FEW", 1)
    return str(request.param)


def test_ten_thousand_keys_are_searched_and_counted_by_prefix(stage: Stage, amount: str):
    with stage.scope() as scope:
        experiments.ensure(scope, "iris").mlflow_id = "1"
        summaries.save_run(scope.session, Run(run_id=FIRST, workspace_id=stage.lab.id, experiment_id="1"))
        names = [f"layer{layer:02d}/weight.{n}" for layer in range(50) for n in range(200)] + ["loss", "train.loss"]
        numbers = summaries.ensure_keys(scope.session, [*names, "of nobody here"])
        summaries.fold(scope.session, [summaries.Summary(FIRST, numbers[name], n=1) for name in names])
    with stage.scope(write=False) as scope:
        everything = runs.keys(scope, experiments=("iris",))
        found = runs.keys(scope, search="WEIGHT.19 layer07", limit=3)
        assert runs.keys(scope, kind="params").names == []
    assert (len(everything.names), everything.total, len(everything.prefixes)) == (200, 10_002, 51)
    assert (everything.prefixes["layer07"], everything.prefixes["train"]) == (200, 1)
    assert found.names == ["layer07/weight.19", "layer07/weight.190", "layer07/weight.191"]
    assert (found.total, found.prefixes) == (11, {"layer07": 11})


def test_a_group_has_count_mean_deviation_and_the_best_in_its_metrics_direction(stage: Stage, tee: Tee):
    for letter, lr, loss in (("a", "0.1", 1.0), ("b", "0.1", 3.0), ("c", "0.1", math.nan), ("d", "0.2", 5.0)):
        outside(stage, tee, letter * 32)
        log(tee, letter * 32, {"lr": lr}, loss=loss, acc=loss)
    outside(stage, tee, "e" * 32)
    with stage.scope(write=False) as scope:
        query = RunsQuery(columns=("metrics.loss", "metrics.acc", "params.lr", "name"))
        found = runs.grouped(scope, query, ["params.lr"])
    assert [(each.values, each.count) for each in found] == [
        ({"params.lr": "0.1"}, 3), ({"params.lr": "0.2"}, 1), ({"params.lr": None}, 1),
    ]  # fmt: skip
    assert found[0].cells == {
        "metrics.loss": Spread(2, 2.0, math.sqrt(2), 1.0),
        "metrics.acc": Spread(2, 2.0, math.sqrt(2), 3.0),
        "params.lr": Spread(3, pytest.approx(0.1), pytest.approx(0.0), None),  # type: ignore[arg-type]
    }
    assert found[1].cells["metrics.loss"] == Spread(1, 5.0, None, 5.0)
    assert found[2].cells["metrics.loss"] == Spread(0)


def test_groups_are_in_the_order_of_the_list_where_it_says_one(stage: Stage, tee: Tee):
    for letter, lr, loss in (("a", "9", 1.0), ("b", "10", 3.0), ("c", "10", 4.0), ("d", "adam", 2.0)):
        outside(stage, tee, letter * 32)
        log(tee, letter * 32, {"lr": lr}, loss=loss)
    outside(stage, tee, "e" * 32)
    with stage.scope(write=False) as scope:
        orders = {}
        for order in ("-created", "params.lr", "-params.lr", "metrics.loss", "-metrics.loss"):
            query = RunsQuery(columns=("metrics.loss",), order_by=(order,))
            orders[order] = [each.values["params.lr"] for each in runs.grouped(scope, query, ["params.lr"])]
    assert orders == {
        "-created": ["10", "9", "adam", None],
        "params.lr": ["9", "10", "adam", None],
        "-params.lr": ["adam", "10", "9", None],
        "metrics.loss": ["9", "adam", "10", None],
        "-metrics.loss": ["10", "adam", "9", None],
    }


def test_a_groups_filter_finds_just_its_runs(stage: Stage):
    dice = Dice(5)
    with stage.scope() as scope:
        plain = {run.id: run for run in dice.runs(scope.session, stage.lab.id, 80)}
    with stage.scope(write=False) as scope:
        for _ in range(40):
            by = [field for field in dict(dice.order(3)) if field.name != "duration"] or [Field("params", "lr")]
            base = str(dice.expression(2)) if dice.random.random() < 0.5 else ""
            expected = [line.run_id for line in runs.listed(scope, RunsQuery(filter=base, limit=1000)).rows]
            seen: list[str] = []
            for group in runs.grouped(scope, RunsQuery(filter=base), [str(each) for each in by], limit=1000):
                lines = runs.listed(scope, RunsQuery(filter=group.filter, limit=1000)).rows
                assert len(lines) == group.count, group.filter
                assert len({tuple(_plainly(plain[line.run_id].value(field)) for field in by) for line in lines}) == 1
                seen += [line.run_id for line in lines]
            assert sorted(seen) == sorted(expected)


def _plainly(value: object) -> str:
    """The two zeros are one."""
    return repr(value + 0.0 if isinstance(value, float) else value)


@pytest.mark.parametrize("by", [[], ["at(metrics.loss, 3)"], ["loss"], [f"params.p{n}" for n in range(11)]])
def test_what_cannot_be_grouped_is_said(stage: Stage, by: list[str]):
    with stage.scope(write=False) as scope, pytest.raises(Invalid):
        runs.grouped(scope, RunsQuery(), by)


def test_an_export_has_all_pages_and_is_safe_in_a_spreadsheet(stage: Stage, tee: Tee, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "MOST_ROWS", 2)
    texts = ["=1+1", "@x", "+1", "-1e3", "-x", "\tx", 'a,"b"\nc', "日本"]
    for place, text in enumerate(texts):
        outside(stage, tee, "abcdefgh"[place] * 32, name=text)
        log(tee, "abcdefgh"[place] * 32, {"text": text}, loss=-math.inf if place else math.nan)
    with stage.scope(write=False) as scope:
        query = RunsQuery(
            columns=("params.text", "metrics.loss", "metrics.none", "starred", "id"), limit=1, order_by=("id",)
        )
        as_csv = b"".join(runs.exported(scope, query, "csv")).decode()
        table = parquet.read_table(io.BytesIO(b"".join(runs.exported(scope, query, "parquet"))))
    rows = list(csv.DictReader(io.StringIO(as_csv)))
    safe = ["'=1+1", "'@x", "+1", "-1e3", "'-x", "'\tx", 'a,"b"\nc', "日本"]
    assert [row["params.text"] for row in rows] == [row["name"] for row in rows] == safe
    assert [row["metrics.loss"] for row in rows] == ["nan", *["-inf"] * 7]
    assert {row["created"] for row in rows} == {"1970-01-01T00:00:01.000Z"}
    assert table.column("params.text").to_pylist() == texts
    types = {
        name: str(table.schema.field(name).type) for name in ("metrics.loss", "created", "starred", "metrics.none")
    }
    assert list(types.values()) == ["double", "timestamp[ms, tz=UTC]", "bool", "double"]
    assert table.column("metrics.none").null_count == 8


def test_a_metrics_direction_is_guessed_until_somebody_says_it(stage: Stage):
    with stage.scope(stage.ben) as scope:
        assert runs.directions(scope, ["loss", "acc"]) == {"loss": False, "acc": True}
        runs.set_direction(scope, "loss", True)
        runs.set_direction(scope, "acc", False)
        runs.set_direction(scope, "acc", True)
    with stage.scope() as scope:
        assert runs.directions(scope, ["loss", "acc"]) == {"loss": True, "acc": True}
        runs.set_direction(scope, "loss", None)
        runs.set_direction(scope, "never said", None)
        assert runs.directions(scope, ["loss"]) == {"loss": False}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val/loss", False), ("trainLoss", False), ("RMSE", False), ("error_rate", False), ("val_accuracy", True),
        ("f1_macro", True), ("R2", True), ("loss_improvement_auc", True), ("neg_mean_squared_error", True),
        ("negative_log_likelihood", False), ("images_per_second", True), ("seconds_per_image", False),
        ("explained_variance", True), ("epoch", True), ("", True), ("precision_at_5", True), ("mAP50", True),
    ],
)  # fmt: skip
def test_a_direction_is_guessed_from_the_last_telling_word(name: str, expected: bool):
    assert directions.is_higher_better(name) is expected
