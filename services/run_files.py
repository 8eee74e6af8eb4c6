"""Files of any run, a job's or a notebook's, read where they lie; its images by step and its tables among them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import orjson
from sqlalchemy import JSON, or_, type_coerce
from sqlmodel import col, select

from services import access, artifacts
from services.core.errors import Invalid, NotFound
from services.core.states import AssetKind
from services.engines import files
from services.engines.files import File
from services.models import REGISTRY
from services.store import metrics as store
from services.store.metrics import Run
from services.store.rows import Asset, Job
from services.studio import Scope, run_root

# What browsers draw, by suffix.
IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
}
LOGGED_TABLES = "mlflow.loggedArtifacts"
TABLE_IMAGES = "table_images/"
# Of a run: a folder of a million pictures must not hold up the others.
MOST_FILES = 20_000
LARGEST_TABLE = 64 << 20
MOST_MODELS = 20
# As `mlflow.log_image` names a picture with a key: `/` of the key is `~` (`#` before 3.0), `+` was `%`.
_LOGGED = re.compile(
    r"images/(?P<key>.+)(?P<by>[+%])step(?P=by)(?P<step>-?\d{1,18})(?P=by)timestamp(?P=by)(?P<time>\d{1,18})(?P=by)"
    r"(?P<id>[0-9a-fA-F-]{8,40})(?P<small>(?P=by)compressed)?\.(?:png|webp)"
)
_STEPPED = re.compile(r"(?i)(?<![a-z])(?:steps?|epoch|iter|iteration|round)[ _=+-]?(?P<step>\d{1,12})")


@dataclass(frozen=True)
class Image:
    """A picture. Those of one `key` follow each other by `step`; `small` is a lighter copy, or empty.

    `time` is in milliseconds.
    """

    key: str
    step: int
    path: str
    small: str
    time: int


@dataclass(frozen=True)
class Picture:
    """A cell of a table that is an image: where it lies among the run's files."""

    path: str
    small: str = ""


@dataclass(frozen=True)
class Table:
    """A table that was logged. Cells are text, numbers, flags, None or a Picture; `total` counts all rows."""

    path: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    total: int = 0


def listing(scope: Scope, name: str, path: str = "") -> list[File]:
    """All files of a run below `path`, in order. Raises NotFound when there is no such run."""
    access.require(scope, "experiments/runs/read")
    return _listed(scope, *_found(scope, name), f"{path.strip('/')}/" if path.strip("/") else "")


def opened(scope: Scope, name: str, path: str) -> tuple[BinaryIO, int]:
    """One file for reading, and its size. Raises NotFound, Invalid."""
    access.require(scope, "experiments/runs/read")
    run, job = _found(scope, name)
    if job is not None:
        return artifacts.opened(scope, job.name, path)
    try:
        return artifacts.opened_below(_root(scope, run), path)
    except NotFound as cause:
        raise NotFound(f"Run '{name[:80]}' has no file '{path[:200]}'.") from cause


def images(scope: Scope, names: Sequence[str], *, prefix: str = "") -> dict[str, list[Image]]:
    """Pictures by run, sorted by key and step, of keys that begin with `prefix`; the newest of a key and step.

    Pictures that `mlflow.log_image` took with a key, and any other image file: its key is its path, with `*` for
    the number where that says step or epoch. Runs that are not there or have none are left out.
    """
    access.require(scope, "experiments/runs/read")
    found = {}
    for name in names:
        run, job = store.named(scope.session, scope.workspace_id, name)
        if run is None and job is None:
            continue
        pictures = [each for each in _pictures(_listed(scope, run, job)) if each.key.startswith(prefix)]
        if pictures:
            found[name] = pictures
    return found


def tables(scope: Scope, name: str) -> list[str]:
    """Paths of the tables that were logged as such and are there, in the order of logging."""
    access.require(scope, "experiments/runs/read")
    run, job = _found(scope, name)
    if run is None:
        return []
    told = {row.key: row.value for row in store.tags_of(scope.session, [run.run_id])}
    paths = [path for path in _logged_tables(told.get(LOGGED_TABLES, "")) if path.endswith(".json")]
    there = {file.path for file in _listed(scope, run, job)} if paths else set()
    return [path for path in paths if path in there]


