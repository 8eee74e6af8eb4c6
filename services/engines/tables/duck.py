"""DuckDB with its hands tied: two threads, a memory limit, files of one folder alone, nothing fetched, ever."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import duckdb

from services.core.errors import Invalid
from services.engines.tables import cells

Connection: TypeAlias = duckdb.DuckDBPyConnection
Error = duckdb.Error
ConversionException = duckdb.ConversionException
InvalidInputException = duckdb.InvalidInputException
OutOfRangeException = duckdb.OutOfRangeException
MEMORY = "1500MB"
ON_DISK = "20GB"


def connect(folder: Path, files: Sequence[Path] = ()) -> Connection:
    """A database in memory that may read these files, may read and spill into this folder, and nothing else."""
    spill = folder / "spill"
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY,
            "threads": 2,
            "temp_directory": str(spill),
            "max_temp_directory_size": ON_DISK,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute(f"SET allowed_directories = [{text(f'{folder}/')}]")
    connection.execute(f"SET allowed_paths = [{', '.join(text(str(file.resolve())) for file in files)}]")
    for setting in ("TimeZone = 'UTC'", "enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    return connection


def name(word: str) -> str:
    """An identifier."""
    return '"' + word.replace('"', '""') + '"'


def text(value: str) -> str:
    """A literal. Raises Invalid for a NUL, which no statement can hold."""
    if "\0" in value:
        raise Invalid(f"{value[:80]!r} holds a NUL character.")
    return "'" + value.replace("'", "''") + "'"


def kind_of(type: str) -> str:
    """DuckDB's type in one of the words for types."""
    base = type.split("(", 1)[0]
    if type.endswith("]"):
        return "list"
    if base in {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"}:
        return "integer"
    if base.startswith("TIMESTAMP"):
        return "timestamp"
    known = {
        "UBIGINT": "integer",
        "UHUGEINT": "integer",
        "FLOAT": "number",
        "DOUBLE": "number",
        "DECIMAL": "number",
        "BOOLEAN": "boolean",
        "VARCHAR": "text",
        "ENUM": "text",
        "UUID": "text",
        "JSON": "mapping",
        "STRUCT": "mapping",
        "MAP": "mapping",
        "DATE": "date",
        "BLOB": "binary",
    }
    return "time" if base.startswith("TIME") else known.get(base, "other")


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """DuckDB's errors as a sentence that begins with `what`."""
    try:
        yield
    except duckdb.OutOfMemoryException as cause:
        raise Invalid(f"{what} needs more memory or disk than it is given.") from cause
    except duckdb.Error as cause:
        raise Invalid(f"{what} failed: {reason(cause)}.") from cause


def reason(cause: duckdb.Error) -> str:
    """The first line of what DuckDB says, without the kind of error."""
    first = (str(cause).strip().splitlines() or ["no reason is given"])[0]
    return cells.cut(first.split("Error: ", 1)[-1].rstrip(". "), 300)
