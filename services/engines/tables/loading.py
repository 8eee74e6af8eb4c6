"""Files as one table `t` in DuckDB: all their rows, or a sample of them when they are huge."""

# ruff: noqa: S608 (names are quoted by duck.name, literals by duck.text)

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from services.core.errors import Invalid, NotFound
from services.engines.tables import arrow, cells, delimited, detect, duck, previews, sheets
from services.engines.tables.delimited import Dialect
from services.engines.tables.readings import Reading
from services.engines.tables.shapes import Part, Source
from services.engines.tables.spooling import Spool, head_of

HUGE_BYTES = 1 << 30
HUGE_CELLS = 50_000_000
SAMPLE_BYTES = 256 << 20
START_BYTES = 4 << 20
START_ROWS = 10_000
LOOK = 4096
PAGE = 1 << 20
MOST_COLUMNS = 500
MOST_WIDE = 20_000
MOST_FILES = 10_000
RECORDS = 20_000
MOST_SHEET_ROWS = 200_000
MOST_ARRAY = 512 << 20
_MISSING = ", ".join(map(duck.text, ("", *cells.NOT_A_NUMBER)))
_WRONG_BYTES = ("invalid unicode", "not utf-8 encoded", "invalid utf", "byte sequence mismatch", "the text is not")
_TEXTS = frozenset({"csv", "tsv", "jsonl", "json"})
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
class Loaded:
    """Table `t` has `rows`. `total_rows` are those of the files: counted, or estimated from the sample."""

    format: str
    parts: Sequence[Part]
    rows: int = 0
    total_rows: int | None = None
    total_columns: int = 0
    sampled: bool = False
    is_estimated: bool = False
    is_text: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """What is loaded: at most `rows` when given, only `columns` when given, only the start of the files when asked."""

    reading: Reading = field(default_factory=Reading)
    paths: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    rows: int | None = None
    only_start: bool = False


def load(connection: duck.Connection, source: Source, wish: Wish, folder: Path) -> Loaded:
    """Makes table `t`. Raises NotFound for paths that are not there, Invalid where there is no table."""
    notes: list[str] = []
    parts = _chosen(source, wish, notes)
    head = head_of(source, parts[0])
    found = detect.detect(head, parts[0].path)
    kind, is_gzip = _format(source, parts[0], found, head, wish.reading)
    loaded = Loaded(kind, parts, notes=[*notes, *found.notes])
    if kind in _TEXTS:
        loaded.is_text = kind in {"csv", "tsv"}
        _Texts(connection, source, wish, folder, loaded, head, is_gzip, found).load()
    else:
        _Batches(connection, source, wish, loaded).load()
    loaded.rows = _count(connection)
    if loaded.sampled and not loaded.rows:
        raise Invalid("No whole row was found in the parts of the file that were read: its lines are too long.")
    if loaded.total_rows is None:
        loaded.total_rows = loaded.rows
    if wish.rows is not None and loaded.rows > wish.rows:
        connection.execute(f"CREATE TABLE fewer AS FROM t USING SAMPLE reservoir({int(wish.rows)} ROWS) REPEATABLE (7)")
        connection.execute("DROP TABLE t; ALTER TABLE fewer RENAME TO t")
        loaded.rows, loaded.sampled = int(wish.rows), True
    return loaded


def _count(connection: duck.Connection) -> int:
    found = connection.execute("SELECT count(*) FROM t").fetchone()
    return int(found[0]) if found else 0


def _chosen(source: Source, wish: Wish, notes: list[str]) -> list[Part]:
    if wish.paths is not None:
        parts = [source.part(path) for path in wish.paths]
        for path, part in zip(wish.paths, parts, strict=True):
            if part is None:
                raise NotFound(f"There is no file '{path}'.")
        found = [part for part in parts if part is not None]
    elif len(source.parts) == 1:
        found = list(source.parts)
    else:
        found = _of_one_format(source.parts, notes)
    filled = [part for part in found if part.size]
    if not filled:
        raise Invalid("There is no row: the files are empty." if found else "There is no table among these files.")
    if len(filled) > MOST_FILES:
        raise Invalid(f"The table has {len(filled):,} files; at most {MOST_FILES:,} are read at once.")
    return filled


def _of_one_format(parts: Sequence[Part], notes: list[str]) -> list[Part]:
    """The format that has the most bytes; files of others, and those that are hidden, are left out."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        kind = detect.named_format(part.path)
        if kind in detect.TABLES and not any(name[:1] in {".", "_"} for name in part.path.split("/")):
            groups.setdefault(kind or "", []).append(part)
    if not groups:
        return []
    best = max(groups, key=lambda kind: sum(part.size for part in groups[kind]))
    others = sum(len(group) for group in groups.values()) - len(groups[best])
    if others:
        notes.append(f"{others:,} tabular files are of another format than {detect.say(best)} and are left out.")
    return sorted(groups[best], key=lambda part: part.path)


def _format(source: Source, part: Part, found: detect.Found, head: bytes, reading: Reading) -> tuple[str, bool]:
    """What the first file is, and whether it is packed with gzip. Raises Invalid for what is no table."""
    if found.format == "gzip" and (reading.format or found.named) in _TEXTS:
        previews.unpacked(head, 1)
        return reading.format or str(found.named), True
    if reading.format == "csv" and found.format in {"text", "json", "jsonl", "tsv"}:
        return "csv", False
    if reading.format == "jsonl" and found.format in {"json", "text"}:
        return "jsonl", False
    kind = found.format
    if kind == "zip":
        with source.open(part.path) as file:
            kind = "xlsx" if sheets.is_workbook(file) else "zip"
    if kind not in detect.TABLES or (reading.format and reading.format != kind):
        wanted = f", not {detect.say(reading.format)}" if reading.format else ", not a table"
        raise Invalid(f"'{part.path}' is {detect.say(kind)}{wanted}.")
    return kind, False


@dataclass
class _Texts:
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
            self.loaded.total_rows = round(_count(self.connection) * -self.loaded.total_rows / held)

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
            before = _count(self.connection)
            self.connection.execute(f"DELETE FROM t WHERE {' AND '.join(f'{duck.name(n)} IS NULL' for n in names)}")
            gone = before - _count(self.connection)
            self.loaded.notes.append(f"{gone:,} lines are not JSON objects of the others' kind and are left out.")


@dataclass
class _Group:
    path: str
    has_header: bool
    names: tuple[str, ...]
    places: list[Path]


def chosen_columns(names: Sequence[str], wish: Wish, loaded: Loaded) -> list[str]:
    """Those that are wished, else the first ones. Raises NotFound for one that is not there."""
    if wish.columns is not None:
        known = set(names)
        for name in wish.columns:
            if name not in known:
                raise NotFound(f"There is no column '{cells.cut(name, 80)}'.")
        return list(wish.columns)
    if len(names) > MOST_COLUMNS and not wish.reading.steps:
        loaded.notes.append(f"The first {MOST_COLUMNS} of {len(names):,} columns are looked at.")
        return list(names[:MOST_COLUMNS])
    return list(names)


@dataclass
class _Batches:
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
            if self.wish.only_start and _count(self.connection) >= START_ROWS:
                break
        if total is None and loaded.sampled and groups[0]:
            loaded.total_rows = round(_count(self.connection) * groups[1] / groups[0])
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
