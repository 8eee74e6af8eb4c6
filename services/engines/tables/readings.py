"""How files are read as one table, where somebody has said it; what is not said is found out from the files."""

from dataclasses import dataclass

from services.engines.tables.shapes import Plain


@dataclass(frozen=True)
class Step(Plain):
    """What is done with the rows: `verb` is one of take, skip, sample, drop, keep, convert."""

    verb: str
    names: tuple[str, ...] = ()
    count: int = 0
    share: float = 0.0
    seed: int = 0
    type: str = ""
    formats: tuple[str, ...] = ()
    true_values: tuple[str, ...] = ()
    false_values: tuple[str, ...] = ()
    otherwise: str = ""


@dataclass(frozen=True)
class Reading(Plain):
    """`format` is empty for what the files are; `header` is one of the words of MLTable; `path_column` names a column
    that says which file a row is from."""

    format: str = ""
    delimiter: str | None = None
    encoding: str | None = None
    header: str = ""
    path_column: str = ""
    empty_as_string: bool = False
    as_text: bool = False
    steps: tuple[Step, ...] = ()
