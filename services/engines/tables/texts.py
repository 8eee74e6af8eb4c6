"""Delimited text and JSON as a table: strictly and quickly first, leniently where a file is irregular."""

# ruff: noqa: S608 (names are quoted by duck.name, literals by duck.text)

import csv
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from services.core.errors import Invalid
from services.engines.tables import cells, delimited, detect, duck, previews
from services.engines.tables.delimited import Dialect
from services.engines.tables.shapes import Part, Source
from services.engines.tables.spooling import Spool, head_of
from services.engines.tables.wishes import HUGE_BYTES, HUGE_CELLS, SAMPLE_BYTES, Loaded, Wish, chosen_columns, counted

START_BYTES = 4 << 20
LOOK = 4096
MOST_WIDE = 20_000
RECORDS = 20_000
MOST_ARRAY = 512 << 20
_MISSING = ", ".join(map(duck.text, ("", *cells.NOT_A_NUMBER)))
_WRONG_BYTES = ("invalid unicode", "not utf-8 encoded", "invalid utf", "byte sequence mismatch", "the text is not")
_ENCODINGS = {
    "utf8": "utf-8-sig",
    "utf-8": "utf-8-sig",
    "utf-8-sig": "utf-8-sig",
    "ascii": "utf-8-sig",
    "iso88591": "latin-1",
    "latin1": "latin-1",
    "utf8bom": "utf-8-sig",
    "utf16": "utf-16",
    "utf32": "utf-32",
    "windows1252": "cp1252",
}


