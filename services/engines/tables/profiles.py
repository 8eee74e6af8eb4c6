"""What every column of a table holds: counts, extremes, moments, quantiles, a histogram or the commonest values."""

# ruff: noqa: S608 (names are quoted by duck.name, literals by duck.text)

import datetime as dt
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.core.errors import Invalid
from services.engines.tables import cells, duck, steps
from services.engines.tables.loading import load
from services.engines.tables.readings import Reading
from services.engines.tables.shapes import (
    Bin,
    Cell,
    Column,
    ColumnProfile,
    Profile,
    Quantile,
    Source,
    TablePreview,
    Top,
)
from services.engines.tables.wishes import MOST_COLUMNS, Loaded, Wish

PERCENTS = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)
BINS = 20
TOP = 10
EXACT_BELOW = 1_000
EXACT_ROWS = 5_000_000
LONGEST = 200
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (a timestamp of a file has the zone that its writer meant)
_MOMENTS = ("avg", "stddev_samp", "var_samp", "skewness", "kurtosis")


def profile(
    source: Source,
    *,
    scratch: Path,
    paths: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    sample: int | None = None,
    reading: dict[str, Any] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Profile:
    """Raises NotFound for paths and columns that are not there, Invalid for what is no table."""
    started = time.monotonic()
    tell = progress or (lambda done: None)
    connection = duck.connect(scratch, [part.local for part in source.parts if part.local is not None])
    how = Reading.from_json(reading) if reading else Reading()
    wanted = None if how.steps else columns
    loaded = load(connection, source, Wish(how, paths, wanted, sample), scratch)
    tell(0.3)
    known = _stepped(connection, loaded, how, columns)
    found = []
    for index, column in enumerate(known):
        found.append(_Look(connection, loaded, column).profile())
        tell(0.3 + 0.7 * (index + 1) / len(known))
    return Profile(
        loaded.format,
        tuple(part.path for part in loaded.parts[:1000]),
        loaded.rows,
        tuple(found),
        loaded.sampled,
        loaded.total_rows,
        loaded.is_estimated,
        loaded.total_columns,
        round(time.monotonic() - started, 3),
        (*loaded.notes, *_said(loaded)),
    )


def rows(
    source: Source, *, scratch: Path, reading: dict[str, Any], rows: int = 50, paths: Sequence[str] | None = None
) -> TablePreview:
    """The first rows as the reading makes them, from the start of the files alone."""
    connection = duck.connect(scratch, [part.local for part in source.parts if part.local is not None])
    how = Reading.from_json(reading)
    loaded = load(connection, source, Wish(how, paths, only_start=True), scratch)
    known = _stepped(connection, loaded, how, None)
    shown = ", ".join(duck.name(column.name) for column in known)
    with duck.translated("Reading the rows"):
        taken = connection.execute(f"SELECT {shown} FROM t LIMIT {int(rows) + 1}").fetchall()
    notes = loaded.notes
    if any(step.verb == "sample" for step in how.steps):
        notes = [*notes, "The sample is drawn from the start of the files; the whole table has more rows."]
    return TablePreview(
        path=loaded.parts[0].path,
        size=sum(part.size for part in loaded.parts),
        format=loaded.format,
        columns=tuple(Column(column.name, duck.kind_of(column.type)) for column in known),
        rows=tuple(tuple(map(cells.cell, row)) for row in taken[:rows]),
        more=len(taken) > rows,
        total_columns=len(known),
        notes=tuple(notes),
    )


def _stepped(connection: duck.Connection, loaded: Loaded, how: Reading, columns: Sequence[str] | None) -> list[Column]:
    """Carries the steps out and names the columns that are looked at; types are DuckDB's."""
    steps.apply(connection, how.steps)
    if how.steps:
        found = connection.execute("SELECT count(*) FROM t").fetchone()
        loaded.rows = int(found[0]) if found else 0
        loaded.total_rows = None if loaded.sampled else loaded.rows
    known = [Column(str(row[0]), str(row[1])) for row in connection.execute("DESCRIBE t").fetchall()]
    if how.steps:
        loaded.total_columns = len(known)
    if columns is not None and how.steps:
        known = [column for column in known if column.name in set(columns)]
    if not known:
        raise Invalid("There is no column left to look at.")
    return known[:MOST_COLUMNS]


def _said(loaded: Loaded) -> list[str]:
    if not loaded.sampled:
        return []
    total = f"{'about ' if loaded.is_estimated else ''}{loaded.total_rows:,}" if loaded.total_rows else "more"
    return [f"It is a sample: {loaded.rows:,} of {total} rows were looked at."]


class _Look:
    """One column under inspection. `value` is what its numbers are computed from: microseconds for dates."""

    def __init__(self, connection: duck.Connection, loaded: Loaded, column: Column) -> None:
        self.connection, self.loaded, self.column = connection, loaded, column
        self.name = duck.name(column.name)
        self.kind = duck.kind_of(column.type)
        self.is_float = column.type.split("(")[0] in {"FLOAT", "DOUBLE"}

    def profile(self) -> ColumnProfile:
        with duck.translated(f"Looking at column '{cells.cut(self.column.name, 80)}'"):
            match self.kind:
                case "integer" | "number" | "date" | "timestamp":
                    return self.numbers()
                case "text" | "boolean":
                    return self.values()
                case _:
                    return self.others()

    def one(self, sql: str) -> tuple[Any, ...]:
        found = self.connection.execute(sql).fetchone()
        assert found is not None  # noqa: S101 (an aggregate has one row)
        return found

    def numbers(self) -> ColumnProfile:
        value, finite = self._value()
        count, held, low, high, estimate, odd = self.one(
            f"SELECT count(*), count({self.name}) FILTER (WHERE NOT {self._is_nan()}), min({value}) FILTER ({finite}), "
            f"max({value}) FILTER ({finite}), approx_count_distinct({self.name}), "
            f"count({self.name}) FILTER (WHERE NOT {self._is_finite()} AND NOT {self._is_nan()}) FROM t"
        )
        notes = [f"{odd:,} values are infinite; the rest of the numbers are without them."] if odd else []
        distinct, is_estimated = self._distinct(estimate)
        moments = self._moments(value, finite, notes) if low is not None else [None] * 5
        is_number = self.kind in {"integer", "number"}
        numbers = [None if each is None or not math.isfinite(each) else float(each) for each in moments]
        return ColumnProfile(
            self.column.name,
            self.kind,
            count,
            count - held,
            distinct,
            is_estimated,
            self._shown(low),
            self._shown(high),
            cells.cell(numbers[0]) if is_number else self._shown(moments[0]),
            numbers[1] if is_number else None,
            numbers[2] if is_number else None,
            numbers[3] if is_number else None,
            numbers[4] if is_number else None,
            quantiles=self._quantiles(value, finite, notes) if low is not None else (),
            histogram=self._histogram(value, finite, low, high) if low is not None else (),
            notes=tuple(notes),
        )

    def _value(self) -> tuple[str, str]:
        if self.kind in {"date", "timestamp"}:
            return f"epoch_us({self.name}::TIMESTAMP)", f"WHERE {self._is_finite()}"
        if self.column.type.startswith(("HUGEINT", "UHUGEINT", "DECIMAL")):
            return f"CAST({self.name} AS DOUBLE)", f"WHERE {self._is_finite()}"
        return self.name, f"WHERE {self._is_finite()}"

    def _is_finite(self) -> str:
        has_infinity = self.is_float or self.column.type in {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
        return f"isfinite({self.name})" if has_infinity else f"{self.name} IS NOT NULL"

    def _is_nan(self) -> str:
        return f"isnan({self.name})" if self.is_float else "false"

    def _moments(self, value: str, finite: str, notes: list[str]) -> list[Any]:
        """One by one where one of them is beyond what a number can hold."""
        if self.kind in {"date", "timestamp"}:
            return [self.one(f"SELECT avg({value}) FILTER ({finite}) FROM t")[0], None, None, None, None]
        asked = [f"{each}(CAST({value} AS DOUBLE)) FILTER ({finite})" for each in _MOMENTS]
        try:
            found = list(self.one(f"SELECT {', '.join(asked)} FROM t"))
        except duck.OutOfRangeException:
            found = [self._in_range(each) for each in asked]
        if any(each is None or not math.isfinite(each) for each in found[:1]) or math.inf in found:
            notes.append("Some moments are beyond what a number can hold.")
        return found

    def _in_range(self, asked: str) -> Any:
        try:
            return self.one(f"SELECT {asked} FROM t")[0]
        except duck.OutOfRangeException:
            return None

    def _quantiles(self, value: str, finite: str, notes: list[str]) -> tuple[Quantile, ...]:
        shares = ", ".join(f"{percent / 100:.3f}" for percent in PERCENTS)
        verb = "quantile_cont"
        if self.loaded.rows > EXACT_ROWS:
            verb = "approx_quantile"
            notes.append("Quantiles are estimated.")
        (found,) = self.one(f"SELECT {verb}({value}, [{shares}]) FILTER ({finite}) FROM t")
        return tuple(Quantile(percent, self._shown(each)) for percent, each in zip(PERCENTS, found, strict=True))

    def _histogram(self, value: str, finite: str, low: Any, high: Any) -> tuple[Bin, ...]:
        """Halves are computed with, because the distance of two numbers may be more than a number can hold."""
        least, most = float(low) / 2, float(high) / 2
        width = most - least
        if width <= 0:
            held = self.one(f"SELECT count({value}) FILTER ({finite}) FROM t")[0]
            return (Bin(self._shown(low), self._shown(high), held),)
        sql = (
            f"SELECT least({BINS - 1}, greatest(0, floor((CAST({value} AS DOUBLE) / 2 - {least!r}::DOUBLE) "
            f"/ {width!r}::DOUBLE * {BINS})))::INT AS bin, count(*) FROM t {finite} GROUP BY bin"
        )
        counts = dict(self.connection.execute(sql).fetchall())
        edges = [2 * (least + width * at / BINS) for at in range(BINS)]
        shown = [self._shown(low), *(self._shown(edge) for edge in edges[1:]), self._shown(high)]
        return tuple(Bin(shown[at], shown[at + 1], counts.get(at, 0)) for at in range(BINS))

    def _distinct(self, estimate: int) -> tuple[int, bool]:
        """Counted where it is cheap to."""
        if estimate <= EXACT_BELOW or self.loaded.rows <= 100_000:
            where = f"WHERE NOT {self._is_nan()}"
            return int(self.one(f"SELECT count(DISTINCT {self.name}) FROM t {where}")[0]), False
        return int(min(estimate, self.loaded.rows)), True

    def values(self) -> ColumnProfile:
        count, held, low, high, estimate = self.one(
            f"SELECT count(*), count({self.name}), min({self.name}), max({self.name}), "
            f"approx_count_distinct({self.name}) FROM t"
        )
        distinct, is_estimated = self._distinct(estimate)
        notes = []
        top: tuple[Top, ...] = ()
        if is_estimated and distinct > count / 2:
            notes.append("Almost every value is another one, so none is common.")
        else:
            top = self._top()
        if self.loaded.is_text and self.kind == "text" and (said := self._almost_numbers(held)):
            notes.append(said)
        return ColumnProfile(
            self.column.name,
            self.kind,
            count,
            count - held,
            distinct,
            is_estimated,
            cells.cell(low, LONGEST),
            cells.cell(high, LONGEST),
            top=top,
            notes=tuple(notes),
        )

    def _top(self) -> tuple[Top, ...]:
        sql = (
            f"SELECT {self.name} AS value, count(*) AS number FROM t WHERE {self.name} IS NOT NULL "
            f"GROUP BY value ORDER BY number DESC, value LIMIT {TOP}"
        )
        return tuple(
            Top(cells.cell(value, LONGEST), number) for value, number in self.connection.execute(sql).fetchall()
        )

    def _almost_numbers(self, held: int) -> str:
        """A column of numbers with a few words in it is text: the words are what its owner wants to know."""
        asked = f"TRY_CAST({self.name} AS DOUBLE)"
        numbers, example = self.one(
            f"SELECT count({asked}), min({self.name}) FILTER (WHERE {self.name} IS NOT NULL AND {asked} IS NULL) FROM t"
        )
        if held and held / 2 <= numbers < held:
            return (
                f"{numbers:,} of {held:,} values are numbers; {held - numbers:,} are not, such as {_quoted(example)}."
            )
        return ""

    def others(self) -> ColumnProfile:
        """Times have extremes; of lists, mappings and bytes it is counted how many there are."""
        count, held = self.one(f"SELECT count(*), count({self.name}) FROM t")
        low = high = None
        if self.kind == "time":
            low, high = map(cells.cell, self.one(f"SELECT min({self.name}), max({self.name}) FROM t"))
        return ColumnProfile(self.column.name, self.kind, count, count - held, minimum=low, maximum=high)

    def _shown(self, value: Any) -> Cell:
        """A number of this column as its reader knows it: microseconds as a date."""
        if value is None:
            return None
        if self.kind in {"date", "timestamp"}:
            return _moment(float(value), self.kind)
        if self.kind == "integer" and isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            return int(value)
        return cells.cell(value)


def _moment(microseconds: float, kind: str) -> str:
    try:
        found = _EPOCH + dt.timedelta(microseconds=round(microseconds))
    except (OverflowError, ValueError):
        return f"{microseconds / 1e6:.0f} seconds after 1970"
    whole = kind == "date" and found.time() == dt.time()
    return found.date().isoformat() if whole else found.isoformat(timespec="seconds")


def _quoted(value: Any) -> str:
    return repr(cells.cut(str(value), 60))
