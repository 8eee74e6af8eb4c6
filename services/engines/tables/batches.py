"""Parquet, Arrow and workbooks as a table, batch by batch."""

# ruff: noqa: S608 (names are quoted by duck.name, literals by duck.text)

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from services.core.errors import Invalid
from services.engines.tables import arrow, cells, duck, sheets
from services.engines.tables.shapes import Part, Source
from services.engines.tables.wishes import (
    HUGE_BYTES,
    HUGE_CELLS,
    MOST_COLUMNS,
    SAMPLE_BYTES,
    Loaded,
    Wish,
    chosen_columns,
    counted,
)

START_ROWS = 10_000
PAGE = 1 << 20
MOST_SHEET_ROWS = 200_000


@dataclass
class Batches:
    """Parquet, Arrow and Excel: record batches, taken over file by file."""

    connection: duck.Connection
    source: Source
    wish: Wish
    loaded: Loaded

    def load(self) -> None:
        loaded, parts = self.loaded, self.loaded.parts
        if loaded.format == "xlsx":
            return self._load_sheets()
        heads = {part.path: self._rows_and_width(part) for part in parts[:1000]}
        known = [rows for rows, _ in heads.values()]
        width = max(width for _, width in heads.values())
        total = sum(rows or 0 for rows in known) * (len(parts) / len(heads)) if None not in known else None
        share = self._share(total, min(width, MOST_COLUMNS), sum(part.size for part in parts))
        if total is not None:
            loaded.total_rows = round(total)
            loaded.is_estimated = len(heads) < len(parts)
        loaded.sampled = share < 1 and not self.wish.only_start
        groups = 0, 0
        for part in parts:
            used, there = self._insert(part, share)
            groups = groups[0] + used, groups[1] + there
            if self.wish.only_start and counted(self.connection) >= START_ROWS:
                break
        if total is None and loaded.sampled and groups[0]:
            loaded.total_rows = round(counted(self.connection) * groups[1] / groups[0])
            loaded.is_estimated = True
        return None

    def _rows_and_width(self, part: Part) -> tuple[int | None, int]:
        with self.source.open(part.path) as file:
            opened = self._checked(part, file)
            return opened.rows, len(opened.schema)

    def _checked(self, part: Part, file: Any) -> arrow.Opened:
        try:
            return arrow.opened(file, part.size, self.loaded.format, page=PAGE)
        except Invalid as cause:
            raise Invalid(f"'{part.path}': {cause.message}") from cause

    def _share(self, total: float | None, width: int, size: int) -> float:
        """Of the rows that are read."""
        if self.wish.only_start:
            return 1.0
        width = len(self.wish.columns) if self.wish.columns is not None else width
        most = HUGE_CELLS / max(width, 1)
        if total:
            wanted = min(most, self.wish.rows or most)
            is_huge = size > HUGE_BYTES or total > most
            return min(1.0, wanted / total) if is_huge or wanted < total / 2 else 1.0
        return SAMPLE_BYTES / size if size > HUGE_BYTES else 1.0

    def _insert(self, part: Part, share: float) -> tuple[int, int]:
        """Takes this share of the part's rows; groups used, groups there."""
        with self.source.open(part.path) as file:
            opened = self._checked(part, file)
            names = [each.name for each in opened.schema]
            if len(set(names)) < len(names):
                raise Invalid(f"'{part.path}' has two columns of the same name.")
            self.loaded.total_columns = max(self.loaded.total_columns, len(names))
            wanted = chosen_columns(names, self.wish, self.loaded if part is self.loaded.parts[0] else Loaded("", []))
            positions = [names.index(name) for name in wanted]
            groups, most = self._groups(opened, share)
            batches = opened.batches(columns=positions, groups=groups)
            self._take(part, _first(batches, START_ROWS if self.wish.only_start else most))
            return (len(groups) if groups is not None else 1), max(1, len(opened.groups))

    def _groups(self, opened: arrow.Opened, share: float) -> tuple[Sequence[int] | None, int | None]:
        """Evenly spread groups of rows, and the most rows to take of them."""
        if share >= 1 or not opened.groups:
            return None, None
        stride = max(1, int(1 / share))
        most = round(opened.rows * share) if opened.rows is not None else None
        return list(opened.groups)[::stride], most

    def _take(self, part: Part, batches: Iterator[Any]) -> None:
        first = next(batches, None)
        if first is None:
            return
        schema = _readable(first.schema)
        reader = pa.RecordBatchReader.from_batches(schema, _cast(first, batches, schema))
        path = self.wish.reading.path_column
        select = f"SELECT {duck.text(part.path)} AS {duck.name(path)}, * FROM batches" if path else "FROM batches"
        self.connection.register("batches", reader)
        try:
            with duck.translated(f"Reading '{part.path}'"), arrow.translated():
                if not self._exists():
                    self.connection.execute(f"CREATE TABLE t AS {select}")
                else:
                    self._add_columns(schema)
                    self.connection.execute(f"INSERT INTO t BY NAME {select}")
        finally:
            self.connection.unregister("batches")

    def _exists(self) -> bool:
        return bool(self.connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 't'").fetchone())

    def _add_columns(self, schema: Any) -> None:
        """A later file may have columns that the first ones do not; their rows miss them."""
        known = {row[0] for row in self.connection.execute("DESCRIBE t").fetchall()}
        types = {row[0]: row[1] for row in self.connection.execute("DESCRIBE FROM batches").fetchall()}
        for each in schema:
            if each.name not in known:
                self.connection.execute(f"ALTER TABLE t ADD COLUMN {duck.name(each.name)} {types[each.name]}")

    def _load_sheets(self) -> None:
        for part in self.loaded.parts:
            most = START_ROWS if self.wish.only_start else MOST_SHEET_ROWS
            with self.source.open(part.path) as file, sheets.first_sheet(file) as (_, found):
                rows = list(islice(found, most + 2))
            names, body = sheets.header_of(rows)
            if len(body) > most:
                body = body[:most]
                self.loaded.sampled = True
                self.loaded.notes.append(f"The first {most:,} rows of '{part.path}' are looked at.")
            if not names:
                raise Invalid(f"The first sheet of '{part.path}' is empty.")
            self.loaded.total_columns = max(self.loaded.total_columns, len(names))
            wanted = chosen_columns(names, self.wish, self.loaded)
            arrays = [_array([row[at] if at < len(row) else None for row in body]) for at in map(names.index, wanted)]
            self._take(part, iter([pa.RecordBatch.from_arrays(arrays, names=wanted)]))


def _first(batches: Iterator[Any], most: int | None) -> Iterator[Any]:
    """Batches with at most so many rows together."""
    left = most
    for batch in batches:
        if left is None:
            yield batch
            continue
        yield batch.slice(0, left)
        left -= batch.num_rows
        if left <= 0:
            return


def _cast(first: Any, others: Iterator[Any], schema: Any) -> Iterator[Any]:
    def fitting(batch: Any) -> Any:
        return batch if batch.schema.equals(schema) else batch.cast(schema)

    yield fitting(first)
    for batch in others:
        yield fitting(batch)


def _readable(schema: Any) -> Any:
    """Types that DuckDB does not take, as those that come nearest."""
    fields = []
    for each in schema:
        kind = each.type
        if pa.types.is_decimal256(kind):
            kind = pa.float64()
        elif pa.types.is_float16(kind):
            kind = pa.float32()
        elif pa.types.is_null(kind):
            kind = pa.string()
        fields.append(pa.field(each.name, kind))
    return pa.schema(fields)


def _array(values: list[Any]) -> Any:
    """A column of a sheet: as what it is, or as text when kinds are mixed."""
    kind = cells.kind_of_values(values)
    with_types = {
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
        "time": pa.time64("us"),
    }
    if kind in with_types:
        try:
            return pa.array(values, type=with_types[kind])
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            pass
    return pa.array([None if value is None else str(value) for value in values], type=pa.string())
