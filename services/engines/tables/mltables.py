"""A folder with an MLTable file as the table that the file describes."""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.core.errors import Invalid, NotFound
from services.engines.tables.confine import ask
from services.engines.tables.questions import PREVIEW_SECONDS, PROFILE_SECONDS
from services.engines.tables.readings import Reading, Step
from services.engines.tables.shapes import Column, Profile, Source, TablePreview
from services.specs import mltable
from services.specs.mltable import Conversion, MLTable, ReadDelimited, ReadJsonLines, TypeOfMapping

PATH_COLUMN = "Path"
MOST_FILE = 1 << 20
_TYPES = {"int": "integer", "float": "number", "boolean": "boolean", "string": "text", "datetime": "timestamp"}


@dataclass(frozen=True)
class MLTableView:
    """The files that make the table, and how they are read: previewed and profiled as any other table."""

    source: Source
    reading: Reading | None

    def preview(self, *, rows: int = 50, seconds: float = PREVIEW_SECONDS) -> TablePreview:
        """The first rows after all steps, from the start of the files. Raises Invalid.

        A table whose file does not say how its files are read is the list of their paths.
        """
        if self.reading is None:
            return self._paths_alone(rows)
        arguments = {"reading": self.reading.as_json(), "rows": max(1, min(rows, 1000)), "paths": self._paths()}
        return TablePreview.from_json(ask(self.source, "rows", arguments, seconds=seconds))

    def profile(
        self,
        *,
        columns: Sequence[str] | None = None,
        sample: int | None = None,
        progress: Callable[[float], None] | None = None,
        scratch: Path | None = None,
        seconds: float = PROFILE_SECONDS,
    ) -> Profile:
        """As `profile`, of the table after all steps."""
        if self.reading is None:
            raise Invalid("This MLTable lists files and does not say how they are read.", hint="Add 'read_delimited'.")
        arguments = {
            "reading": self.reading.as_json(),
            "paths": self._paths(),
            "columns": columns and list(columns),
            "sample": sample,
        }
        answer = ask(self.source, "profile", arguments, seconds=seconds, scratch=scratch, progress=progress)
        return Profile.from_json(answer)

    def _paths_alone(self, rows: int) -> TablePreview:
        paths = self._paths()
        return TablePreview(
            path=mltable.FILE,
            size=sum(part.size for part in self.source.parts),
            format="paths",
            columns=(Column(PATH_COLUMN, "text"),),
            rows=tuple((path,) for path in paths[:rows]),
            more=len(paths) > rows,
            total_rows=len(paths),
            total_columns=1,
        )

    def _paths(self) -> list[str]:
        return [part.path for part in self.source.parts]


def read_mltable(source: Source, path: str = mltable.FILE) -> MLTable:
    """The MLTable file of a folder. Raises NotFound where there is none, Invalid with the line of what is wrong."""
    part = source.part(path)
    if part is None:
        raise NotFound(f"There is no file '{path}'.")
    if part.size > MOST_FILE:
        raise Invalid(f"'{path}' is larger than {MOST_FILE >> 20} MiB.")
    with source.open(path) as file:
        return mltable.parse(file.read(MOST_FILE), file=path, folder=posixpath.dirname(path))


def mltable_table(source: Source, spec: MLTable, *, folder: str = "") -> MLTableView:
    """The table; `folder` is where the MLTable file lies in the source. Raises Invalid where no file is there."""
    known = {part.path: part for part in source.parts}
    chosen = [known[path] for path in mltable.select(spec, list(known), folder=folder)]
    return MLTableView(Source(chosen, source.open), reading_of(spec))


def reading_of(spec: MLTable) -> Reading | None:
    """The spec in the reader's words; None where it does not say how the files are read."""
    reader = spec.reader
    if reader is None:
        return None
    steps = tuple(step for each in spec.transformations[1:] for step in _steps(each))
    path_column = PATH_COLUMN if reader.include_path_column else ""
    match reader:
        case ReadDelimited():
            return Reading(
                format="csv",
                delimiter=reader.delimiter,
                encoding=reader.encoding,
                header=reader.header,
                path_column=path_column,
                empty_as_string=reader.empty_as_string,
                as_text=not reader.infer_column_types,
                steps=steps,
            )
        case ReadJsonLines():
            return Reading("jsonl", encoding=reader.encoding, path_column=path_column, steps=steps)
        case _:
            return Reading("parquet", path_column=path_column, steps=steps)


def _steps(each: mltable.Transformation) -> list[Step]:
    match each.verb:
        case "take":
            return [Step("take", count=each.take or 0)]
        case "skip":
            return [Step("skip", count=each.skip or 0)]
        case "drop_columns":
            return [Step("drop", each.drop_columns or ())]
        case "keep_columns":
            return [Step("keep", each.keep_columns or ())]
        case "take_random_sample" if each.take_random_sample is not None:
            return [Step("sample", share=each.take_random_sample.probability, seed=each.take_random_sample.seed)]
        case _:
            return [step for one in each.convert_column_types or () if (step := _conversion(one))]


def _conversion(one: Conversion) -> Step | None:
    """A stream of a file's bytes is a path here: it stays the text that it is."""
    match one.column_type:
        case TypeOfMapping(datetime=found) if found is not None:
            return Step("convert", one.columns, type="timestamp", formats=found.formats)
        case TypeOfMapping(boolean=found) if found is not None:
            return Step(
                "convert",
                one.columns,
                type="boolean",
                true_values=found.true_values,
                false_values=found.false_values,
                otherwise=found.mismatch_as or "",
            )
        case "stream_info":
            return Step("convert", one.columns, type="text")
        case str() as word:
            return Step("convert", one.columns, type=_TYPES[word])
        case _:
            return None
