"""What is asked of files that hold data, and what is answered: sources, previews, profiles, differences.

Answers are frozen and hold nothing but what JSON can: `as_json` gives plain values, `from_json` takes them back,
so that a profile that cost seconds can be kept.
"""

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

Cell: TypeAlias = str | int | float | bool | None
"""A whole number beyond 2^53 and a number that is not finite are texts: browsers would read others."""
Shape = TypeVar("Shape", bound="Plain")


@dataclass(frozen=True)
class Part:
    """One file: its path in the source, its bytes, a hash where one is known, its place where it lies on this disk."""

    path: str
    size: int
    hash: str = ""
    local: Path | None = None


@dataclass(frozen=True)
class Source:
    """Files, and how one is opened: `open(path)` gives a seekable binary file and is called again for every use."""

    parts: Sequence[Part]
    open: Callable[[str], BinaryIO]

    def part(self, path: str) -> Part | None:
        return next((part for part in self.parts if part.path == path), None)


class Plain:
    """A frozen dataclass that goes to JSON and back."""

    def as_json(self) -> dict[str, Any]:
        """Plain values; the bytes of an image are left out."""
        return {
            each.name: _plain(getattr(self, each.name))
            for each in fields(typing.cast("Any", self))
            if not isinstance(getattr(self, each.name), bytes)
        }

    @classmethod
    def from_json(cls: type[Shape], value: dict[str, Any]) -> Shape:
        """Raises KeyError, TypeError for what `as_json` did not write."""
        return typing.cast("Shape", _made(cls, value))


@dataclass(frozen=True)
class Column(Plain):
    """`type` is one of integer, number, boolean, text, date, time, timestamp, binary, list, mapping, other."""

    name: str
    type: str


@dataclass(frozen=True)
class TablePreview(Plain):
    """The first rows. `total_rows` is known where the file says it; `more` is whether rows or columns are left."""

    path: str
    size: int
    format: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: bool
    total_rows: int | None = None
    total_columns: int | None = None
    encoding: str | None = None
    delimiter: str | None = None
    notes: tuple[str, ...] = ()
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class TextPreview(Plain):
    """The first 64 KiB."""

    path: str
    size: int
    text: str
    encoding: str
    truncated: bool
    notes: tuple[str, ...] = ()
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class ImagePreview(Plain):
    """`content` are the file's own bytes for a browser: png, jpeg, gif and webp of a sane size, else None."""

    path: str
    size: int
    format: str
    width: int
    height: int
    content: bytes | None = None
    media_type: str | None = None
    notes: tuple[str, ...] = ()
    kind: Literal["image"] = "image"


@dataclass(frozen=True)
class PdfPreview(Plain):
    """`pages` where the end of the file tells it."""

    path: str
    size: int
    pages: int | None
    notes: tuple[str, ...] = ()
    kind: Literal["pdf"] = "pdf"


@dataclass(frozen=True)
class NotebookCell(Plain):
    """`source` is markdown or code as it was written; `outputs` are text alone: HTML and scripts are dropped."""

    type: Literal["markdown", "code", "raw"]
    source: str
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotebookPreview(Plain):
    path: str
    size: int
    language: str
    cells: tuple[NotebookCell, ...]
    notes: tuple[str, ...] = ()
    kind: Literal["notebook"] = "notebook"


@dataclass(frozen=True)
class BinaryPreview(Plain):
    """What cannot be shown: `magic` are the first bytes in hexadecimal, `reason` is a sentence."""

    path: str
    size: int
    magic: str
    reason: str
    notes: tuple[str, ...] = ()
    kind: Literal["binary"] = "binary"


Preview: TypeAlias = TablePreview | TextPreview | ImagePreview | PdfPreview | NotebookPreview | BinaryPreview
PREVIEWS: dict[str, type[Preview]] = {
    "table": TablePreview,
    "text": TextPreview,
    "image": ImagePreview,
    "pdf": PdfPreview,
    "notebook": NotebookPreview,
    "binary": BinaryPreview,
}


@dataclass(frozen=True)
class Quantile(Plain):
    percent: float
    value: Cell


@dataclass(frozen=True)
class Bin(Plain):
    """Values from `low` up to `high`, which only the last bin holds too."""

    low: Cell
    high: Cell
    count: int


@dataclass(frozen=True)
class Top(Plain):
    value: Cell
    count: int


@dataclass(frozen=True)
class ColumnProfile(Plain):
    """Moments are of the finite values. Dates have a minimum, maximum, mean, quantiles and histogram, as texts."""

    name: str
    type: str
    count: int
    missing: int
    distinct: int | None = None
    distinct_is_estimated: bool = False
    minimum: Cell = None
    maximum: Cell = None
    mean: Cell = None
    standard_deviation: float | None = None
    variance: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None
    quantiles: tuple[Quantile, ...] = ()
    histogram: tuple[Bin, ...] = ()
    top: tuple[Top, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile(Plain):
    """`rows` were looked at; `total_rows` is how many there are (about as many, when `sampled` and it is estimated)."""

    format: str
    files: tuple[str, ...]
    rows: int
    columns: tuple[ColumnProfile, ...]
    sampled: bool = False
    total_rows: int | None = None
    total_is_estimated: bool = False
    total_columns: int | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileChange(Plain):
    path: str
    old_size: int
    new_size: int


@dataclass(frozen=True)
class Retyped(Plain):
    name: str
    old: str
    new: str


@dataclass(frozen=True)
class Drift(Plain):
    """A column that both have. `missing` are shares of the rows, from 0 to 1."""

    name: str
    old_mean: Cell
    new_mean: Cell
    old_missing: float
    new_missing: float
    old_distinct: int | None
    new_distinct: int | None


@dataclass(frozen=True)
class Diff(Plain):
    """`columns` and `rows` are there where both sides are tables; `notes` say why not, and what was sampled."""

    files_added: tuple[str, ...]
    files_removed: tuple[str, ...]
    files_changed: tuple[FileChange, ...]
    files_same: int
    is_tabular: bool = False
    columns_added: tuple[Column, ...] = ()
    columns_removed: tuple[Column, ...] = ()
    columns_retyped: tuple[Retyped, ...] = ()
    old_rows: int | None = None
    new_rows: int | None = None
    drift: tuple[Drift, ...] = ()
    notes: tuple[str, ...] = ()


def _plain(value: Any) -> Any:
    match value:
        case Plain():
            return value.as_json()
        case tuple():
            return [_plain(each) for each in value]
        case _:
            return value


def _made(wanted: Any, value: Any) -> Any:
    if is_dataclass(wanted):
        hints = typing.get_type_hints(wanted)
        return typing.cast("Any", wanted)(**{name: _made(hints[name], inner) for name, inner in value.items()})
    if isinstance(wanted, types.UnionType):
        return value
    if typing.get_origin(wanted) is tuple:
        inner = typing.get_args(wanted)[0]
        return tuple(_made(inner, each) for each in value)
    return value
