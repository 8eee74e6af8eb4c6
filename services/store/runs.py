"""Runs found and sorted by what was logged, straight from the indexes; one SQL for SQLite and PostgreSQL.

A page of ids comes first; what is shown of them is read in run_cells. How the ids are found depends on what is few:

- the runs of the place that is listed, or those that a rare filter leaves (a union of index ranges): they are
  looked at one by one and sorted;
- neither: the index of the metric that sorts is walked from its end until the page is full.

"Few" is the square root of all runs times the page's end: there both ways cost about the same.
"""

# ruff: noqa: S608 (the pieces are ours, every value is a parameter)

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal, NamedTuple

from sqlmodel import Session

from services.core.errors import Invalid
from services.specs import filters
from services.specs.filters import And, Compare, Expression, In, IsNull, Not, Or
from services.specs.run_fields import Field
from services.store.run_sql import JOB, NO_RUN, ORDERED, STARRED, Asking, Sql, is_of_job, joined, key_ids, marks

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


class Source(NamedTuple):
    """Where the runs `r` come from; `condition` ties them to what comes before."""

    text: str = "run r"
    parameters: tuple[Any, ...] = ()
    condition: str = ""


def page(session: Session, query: RunQuery, *, limit: int, offset: int = 0) -> list[str]:
    """Ids of runs. Raises Invalid for an order by a value at a step."""
    return _Search(session, query).page(limit, offset)


def count(session: Session, query: RunQuery, *, most: int | None = None) -> int:
    """How many there are; counting ends at `most`."""
    return _Search(session, query).count(most)


def matching(session: Session, query: RunQuery) -> list[str]:
    """The ids of all of them, in no order."""
    return _Search(session, query).all()


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


class _Search:
    """One question: its conditions as SQL, and what is few about it."""

    def __init__(self, session: Session, query: RunQuery) -> None:
        named = list(filters.fields(query.where)) if query.where is not None else []
        if any(each.step is not None for each, _ in query.order_by):
            raise Invalid("Runs are not sorted by a value at a step.", where="order_by", hint="Use last, min or max.")
        ordered = [each for each, _ in query.order_by]
        self.ask = Asking(session, key_ids(session, [*named, *ordered]), query.now)
        self.query = query
        self.needs_job = any(is_of_job(each) for each in [*named, *ordered])
        conditions = [Sql("r.workspace_id = ? AND r.lifecycle_stage = 'active'", (query.workspace_id,))]
        if query.experiment_ids is not None:
            ids = tuple(query.experiment_ids)
            conditions.append(Sql(f"r.experiment_id IN ({marks(ids)})", ids) if ids else Sql(NO_RUN))
        if query.where is not None:
            conditions.append(self.ask.condition(query.where, is_plain=True))
        self.where = Sql(" AND ".join(each.text for each in conditions), joined(conditions))

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
        return JOB if self.needs_job else ""

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
            if isinstance(part, Compare) and part.field == field and part.op in {*ORDERED, "="}
            if not isinstance(part.value, str)
        ]
        return Sql("".join(f" AND {each.text}" for each in made), joined(made))

    def _order(self, order: Sequence[tuple[Field, bool]]) -> tuple[Sql, str]:
        made = [
            self.ask.order(each, f"s{place}", descending=descending) for place, (each, descending) in enumerate(order)
        ]
        terms = [term for _, some in made for term in some]
        joins = [join for join, _ in made if join.text]
        if not any(each.name == "created" and each.kind == "attribute" for each, _ in order):
            terms.append("r.start_time DESC NULLS LAST")
        terms.append("r.run_id")
        return Sql(" ".join(join.text for join in joins), joined(joins)), ", ".join(terms)

    def _few(self, reach: int) -> Source | None:
        """What to look at one by one instead of walking an index, where that is little."""
        most = max(FEWEST, isqrt(reach * self.ask.runs()))
        place = self._place()
        if not self.ask.run(f"{place.text} LIMIT 1 OFFSET {most}", place.parameters):
            return Source()
        driver = self._driver(self.query.where, most) if self.query.where is not None else None
        if driver is None or driver[1] >= most:
            return None
        text = " UNION ".join(each.text for each in driver[0])
        return Source(f"({text}) AS d CROSS JOIN run r", joined(driver[0]), "r.run_id = d.run_id AND ")

    def _place(self) -> Sql:
        ids = self.query.experiment_ids
        inside = "" if ids is None else f" AND experiment_id IN ({marks(ids)})" if ids else f" AND {NO_RUN}"
        return Sql(f"SELECT 1 FROM run WHERE workspace_id = ?{inside}", (self.query.workspace_id, *(ids or ())))

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
        table, head = "tag", Sql("m.key = ?", (leaf.field.name,))
        if leaf.field.kind != "tags":
            table = "metric" if leaf.field.kind == "metrics" else "param"
            head = Sql(f"m.key_id = {self.ask.keys.get(leaf.field.name, 0)}")
        narrowed = self._narrowed(leaf)
        text = f"SELECT m.run_id FROM {table} m WHERE {head.text}{narrowed.text}"
        return Sql(text, head.parameters + narrowed.parameters)

    def _narrowed(self, leaf: Compare | In | IsNull) -> Sql:
        """As far as an index by value goes; nothing where there is none.

        The beginning of a text stands without the whole beside it: SQLite would put that in for the column and
        then not see that the index is asked.
        """
        if isinstance(leaf, IsNull) or (isinstance(leaf, In) and leaf.negated):
            return Sql("")
        values = leaf.values if isinstance(leaf, In) else (leaf.value,)
        texts = [each for each in values if isinstance(each, str)]
        is_equal = isinstance(leaf, In) or leaf.op == "="
        if is_equal and len(texts) == len(values):
            return Sql(f" AND substr(m.value, 1, 100) IN ({marks(texts)})", tuple(each[:100] for each in texts))
        column = {"metrics": "m.last", "params": "m.num"}.get(leaf.field.kind)
        if texts or column is None or leaf.field.aggregate != "last":
            return Sql("")
        if is_equal:
            return Sql(f" AND {column} IN ({marks(values)})", tuple(map(self.ask.given, values)))
        if isinstance(leaf, Compare) and leaf.op in ORDERED:
            made = self.ask.test(leaf.field, column, leaf.op, leaf.value)
            return Sql(f" AND {made.text}", made.parameters)
        return Sql("")

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
