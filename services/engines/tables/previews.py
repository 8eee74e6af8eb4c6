"""The first look at a file of any kind, from its first bytes and, for formats that need it, a few ranges more."""

import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from services.core.errors import Invalid, NotFound
from services.engines.tables import arrow, cells, delimited, sheets
from services.engines.tables.detect import HEAD, IMAGES, Found, decoded, detect, say
from services.engines.tables.shapes import (
    BinaryPreview,
    Column,
    ImagePreview,
    NotebookCell,
    NotebookPreview,
    Part,
    PdfPreview,
    Preview,
    Source,
    TablePreview,
    TextPreview,
)

TEXT = 64 << 10
MOST_PIXELS = 100_000_000
MOST_NOTEBOOK = 20 << 20
MOST_CELLS = 500
SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_WHY = {
    "empty": "The file is empty.",
    "pickle": "A Python pickle is never opened here, because opening it runs code.",
    "program": "It is a program.",
    "zip": "It is a ZIP archive; unpack it to see what it holds.",
    "old Office": "It is of an old Office format (or an encrypted workbook); save it as .xlsx to see it.",
    "feather 1": "It is of the first Feather format; write it anew as Arrow.",
    "encrypted parquet": "Its Parquet footer is encrypted.",
}


def preview(source: Source, path: str, *, rows: int = 50) -> Preview:
    """Raises NotFound, and Invalid with what is wrong with the file."""
    part = source.part(path)
    if part is None:
        raise NotFound(f"There is no file '{path}'.")
    with source.open(path) as file:
        head = file.read(min(HEAD, max(part.size, 1)))
        return _Look(part, file, head, rows).preview(detect(head, path))


