"""CSV and TSV: which character separates, whether the first row names the columns, and the first rows."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.engines.tables import cells
from services.engines.tables.shapes import Cell, Column

CANDIDATES = (",", "\t", ";", "|")
LOOKED_AT = 200
MOST_COLUMNS = 500
csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class Dialect:
    """`names` are unique, and not all of them when the first record `is_cut`; `has_newlines` is whether a quoted
    cell among the first rows holds one."""

    delimiter: str
    has_header: bool
    names: tuple[str, ...]
    has_newlines: bool = False
    is_cut: bool = False


@dataclass(frozen=True)
class First:
    """The first rows of a file, typed by what they hold."""

    dialect: Dialect
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: bool
    notes: tuple[str, ...]


def first_rows(text: str, *, rows: int, is_whole: bool, tabs: bool = False, dialect: Dialect | None = None) -> First:
    """`text` is the start of the file; its last record counts only when it is whole or the only one."""
    known = dialect or sniffed(text, is_whole=is_whole, tabs=tabs)
    records, ended = _records(text, known.delimiter, max(rows, LOOKED_AT) + 2, is_whole)
    body = records[1:] if known.has_header else records
    width = min(len(known.names), MOST_COLUMNS)
    looked = body[: max(rows, LOOKED_AT)]
    kinds = [cells.kind_of_texts([record[at] for record in looked if at < len(record)]) for at in range(width)]
    shown = tuple(
        tuple(cells.typed(record[at], kinds[at]) if at < len(record) else None for at in range(width))
        for record in body[:rows]
    )
    return First(
        known,
        tuple(Column(name, kind) for name, kind in zip(known.names, kinds, strict=False)),
        shown,
        len(body) > rows or not (is_whole and ended) or len(known.names) > width,
        tuple(_notes(known, looked, records, is_whole)),
    )


def sniffed(text: str, *, is_whole: bool, tabs: bool = False, header: bool | None = None) -> Dialect:
    """What the first records say. `header` is for callers who know."""
    delimiter = _delimiter(text, is_whole, tabs)
    return dialect_of(text, delimiter, is_whole=is_whole, header=header)


def dialect_of(text: str, delimiter: str, *, is_whole: bool, header: bool | None = None) -> Dialect:
    """With a delimiter that is known. Columns are as many as the widest of the first records has."""
    records, _ = _records(text, delimiter, LOOKED_AT, is_whole)
    if not records:
        return Dialect(delimiter, bool(header), ())
    has_header = _names_columns(records) if header is None else header
    width = max(len(record) for record in records)
    given = records[0] if has_header else []
    names = cells.unique([*given, *[""] * (width - len(given))])
    has_newlines = any("\n" in value or "\r" in value for record in records for value in record)
    return Dialect(delimiter, has_header, tuple(names), has_newlines, not is_whole and len(records) == 1)


def _records(text: str, delimiter: str, most: int, is_whole: bool) -> tuple[list[list[str]], bool]:
    """Up to `most` records, blank lines left out, and whether the text ended before that."""
    found: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for record in reader:
        if record:
            found.append(record)
        if len(found) >= most:
            return found, False
    if not is_whole and len(found) > 2:  # a header and the start of a giant row are still worth a look
        found.pop()
    return found, True


def _delimiter(text: str, is_whole: bool, tabs: bool) -> str:
    """The one that splits the most records into the same number of cells, more than one."""
    start = text[: 128 << 10]
    order = ("\t", ",", ";", "|") if tabs else CANDIDATES
    return max(order, key=lambda each: _evenness(start, each, is_whole and len(start) == len(text)))


def _evenness(text: str, delimiter: str, is_whole: bool) -> tuple[float, int]:
    records, _ = _records(text, delimiter, 100, is_whole)
    widths = Counter(len(record) for record in records)
    if not widths:
        return 0.0, 0
    width, count = widths.most_common(1)[0]
    return (round(count / len(records), 1), width) if width > 1 else (0.0, 0)


def _names_columns(records: Sequence[Sequence[str]]) -> bool:
    """A row of different words that are no values; with nothing below it a row of words is a header too."""
    first = [value.strip() for value in records[0]]
    filled = [value for value in first if value]
    if not filled or not all(cells.kind_of_texts([value]) == "text" and len(value) <= 300 for value in filled):
        return False
    different = len({value.casefold() for value in filled})
    return different >= len(filled) * 0.9 or any(
        cells.kind_of_texts([record[at] for record in records[1:] if at < len(record)]) != "text"
        for at in range(min(len(first), MOST_COLUMNS))
    )


def _notes(
    dialect: Dialect, looked: Sequence[Sequence[str]], records: Sequence[Sequence[str]], is_whole: bool
) -> list[str]:
    notes = []
    usual = len(records[0]) if records else 0
    ragged = sum(len(record) != usual for record in looked)
    if ragged:
        notes.append(f"{ragged} of the first {len(looked)} rows have another number of cells than the first row.")
    if not dialect.has_header and records:
        notes.append("The first row looks like values, so the columns are numbered.")
    if len(dialect.names) > MOST_COLUMNS:
        total = "more" if dialect.is_cut else f"{len(dialect.names):,}"
        notes.append(f"The first {MOST_COLUMNS} of {total} columns are shown.")
    if any(len(value) > cells.LONGEST for record in looked for value in record):
        notes.append(f"Cells are cut after {cells.LONGEST} characters.")
    if not is_whole and len(records) <= 2:
        notes.append("A record is longer than the part of the file that is read; its start is shown.")
    return notes
