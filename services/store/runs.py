"""Runs found, sorted and read by what was logged: one SQL for SQLite and PostgreSQL, straight from the indexes.

A page of ids comes first, then the cells that are shown. How the ids are found depends on what is few:

- the runs of the place that is listed, or those that a rare filter leaves (a union of index ranges): they are
  looked at one by one and sorted;
- neither: the index of the metric that sorts is walked from its end until the page is full.

"Few" is the square root of all runs times the page's end: there both ways cost about the same.
"""

# ruff: noqa: S608 (the pieces are ours, every value is a parameter)

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isqrt
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection
from sqlmodel import Session

from services.core.errors import Invalid
from services.specs import filters
from services.specs.filters import Ago, And, Compare, Expression, In, IsNull, Not, Or, Value
from services.specs.run_fields import Field
from services.store.metrics import ENDED

# MLflow's words for what no job tells.
STATUSES = {
    "SCHEDULED": "Queued",
    "RUNNING": "Running",
    "FINISHED": "Completed",
    "FAILED": "Failed",
    "KILLED": "Canceled",
}
STARRED, SOURCE, PARENT = "atelier.starred", "mlflow.source.name", "mlflow.parentRunId"
_COLUMNS = {
    "last": "last",
    "min": "min",
    "max": "max",
    "first": "first",
    "count": "n",
    "min_step": "min_step",
    "max_step": "max_step",
}
_STEPS = ("min_step", "max_step")  # a metric that was never a number has no such step
_ORDERED = ("<", "<=", ">", ">=")
_NAMED = {
    "metrics": ("metric", "key_id", ""),
    "params": ("param", "key_id", ""),
    "tags": ("tag", "key", " AND m.wish <> 'remove'"),
}
# What has an index by number: the latest value of a metric, a parameter.
_WALKS = {("metrics", "last"): ("metric", "last"), ("params", "last"): ("param", "num")}
FEWEST = 500
_MOST_RANGES = 60
FEW = 2000
_NO_RUN = "1 = 0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWER = {ord(sign): sign.lower() for sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_JOB = "LEFT JOIN job j ON j.id = r.job_id AND j.run_id = r.run_id AND j.deleted_at IS NULL"


@dataclass(frozen=True)
class RunQuery:
    """Which runs of a workspace, and in what order; `now` is in milliseconds, as all times here.

    `experiment_ids` are MLflow's; None is every experiment. Pairs of `order_by` say a field and whether it
    descends. After all of them the newest comes first, then the id decides, so that pages neither lose nor
    double a run. In every order NaN comes after the numbers and what is missing last.
    """

    workspace_id: str
    now: int
    experiment_ids: Sequence[str] | None = None
    where: Expression | None = None
    order_by: Sequence[tuple[Field, bool]] = ()


class Facts(NamedTuple):
    """What every run has. Status in our words; texts are empty and times None where nothing is known."""

    run_id: str
    job: str
    name: str
    experiment: str
    status: str
    created: int | None
    started: int | None
    ended: int | None
    user: str
    parent: str


class Sql(NamedTuple):
    """A piece of a statement with its parameters, which stand as `?`."""

    text: str
    parameters: tuple[Any, ...] = ()


class Source(NamedTuple):
    """Where the runs `r` come from; `condition` ties them to what comes before."""

    text: str = "run r"
    parameters: tuple[Any, ...] = ()
    condition: str = ""


Cell = float | str | bool | int | None


def page(session: Session, query: RunQuery, *, limit: int, offset: int = 0) -> list[str]:
    """Ids of runs. Raises Invalid for an order by a value at a step."""
    return _Search(session, query).page(limit, offset)


def count(session: Session, query: RunQuery, *, most: int | None = None) -> int:
    """How many there are; counting ends at `most`."""
    return _Search(session, query).count(most)


def matching(session: Session, query: RunQuery) -> list[str]:
    """The ids of all of them, in no order."""
    return _Search(session, query).all()


