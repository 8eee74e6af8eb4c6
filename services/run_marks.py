"""What people write on a run: tags, a note, a star, a colour. Writes wishes; the worker tells MLflow.

A job and its own run are one thing to people: its tags and its star are kept on the job too.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services import access
from services.core import colors
from services.core.errors import Conflict, Invalid, NotFound
from services.events import emit
from services.store import metrics as store
from services.store.metrics import Run
from services.store.rows import Job
from services.studio import Scope

NOTE, STARRED, COLOR = "mlflow.note.content", "atelier.starred", "atelier.color"
OURS = ("mlflow.", "atelier.")
# MLflow's own limits: what is longer it would refuse.
LONGEST_KEY, LONGEST_VALUE, MOST = 250, 8_000, 100
_KEY = re.compile(r"[/\w.\- :]+")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Marks:
    """`tags` are those that people wrote; those with a meaning to the studio or to MLflow are not among them."""

    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    is_starred: bool = False
    color: str = ""


def change(
    scope: Scope,
    name: str,
    *,
    tags: Mapping[str, str | None] | None = None,
    note: str | None = None,
    is_starred: bool | None = None,
    color: str | None = None,
) -> None:
    """Changes what was given of one run: a tag that is None goes; an empty note or colour takes it back.

    A job that has no run yet can be tagged and starred. Raises NotFound, Invalid, Conflict.
    """
    access.require(scope, "experiments/runs/write")
    run, job = _found(scope, name)
    wishes = {_checked_key(key): _checked_value(key, value) for key, value in (tags or {}).items()}
    if len(wishes) > MOST:
        raise Invalid(f"{len(wishes)} tags at once are too many.", where="tags", hint=f"At most {MOST}.")
    if note is not None:
        wishes[NOTE] = _checked_value("note", note.strip() and note) or None
    if is_starred is not None:
        wishes[STARRED] = "true" if is_starred else None
    if color is not None:
        wishes[COLOR] = _checked_color(color)
    if job is not None:
        _keep(job, tags or {}, is_starred)
        scope.session.add(job)
    if run is not None:
        for key, value in wishes.items():
            store.wish_tag(scope.session, run.run_id, key, value)
    elif note is not None or color is not None:
        raise Conflict(f"Job '{name}' has no run yet.", hint="It gets one when it starts.")
    if wishes:
        emit(scope, *_subject(run, job), _told(wishes))


def of(scope: Scope, name: str) -> Marks:
    """What is written on one run. Raises NotFound."""
    access.require(scope, "experiments/runs/read")
    run, job = _found(scope, name)
    if run is None:
        return Marks(dict(job.tags), is_starred=job.starred) if job is not None else Marks()
    told = {row.key: row.value for row in store.tags_of(scope.session, [run.run_id])}
    written = told | (job.tags if job is not None else {})
    return Marks(
        {key: written[key] for key in sorted(written) if not key.startswith(OURS)},
        told.get(NOTE, ""),
        told.get(STARRED) == "true",
        told[COLOR] if _COLOR.fullmatch(told.get(COLOR, "")) else colors.of(run.run_id),
    )


def takes(key: str) -> bool:
    """Whether MLflow would take a tag of this name that somebody writes."""
    return not key.startswith(OURS) and bool(_KEY.fullmatch(key)) and _is_settled(key) and len(key) <= LONGEST_KEY


def _found(scope: Scope, name: str) -> tuple[Run | None, Job | None]:
    run, job = store.named(scope.session, scope.workspace_id, name)
    if run is None and job is None:
        raise NotFound(f"Run '{name[:80]}' was not found.")
    return run, job


def _checked_key(key: str) -> str:
    """As MLflow wants it: it would refuse any other."""
    if key.startswith(OURS):
        raise Invalid(f"Tags that begin with {OURS[0]} or {OURS[1]} are not written by hand.", where="tags")
    if not takes(key):
        raise Invalid(
            f"'{key[:80]}' cannot be the name of a tag.",
            where="tags",
            hint=f"Letters, digits, spaces and _ - . : / are allowed, {LONGEST_KEY} at most.",
        )
    return key


def _is_settled(key: str) -> bool:
    """MLflow may keep a tag as a file of its name."""
    path = posixpath.normpath(key)
    return path == key and path != "." and not path.startswith(("..", "/"))


def _checked_value(key: str, value: str | None) -> str | None:
    if value is None:
        return None
    if len(value) > LONGEST_VALUE:
        raise Invalid(
            f"'{key[:80]}' is {len(value):,} characters long.", where=key[:80], hint=f"MLflow takes {LONGEST_VALUE:,}."
        )
    return value.replace("\0", "")


def _checked_color(color: str) -> str | None:
    if color and not _COLOR.fullmatch(color):
        raise Invalid(f"'{color[:40]}' is not a colour.", where="color", hint="Write it as #rrggbb.")
    return color.lower() or None


def _keep(job: Job, tags: Mapping[str, str | None], is_starred: bool | None) -> None:
    job.tags = {key: value for key, value in {**job.tags, **tags}.items() if value is not None}
    if is_starred is not None:
        job.starred = is_starred
    job.revision += 1


def _subject(run: Run | None, job: Job | None) -> tuple[str, str]:
    if job is not None:
        return "job", job.name
    return "run", run.run_id if run is not None else ""


def _told(wishes: Mapping[str, str | None]) -> str:
    words = {NOTE: "its note", STARRED: "its star", COLOR: "its colour"}
    kept = [words.get(key, f"tag '{key}'") for key, value in wishes.items() if value is not None]
    gone = [words.get(key, f"tag '{key}'") for key, value in wishes.items() if value is None]
    said = [f"{', '.join(some)} {verb}" for some, verb in ((kept, "set"), (gone, "removed")) if some]
    return f"Run got {' and '.join(said)}"
