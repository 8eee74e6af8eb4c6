"""An MLTable file: which files make a table, relative to itself, and how they are read."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from services.core.errors import Invalid
from services.specs.fields import Spec, Whole
from services.specs.problems import checked, nearest
from services.specs.source import Source, load

FILE = "MLTable"
Header = Literal["no_header", "from_first_file", "all_files_different_headers", "all_files_same_headers"]
Encoding = Literal["utf8", "iso88591", "latin1", "ascii", "utf16", "utf32", "utf8bom", "windows1252"]
_SCHEME = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_DIRECTIVES = re.compile(r"%[-]?[A-Za-z%]")
_UNDERSTOOD = (
    "read_delimited",
    "read_parquet",
    "read_json_lines",
    "take",
    "take_random_sample",
    "skip",
    "drop_columns",
    "keep_columns",
    "convert_column_types",
)
_KNOWN_ELSEWHERE = {
    "filter": "write the condition into the script that reads the table",
    "extract_columns_from_partition_format": "read the columns from the paths in the script",
    "read_delta_lake": "write the table as Parquet",
    "extract_columns_from_path": "read the columns from the paths in the script",
}


def relative_path(text: str) -> str:
    """A path relative to the MLTable file, in its shortest form. Whether `../` stays in the asset is asked later.

    Raises ValueError for absolute paths and URIs.
    """
    if not text or "\0" in text or "\\" in text:
        raise ValueError(f"{text[:200]!r} is not a path; write it with '/', relative to the MLTable file")
    if _SCHEME.match(text):
        raise ValueError(f"{text[:200]!r} is not below the MLTable file; only files of the same folder are read")
    found = posixpath.normpath(text)
    if found.startswith(("/", "~")):
        raise ValueError(f"{text[:200]!r} is not relative to the MLTable file")
    return found


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)]
RelativePath = Annotated[str, AfterValidator(relative_path)]


class Place(Spec):
    """Exactly one of `file`, `folder` and `pattern` (`*`, `?`, `[…]` within a name, `**` for folders)."""

    file: RelativePath | None = None
    folder: RelativePath | None = None
    pattern: RelativePath | None = None

    @property
    def path(self) -> str:
        return self.file or self.folder or self.pattern or ""

    @model_validator(mode="after")
    def one_of_them(self) -> "Place":
        if sum(each is not None for each in (self.file, self.folder, self.pattern)) != 1:
            raise ValueError("a path is one of 'file', 'folder' and 'pattern'")
        return self


class ReadDelimited(Spec):
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: Encoding = "utf8"
    header: Header = "all_files_same_headers"
    include_path_column: bool = False
    empty_as_string: bool = False
    support_multi_line: bool = False
    infer_column_types: bool = True


class ReadParquet(Spec):
    include_path_column: bool = False


class ReadJsonLines(Spec):
    """Lines that are no JSON are left out and counted, whatever `invalid_lines` says."""

    include_path_column: bool = False
    encoding: Encoding = "utf8"
    invalid_lines: Literal["error", "drop"] = "error"


class RandomSample(Spec):
    probability: float = Field(gt=0, le=1, allow_inf_nan=False)
    seed: Whole = 0


class DatetimeType(Spec):
    """`formats` as Python's `strptime` writes them."""

    formats: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]

    @model_validator(mode="after")
    def of_directives(self) -> "DatetimeType":
        for text in self.formats:
            if not _DIRECTIVES.search(text) or "\0" in text:
                raise ValueError(f"{text[:80]!r} is no format of dates, such as '%Y-%m-%d'")
        return self


class BooleanType(Spec):
    true_values: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    false_values: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    mismatch_as: Literal["error", "true", "false"] | None = None


class TypeOfMapping(Spec):
    """A type with details: exactly one."""

    datetime: DatetimeType | None = None
    boolean: BooleanType | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> "TypeOfMapping":
        if (self.datetime is None) == (self.boolean is None):
            raise ValueError("a type is one of 'datetime' and 'boolean'")
        return self


class Conversion(Spec):
    columns: Names
    column_type: Literal["boolean", "int", "float", "string", "datetime", "stream_info"] | TypeOfMapping


class Transformation(Spec):
    """Exactly one step; `read_…` stands first."""

    read_delimited: ReadDelimited | None = None
    read_parquet: ReadParquet | None = None
    read_json_lines: ReadJsonLines | None = None
    take: Annotated[Whole, Field(gt=0)] | None = None
    take_random_sample: RandomSample | None = None
    skip: Annotated[Whole, Field(ge=0)] | None = None
    drop_columns: Names | None = None
    keep_columns: Names | None = None
    convert_column_types: tuple[Conversion, ...] | None = None

    @property
    def verb(self) -> str:
        return next(name for name in _UNDERSTOOD if getattr(self, name) is not None)


