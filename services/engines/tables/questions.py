"""The questions themselves: each asks a reader in a process of its own and gives its answer a shape."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from services.core.errors import NotFound
from services.engines.tables.confine import ask
from services.engines.tables.shapes import PREVIEWS, ImagePreview, Preview, Profile, Source

PREVIEW_SECONDS = 30.0
PROFILE_SECONDS = 600.0
MOST_IMAGE = 20_000_000


def preview(source: Source, path: str, *, rows: int = 50, seconds: float = PREVIEW_SECONDS) -> Preview:
    """The first look at one file, without reading it to its end.

    Raises NotFound; Invalid with what is wrong with the file, or that it took too much time or memory.
    """
    part = source.part(path)
    if part is None:
        raise NotFound(f"There is no file '{path}'.")
    answer = ask(
        Source([part], source.open), "preview", {"path": path, "rows": max(1, min(rows, 1000))}, seconds=seconds
    )
    found = PREVIEWS[answer["kind"]].from_json(answer)
    if isinstance(found, ImagePreview) and found.media_type and part.size <= MOST_IMAGE:
        with source.open(path) as file:
            return replace(found, content=file.read(MOST_IMAGE))
    return found


def profile(
    source: Source,
    *,
    paths: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    sample: int | None = None,
    progress: Callable[[float], None] | None = None,
    scratch: Path | None = None,
    seconds: float = PROFILE_SECONDS,
) -> Profile:
    """Every column of the table that these files are: of all of it, or of a sample when it is huge, and it says so.

    `paths` are the files that make the table (all tabular ones of one format otherwise), `sample` is the most rows
    to look at, `progress` is called with what is done, from 0 to 1, and `scratch` is a folder for temporary files.
    Raises NotFound, and Invalid where there is no table, or where the files are damaged.
    """
    arguments = {"paths": paths and list(paths), "columns": columns and list(columns), "sample": sample}
    return Profile.from_json(ask(source, "profile", arguments, seconds=seconds, scratch=scratch, progress=progress))