def facts(session: Session, query: RunQuery, run_ids: Sequence[str]) -> dict[str, Facts]:
    ask = _Asking(session, {}, query.now)
    parts = [ask.attribute(name) for name in ("job", "name", "experiment", "status", "created", "started", "ended")]
    parts += [ask.attribute("creator"), ask.attribute("parent")]
    columns = ", ".join(part.text for part in parts)
    found: dict[str, Facts] = {}
    for some in _batches(run_ids):
        rows = ask.run(f"SELECT r.run_id, {columns} FROM run r {_JOB} WHERE r.run_id IN ({_marks(some)})", some)
        for run_id, job, name, experiment, status, created, started, ended, user, parent in rows:
            found[run_id] = Facts(
                run_id,
                job or "",
                name or "",
                experiment or "",
                status,
                created,
                started,
                ended,
                user or "",
                parent or "",
            )
    return found


def cells(
    session: Session, query: RunQuery, run_ids: Sequence[str], wanted: Sequence[Field]
) -> dict[Field, dict[str, Cell]]:
    """The values of these fields by run; missing ones are left out. Times are in milliseconds."""
    ask = _Asking(session, key_ids(session, wanted), query.now)
    found: dict[Field, dict[str, Cell]] = {each: {} for each in wanted}
    logged = [each for each in wanted if each.kind != "attribute" and each.step is None]
    for some in _batches(run_ids):
        _read_metrics(ask, some, [each for each in logged if each.kind == "metrics"], found)
        _read_texts(ask, some, [each for each in logged if each.kind == "params"], found)
        _read_tags(ask, some, [each for each in logged if each.kind == "tags"], found)
        _read_attributes(ask, some, [each for each in wanted if each.kind == "attribute"], found)
    return found


def tags(session: Session, run_ids: Sequence[str], keys: Sequence[str]) -> dict[tuple[str, str], str]:
    """By (run id, key), without those that are to be removed."""
    ask = _Asking(session, {}, 0)
    found: dict[tuple[str, str], str] = {}
    for some in _batches(run_ids):
        rows = ask.run(
            f"SELECT run_id, key, value FROM {ask.of_runs('tag')} WHERE run_id IN ({_marks(some)})"
            f" AND key IN ({_marks(keys)}) AND wish <> 'remove'",
            [*some, *keys],
        )
        found |= {(run_id, key): value for run_id, key, value in rows}
    return found