def table(scope: Scope, name: str, path: str, *, limit: int = 1000) -> Table:
    """The first rows of a logged table. Raises NotFound, and Invalid for what is none or is too large."""
    access.require(scope, "experiments/runs/read")
    file, size = opened(scope, name, path)
    with file:
        if size > LARGEST_TABLE:
            raise Invalid(f"'{path[:200]}' is too large to be shown as a table.", hint="Download it.")
        content = file.read()
    try:
        told = orjson.loads(content)
        columns, rows = [str(each) for each in told["columns"]], list(told["data"])
        shown = [[_cell(cell) for cell in row] for row in islice(rows, limit)]
    except (orjson.JSONDecodeError, KeyError, TypeError) as cause:
        raise Invalid(f"'{path[:200]}' is no table as mlflow.log_table writes it.") from cause
    return Table(path, columns, shown, len(rows))


def registered(scope: Scope, name: str) -> list[Asset]:
    """The versions of models that were made of this run, the newest first."""
    access.require(scope, "models/read")
    run, job = _found(scope, name)
    facts = type_coerce(col(Asset.facts), JSON)
    is_its = [col(Asset.job_id) == job.id] if job is not None else []
    if run is not None:
        is_its += [facts[place].as_string() == run.run_id for place in ("run_id", (REGISTRY, "run_id"))]
    mine = (Asset.workspace_id == scope.workspace_id, Asset.kind == AssetKind.model, or_(*is_its))
    return list(
        scope.session.exec(select(Asset).where(*mine).order_by(col(Asset.created_at).desc()).limit(MOST_MODELS))
    )


def media_type(path: str) -> str:
    """Of an image; empty for what browsers are not to show."""
    return IMAGES.get(PurePosixPath(path).suffix.lower(), "")


def is_settled(path: str) -> bool:
    """Whether the file can never be another one: its name holds a random id."""
    return _LOGGED.fullmatch(path) is not None


def _found(scope: Scope, name: str) -> tuple[Run | None, Job | None]:
    run, job = store.named(scope.session, scope.workspace_id, name)
    if run is None and job is None:
        raise NotFound(f"Run '{name[:80]}' was not found.")
    return run, job


def _listed(scope: Scope, run: Run | None, job: Job | None, prefix: str = "") -> list[File]:
    if job is not None:
        return artifacts.listed(scope, job.name, prefix=prefix)[:MOST_FILES]
    found = artifacts.texts(islice(files.walk(_root(scope, run)), MOST_FILES))
    return [file for file in found if file.path.startswith(prefix)]


def _root(scope: Scope, run: Run | None) -> Path:
    assert run is not None  # noqa: S101 (a run or a job was found)
    return run_root(scope.studio, run.workspace_id, run.experiment_id, run.run_id)


def _pictures(found: Sequence[File]) -> list[Image]:
    small = {file.path.removesuffix(".webp")[:-11] for file in found if _is_small(file.path)}
    newest: dict[tuple[str, int], Image] = {}
    for file in found:
        if _is_small(file.path) or not media_type(file.path) or file.path.startswith(TABLE_IMAGES):
            continue
        one = _picture(file, small)
        known = newest.get((one.key, one.step))
        if known is None or one.time >= known.time:
            newest[one.key, one.step] = one
    return [newest[place] for place in sorted(newest)]


def _is_small(path: str) -> bool:
    logged = _LOGGED.fullmatch(path)
    return logged is not None and logged["small"] is not None


def _picture(file: File, small: set[str]) -> Image:
    logged = _LOGGED.fullmatch(file.path)
    if logged is not None:
        stem = file.path.rpartition(".")[0]
        lighter = f"{stem}{logged['by']}compressed.webp" if stem in small else ""
        key = logged["key"].replace("~", "/").replace("#", "/")
        return Image(key, int(logged["step"]), file.path, lighter, int(logged["time"]))
    changed = int(file.modified * 1000)
    stepped = list(_STEPPED.finditer(file.path))
    if not stepped:
        return Image(file.path, 0, file.path, "", changed)
    start, end = stepped[-1].span("step")
    return Image(f"{file.path[:start]}*{file.path[end:]}", int(stepped[-1]["step"]), file.path, "", changed)


def _logged_tables(told: str) -> list[str]:
    """What anybody may have written there as a tag."""
    try:
        entries = orjson.loads(told or "[]")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(entries, list):
        return []
    named = (each for each in entries if isinstance(each, dict) and each.get("type") == "table")
    return list(dict.fromkeys(str(each["path"]) for each in named if each.get("path")))


def _cell(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "image" and isinstance(value.get("filepath"), str):
        return Picture(value["filepath"], str(value.get("compressed_filepath") or ""))
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value) if isinstance(value, float) else orjson.dumps(value).decode()
