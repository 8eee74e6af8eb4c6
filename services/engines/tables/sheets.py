"""Excel workbooks: the first sheet as it was last calculated; formulas are not evaluated, bombs not unpacked."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook  # type: ignore[import-untyped]
from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]

from services.core.errors import Invalid
from services.engines.tables.cells import unique

MOST_UNPACKED = 512 << 20
MOST_MEMBERS = 10_000
MOST_RATIO = 300
MOST_CELLS = 1_000
_EMPTY_ROWS = 1_000


def is_workbook(file: BinaryIO) -> bool:
    """Whether this ZIP archive is one. Raises Invalid for an archive that is damaged."""
    with _translated(), zipfile.ZipFile(file) as archive:
        return "xl/workbook.xml" in archive.NameToInfo


@contextmanager
def first_sheet(file: BinaryIO) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    """The name and the rows of the first sheet. Raises Invalid for bombs and damage, also while rows are taken."""
    with _translated():
        _refuse_bombs(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            if not book.worksheets:
                raise Invalid("The workbook has no sheet with cells.")
            sheet = book.worksheets[0]
            sheet.reset_dimensions()
            yield sheet.title, _rows(sheet)
        finally:
            book.close()


def _rows(sheet: Any) -> Iterator[tuple[Any, ...]]:
    """Rows that hold something, at most MOST_CELLS wide; a long gap of empty rows is the end."""
    empty = 0
    for row in sheet.iter_rows(values_only=True, max_col=MOST_CELLS):
        if any(value is not None for value in row):
            empty = 0
            yield row
        elif (empty := empty + 1) > _EMPTY_ROWS:
            return


def _refuse_bombs(file: BinaryIO) -> None:
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise Invalid(f"The workbook has {len(members):,} members, more than the {MOST_MEMBERS:,} that are opened.")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MOST_UNPACKED:
        raise Invalid(
            f"The workbook unpacks to {unpacked >> 20:,} MiB, more than the {MOST_UNPACKED >> 20} that are read."
        )
    for member in members:
        if member.file_size > 16 << 20 and member.file_size > MOST_RATIO * max(member.compress_size, 1):
            raise Invalid(f"'{member.filename[:80]}' in the workbook unpacks to far more than its size: a ZIP bomb.")
    file.seek(0)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except zipfile.BadZipFile as cause:
        raise Invalid("The ZIP archive is damaged.") from cause
    except (
        InvalidFileException,
        ParseError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
    ) as cause:
        raise Invalid("The workbook is damaged: its sheets cannot be read.") from cause
    except (NotImplementedError, RuntimeError) as cause:
        raise Invalid("The workbook is encrypted or packed in a way that is not read.") from cause


def header_of(rows: list[tuple[Any, ...]]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns and the rows below: the first row names them when it holds different texts alone."""
    if not rows:
        return [], []
    width = max(len(_trimmed(row)) for row in rows)
    first = [*_trimmed(rows[0]), *[None] * (width - len(_trimmed(rows[0])))]
    filled = [value for value in first if value is not None]
    if all(isinstance(value, str) for value in filled) and len(set(filled)) == len(filled):
        return unique([str(value or "") for value in first]), rows[1:]
    return unique([""] * width), rows


def _trimmed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    return row[:end]
