"""Tables of runs as files: CSV that a spreadsheet may open, Parquet with types."""

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.core.times import iso
from services.specs.run_fields import Type

Cell = float | str | bool | datetime | None
Page = Sequence[Sequence[Cell]]
_IN_MEMORY = 16 << 20
_PIECE = 1 << 18
# A spreadsheet takes what begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(heads: Iterable[str], pages: Iterable[Page]) -> Iterator[bytes]:
    """One piece a page. A text that a spreadsheet would calculate is given a leading apostrophe."""
    yield _written([[_safe(head) for head in heads]])
    for page in pages:
        yield _written([[_safe(cell) for cell in row] for row in page])


def as_parquet(columns: Mapping[str, Type], pages: Iterable[Page]) -> Iterator[bytes]:
    """One row group a page; kept in a temporary file, because the end of a Parquet file tells of its beginning."""
    # Few ask for it, and it costs each process that has it 60 MB.
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    kinds = {"number": pa.float64(), "text": pa.string(), "flag": pa.bool_(), "time": pa.timestamp("ms", tz="UTC")}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        with parquet.ParquetWriter(file, schema) as writer:
            for page in pages:
                arrays = [pa.array(cells, each.type) for cells, each in zip(_turned(page, schema), schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _safe(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case datetime():
            return iso(cell) or ""
        case str():
            return f"'{cell}" if cell.startswith(_FORMULA) and not _is_number(cell) else cell
    return repr(cell)


def _is_number(text: str) -> bool:
    """As a spreadsheet reads it: `-1e3` is one, `-1_0` and `+inf` are not."""
    try:
        float(text)
    except ValueError:
        return False
    return all(sign in "0123456789+-.eE" for sign in text)


def _turned(page: Page, schema: Sequence[Any]) -> list[Sequence[Cell]]:
    return [list(column) for column in zip(*page, strict=True)] if page else [[] for _ in schema]
