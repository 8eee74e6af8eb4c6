"""Previews: of every kind of file, of files that lie, and of files that lie somewhere else."""

import contextlib
import csv
import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from services.core.errors import Invalid, NotFound, Unavailable
from services.engines.tables import (
    BinaryPreview,
    Column,
    ImagePreview,
    NotebookPreview,
    Part,
    PdfPreview,
    Source,
    TablePreview,
    TextPreview,
    delimited,
    detect,
    preview,
    previews,
)

FRAME = pd.DataFrame(
    {
        "number": [1, 2, 3],
        "word": ["x", "y,\nz", None],
        "at": pd.to_datetime(["2024-01-01 10:00", "2024-02-02 11:30", None]),
        "share": [0.5, None, 2.0],
        "is_odd": [True, False, True],
    }
)
WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: FRAME.to_csv(path, index=False),
    "a.tsv": lambda path: FRAME.to_csv(path, index=False, sep="\t"),
    "a.csv.gz": lambda path: FRAME.to_csv(path, index=False),
    "a.parquet": lambda path: FRAME.to_parquet(path),
    "a.feather": lambda path: FRAME.to_feather(path),
    "a.arrows": lambda path: write_stream(path),
    "a.xlsx": lambda path: FRAME.to_excel(path, index=False),
    "a.jsonl": lambda path: FRAME.to_json(path, orient="records", lines=True, date_format="iso"),
    "a.json": lambda path: FRAME.to_json(path, orient="records", date_format="iso"),
}