class MLTable(Spec):
    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["mltable"] = "mltable"
    paths: tuple[Place, ...] = Field(min_length=1)
    transformations: tuple[Transformation, ...] = ()
    metadata: dict[str, Any] | None = None

    @property
    def reader(self) -> ReadDelimited | ReadParquet | ReadJsonLines | None:
        """How the files are read, where it is said; without it the MLTable is a list of files."""
        for each in self.transformations[:1]:
            return each.read_delimited or each.read_parquet or each.read_json_lines
        return None


def parse(text: str | bytes, *, file: str = FILE, folder: str = "") -> MLTable:
    """Raises Invalid with the line of what is not understood. `$schema` is never fetched.

    `folder` is where the file lies in its asset: `../` may lead to a sibling in the asset, never out of it.
    """
    source = load(text, file=file)
    value = dict(source.value)
    steps = value.get("transformations")
    if steps is None:
        value["transformations"] = []
    elif isinstance(steps, list):
        value["transformations"] = [_step(step, at, source) for at, step in enumerate(steps)]
        _check_order(value["transformations"], source)
    spec = checked(MLTable, value, source)
    for at, place in enumerate(spec.paths):
        _inside(place.path, folder, source.where(("paths", at)))
    return spec


def select(spec: MLTable, paths: Sequence[str], *, folder: str = "") -> list[str]:
    """Those of the asset's files that the MLTable in `folder` names, in its order, each once.

    Raises Invalid when there is none, or a path leads out of the asset.
    """
    found = list(dict.fromkeys(path for place in spec.paths for path in _matching(place, paths, folder)))
    if not found:
        named = ", ".join(repr(place.path) for place in spec.paths[:3])
        raise Invalid(f"No file is there for the MLTable's paths: {named}.", where="paths")
    return found


def _step(step: Any, at: int, source: Source) -> Any:
    """A bare word is a step without details. Raises Invalid, by name, for one that is not understood."""
    if isinstance(step, str):
        step = {step: {}}
    if not isinstance(step, dict) or len(step) != 1:
        raise Invalid("A transformation is one step, such as 'take: 10'.", where=source.where(("transformations", at)))
    ((verb, details),) = step.items()
    where = source.where(("transformations", at, verb))
    if verb in _KNOWN_ELSEWHERE:
        raise Invalid(
            f"The transformation '{verb}' is not carried out here.",
            where=where,
            hint=f"{_KNOWN_ELSEWHERE[verb].capitalize()}.",
        )
    if verb not in _UNDERSTOOD:
        raise Invalid(
            f"The transformation '{str(verb)[:80]}' is not known.{nearest(str(verb), _UNDERSTOOD)}", where=where
        )
    return {verb: {} if details is None and verb.startswith("read_") else details}


def _check_order(steps: Sequence[Any], source: Source) -> None:
    for at, step in enumerate(steps):
        (verb,) = step
        if verb.startswith("read_") != (at == 0):
            said = "stands first, and once" if at else "must be 'read_delimited', 'read_parquet' or 'read_json_lines'"
            what = f"'{verb}' {said}" if at else f"The first transformation {said}, not '{verb}'"
            raise Invalid(f"{what}.", where=source.where(("transformations", at)))


def _inside(path: str, folder: str, where: str) -> str:
    """The path in the asset. Raises Invalid for one that leads out of it."""
    found = posixpath.normpath(posixpath.join(folder, path))
    if found == ".." or found.startswith(("../", "/")):
        raise Invalid(f"{path[:200]!r} leads out of the data asset.", where=where)
    return found


def _matching(place: Place, paths: Sequence[str], folder: str) -> Iterator[str]:
    wanted = _inside(place.path, folder, "paths")
    if place.file is not None:
        return (path for path in paths if path == wanted)
    others = (path for path in sorted(paths) if posixpath.basename(path) != FILE)
    if place.folder is not None:
        below = "" if wanted == "." else f"{wanted}/"
        return (path for path in others if path.startswith(below))
    pattern = _pattern(wanted)
    return (path for path in others if pattern.match(path))


def _pattern(text: str) -> re.Pattern[str]:
    """`**/` is any number of folders, `*` and `?` stay within a name."""
    found = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", text[:1000]):
        match piece:
            case "**/":
                found += r"(?:.*/)?"
            case "**":
                found += r".*"
            case "*":
                found += r"[^/]*"
            case "?":
                found += r"[^/]"
            case _ if piece.startswith("[") and piece.endswith("]"):
                found += _characters(piece[1:-1])
            case _:
                found += re.escape(piece)
    return re.compile(rf"{found}\Z")


def _characters(text: str) -> str:
    """`a-c` and `!a` between brackets."""
    inner = re.escape(text.removeprefix("!")).replace(r"\-", "-")
    return f"[^/{inner}]" if text.startswith("!") and inner else f"[{inner or '!'}]"