@dataclass
class Texts:
    """CSV and JSON: made ready by the spool, read by DuckDB."""

    connection: duck.Connection
    source: Source
    wish: Wish
    folder: Path
    loaded: Loaded
    head: bytes
    is_gzip: bool
    found: detect.Found

    def load(self) -> None:
        encoding = self._encoding()
        head = previews.unpacked(self.head, detect.HEAD)[0] if self.is_gzip else self.head
        text = detect.decoded(head, encoding)
        is_whole = len(self.head) >= self.loaded.parts[0].size and not self.is_gzip
        if self.loaded.format in {"csv", "tsv"}:
            self.dialect = self._dialect(text, is_whole)
        spool = Spool(self.source, self.folder, encoding, self._packed())
        try:
            self._read(self._spooled(spool, text))
        except (duck.Error, Invalid) as cause:
            said = cause.message if isinstance(cause, Invalid) else str(cause)
            if not any(word in said.casefold() for word in _WRONG_BYTES):
                raise self._failed(cause) from cause
            self.loaded.notes.append(f"Some bytes are not {encoding.removesuffix('-sig').upper()}; they are read as �.")
            self.connection.execute("DROP TABLE IF EXISTS t")
            with duck.translated("Reading the text"):
                self._read(self._spooled(dataclasses.replace(spool, forgiving=True), text))

    def _packed(self) -> frozenset[str]:
        """Which files are gzip. Raises Invalid for one that is no text at all, whatever its name says."""
        first, *others = self.loaded.parts
        packed = {first.path} if self.is_gzip else set()
        for part in others:
            found = detect.detect(head_of(self.source, part, LOOK), part.path)
            if found.format == "gzip":
                packed.add(part.path)
            elif found.encoding is None:
                wanted = detect.say(self.loaded.format)
                raise Invalid(f"'{part.path}' is {detect.say(found.format)}, not {wanted} as '{first.path}' is.")
        return frozenset(packed)

    def _failed(self, cause: Exception) -> Exception:
        if isinstance(cause, duck.Error):
            return Invalid(f"The rows cannot be read: {duck.reason(cause)}.".replace(f"{self.folder}/", ""))
        return cause

    def _encoding(self) -> str:
        asked = self.wish.reading.encoding
        if asked:
            known = _ENCODINGS.get(asked.casefold().replace("_", "").replace("-", "")) or _ENCODINGS.get(asked)
            if known is None:
                raise Invalid(f"The encoding {asked!r} is not known.", hint="Use utf8, utf16, latin1 or windows1252.")
            return known
        if self.is_gzip:
            return detect.encoding_of(previews.unpacked(self.head, detect.HEAD)[0])[0] or "utf-8"
        return self.found.encoding or "utf-8"

    def _dialect(self, text: str, is_whole: bool) -> Dialect:
        reading = self.wish.reading
        header = None if not reading.header else reading.header != "no_header"
        if reading.delimiter:
            found = delimited.dialect_of(text, reading.delimiter, is_whole=is_whole, header=header)
        else:
            found = delimited.sniffed(text, is_whole=is_whole, tabs=self.loaded.format == "tsv", header=header)
        if not found.names:
            raise Invalid(f"'{self.loaded.parts[0].path}' has no rows.")
        self.loaded.total_columns = len(found.names)
        if len(found.names) > MOST_WIDE:
            raise Invalid(f"The table has more than {MOST_WIDE:,} columns.")
        if reading.header == "no_header":
            found = dataclasses.replace(found, names=tuple(f"Column{at + 1}" for at in range(len(found.names))))
        return found

    def _spooled(self, spool: Spool, text: str) -> list[Path]:
        parts = self.loaded.parts
        if self.wish.only_start:
            return [spool.start(part, index, START_BYTES) for index, part in enumerate(parts[:20])]
        total = sum(part.size for part in parts)
        record = self._record_bytes(text)
        target = self._target(total, record)
        if target is None:
            return [spool.whole(part, index) for index, part in enumerate(parts)]
        self.loaded.sampled = self.loaded.is_estimated = True
        places = [
            self._sampled(spool, part, index, max(64 << 10, target * part.size // total))
            for index, part in enumerate(parts)
        ]
        self.loaded.total_rows = -total  # an estimate once the rows of these bytes are counted
        return places

    def _sampled(self, spool: Spool, part: Part, index: int, most: int) -> Path:
        """A newline in a cell makes a cut in the middle unsafe, and an array has no lines: then it is the start."""
        if self.loaded.format in {"csv", "tsv"} and self.dialect.has_newlines:
            return spool.start(part, index, most) if part.size > most else spool.whole(part, index)
        return spool.spread(part, index, most)

    def _record_bytes(self, text: str) -> float:
        lines = text.count("\n")
        return len(text) / lines if lines else float(len(text) or 1)

    def _target(self, total: int, record: float) -> int | None:
        """Bytes to read of `total`; None for all. An array of JSON is read whole or not at all."""
        if self.loaded.format == "json":
            if total > MOST_ARRAY:
                raise Invalid(
                    f"A JSON array of {total >> 20:,} MiB is not read; at most {MOST_ARRAY >> 20} MiB are.",
                    hint="Write JSON lines, one object a line, or Parquet.",
                )
            return None
        width = len(self.dialect.names) if self.loaded.format in {"csv", "tsv"} else 1
        rows = total / record
        wanted = self.wish.rows
        if wanted is not None and wanted < rows / 2:
            return min(SAMPLE_BYTES, int(wanted * record * 1.2) + (64 << 10))
        if total > HUGE_BYTES or rows * width > HUGE_CELLS:
            return min(SAMPLE_BYTES, int(HUGE_CELLS / width * record))
        return None

    def _read(self, places: list[Path]) -> None:
        sql = self._json_sql(places) if self.loaded.format in {"json", "jsonl"} else None
        if sql is not None:
            self._read_json(places, sql)
        else:
            self._read_csv(places)
        if self.loaded.total_rows is not None and self.loaded.total_rows < 0:
            held = max(1, sum(place.stat().st_size for place in places))
            self.loaded.total_rows = round(counted(self.connection) * -self.loaded.total_rows / held)

    def _create(self, sql: str) -> None:
        columns = self._columns_of(sql)
        self.connection.execute(f"CREATE TABLE t AS SELECT {columns} FROM ({sql})")

    def _columns_of(self, sql: str) -> str:
        names = [row[0] for row in self.connection.execute(f"DESCRIBE {sql}").fetchall()]
        self.loaded.total_columns = len(names)
        return ", ".join(map(duck.name, chosen_columns(names, self.wish, self.loaded)))

    def _read_csv(self, places: list[Path]) -> None:
        """Strictly and quickly first; files that are not all that regular are read leniently then."""
        try:
            self._create(self._csv_sql(places))
        except (duck.ConversionException, duck.InvalidInputException) as cause:
            if any(word in str(cause).casefold() for word in _WRONG_BYTES):
                raise
            self.connection.execute("DROP TABLE IF EXISTS t")
            self._read_leniently(places)

    def _read_leniently(self, places: list[Path]) -> None:
        """All as text, short rows padded and long ones cut; columns then get the type that all their values have."""
        names = list(self.dialect.names)
        wanted = chosen_columns(names, self.wish, self.loaded)
        listed = ", ".join(f"{duck.name(name)} VARCHAR" for name in self._with_path(names))
        self.connection.execute(f"CREATE TABLE raw ({listed})")
        ragged = total = 0
        for index, place in enumerate(places):
            for records in self._records(place, index):
                total += len(records)
                ragged += sum(len(record) != len(names) for record in records)
                self._append(records, names, self.loaded.parts[index].path)
        if ragged:
            self.loaded.notes.append(f"{ragged:,} of {total:,} rows have another number of cells than the table.")
        chosen = self._with_path(wanted)
        casts = ", ".join(f"{self._cast(name)} AS {duck.name(name)}" for name in chosen)
        self.connection.execute(f"CREATE TABLE t AS SELECT {casts} FROM raw")
        self.connection.execute("DROP TABLE raw")

    def _with_path(self, names: list[str]) -> list[str]:
        return [self.wish.reading.path_column, *names] if self.wish.reading.path_column else names

    def _records(self, place: Path, index: int) -> Iterator[list[list[str]]]:
        """Records below the header, so many at a time."""
        has_header = self.dialect.has_header and (index == 0 or self.wish.reading.header != "from_first_file")
        with place.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader((line.replace("\0", "") for line in file), delimiter=self.dialect.delimiter)
            filled = (record for record in reader if record)
            if has_header:
                next(filled, None)
            while records := list(islice(filled, RECORDS)):
                yield records

    def _append(self, records: list[list[str]], names: list[str], path: str) -> None:
        missing = set() if self.wish.reading.empty_as_string else {"", *cells.NOT_A_NUMBER}
        columns = [
            pa.array(
                [None if at >= len(record) or record[at] in missing else record[at] for record in records], pa.string()
            )
            for at in range(len(names))
        ]
        if self.wish.reading.path_column:
            columns = [pa.array([path] * len(records), pa.string()), *columns]
        batch = pa.Table.from_arrays(columns, names=self._with_path(names))
        self.connection.register("records", batch)
        self.connection.execute("INSERT INTO raw FROM records")
        self.connection.unregister("records")

    def _cast(self, name: str) -> str:
        column = duck.name(name)
        kinds = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP")
        if self.wish.reading.as_text:
            return column
        counts = ", ".join(f"count(TRY_CAST({column} AS {kind}))" for kind in kinds)
        found = self.connection.execute(f"SELECT count({column}), {counts} FROM raw").fetchone()
        assert found is not None  # noqa: S101 (an aggregate has one row)
        kind = next((kind for kind, count in zip(kinds, found[1:], strict=True) if count == found[0] > 0), None)
        return f"TRY_CAST({column} AS {kind})" if kind else column

    def _csv_sql(self, places: list[Path], options: str = "sample_size = 50000") -> str:
        groups = self._groups(places)
        return " UNION ALL BY NAME ".join(self._csv_group(group, options) for group in groups)

    def _csv_group(self, group: "_Group", options: str) -> str:
        empty = "nullstr = '\x01', " if self.wish.reading.empty_as_string else f"nullstr = [{_MISSING}], "
        options += ", all_varchar = true" if self.wish.reading.as_text and "all_varchar" not in options else ""
        source = (
            f"read_csv([{', '.join(duck.text(str(place)) for place in group.places)}], "
            f"delim = {duck.text(self.dialect.delimiter)}, quote = '\"', escape = '\"', comment = '', "
            f"header = {str(group.has_header).lower()}, names = [{', '.join(map(duck.text, group.names))}], "
            f"max_line_size = 33554432, {empty}{options})"
        )
        path = self.wish.reading.path_column
        return f"SELECT {duck.text(group.path)} AS {duck.name(path)}, * FROM {source}" if path else f"FROM {source}"

    def _groups(self, places: list[Path]) -> list["_Group"]:
        """Files that have the same columns are read together; each alone when its path is a column."""
        first, header = self.dialect, self.wish.reading.header
        groups: dict[tuple[object, ...], _Group] = {}
        for index, place in enumerate(places):
            part = self.loaded.parts[index]
            has_header, names = first.has_header, first.names
            if index and header == "from_first_file":
                has_header = False
            elif index and first.has_header:
                names = self._names_in(place) or first.names
            key = (has_header, names, part.path if self.wish.reading.path_column else "")
            groups.setdefault(key, _Group(part.path, has_header, names, [])).places.append(place)
        if len(groups) > 1_000:
            raise Invalid(f"The table's files have {len(groups):,} different headers; at most 1,000 are read together.")
        return list(groups.values())

    def _names_in(self, place: Path) -> tuple[str, ...]:
        with place.open("rb") as file:
            head = file.read(64 << 10)
            is_whole = not file.read(1)
        text = detect.decoded(head, "utf-8-sig")
        return delimited.dialect_of(text, self.dialect.delimiter, is_whole=is_whole, header=True).names

    def _json_sql(self, places: list[Path], options: str = "") -> str:
        layout = "newline_delimited" if self.loaded.format == "jsonl" else "array"
        if self.loaded.format == "json" and not detect.decoded(self.head, "utf-8-sig").lstrip().startswith("["):
            raise Invalid(f"'{self.loaded.parts[0].path}' holds one JSON value, not rows.")
        path = self.wish.reading.path_column
        sources = [[place] for place in places] if path else [places]
        sqls = []
        for index, group in enumerate(sources):
            listed = ", ".join(duck.text(str(place)) for place in group)
            source = (
                f"read_json([{listed}], format = '{layout}', records = true, union_by_name = true, "
                f"maximum_object_size = 33554432, sample_size = 50000, map_inference_threshold = -1{options})"
            )
            given = f"{duck.text(self.loaded.parts[index].path)} AS {duck.name(path)}, " if path else ""
            sqls.append(f"SELECT {given}* FROM {source}")
        return " UNION ALL BY NAME ".join(sqls)

    def _read_json(self, places: list[Path], sql: str) -> None:
        try:
            self._create(sql)
        except duck.InvalidInputException as cause:
            if self.loaded.format == "json" or "utf" in str(cause).casefold():
                raise
            self.connection.execute("DROP TABLE IF EXISTS t")
            self._create(self._json_sql(places, ", ignore_errors = true"))
            names = [row[0] for row in self.connection.execute("DESCRIBE t").fetchall()]
            before = counted(self.connection)
            self.connection.execute(f"DELETE FROM t WHERE {' AND '.join(f'{duck.name(n)} IS NULL' for n in names)}")
            gone = before - counted(self.connection)
            self.loaded.notes.append(f"{gone:,} lines are not JSON objects of the others' kind and are left out.")


@dataclass
class _Group:
    path: str
    has_header: bool
    names: tuple[str, ...]
    places: list[Path]