class Counting(io.FileIO):
    """A file that knows how much was taken of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(-1 if size is None else size)
        Counting.taken += len(content)
        return content


def write_stream(path: Path) -> None:
    table = pa.Table.from_pandas(FRAME)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def remote(*paths: Path) -> Source:
    """Files that can only be opened here."""
    places = {path.name: path for path in paths}
    return Source([Part(path.name, path.stat().st_size) for path in paths], lambda name: Counting(places[name]))  # type: ignore[arg-type, return-value]


def local(*paths: Path) -> Source:
    def refused(name: str) -> BinaryIO:
        raise AssertionError(f"{name} lies on this disk")

    return Source([Part(path.name, path.stat().st_size, local=path) for path in paths], refused)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table_of(path: Path, rows: int = 50) -> TablePreview:
    found = preview(remote(path), path.name, rows=rows)
    assert isinstance(found, TablePreview)
    return found


@pytest.fixture(autouse=True)
def _nothing_taken() -> None:
    Counting.taken = 0


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_shows_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)

    found = table_of(path)

    assert [column.name for column in found.columns] == list(FRAME.columns)
    assert [column.type for column in found.columns][::3] == ["integer", "number"]
    assert [row[0] for row in found.rows] == [1, 2, 3]
    assert [row[1] for row in found.rows] == ["x", "y,\nz", None]
    assert [str(row[2])[:10] for row in found.rows] == ["2024-01-01", "2024-02-02", "None"]
    assert [row[3] for row in found.rows] == [0.5, None, 2]
    assert [row[4] for row in found.rows] == [True, False, True]
    assert not found.more
    assert TablePreview.from_json(json.loads(json.dumps(found.as_json()))) == found
    assert preview(local(path), name) == found


def test_more_is_said_when_there_is_more(tmp_path: Path) -> None:
    for name, writer in WRITERS.items():
        writer(tmp_path / name)
        found = table_of(tmp_path / name, rows=2)
        assert (len(found.rows), found.more) == (2, True), name


def test_the_first_rows_of_a_large_csv_are_a_range(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n")
        for _ in range(200):
            file.write(b"12345,some words\n" * 60_000)
    assert path.stat().st_size > 200_000_000

    found = table_of(path)

    assert len(found.rows) == 50
    assert found.more
    assert Counting.taken <= 2_000_000


def test_the_first_rows_of_a_large_parquet_file_are_ranges(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({f"c{at}": draw.normal(size=400_000) for at in range(6)} | {"word": "w"})
    frame.to_parquet(path, row_group_size=100_000)

    found = table_of(path)

    assert found.total_rows == 400_000
    assert found.rows[0][0] == frame["c0"][0]
    assert Counting.taken < path.stat().st_size / 2


@pytest.mark.parametrize(
    ("content", "encoding", "note"),
    [
        ("a,b\n1,é\n".encode(), "utf-8", None),
        ("a,b\n1,é\n".encode("utf-8-sig"), "utf-8", None),
        ("a,b\n1,é\n".encode("utf-16"), "utf-16", None),
        ("a,b\n1,é\n".encode("utf-16-le"), "utf-16-le", "no byte order mark"),
        ("a,b\n1,é\n".encode("latin-1"), "cp1252", "not UTF-8"),
    ],
)
def test_the_encoding_is_found_and_a_guess_is_said(
    tmp_path: Path, content: bytes, encoding: str, note: str | None
) -> None:
    found = table_of(written(tmp_path / "a.csv", content))

    assert found.columns[0] == Column("a", "integer")
    assert found.rows == ((1, "é"),)
    assert found.encoding == encoding
    assert any(note in each for each in found.notes) if note else found.notes == ()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(["name", "size", "note"]) + "\n"
    text += "\n".join(delimiter.join([f"n{at}", str(at), "a b"]) for at in range(20))

    found = table_of(written(tmp_path / "a.csv", text))

    assert found.delimiter == delimiter
    assert [column.type for column in found.columns] == ["text", "integer", "text"]


def test_rows_without_a_header_are_numbered(tmp_path: Path) -> None:
    found = table_of(written(tmp_path / "a.csv", "1,2\n3,4\n"))

    assert [column.name for column in found.columns] == ["column_1", "column_2"]
    assert found.rows == ((1, 2), (3, 4))
    assert "numbered" in found.notes[0]


def test_ragged_rows_are_shown_and_counted(tmp_path: Path) -> None:
    found = table_of(written(tmp_path / "a.csv", "a,b\n1,2\n3\n4,5,6\n"))

    assert found.rows == ((1, 2, None), (3, None, None), (4, 5, 6))
    assert found.columns[2].name == "column_3"
    assert "2 of the first 3 rows" in found.notes[0]


def test_a_formula_is_not_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    pd.DataFrame({"a": [1], "b": ["=1+1"]}).to_excel(path, index=False)

    assert table_of(path).rows == ((1, None),)


def test_whole_numbers_that_a_browser_would_round_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": [2**53 + 1, -5], "b": [float("inf"), float("nan")]}).to_parquet(path)

    assert table_of(path).rows == ((str(2**53 + 1), "inf"), (-5, None))


CONTENTS: dict[str, bytes] = {
    "html": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "gzip": gzip.compress(b"\x00\x01\x02 nothing of ours"),
    "a program": b"MZ\x90\x00" + bytes(600),
    "a Python pickle": pickle.dumps({"a": 1}, protocol=4),
    "PDF": b"%PDF-1.7\n%nothing",
    "Parquet": b"PAR1" + bytes(60),
    "SQLite": b"SQLite format 3\0" + bytes(90),
    "neither text nor a known format": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("kind", [kind for kind in CONTENTS if kind != "Parquet"])
def test_a_csv_that_is_none_says_what_it_is(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "a.csv", CONTENTS[kind])

    found = preview(remote(path), "a.csv")

    assert not isinstance(found, TablePreview)
    assert any(kind.casefold() in note.casefold() and "The name says CSV" in note for note in found.notes)


def test_a_csv_that_is_a_workbook_is_shown_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    FRAME.to_excel(path, index=False)

    found = table_of(path.rename(tmp_path / "a.csv"))

    assert found.format == "xlsx"
    assert "The name says CSV, the content is an Excel workbook." in found.notes


def test_a_parquet_file_that_is_text_is_shown_as_text(tmp_path: Path) -> None:
    found = preview(remote(written(tmp_path / "a.parquet", "only words")), "a.parquet")

    assert isinstance(found, TextPreview)
    assert found.notes == ("The name says Parquet, the content is plain text.",)


def test_text_is_shown_to_64_kib(tmp_path: Path) -> None:
    found = preview(remote(written(tmp_path / "notes.txt", "é" * 50_000)), "notes.txt")

    assert isinstance(found, TextPreview)
    assert found.truncated
    assert found.text == "é" * 32_768


def test_an_image_is_measured_and_given_back(tmp_path: Path) -> None:
    for kind, content_type in (
        ("png", "image/png"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
    ):
        path = tmp_path / f"a.{kind}"
        Image.new("RGB", (30, 20), "red").save(path)
        found = preview(remote(path), path.name)
        assert isinstance(found, ImagePreview)
        assert (found.width, found.height, found.media_type) == (30, 20, content_type)
        assert found.content == path.read_bytes()
        assert "content" not in found.as_json()


def test_an_image_that_a_browser_does_not_show_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.new("RGB", (30, 20)).save(path)

    found = preview(remote(path), path.name)

    assert isinstance(found, ImagePreview)
    assert (found.format, found.width, found.content) == ("TIFF", 30, None)


def test_an_image_bomb_is_not_given_to_a_browser(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")

    found = preview(remote(written(tmp_path / "a.png", bomb)), "a.png")

    assert isinstance(found, ImagePreview)
    assert found.content is None
    assert "3,600,000,000 pixels" in found.notes[0]


def test_the_pages_of_a_pdf_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    pages = [Image.new("RGB", (10, 10)) for _ in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])

    found = preview(remote(path), "a.pdf")

    assert isinstance(found, PdfPreview)
    assert found.pages == 3


def test_a_notebook_is_text_alone(tmp_path: Path) -> None:
    output = {
        "output_type": "display_data",
        "data": {"text/html": "<script>alert(1)</script>", "text/plain": "a table"},
    }
    only_html = {"output_type": "display_data", "data": {"text/html": ["<script>alert(2)</script>"]}}
    failed = {"output_type": "error", "traceback": ["\x1b[31mValueError\x1b[0m: no"]}
    book = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {"cell_type": "code", "source": "print(1)", "outputs": [output, only_html, failed]},
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
    }

    found = preview(remote(written(tmp_path / "a.ipynb", json.dumps(book))), "a.ipynb")

    assert isinstance(found, NotebookPreview)
    assert found.cells[0].source == "# Title\nwords"
    assert found.cells[1].outputs == ("a table", "[text/html]", "ValueError: no")
    assert "script" not in json.dumps(found.as_json())
    assert NotebookPreview.from_json(found.as_json()) == found


def test_a_notebook_that_is_none_is_shown_as_text(tmp_path: Path) -> None:
    found = preview(remote(written(tmp_path / "a.ipynb", '{"cells": 3}')), "a.ipynb")

    assert isinstance(found, TextPreview)
    assert "no notebook" in found.notes[0]


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    trap = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trap),)

    for name in ("model.pkl", "a.csv", "a.json", "a.parquet", "a.ipynb", "a.npy"):
        found = preview(remote(written(tmp_path / name, pickle.dumps(Trap()))), name)
        assert isinstance(found, BinaryPreview)
        assert "runs code" in found.reason
    assert not trap.exists()


def zip_bomb() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", bytes(100 << 20))
    return held.getvalue()


def parquet_of(table: pa.Table) -> bytes:
    held = io.BytesIO()
    parquet.write_table(table, held)
    return held.getvalue()


ONE = parquet_of(pa.table({"a": [1, 2, 3]}))
BAD: dict[str, tuple[bytes, str]] = {
    "lying.parquet": (b"PAR1" + bytes(100) + (2**31 - 1).to_bytes(4, "little") + b"PAR1", "claims 2,147,483,647 bytes"),
    "cut.parquet": (ONE[:-9], "cut off"),
    "short.parquet": (b"PAR1", "too short"),
    "garbled.parquet": (ONE[:60] + bytes(len(ONE) - 68) + ONE[-8:], "damaged"),
    "bomb.xlsx": (zip_bomb(), "ZIP bomb"),
    "empty.xlsx": (b"PK\x03\x04" + bytes(40), "damaged"),
    "cut.feather": (b"ARROW1\0\0" + bytes(50), "damaged"),
    "cut.png": (b"\x89PNG\r\n\x1a\n" + bytes(8), "no image can be read"),
    "cut.csv.gz": (b"\x1f\x8b\x08\0" + b"\xff" * 60, "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_gives_a_sentence(tmp_path: Path, name: str) -> None:
    content, said = BAD[name]

    with pytest.raises(Invalid, match=said):
        preview(remote(written(tmp_path / name, content)), name)


def test_a_workbook_without_sheets_gives_a_sentence(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("xl/workbook.xml", "<a><b></a>")

    with pytest.raises(Invalid, match="damaged"):
        preview(remote(written(tmp_path / "a.xlsx", held.getvalue())), "a.xlsx")


def test_a_file_of_no_bytes_says_so(tmp_path: Path) -> None:
    found = preview(remote(written(tmp_path / "a.csv", b"")), "a.csv")

    assert isinstance(found, BinaryPreview)
    assert found.reason == "The file is empty."


def test_a_hundred_thousand_columns_are_cut(tmp_path: Path) -> None:
    names = ",".join(f"c{at}" for at in range(100_000))
    found = table_of(written(tmp_path / "a.csv", f"{names}\n{'1,' * 99_999}1\n"))

    assert len(found.columns) == 500
    assert found.total_columns == 100_000
    assert "The first 500 of 100,000 columns are shown." in found.notes


def test_a_million_columns_are_cut_where_the_look_ends(tmp_path: Path) -> None:
    found = table_of(written(tmp_path / "a.csv", ",".join(f"c{at}" for at in range(1_000_000))))

    assert len(found.columns) == 500
    assert found.total_columns is None
    assert Counting.taken <= 2 << 20


def test_a_giant_cell_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b'a,b\n1,"')
        file.seek(1 << 30)
        file.write(b'"\n')
    os.truncate(path, 1 << 30)
    with path.open("r+b") as file:
        file.seek(7)
        file.write(b"x" * (2 << 20))

    found = table_of(path)

    assert found.rows == ((1, "x" * 499 + "…"),)
    assert any("longer than the part" in note for note in found.notes)


def test_a_sparse_file_of_a_terabyte_costs_a_range(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    os.truncate(path, 1 << 40)

    assert isinstance(preview(remote(path), "a.csv"), BinaryPreview)
    assert Counting.taken <= 1 << 20


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"a":' * 200_000, b'[{"a": 1}, {"a": 2'])
def test_json_without_end_gives_the_rows_before(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "a.json", content)

    found = preview(remote(path), "a.json")

    assert isinstance(found, TablePreview | TextPreview)
    if isinstance(found, TablePreview):
        assert "not JSON" in found.notes[0]


def test_lines_before_one_that_is_no_json_are_shown(tmp_path: Path) -> None:
    found = table_of(written(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2, "b": [1, {"c": 2}]}\noops\n'))

    assert found.rows == ((1, None), (2, '[1, {"c": 2}]'))
    assert found.notes == ("Line 3 is not JSON; the rows before it are shown.",)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"'b\.csv'"):
        preview(remote(written(tmp_path / "a.csv", "a\n1\n")), "b.csv")


def test_a_store_that_fails_is_named() -> None:
    def broken(path: str) -> BinaryIO:
        raise OSError(5, "Input/output error")

    with pytest.raises(Unavailable, match=r"'a\.csv' cannot be read: Input/output error"):
        preview(Source([Part("a.csv", 10)], broken), "a.csv")


def test_a_reader_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="took longer"):
        preview(remote(written(tmp_path / "a.csv", "a\n1\n")), "a.csv", seconds=0.001)


def test_a_reader_knows_no_secrets_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "canary-5f0c")
    path = written(tmp_path / "a.csv", "a\n1\n")
    seen: list[dict[str, str]] = []
    handles: list[BinaryIO] = []

    def opened(name: str) -> BinaryIO:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):  # another test's, which has ended
                seen.append(child.environ())
        handles.append(path.open("rb"))
        return handles[-1]

    preview(Source([Part("a.csv", path.stat().st_size)], opened), "a.csv")

    assert seen
    assert all("canary" not in value for each in seen for value in each.values())
    assert handles[0].closed
    left = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert not any("tables.reader" in " ".join(child.cmdline()) for child in left)


def in_memory(name: str, content: bytes) -> Source:
    return Source([Part(name, len(content))], lambda _: io.BytesIO(content))


MAGIC = [
    b"",
    b"PAR1",
    b"ARROW1\0\0",
    b"\x89PNG\r\n\x1a\n",
    b"PK\x03\x04",
    b"\x1f\x8b\x08",
    b"%PDF-",
    b"GIF89a",
    b"[",
    b"{",
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    magic=st.sampled_from(MAGIC),
    rest=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    suffix=st.sampled_from(["csv", "tsv", "json", "jsonl", "ipynb", "parquet", "xlsx", "png", "pdf", "gz", "txt", ""]),
)
def test_whatever_the_bytes_are_there_is_a_preview_or_a_sentence(magic: bytes, rest: bytes, suffix: str) -> None:
    name = f"a.{suffix}"
    try:
        found = previews.preview(in_memory(name, magic + rest), name)
        said = json.dumps(found.as_json(), allow_nan=False)
    except Invalid as refused:
        said = refused.message if refused.message.endswith(".") else ""
    assert said


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=1, max_size=20), delimiter=st.sampled_from(",;\t|")
)
def test_what_a_csv_writer_wrote_is_read_back(rows: list[list[str]], delimiter: str) -> None:
    held = io.StringIO(newline="")
    csv.writer(held, delimiter=delimiter).writerows([["first", "second", "third"], *rows])
    dialect = delimited.dialect_of(held.getvalue(), delimiter, is_whole=True, header=True)

    found = delimited.first_rows(held.getvalue(), rows=50, is_whole=True, dialect=dialect)

    assert dialect.names == ("first", "second", "third")
    assert len(found.rows) == len(rows)
    for shown, kind_of in zip(zip(*found.rows, strict=True), found.columns, strict=True):
        if kind_of.type == "text":
            assert list(shown) == [row[found.columns.index(kind_of)] for row in rows]


@given(st.binary(max_size=300), st.text(max_size=20))
def test_whatever_the_bytes_are_they_are_something(head: bytes, name: str) -> None:
    assert detect.detect(head, name).format
