"""What a run can be asked, as pieces of SQL that mean the same on SQLite and PostgreSQL.

The meaning is that of services.specs.filters; a run is `r` here, and the job whose own run it is `j`.
"""

# ruff: noqa: S608 (the pieces are ours, every value is a parameter)

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlmodel import Session

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
COLUMNS = {
    "last": "last",
    "min": "min",
    "max": "max",
    "first": "first",
    "count": "n",
    "min_step": "min_step",
    "max_step": "max_step",
}
STEPS = ("min_step", "max_step")  # a metric that was never a number has no such step
ORDERED = ("<", "<=", ">", ">=")
JOB = " LEFT JOIN job j ON j.id = r.job_id AND j.run_id = r.run_id AND j.deleted_at IS NULL"
NO_RUN = "1 = 0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWER = {ord(sign): sign.lower() for sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class Sql(NamedTuple):
    """A piece of a statement with its parameters, which stand as `?`."""

    text: str
    parameters: tuple[Any, ...] = ()


class Asking:
    """Makes pieces of SQL about the run `r` and its job `j`, for one database."""

    def __init__(self, session: Session, keys: Mapping[str, int], now: int) -> None:
        self.connection: Connection = session.connection()
        self.is_sqlite = self.connection.dialect.name == "sqlite"
        self.keys = keys
        self.now = now

    def runs(self) -> int:
        """About how many runs there are, in all workspaces."""
        if self.is_sqlite:
            return int(self.run("SELECT max(rowid) FROM run")[0][0] or 0)
        guessed = int(self.run("SELECT reltuples::bigint FROM pg_class WHERE oid = 'run'::regclass")[0][0])
        return guessed if guessed >= 0 else 10_000  # nobody has looked yet

    def run(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Past SQLAlchemy's compiler and rows, which would cost more than the question."""
        sql = text if self.is_sqlite else text.replace("?", "%s")
        answer = self.connection.exec_driver_sql(sql, tuple(parameters))
        rows = list(answer.cursor.fetchall()) if answer.cursor is not None else []
        answer.close()
        return rows

    def of_runs(self, table: str) -> str:
        """The table, read by run: without statistics SQLite would read all that has the key instead."""
        return f"{table} INDEXED BY sqlite_autoindex_{table}_1" if self.is_sqlite else table

    def condition(self, expression: Expression, *, is_plain: bool = False) -> Sql:
        """True or false, never NULL; `is_plain` where NULL would do for false, which indexes understand."""
        match expression:
            case And(parts) | Or(parts):
                word = " AND " if isinstance(expression, And) else " OR "
                made = [self.condition(part, is_plain=is_plain) for part in parts]
                return Sql(f"({word.join(each.text for each in made)})", joined(made))
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
        present = f"{alias}.run_id" if field.aggregate not in STEPS else f"{alias}.{field.aggregate}"
        value = f"{alias}.num" if field.kind == "params" else f"{alias}.{COLUMNS[field.aggregate]}"
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
        left = self.binary(value, field) if op in ORDERED and isinstance(wanted, str) else value
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
            inside, negated = marks(leaf.values), "NOT " if leaf.negated else ""
            made = Sql(f"({value}) {negated}IN ({inside})", tuple(map(self.given, leaf.values)))
        else:
            made = self.test(leaf.field, value, leaf.op, leaf.value)
        return made if is_plain else Sql(f"COALESCE({made.text}, FALSE)", made.parameters)

    def _about_logged(self, leaf: Compare | In | IsNull) -> Sql:
        """A row of what was logged exists, or not: that is never NULL."""
        found = self.rows(leaf)
        if found is None:
            return Sql(NO_RUN if not isinstance(leaf, IsNull) or leaf.negated else "1 = 1")
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
            inner = self._about_value(leaf, f"m.{COLUMNS[field.aggregate]}")
            if isinstance(leaf, IsNull) and field.aggregate in STEPS:
                inner = Sql(f" AND m.{field.aggregate} IS NOT NULL")
            return "metric", Sql(f"m.key_id = {key}{inner.text}", inner.parameters)
        inner = self._about_param(leaf)
        return "param", Sql(f"m.key_id = {key}{inner.text}", inner.parameters)

    def _about_value(self, leaf: Compare | In | IsNull, column: str) -> Sql:
        if isinstance(leaf, IsNull):
            return Sql("")
        if isinstance(leaf, In):
            word = "NOT IN" if leaf.negated else "IN"
            return Sql(f" AND {column} {word} ({marks(leaf.values)})", tuple(map(self.given, leaf.values)))
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
        parts = [f"m.num IN ({marks(numbers)})"] if numbers else []
        parts += [f"m.value IN ({marks(texts)})"] if texts else []
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


def milliseconds(at: datetime) -> int:
    """Since the epoch, as MLflow keeps times; what is below is cut off."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def key_ids(session: Session, wanted: Iterable[Field]) -> dict[str, int]:
    """The numbers of the metrics and parameters among these, as far as anybody logged them."""
    names = sorted({each.name for each in wanted if each.kind in {"metrics", "params"}})
    ask = Asking(session, {}, 0)
    found: dict[str, int] = {}
    text = "SELECT name, key_id FROM key WHERE name IN ({})"
    for some in batches(names):
        found |= {str(name): int(key) for name, key in ask.run(text.format(marks(some)), some)}
    return found


def is_of_job(field: Field) -> bool:
    """Whether it is asked of `j`."""
    return field.kind == "attribute" and field.name not in {"id", "experiment", "created", "parent", "starred"}


def joined(parts: Iterable[Sql]) -> tuple[Any, ...]:
    return tuple(each for part in parts for each in part.parameters)


def marks(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))


def batches(values: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _lowered(text: str) -> str:
    return text.translate(_LOWER)


def _globbed(text: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "%_\\" else sign for sign in text)
