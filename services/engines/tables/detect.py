"""What a file is: by its first bytes, by its name, and what to say where the two disagree."""

import codecs
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

HEAD = 1 << 20
_NAMES = {
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "parquet": "parquet",
    "pq": "parquet",
    "parq": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
    "arrows": "arrow stream",
    "xlsx": "xlsx",
    "xlsm": "xlsx",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "ipynb": "notebook",
    "pdf": "pdf",
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "gif": "gif",
    "webp": "webp",
    "bmp": "bmp",
    "tif": "tiff",
    "tiff": "tiff",
}
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"),
    (b"PARE", "encrypted parquet"),
    (b"ARROW1", "arrow"),
    (b"FEA1", "feather 1"),
    (b"%PDF-", "pdf"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office"),
    (b"SQLite format 3\0", "SQLite"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "NumPy"),
    (b"\x7fELF", "program"),
    (b"\xff\xff\xff\xff", "arrow stream"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
)
IMAGES = frozenset({"png", "jpeg", "gif", "webp", "bmp", "tiff"})
TABLES = frozenset({"csv", "tsv", "parquet", "arrow", "arrow stream", "xlsx", "jsonl", "json"})
SAYS = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "json": "JSON",
    "xlsx": "an Excel workbook",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "arrow stream": "an Arrow stream",
    "notebook": "a notebook",
    "pdf": "PDF",
    "html": "HTML",
    "gzip": "gzip",
    "zip": "a ZIP archive",
    "program": "a program",
    "pickle": "a Python pickle",
    "text": "plain text",
    "binary": "neither text nor a known format",
    "empty": "empty",
}
_HTML = re.compile(
    r"\s*(?:<!--.{0,2000}?-->\s*){0,3}<(?:!doctype\s+html|html|head|body|script)\b", re.IGNORECASE | re.DOTALL
)
_CONTROL = {*range(32), 127} - {9, 10, 12, 13, 27}


@dataclass(frozen=True)
class Found:
    """`format` is a word of this module, `named` what the name promises, `note` a sentence where they disagree."""

    format: str
    named: str | None
    encoding: str | None = None
    notes: tuple[str, ...] = ()


def detect(head: bytes, name: str) -> Found:
    """From the first bytes (as many as there are, up to a MiB) and the name. A ZIP is not looked into here."""
    named = named_format(name)
    if not head:
        return Found("empty", named)
    content = _binary(head)
    if content is not None:
        is_said = content == "gzip" and name.casefold().endswith(".gz")
        return Found(content, named, notes=() if is_said else _disagreement(named, content))
    encoding, note = encoding_of(head)
    if encoding is None:
        return Found("binary", named, notes=_disagreement(named, "binary"))
    text = decoded(head, encoding)
    notes = (note,) if note else ()
    if _HTML.match(text):
        return Found("html", named, encoding, (*notes, *(_disagreement(named, "html") if named else ())))
    content = _text(text, named)
    return Found(content, named, encoding, (*notes, *_disagreement(named, content)))


def named_format(name: str) -> str | None:
    """What the name promises; `data.csv.gz` promises gzip around CSV, and counts as CSV."""
    path = PurePosixPath(name)
    suffix = path.suffix.casefold().lstrip(".")
    if suffix == "gz":
        suffix = PurePosixPath(path.stem).suffix.casefold().lstrip(".")
    return _NAMES.get(suffix)


def say(format: str) -> str:
    return SAYS.get(format, format)


def encoding_of(head: bytes) -> tuple[str | None, str]:
    """The encoding and a sentence when it is a guess; None for what is no text."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name, ""
    sample = head[: 64 << 10]
    if b"\0" in sample:
        return _without_mark(sample)
    if sum(sample.count(bytes([each])) for each in _CONTROL) > len(sample) // 100:
        return None, ""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8", ""
    except UnicodeDecodeError as cause:
        said = f"It is not UTF-8 (byte {cause.start}), so it is read as Latin-1 (Windows-1252)."
        return "cp1252", said


def decoded(head: bytes, encoding: str) -> str:
    """Text of the first bytes: a character that the cut has split is left out, a wrong one becomes U+FFFD."""
    return codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)


def _without_mark(sample: bytes) -> tuple[str | None, str]:
    half = len(sample) // 2
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        others = sample[0::2] if name == "utf-16-le" else sample[1::2]
        if zeros.count(0) > half * 0.7 and others.count(0) < half * 0.1:
            return name, "It has no byte order mark and is read as UTF-16."
    return None, ""


def _binary(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and len(head) > 26 and head[14:18] in {b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"}:
        return "bmp"
    if head[:2] == b"MZ" and b"\0" in head[:1024]:
        return "program"
    if head[:1] == b"\x80" and head[1:2] in {b"\2", b"\3", b"\4", b"\5"}:
        return "pickle"
    return None


def _text(text: str, named: str | None) -> str:
    if named in {"csv", "tsv", "notebook"}:
        return named
    if named in {"json", "jsonl"}:
        return _json(text, named)
    if named is None and text.lstrip()[:1] == "{" and _json(text, "text") == "jsonl":
        return "jsonl"
    return "text"


def _json(text: str, named: str) -> str:
    """JSON and JSON lines are taken for each other so often that the content alone decides."""
    start = text.lstrip()
    if start.startswith("["):
        return "json"
    lines = [line for line in start.splitlines()[:3] if line.strip()]
    if len(lines) > 1 and all(_is_object(line) for line in lines[:2]):
        return "jsonl"
    return named


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _disagreement(named: str | None, content: str) -> tuple[str, ...]:
    if named is None or named == content or content == "zip" or {named, content} == {"arrow", "arrow stream"}:
        return ()
    return (f"The name says {say(named)}, the content is {say(content)}.",)