class _Look:
    """One file under inspection: its part, an open handle, its first bytes, how many rows are wanted."""

    def __init__(self, part: Part, file: BinaryIO, head: bytes, rows: int) -> None:
        self.part, self.file, self.head, self.rows = part, file, head, rows
        self.is_whole = len(head) >= part.size
        self.place = {"path": part.path, "size": part.size}

    def preview(self, found: Found) -> Preview:
        readers: dict[str, Callable[[Found], Preview]] = {
            "csv": self.delimited,
            "tsv": self.delimited,
            "jsonl": self.json_lines,
            "json": self.json,
            "parquet": self.columnar,
            "arrow": self.columnar,
            "arrow stream": self.columnar,
            "notebook": self.notebook,
            "pdf": self.pdf,
            "gzip": self.gzip,
            "zip": self.zip,
            "text": self.text,
            "html": self.text,
            **dict.fromkeys(IMAGES, self.image),
        }
        return readers.get(found.format, self.binary)(found)

    def table(
        self,
        found: Found,
        columns: tuple[Column, ...],
        rows: tuple[tuple[Any, ...], ...],
        more: bool,
        *,
        notes: tuple[str, ...] = (),
        **known: Any,
    ) -> TablePreview:
        said = (*found.notes, *notes)
        encoding = found.encoding and found.encoding.removesuffix("-sig")
        return TablePreview(
            **self.place,  # type: ignore[arg-type]
            format=found.format,
            columns=columns,
            rows=rows,
            more=more,
            encoding=encoding,
            notes=said,
            **known,
        )

    def delimited(self, found: Found) -> Preview:
        text = decoded(self.head, found.encoding or "utf-8")
        first = delimited.first_rows(text, rows=self.rows, is_whole=self.is_whole, tabs=found.format == "tsv")
        return self.table(
            found,
            first.columns,
            first.rows,
            first.more,
            notes=first.notes,
            delimiter=first.dialect.delimiter,
            total_columns=None if first.dialect.is_cut else len(first.dialect.names),
        )

    def json_lines(self, found: Found) -> Preview:
        text = decoded(self.head, found.encoding or "utf-8")
        lines = text.split("\n")
        if not self.is_whole and len(lines) > 1:
            lines.pop()
        return self.records(found, _parsed_lines(lines))

    def json(self, found: Found) -> Preview:
        text = decoded(self.head, found.encoding or "utf-8")
        if not text.lstrip().startswith("["):
            return self.text(found)
        return self.records(found, _elements(text, self.is_whole))

    def records(self, found: Found, records: Iterator[Any]) -> Preview:
        """Objects as rows; what is no object stands in a column `value`."""
        notes: list[str] = []
        taken: list[dict[str, Any]] = []
        try:
            taken.extend(
                record if isinstance(record, dict) else {"value": record} for record in islice(records, self.rows + 1)
            )
        except Invalid as cause:
            notes.append(cause.message)
        names = list(dict.fromkeys(name for record in taken for name in record))
        shown = names[: delimited.MOST_COLUMNS]
        if len(names) > len(shown):
            notes.append(f"The first {len(shown)} of {len(names):,} columns are shown.")
        columns = tuple(
            Column(cells.cut(name, 200), cells.kind_of_values([record.get(name) for record in taken])) for name in shown
        )
        rows = tuple(tuple(cells.cell(record.get(name)) for name in shown) for record in taken[: self.rows])
        more = len(taken) > self.rows or not self.is_whole or len(names) > len(shown)
        return self.table(found, columns, rows, more, notes=tuple(notes), total_columns=len(names))

    def columnar(self, found: Found) -> Preview:
        opened = arrow.opened(self.file, self.part.size, found.format)
        total = len(opened.schema)
        columns = arrow.columns_of(opened.schema, delimited.MOST_COLUMNS)
        batch = next(opened.batches(columns=range(len(columns)), size=self.rows + 1), None)
        rows: tuple[tuple[Any, ...], ...] = ()
        if batch is not None:
            with arrow.translated():
                lists = [column.slice(0, self.rows).to_pylist() for column in batch.columns]
            rows = tuple(tuple(map(cells.cell, values)) for values in zip(*lists, strict=False))
        count = opened.rows if opened.rows is not None else (batch.num_rows if batch is not None else 0)
        notes = (f"The first {len(columns)} of {total:,} columns are shown.",) if total > len(columns) else ()
        return self.table(
            found,
            columns,
            rows,
            count > self.rows or len(opened.groups) > 1 or total > len(columns),
            notes=notes,
            total_rows=opened.rows,
            total_columns=total,
        )

    def zip(self, found: Found) -> Preview:
        if not sheets.is_workbook(self.file):
            notes = () if found.named is None else (f"The name says {say(found.named)}, the content is a ZIP archive.",)
            return self.binary(Found("zip", found.named, notes=notes))
        named = found.named not in {None, "xlsx"}
        said = (f"The name says {say(found.named or '')}, the content is an Excel workbook.",) if named else ()
        with sheets.first_sheet(self.file) as (title, rows):
            taken = list(islice(rows, max(self.rows, delimited.LOOKED_AT) + 2))
        given, body = sheets.header_of(taken)
        kinds = [cells.kind_of_values([row[at] for row in body if at < len(row)]) for at in range(len(given))]
        shown = tuple(
            tuple(cells.cell(row[at]) if at < len(row) else None for at in range(len(given)))
            for row in body[: self.rows]
        )
        return self.table(
            Found("xlsx", found.named, notes=said),
            tuple(map(Column, given, kinds)),
            shown,
            len(body) > self.rows,
            notes=(f"The first sheet, '{cells.cut(title, 80)}', is shown; formulas as they were last calculated.",),
            total_columns=len(given),
        )

    def gzip(self, found: Found) -> Preview:
        """The start of what is packed, never more than the first MiB of it."""
        inner, is_all = unpacked(self.head, HEAD)
        name = self.part.path.removesuffix(".gz")
        packed = detect(inner, name)
        if packed.format not in {"csv", "tsv", "jsonl", "json", "text"}:
            return self.binary(found)
        notes = (*found.notes, "It is packed with gzip; the start of what it holds is shown.", *packed.notes)
        look = _Look(Part(self.part.path, self.part.size), io.BytesIO(inner), inner, self.rows)
        look.is_whole = is_all
        return look.preview(Found(packed.format, packed.named, packed.encoding, notes))

    def image(self, found: Found) -> Preview:
        self.file.seek(0)
        Image.MAX_IMAGE_PIXELS = None  # the size is judged here, with a sentence
        try:
            with Image.open(self.file, formats=[name.upper() for name in sorted(IMAGES)]) as image:
                kind, (width, height) = str(image.format), image.size
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, OverflowError) as cause:
            raise Invalid(f"'{self.part.path}' begins like {say(found.format)}, but no image can be read.") from cause
        notes = found.notes
        if width * height > MOST_PIXELS:
            notes = (*notes, f"It has {width * height:,} pixels, more than the {MOST_PIXELS:,} that are shown.")
        media = SHOWN.get(kind) if width * height <= MOST_PIXELS else None
        return ImagePreview(**self.place, format=kind, width=width, height=height, media_type=media, notes=notes)  # type: ignore[arg-type]

    def pdf(self, found: Found) -> Preview:
        tail = b""
        if not self.is_whole:
            self.file.seek(max(0, self.part.size - HEAD // 4))
            tail = self.file.read(HEAD // 4)
        return PdfPreview(**self.place, pages=_pages(self.head, tail), notes=found.notes)  # type: ignore[arg-type]

    def notebook(self, found: Found) -> Preview:
        if self.part.size > MOST_NOTEBOOK:
            said = f"The notebook is larger than {MOST_NOTEBOOK >> 20} MiB; the start of its file is shown."
            return self.text(Found("text", found.named, found.encoding, (*found.notes, said)))
        self.file.seek(0)
        try:
            book = json.loads(self.file.read(MOST_NOTEBOOK))
            cells_ = book["cells"]
            language = book.get("metadata", {}).get("language_info", {}).get("name") or "python"
            shown = tuple(_notebook_cell(cell) for cell in islice(cells_, MOST_CELLS))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            said = "It is no notebook of format 4; the start of its file is shown."
            return self.text(Found("text", found.named, found.encoding, (*found.notes, said)))
        notes = found.notes
        if len(cells_) > MOST_CELLS:
            notes = (*notes, f"The first {MOST_CELLS} of {len(cells_):,} cells are shown.")
        return NotebookPreview(**self.place, language=cells.cut(str(language), 40), cells=shown, notes=notes)  # type: ignore[arg-type]

    def text(self, found: Found) -> Preview:
        encoding = found.encoding or "utf-8"
        text = decoded(self.head[:TEXT], encoding)
        return TextPreview(
            **self.place,  # type: ignore[arg-type]
            text=text,
            encoding=encoding.removesuffix("-sig"),
            truncated=self.part.size > TEXT,
            notes=found.notes,
        )

    def binary(self, found: Found) -> Preview:
        said = say(found.format)
        known = _WHY.get(found.format, f"It is {said}; that is not shown here.")
        return BinaryPreview(**self.place, magic=self.head[:16].hex(" "), reason=known, notes=found.notes)  # type: ignore[arg-type]


def unpacked(head: bytes, most: int) -> tuple[bytes, bool]:
    """At most `most` bytes of a gzip file that begins so, and whether that is all. Raises Invalid."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        return unpacking.decompress(head, most), unpacking.eof
    except zlib.error as cause:
        raise Invalid("The gzip file is damaged.") from cause


def _parsed_lines(lines: list[str]) -> Iterator[Any]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as cause:
                raise Invalid(f"Line {number} is not JSON; the rows before it are shown.") from cause


def _elements(text: str, is_whole: bool) -> Iterator[Any]:
    """Elements of an array, one after the other; what the cut has split ends them."""
    decoder = json.JSONDecoder()
    at = text.index("[") + 1
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text) or text[at] == "]":
            return
        try:
            element, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as cause:
            if is_whole:
                line = text.count("\n", 0, at) + 1
                raise Invalid(f"The element that begins in line {line} is not JSON.") from cause
            return
        yield element


def _pages(head: bytes, tail: bytes) -> int | None:
    linear = re.search(rb"/Linearized\b[^>]{0,400}/N\s+([0-9]{1,7})", head[:4096])
    if linear:
        return int(linear[1])
    counts = [
        int(found)
        for some in (head, tail)
        for node in re.findall(rb"<<[^<>]{0,20000}/Type\s*/Pages\b[^<>]{0,20000}>>", some)
        for found in re.findall(rb"/Count\s+([0-9]{1,7})", node)
    ]
    return max(counts) if counts else None


def _notebook_cell(cell: dict[str, Any]) -> NotebookCell:
    kind = cell["cell_type"]
    outputs = tuple(text for output in cell.get("outputs", [])[:50] if (text := _output(output)))
    return NotebookCell(kind if kind in {"markdown", "code"} else "raw", _joined(cell.get("source", "")), outputs)


def _output(output: dict[str, Any]) -> str:
    """Text alone: HTML, scripts and images are named and dropped."""
    if output.get("output_type") == "stream":
        return _clean(_joined(output.get("text", "")))
    if output.get("output_type") == "error":
        return _clean("\n".join(map(str, output.get("traceback", []))))
    shown = output.get("data", {})
    if "text/plain" in shown:
        return _clean(_joined(shown["text/plain"]))
    return f"[{', '.join(sorted(map(str, shown)))[:200]}]" if shown else ""


def _clean(text: str) -> str:
    return cells.cut(_ANSI.sub("", text), TEXT)


def _joined(text: Any) -> str:
    return cells.cut("".join(map(str, text)) if isinstance(text, list) else str(text), TEXT)