def children(session: Session, workspace_id: str, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """The active runs that are nested in these, oldest first, by the tag that MLflow marks them with."""
    ask = _Asking(session, {}, 0)
    found: dict[str, list[str]] = {}
    for some in _batches(run_ids):
        rows = ask.run(
            "SELECT t.value, r.run_id FROM tag t CROSS JOIN run r"
            f" WHERE t.key = '{PARENT}' AND substr(t.value, 1, 100) IN ({_marks(some)}) AND r.run_id = t.run_id"
            " AND r.workspace_id = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_id",
            [*some, workspace_id],
        )
        for parent, run_id in rows:
            found.setdefault(parent, []).append(run_id)
    return found


def key_ids(session: Session, wanted: Sequence[Field]) -> dict[str, int]:
    """The numbers of the metrics and parameters among these, as far as anybody logged them."""
    names = sorted({each.name for each in wanted if each.kind in {"metrics", "params"}})
    ask = _Asking(session, {}, 0)
    found: dict[str, int] = {}
    for some in _batches(names):
        found |= dict(map(tuple, ask.run(f"SELECT name, key_id FROM key WHERE name IN ({_marks(some)})", some)))
    return found


def names(session: Session, query: RunQuery, kind: Literal["metrics", "params", "tags"]) -> list[str]:
    """The names of all that the runs logged, in order.

    Where the runs are few they are asked; where they are many, each name is looked for among them.
    """
    search = _Search(session, query)
    where = search.where
    table, key, mine = _NAMED[kind]
    some = f"SELECT 1 FROM run r{search.job} WHERE {where.text} LIMIT {FEW}"
    is_few = search.ask.run(f"SELECT count(*) FROM ({some}) AS found", where.parameters)[0][0] < FEW
    if is_few or kind == "tags":
        mine = f"m.run_id = r.run_id AND {where.text}{mine}"
        text = f"SELECT DISTINCT m.{key} FROM run r{search.job} CROSS JOIN {table} m WHERE {mine}"
        if kind != "tags":
            text = f"SELECT k.name FROM ({text}) AS u CROSS JOIN key k WHERE k.key_id = u.key_id"
    else:
        used = f"SELECT 1 FROM {table} m CROSS JOIN run r{search.job} WHERE m.key_id = k.key_id AND r.run_id = m.run_id"
        text = f"SELECT k.name FROM key k WHERE EXISTS ({used} AND {where.text})"
    return sorted(row[0] for row in search.ask.run(text, where.parameters))


class _Asking:
    """Makes pieces of SQL about the run `r` and its job `j`, for one database."""

    def __init__(self, session: Session, keys: Mapping[str, int], now: int) -> None:
        self.connection: Connection = session.connection()
        self.is_sqlite = self.connection.dialect.name == "sqlite"
        self.keys = keys
        self.now = now

    def run(self, text: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        """Past SQLAlchemy's compiler, which would cost more than the question."""
        sql = text if self.is_sqlite else text.replace("?", "%s")
        return self.connection.exec_driver_sql(sql, tuple(parameters)).fetchall()

    def of_runs(self, table: str) -> str:
        """The table, read by run: without statistics SQLite would read all that has the key instead."""
        return f"{table} INDEXED BY sqlite_autoindex_{table}_1" if self.is_sqlite else table

    def condition(self, expression: Expression, *, is_plain: bool = False) -> Sql:
        """True or false, never NULL; `is_plain` where NULL would do for false, which indexes understand."""
        match expression:
            case And(parts) | Or(parts):
                word = " AND " if isinstance(expression, And) else " OR "
                made = [self.condition(part, is_plain=is_plain) for part in parts]
                return Sql(f"({word.join(each.text for each in made)})", _joined(made))
            case Not(part):
                inner = self.condition(part)
                return Sql(f"NOT ({inner.text})", inner.parameters)
        if expression.field.kind == "attribute":
            return self._about_attribute(expression, is_plain)
        return self._about_logged(expression)

    def attribute(self, name: str) -> Sql:
        """NULL where it is missing."""
        return Sql(getattr(self, f"_{name}")())

    def order(self, field: Field, alias: str, *, descending: bool) -> tuple[Sql, list[str]]:
        """What to join, and the terms: numbers, NaN, missing; of parameters numbers, texts, missing."""
        way = "DESC" if descending else "ASC"
        if field.kind == "attribute":
            value = self.attribute(field.name).text
            terms = [f"CASE WHEN {value} IS NULL THEN 1 ELSE 0 END", f"{self.binary(value, field)} {way}"]
            if field.name == "created":
                terms = [f"{value} {way} NULLS LAST"]
            return Sql(""), terms
        if field.kind == "tags":
            on = f"{alias}.run_id = r.run_id AND {alias}.key = ? AND {alias}.wish <> 'remove'"
            value = f"{alias}.value"
            terms = [f"CASE WHEN {value} IS NULL THEN 1 ELSE 0 END", f"{self.binary(value, field)} {way}"]
            return Sql(f"LEFT JOIN tag {alias} ON {on}", (field.name,)), terms
        key = self.keys[field.name]
        on = f"{alias}.run_id = r.run_id AND {alias}.key_id = {key}"
        present = f"{alias}.run_id" if field.aggregate not in _STEPS else f"{alias}.{field.aggregate}"
        value = f"{alias}.num" if field.kind == "params" else f"{alias}.{_COLUMNS[field.aggregate]}"
        terms = [f"CASE WHEN {value} IS NOT NULL THEN 0 WHEN {present} IS NOT NULL THEN 1 ELSE 2 END", f"{value} {way}"]
        if field.kind == "params":
            terms.append(f"{self.binary(f'{alias}.value', field)} {way}")
        return Sql(f"LEFT JOIN {'param' if field.kind == 'params' else 'metric'} {alias} ON {on}"), terms

    def binary(self, text: str, field: Field) -> str:
        """Text in the order of its bytes, whatever the database's language."""
        return text if self.is_sqlite or field.type != "text" else f'({text}) COLLATE "C"'

    def test(self, field: Field, value: str, op: str, wanted: Value) -> Sql:
        """A comparison of the column or expression `value`."""
        if op == "~":
            needle = _lowered(str(wanted))
            return (
                Sql(f"instr(lower({value}), ?) > 0", (needle,))
                if self.is_sqlite
                else Sql(f'strpos(lower(({value}) COLLATE "C"), ?) > 0', (needle,))
            )
        if op in {"like", "ilike"}:
            return self._like(value, filters.like_pieces(str(wanted)), with_case=op == "like")
        if isinstance(wanted, bool):
            return Sql(f"({value}) {op} {'TRUE' if wanted else 'FALSE'}")
        left = self.binary(value, field) if op in _ORDERED and isinstance(wanted, str) else value
        return Sql(f"{left} {'<>' if op == '!=' else op} ?", (self.given(wanted),))

    def given(self, value: Value) -> Any:
        """As a parameter."""
        if isinstance(value, Ago):
            return self.now - value.seconds * 1000
        if isinstance(value, float | str | int):
            return value
        return milliseconds(value)

    def _like(self, value: str, pieces: Sequence[str | None], *, with_case: bool) -> Sql:
        if not with_case:
            pieces = [_lowered(each) if each else each for each in pieces]
            value = f"lower({value})" if self.is_sqlite else f'lower(({value}) COLLATE "C")'
        if self.is_sqlite:
            made = "".join("*" if each is None else _globbed(each) or "?" for each in pieces)
            return Sql(f"{value} GLOB ?", (made,))
        return Sql(f"{value} LIKE ?", ("".join("%" if each is None else _escaped(each) or "_" for each in pieces),))

    def _about_attribute(self, leaf: Compare | In | IsNull, is_plain: bool) -> Sql:
        value = self.attribute(leaf.field.name).text
        if isinstance(leaf, IsNull):
            return Sql(f"({value}) IS {'NOT ' if leaf.negated else ''}NULL")
        if isinstance(leaf, In):
            marks, negated = _marks(leaf.values), "NOT " if leaf.negated else ""
            made = Sql(f"({value}) {negated}IN ({marks})", tuple(map(self.given, leaf.values)))
        else:
            made = self.test(leaf.field, value, leaf.op, leaf.value)
        return made if is_plain else Sql(f"COALESCE({made.text}, FALSE)", made.parameters)

    def _about_logged(self, leaf: Compare | In | IsNull) -> Sql:
        """A row of what was logged exists, or not: that is never NULL."""
        found = self.rows(leaf)
        if found is None:
            return Sql(_NO_RUN if not isinstance(leaf, IsNull) or leaf.negated else "1 = 1")
        table, condition = found
        word = "NOT EXISTS" if isinstance(leaf, IsNull) and not leaf.negated else "EXISTS"
        return Sql(
            f"{word} (SELECT 1 FROM {table} m WHERE m.run_id = r.run_id AND {condition.text})", condition.parameters
        )

    def rows(self, leaf: Compare | In | IsNull) -> tuple[str, Sql] | None:
        """The table and what is true of the rows `m` that a comparison asks for; None when there can be none."""
        field = leaf.field
        if field.kind == "tags":
            inner = self._about_value(leaf, "m.value")
            return "tag", Sql(f"m.key = ? AND m.wish <> 'remove'{inner.text}", (field.name, *inner.parameters))
        key = self.keys.get(field.name)
        if key is None:
            return None
        if field.kind == "metrics":
            inner = self._about_value(leaf, f"m.{_COLUMNS[field.aggregate]}")
            if isinstance(leaf, IsNull) and field.aggregate in _STEPS:
                inner = Sql(f" AND m.{field.aggregate} IS NOT NULL")
            return "metric", Sql(f"m.key_id = {key}{inner.text}", inner.parameters)
        inner = self._about_param(leaf)
        return "param", Sql(f"m.key_id = {key}{inner.text}", inner.parameters)

    def _about_value(self, leaf: Compare | In | IsNull, column: str) -> Sql:
        if isinstance(leaf, IsNull):
            return Sql("")
        if isinstance(leaf, In):
            word = "NOT IN" if leaf.negated else "IN"
            return Sql(f" AND {column} {word} ({_marks(leaf.values)})", tuple(map(self.given, leaf.values)))
        made = self.test(leaf.field, column, leaf.op, leaf.value)
        return Sql(f" AND {made.text}", made.parameters)

    def _about_param(self, leaf: Compare | In | IsNull) -> Sql:
        """What is no number equals none."""
        if isinstance(leaf, Compare) and not isinstance(leaf.value, str):
            made = self.test(leaf.field, "m.num", leaf.op, leaf.value)
            other = " OR m.num IS NULL" if leaf.op == "!=" else ""
            return Sql(f" AND ({made.text}{other})", made.parameters)
        if not isinstance(leaf, In):
            return self._about_value(leaf, "m.value")
        numbers = [each for each in leaf.values if not isinstance(each, str)]
        texts = [each for each in leaf.values if isinstance(each, str)]
        parts = [f"m.num IN ({_marks(numbers)})"] if numbers else []
        parts += [f"m.value IN ({_marks(texts)})"] if texts else []
        inside = f"({' OR '.join(parts)})"
        if leaf.negated:
            inside = f"NOT COALESCE({inside}, FALSE)"
        return Sql(f" AND {inside}", (*numbers, *texts))

    def _id(self) -> str:
        return "r.run_id"

    def _name(self) -> str:
        return "COALESCE(NULLIF(j.display_name, ''), j.name, NULLIF(r.name, ''))"

    def _job(self) -> str:
        return "j.name"

    def _experiment(self) -> str:
        mine = "x.mlflow_id = r.experiment_id AND x.workspace_id = r.workspace_id"
        return f"(SELECT min(x.name) FROM experiment x WHERE {mine})"

    def _status(self) -> str:
        words = " ".join(f"WHEN '{theirs}' THEN '{ours}'" for theirs, ours in STATUSES.items())
        return f"COALESCE(j.status, CASE r.status {words} ELSE r.status END)"

    def _created(self) -> str:
        return "r.start_time"

    def _started(self) -> str:
        return f"CASE WHEN j.id IS NULL THEN r.start_time ELSE {self._epoch('j.started_at')} END"

    def _ended(self) -> str:
        return f"CASE WHEN j.id IS NULL THEN r.end_time ELSE {self._epoch('j.finished_at')} END"

    def _duration(self) -> str:
        """In seconds; of what goes on until now, and never negative: clocks step back."""
        over = f"j.id IS NULL AND r.status IN ({', '.join(repr(each) for each in ENDED)})"
        until = f"CASE WHEN {over} THEN r.end_time ELSE COALESCE({self._ended()}, {self.now}) END"
        took = f"({until} - {self._started()})"
        return f"CASE WHEN {took} < 0 THEN 0.0 ELSE {took} / {'1000.0' if self.is_sqlite else '1000.0::float8'} END"

    def _creator(self) -> str:
        return "COALESCE(NULLIF(j.created_by, ''), NULLIF(r.\"user\", ''))"

    def _compute(self) -> str:
        return "NULLIF(j.compute, '')"

    def _source(self) -> str:
        tag = f"(SELECT t.value FROM tag t WHERE t.run_id = r.run_id AND t.key = '{SOURCE}' AND t.wish <> 'remove')"
        return f"COALESCE(NULLIF(j.source, ''), NULLIF({tag}, ''))"

    def _parent(self) -> str:
        return "NULLIF(r.parent_run_id, '')"

    def _starred(self) -> str:
        mine = f"t.run_id = r.run_id AND t.key = '{STARRED}' AND t.value = 'true' AND t.wish <> 'remove'"
        return f"EXISTS (SELECT 1 FROM tag t WHERE {mine})"

    def _epoch(self, column: str) -> str:
        """Rows keep times as ISO text of fixed width."""
        thousandths = f"CAST(substr({column}, 21, 3) AS INTEGER)"
        if self.is_sqlite:
            return f"(CAST(strftime('%s', substr({column}, 1, 19)) AS INTEGER) * 1000 + {thousandths})"
        seconds = f"extract(epoch FROM CAST(substr({column}, 1, 19) || 'Z' AS timestamptz))"
        return f"(CAST({seconds} AS bigint) * 1000 + {thousandths})"


class _Search:
    """One question: its conditions as SQL, and what is few about it."""

    def __init__(self, session: Session, query: RunQuery) -> None:
        named = list(filters.fields(query.where)) if query.where is not None else []
        if any(each.step is not None for each, _ in query.order_by):
            raise Invalid("Runs are not sorted by a value at a step.", where="order_by", hint="Use last, min or max.")
        ordered = [each for each, _ in query.order_by]
        self.ask = _Asking(session, key_ids(session, [*named, *ordered]), query.now)
        self.query = query
        self.needs_job = any(_is_of_job(each) for each in [*named, *ordered])
        conditions = [Sql("r.workspace_id = ? AND r.lifecycle_stage = 'active'", (query.workspace_id,))]
        if query.experiment_ids is not None:
            ids = tuple(query.experiment_ids)
            conditions.append(Sql(f"r.experiment_id IN ({_marks(ids)})", ids) if ids else Sql(_NO_RUN))
        if query.where is not None:
            conditions.append(self.ask.condition(query.where, is_plain=True))
        self.where = Sql(" AND ".join(each.text for each in conditions), _joined(conditions))

    def page(self, limit: int, offset: int) -> list[str]:
        order = [each for each in self.query.order_by if self._is_known(each[0])]
        walk = _WALKS.get((order[0][0].kind, order[0][0].aggregate)) if order else None
        few = self._few(limit + offset)
        if few is None and walk is not None:
            return self._walked(walk, order, limit, offset)
        return self._sorted(few or Source(), order, limit, offset)

    def count(self, most: int | None) -> int:
        source = self._few(most or 1000) or Source()
        bound = f" LIMIT {most}" if most is not None else ""
        some = f"SELECT 1 FROM {source.text}{self.job} WHERE {source.condition}{self.where.text}{bound}"
        text = f"SELECT count(*) FROM ({some}) AS found"
        return int(self.ask.run(text, source.parameters + self.where.parameters)[0][0])

    def all(self) -> list[str]:
        source = self._few(1000) or Source()
        text = f"SELECT r.run_id FROM {source.text}{self.job} WHERE {source.condition}{self.where.text}"
        return [row[0] for row in self.ask.run(text, source.parameters + self.where.parameters)]

    def _is_known(self, field: Field) -> bool:
        """What nobody logged sorts nothing."""
        return field.kind not in {"metrics", "params"} or field.name in self.ask.keys

    @property
    def job(self) -> str:
        return f" {_JOB}" if self.needs_job else ""

    def _sorted(self, source: Source, order: Sequence[tuple[Field, bool]], limit: int, offset: int) -> list[str]:
        """Looks at every run of the source."""
        joins, terms = self._order(order)
        text = (
            f"SELECT r.run_id FROM {source.text}{self.job} {joins.text}"
            f" WHERE {source.condition}{self.where.text} ORDER BY {terms} LIMIT ? OFFSET ?"
        )
        given = (*source.parameters, *joins.parameters, *self.where.parameters, limit, offset)
        return [row[0] for row in self.ask.run(text, given)]

    def _walked(self, walk: tuple[str, str], order: Sequence[tuple[Field, bool]], limit: int, offset: int) -> list[str]:
        """Along the index of what was logged: the numbers, then what is none, then the runs without it."""
        (first, descending), rest = order[0], order[1:]
        table, column = walk
        key = self.ask.keys[first.name]
        way = "DESC" if descending else "ASC"
        joins, terms = self._order(rest)
        by_text = f"{self.ask.binary('s.value', first)} {way}, {terms}" if table == "param" else terms
        place = f"{table} s CROSS JOIN run r{self.job} {joins.text}"
        mine = f"s.key_id = {key} AND r.run_id = s.run_id AND s.{column} IS"
        logged = f"SELECT 1 FROM {table} s WHERE s.run_id = r.run_id AND s.key_id = {key}"
        bound = self._bound(first, f"s.{column}")
        phases = (
            (place, Sql(f"{mine} NOT NULL{bound.text}", bound.parameters), f"s.{column} {way}, {by_text}"),
            (place, Sql(f"{mine} NULL"), by_text),
            (f"run r{self.job} {joins.text}", Sql(f"NOT EXISTS ({logged})"), terms),
        )
        found: list[str] = []
        passed = 0
        for source, condition, by in phases:
            skipped = max(0, offset - passed)
            body = f"FROM {source} WHERE {condition.text} AND {self.where.text}"
            given = (*joins.parameters, *condition.parameters, *self.where.parameters)
            text = f"SELECT r.run_id {body} ORDER BY {by} LIMIT ? OFFSET ?"
            some = [row[0] for row in self.ask.run(text, (*given, limit - len(found), skipped))]
            found += some
            if len(found) == limit:
                break
            if some or not skipped:
                passed += skipped + len(some)
            else:
                passed += int(self.ask.run(f"SELECT count(*) {body}", given)[0][0])
        return found

    def _bound(self, field: Field, column: str) -> Sql:
        """What the filter says of the numbers that sort, so that the walk begins and ends there."""
        where = self.query.where
        made = [
            self.ask.test(field, column, part.op, part.value)
            for part in (where.parts if isinstance(where, And) else (where,))
            if isinstance(part, Compare) and part.field == field and part.op in {*_ORDERED, "="}
            if not isinstance(part.value, str)
        ]
        return Sql("".join(f" AND {each.text}" for each in made), _joined(made))

    def _order(self, order: Sequence[tuple[Field, bool]]) -> tuple[Sql, str]:
        made = [
            self.ask.order(each, f"s{place}", descending=descending) for place, (each, descending) in enumerate(order)
        ]
        terms = [term for _, some in made for term in some]
        joins = [join for join, _ in made if join.text]
        if not any(each.name == "created" and each.kind == "attribute" for each, _ in order):
            terms.append("r.start_time DESC NULLS LAST")
        terms.append("r.run_id")
        return Sql(" ".join(join.text for join in joins), _joined(joins)), ", ".join(terms)

    def _few(self, reach: int) -> Source | None:
        """What to look at one by one instead of walking an index, where that is little."""
        most = max(FEWEST, isqrt(reach * self._all_runs()))
        place = self._place()
        if not self.ask.run(f"{place.text} LIMIT 1 OFFSET {most}", place.parameters):
            return Source()
        driver = self._driver(self.query.where, most) if self.query.where is not None else None
        if driver is None or driver[1] >= most:
            return None
        text = " UNION ".join(each.text for each in driver[0])
        return Source(f"({text}) AS d CROSS JOIN run r", _joined(driver[0]), "r.run_id = d.run_id AND ")

    def _place(self) -> Sql:
        ids = self.query.experiment_ids
        inside = "" if ids is None else f" AND experiment_id IN ({_marks(ids)})" if ids else f" AND {_NO_RUN}"
        return Sql(f"SELECT 1 FROM run WHERE workspace_id = ?{inside}", (self.query.workspace_id, *(ids or ())))

    def _all_runs(self) -> int:
        if self.ask.is_sqlite:
            return int(self.ask.run("SELECT max(rowid) FROM run")[0][0] or 0)
        return max(
            10_000, int(self.ask.run("SELECT reltuples::bigint FROM pg_class WHERE oid = 'run'::regclass")[0][0])
        )

    def _counted(self, found: Sql, most: int) -> int:
        text = f"SELECT count(*) FROM ({found.text} LIMIT {most}) AS found"
        return int(self.ask.run(text, found.parameters)[0][0])

    def _driver(self, expression: Expression, most: int) -> tuple[list[Sql], int] | None:
        """Ranges of indexes whose union holds every run that the expression is true of, and how many that is."""
        match expression:
            case And(parts):
                known = [each for part in parts if (each := self._driver(part, most)) is not None]
                return min(known, key=lambda each: each[1], default=None)
            case Or(parts):
                return self._union(parts, most)
            case Not():
                return None
        found = self._range(expression)
        return None if found is None else ([found], self._counted(found, most))

    def _union(self, parts: Sequence[Expression], most: int) -> tuple[list[Sql], int] | None:
        ranges: list[Sql] = []
        total = 0
        for part in parts:
            found = self._driver(part, most)
            if found is None:
                return None
            ranges += found[0]
            total += found[1]
            if total >= most or len(ranges) > _MOST_RANGES:
                return None
        return ranges, total

    def _range(self, leaf: Compare | In | IsNull) -> Sql | None:
        if leaf.field.kind == "attribute":
            return self._range_of_attribute(leaf)
        if isinstance(leaf, IsNull) and not leaf.negated:
            return None
        found = self.ask.rows(leaf)
        if found is None:
            return Sql("SELECT run_id FROM run WHERE 1 = 0")
        table, condition = found
        if table != "metric" and isinstance(leaf, Compare) and leaf.op == "=" and isinstance(leaf.value, str):
            # Without the whole value beside it: SQLite would put that in for the column and lose the index.
            key, named = ("m.key = ?", (leaf.field.name,)) if table == "tag" else (condition.text.split(" AND ")[0], ())
            beginning = leaf.value[:100]
            return Sql(
                f"SELECT m.run_id FROM {table} m WHERE {key} AND substr(m.value, 1, 100) = ?", (*named, beginning)
            )
        return Sql(f"SELECT m.run_id FROM {table} m WHERE {condition.text}", condition.parameters)

    def _range_of_attribute(self, leaf: Compare | In | IsNull) -> Sql | None:
        if not isinstance(leaf, Compare) or leaf.op != "=":
            return None
        match leaf.field.name:
            case "id":
                return Sql("SELECT run_id FROM run WHERE run_id = ?", (leaf.value,))
            case "job":
                mine = "workspace_id = ? AND name = ? AND run_id IS NOT NULL"
                return Sql(f"SELECT run_id FROM job WHERE {mine}", (self.query.workspace_id, leaf.value))
            case "starred" if leaf.value is True:
                mine = f"key = '{STARRED}' AND substr(value, 1, 100) = 'true'"
                return Sql(f"SELECT run_id FROM tag WHERE {mine}")
        return None


def milliseconds(at: datetime) -> int:
    """Since the epoch, as MLflow keeps times; what is below is cut off."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _read_metrics(
    ask: _Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    """Only the columns that are asked for are read; a number that is NULL in a row is NaN."""
    keyed: dict[int, list[tuple[Field, int]]] = {}
    columns = sorted({_COLUMNS[each.aggregate] for each in wanted})
    for each in wanted:
        if each.name in ask.keys:
            place = columns.index(_COLUMNS[each.aggregate]) + 2
            keyed.setdefault(ask.keys[each.name], []).append((each, place))
    if not keyed:
        return
    text = (
        f"SELECT run_id, key_id, {', '.join(columns)} FROM {ask.of_runs('metric')}"
        f" WHERE run_id IN ({_marks(run_ids)}) AND key_id IN ({_marks(keyed)})"
    )
    for row in ask.run(text, (*run_ids, *keyed)):
        for field, place in keyed[row[1]]:
            if row[place] is not None:
                found[field][row[0]] = row[place]
            elif field.aggregate not in _STEPS:
                found[field][row[0]] = float("nan")


def _read_texts(
    ask: _Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    keyed = {ask.keys[each.name]: each for each in wanted if each.name in ask.keys}
    if not keyed:
        return
    text = (
        f"SELECT run_id, key_id, value FROM {ask.of_runs('param')} WHERE run_id IN ({_marks(run_ids)})"
        f" AND key_id IN ({_marks(keyed)})"
    )
    for run_id, key, value in ask.run(text, (*run_ids, *keyed)):
        found[keyed[key]][run_id] = value


def _read_tags(
    ask: _Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    named = {each.name: each for each in wanted}
    if not named:
        return
    text = (
        f"SELECT run_id, key, value FROM {ask.of_runs('tag')} WHERE run_id IN ({_marks(run_ids)})"
        f" AND key IN ({_marks(named)}) AND wish <> 'remove'"
    )
    for run_id, key, value in ask.run(text, (*run_ids, *named)):
        found[named[key]][run_id] = value


def _read_attributes(
    ask: _Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    if not wanted:
        return
    columns = ", ".join(ask.attribute(each.name).text for each in wanted)
    text = f"SELECT r.run_id, {columns} FROM run r {_JOB} WHERE r.run_id IN ({_marks(run_ids)})"
    for run_id, *values in ask.run(text, run_ids):
        for field, value in zip(wanted, values, strict=True):
            if value is not None:
                found[field][run_id] = bool(value) if field.type == "flag" else value


def _is_of_job(field: Field) -> bool:
    return field.kind == "attribute" and field.name not in {"id", "experiment", "created", "parent", "starred"}


def _joined(parts: Iterable[Sql]) -> tuple[Any, ...]:
    return tuple(each for part in parts for each in part.parameters)


def _marks(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))


def _lowered(text: str) -> str:
    return text.translate(_LOWER)


def _globbed(text: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "%_\\" else sign for sign in text)


def _batches(values: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
