"""Pages of runs: SQL means what a plain reading of the language means, on both databases and every way to read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from services.core.errors import Invalid
from services.specs import filters, run_fields
from services.specs.filters import Expression
from services.specs.run_fields import Field
from services.store import run_cells
from services.store import runs as store
from tests.conftest import Stage, make_stage
from tests.plain_runs import NOW, Dice, Plain, holds, in_order

COUNT = 120


class Table:
    """Random runs in the database, and the same as plain values; another workspace has some of the same kind."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.dice = stage, Dice(seed)
        with stage.scope() as scope:
            self.runs = self.dice.runs(scope.session, stage.lab.id, COUNT)
            self.dice.runs(scope.session, "elsewhere", 40, prefix="e")
            if not stage.studio.database.is_sqlite:
                scope.session.connection().exec_driver_sql("ANALYZE run")  # a large one would have been

    def query(self, where: Expression | None = None, order_by: tuple[tuple[Field, bool], ...] = ()) -> store.RunQuery:
        return store.RunQuery(self.stage.lab.id, NOW, None, where, order_by)

    def expected(self, where: Expression | None) -> list[Plain]:
        return [run for run in self.runs if where is None or holds(run, where)]


@pytest.fixture
def table(stage: Stage) -> Table:
    return Table(stage, 11)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """On SQLite, one for all tests of the module."""
    stage = make_stage(tmp_path_factory.mktemp("runs") / "home")
    yield Table(stage, 12)
    stage.studio.close()


@pytest.fixture(params=["few", "many"])
def amount(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As if the runs were few or many: then indexes drive."""
    if request.param == "many":
        monkeypatch.setattr(store, "FEWEST", 0)
        monkeypatch.setattr(run_cells, "MANY", 0)
    return str(request.param)


@pytest.mark.slow
def test_ten_thousand_expressions_find_what_a_plain_reading_finds(large: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "FEWEST", 0)
    sizes = set()
    for _ in range(10):
        with large.stage.scope(write=False) as scope:
            for _ in range(1000):
                where, order = large.dice.expression(), large.dice.order(1)
                expected = large.expected(where)
                assert sorted(store.matching(scope.session, large.query(where))) == sorted(each.id for each in expected)
                page = store.page(scope.session, large.query(where, order), limit=8)
                assert page == in_order(expected, order)[:8], (str(where), order)
                sizes.add(len(expected))
    assert {0, COUNT} <= sizes
    assert len(sizes) > 50


def test_expressions_mean_the_same_on_both_databases(table: Table, amount: str):
    with table.stage.scope(write=False) as scope:
        for _ in range(400):
            where = table.dice.expression()
            found = store.matching(scope.session, table.query(where))
            assert sorted(found) == sorted(each.id for each in table.expected(where)), str(where)


def test_no_page_loses_or_doubles_a_run(table: Table, amount: str):
    random = table.dice.random
    for _ in range(60):
        where = table.dice.expression(2) if random.random() < 0.5 else None
        order = table.dice.order(3)
        query, size = table.query(where, order), random.randint(1, 60)
        runs = table.expected(where)
        with table.stage.scope(write=False) as scope:
            pages = [store.page(scope.session, query, limit=size, offset=at) for at in range(0, len(runs) + size, size)]
            assert store.count(scope.session, query) == len(runs)
            assert store.count(scope.session, query, most=7) == min(7, len(runs))
        assert [run_id for page in pages for run_id in page] == in_order(runs, order), (order, str(where))


def test_what_is_read_is_what_was_logged(table: Table, amount: str):
    fields = [*map(run_fields.field, run_fields.ATTRIBUTES), *(table.dice.field() for _ in range(40))]
    fields = list(dict.fromkeys(fields))
    with table.stage.scope(write=False) as scope:
        found = run_cells.cells(scope.session, table.stage.lab.id, NOW, [run.id for run in table.runs], fields)
    for field in fields:
        expected = {run.id: run.value(field) for run in table.runs if run.value(field) is not None}
        assert {key: repr(_number(value)) for key, value in found[field].items()} == {
            key: repr(_number(value)) for key, value in expected.items()
        }, field


def _number(value: object) -> object:
    """SQLite keeps no sign of zero."""
    return float(value) + 0.0 if isinstance(value, float | int) else value


def test_a_value_at_a_step_sorts_nothing(table: Table):
    with table.stage.scope(write=False) as scope, pytest.raises(Invalid, match="not sorted by a value at a step"):
        store.page(scope.session, table.query(None, ((run_fields.field("at(metrics.loss, 3)"), True),)), limit=1)


@pytest.mark.parametrize(
    "text",
    ["metrics.loss < -3 or params.lr = 3", f"id = r{1:031d}", "job = job-001", 'tags.team = "日本" or params.opt = 3'],
)
def test_a_rare_filter_reads_few_runs(large: Table, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setattr(store, "FEWEST", 40)
    query = large.query(filters.parse(text))
    with large.stage.scope(write=False) as scope, asked(scope.session) as statements:
        store.page(scope.session, query, limit=1)
    plan = explained(large.stage, *statements[-1])
    assert "r USING INDEX sqlite_autoindex_run_1 (run_id=?)" in plan
    assert "ix_run_listed" not in plan
    assert "SCAN m" not in plan


@pytest.mark.parametrize(
    ("by", "index"),
    [("metrics.loss", "ix_metric_sorted (key_id=? AND last>?)"), ("params.lr", "ix_param_number (key_id=? AND num>?)")],
)
def test_numbers_sort_by_walking_their_index(large: Table, monkeypatch: pytest.MonkeyPatch, by: str, index: str):
    monkeypatch.setattr(store, "FEWEST", 0)
    query = large.query(None, ((run_fields.field(by), True),))
    with large.stage.scope(write=False) as scope, asked(scope.session) as statements:
        store.page(scope.session, query, limit=5)
    plan = explained(large.stage, *statements[-1])
    assert index in plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan  # only what is equal is sorted


@contextmanager
def asked(session: Session) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent meanwhile."""
    found: list[tuple[str, Any]] = []

    def seen(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        found.append((statement, parameters))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", seen)
    yield found
    event.remove(connection, "before_cursor_execute", seen)


def explained(stage: Stage, statement: str, parameters: Any) -> str:
    with stage.scope(write=False) as scope:
        rows = scope.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return "\n".join(row[3] for row in rows)


def test_plain_runs_are_of_every_kind(large: Table):
    """Else the comparison would prove less than it says."""
    runs: list[Plain] = large.runs
    assert {run.attributes["status"] for run in runs if "status" in run.attributes} >= {"Completed", "Queued", "Paused"}
    for name in run_fields.ATTRIBUTES:
        assert any(name in run.attributes for run in runs), name
