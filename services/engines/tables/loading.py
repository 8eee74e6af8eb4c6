"""Files as one table `t` in DuckDB: all their rows, or a sample of them when they are huge."""

from collections.abc import Sequence
from pathlib import Path

from services.core.errors import Invalid, NotFound
from services.engines.tables import detect, duck, previews, sheets
from services.engines.tables.batches import Batches
from services.engines.tables.readings import Reading
from services.engines.tables.shapes import Part, Source
from services.engines.tables.spooling import head_of
from services.engines.tables.texts import Texts
from services.engines.tables.wishes import Loaded, Wish, counted

MOST_FILES = 10_000
_TEXTS = frozenset({"csv", "tsv", "jsonl", "json"})


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
        Texts(connection, source, wish, folder, loaded, head, is_gzip, found).load()
    else:
        Batches(connection, source, wish, loaded).load()
    loaded.rows = counted(connection)
    if loaded.sampled and not loaded.rows:
        raise Invalid("No whole row was found in the parts of the file that were read: its lines are too long.")
    if loaded.total_rows is None:
        loaded.total_rows = loaded.rows
    if wish.rows is not None and loaded.rows > wish.rows:
        connection.execute(f"CREATE TABLE fewer AS FROM t USING SAMPLE reservoir({int(wish.rows)} ROWS) REPEATABLE (7)")
        connection.execute("DROP TABLE t; ALTER TABLE fewer RENAME TO t")
        loaded.rows, loaded.sampled = int(wish.rows), True
    return loaded


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
