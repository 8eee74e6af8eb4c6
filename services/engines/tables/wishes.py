"""What of some files is wanted as a table, and what is known of it once it is there."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.core.errors import NotFound
from services.engines.tables import cells, duck
from services.engines.tables.readings import Reading
from services.engines.tables.shapes import Part

HUGE_BYTES = 1 << 30
HUGE_CELLS = 50_000_000
SAMPLE_BYTES = 256 << 20
MOST_COLUMNS = 500


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


def counted(connection: duck.Connection) -> int:
    found = connection.execute("SELECT count(*) FROM t").fetchone()
    return int(found[0]) if found else 0


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
