"""Parquet and Arrow files, read by ranges: what they claim is checked before it is believed."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from services.core.errors import Invalid
from services.engines.tables import cells
from services.engines.tables.shapes import Column

MOST_FOOTER = 64 << 20
BATCH = 64 << 10
PAGE = 64 << 10
pa.set_cpu_count(2)
pa.set_io_thread_count(2)


@dataclass
class Opened:
    """Its schema, its rows where it says them, and its groups of rows (batches, in Arrow's own files)."""

    format: str
    schema: Any
    rows: int | None
    groups: Sequence[int]
    _file: Any

    def batches(
        self, *, columns: Sequence[int] | None = None, size: int = BATCH, groups: Sequence[int] | None = None
    ) -> Iterator[Any]:
        """Record batches with these columns (by position). Raises Invalid where the content is damaged."""
        positions = list(range(len(self.schema))) if columns is None else list(columns)
        with translated():
            if self.format == "parquet":
                names = [self.schema.field(at).name for at in positions]
                chosen = list(groups) if groups is not None else None
                yield from self._file.iter_batches(batch_size=size, columns=names, row_groups=chosen)
                return
            for batch in _arrow_batches(self._file, groups):
                for start in range(0, max(batch.num_rows, 1), size):
                    yield batch.slice(start, size).select(positions)


def opened(file: BinaryIO, size: int, format: str, *, page: int = PAGE) -> Opened:
    """`page` is how many bytes of a Parquet column are asked for at once. Raises Invalid for what is damaged."""
    if format == "parquet":
        return _parquet(file, size, page)
    with translated():
        if format == "arrow":
            found = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
            return Opened(format, found.schema, None, range(found.num_record_batches), found)
        file.seek(0)
        stream = pa.ipc.open_stream(pa.PythonFile(file, mode="r"))
        return Opened(format, stream.schema, None, (), stream)


def kind_of(type: Any) -> str:
    """Arrow's type in one of the words for types."""
    checks = (
        ("integer", pa.types.is_integer),
        ("number", pa.types.is_floating),
        ("number", pa.types.is_decimal),
        ("boolean", pa.types.is_boolean),
        ("text", pa.types.is_string),
        ("text", pa.types.is_large_string),
        ("text", pa.types.is_string_view),
        ("date", pa.types.is_date),
        ("timestamp", pa.types.is_timestamp),
        ("time", pa.types.is_time),
        ("binary", pa.types.is_binary),
        ("binary", pa.types.is_large_binary),
        ("binary", pa.types.is_fixed_size_binary),
        ("list", pa.types.is_list),
        ("list", pa.types.is_large_list),
        ("list", pa.types.is_fixed_size_list),
        ("mapping", pa.types.is_struct),
        ("mapping", pa.types.is_map),
    )
    if pa.types.is_dictionary(type):
        return kind_of(type.value_type)
    return next((name for name, check in checks if check(type)), "other")


def columns_of(schema: Any, most: int | None = None) -> tuple[Column, ...]:
    return tuple(Column(cells.cut(each.name, 200), kind_of(each.type)) for each in list(schema)[:most])


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """What pyarrow raises on damaged files, as a sentence."""
    try:
        yield
    except pa.ArrowMemoryError as cause:
        raise Invalid("Reading needed more memory than it is given.") from cause
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as cause:
        first = (str(cause).strip().splitlines() or ["no reason is given"])[0]
        raise Invalid(f"The file is damaged: {cells.cut(first, 300).rstrip('.')}.") from cause


def _arrow_batches(file: Any, groups: Sequence[int] | None) -> Iterator[Any]:
    if isinstance(file, pa.ipc.RecordBatchStreamReader) and not isinstance(file, pa.ipc.RecordBatchFileReader):
        yield from file
        return
    for index in range(file.num_record_batches) if groups is None else groups:
        yield file.get_batch(index)


def _parquet(file: BinaryIO, size: int, page: int) -> Opened:
    _check_footer(file, size)
    with translated():
        found = parquet.ParquetFile(
            pa.PythonFile(file, mode="r"),
            pre_buffer=False,
            buffer_size=page,
            thrift_string_size_limit=MOST_FOOTER,
            thrift_container_size_limit=5_000_000,
        )
        footer = found.metadata
        groups = [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]
        if sum(groups) != footer.num_rows or footer.num_rows < 0:
            raise Invalid(f"The Parquet footer claims {footer.num_rows:,} rows, its row groups hold {sum(groups):,}.")
        return Opened("parquet", found.schema_arrow, footer.num_rows, range(footer.num_row_groups), found)


def _check_footer(file: BinaryIO, size: int) -> None:
    if size < 12:
        raise Invalid("The file is too short for Parquet.")
    file.seek(size - 8)
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1":
        raise Invalid("The Parquet footer is missing: the file was cut off, or not written to its end.")
    if length > size - 12:
        raise Invalid(f"The Parquet footer claims {length:,} bytes, more than the file of {size:,} bytes has.")
    if length > MOST_FOOTER:
        raise Invalid(f"The Parquet footer has {length:,} bytes, more than the {MOST_FOOTER:,} that are read.")
