"""Summaries of runs: what lists, sorting and filters read, so that none of them has to ask MLflow."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Float, Index, delete, text, update
from sqlmodel import Field, Session, SQLModel, col, select

from services.store.rows import Job

ENDED = ("FINISHED", "FAILED", "KILLED")
# PostgreSQL indexes no row of more than 2,704 bytes, and a value may be longer: what asks for one names this too.
BEGINNING = "substr(value, 1, 100)"


class Run(SQLModel, table=True):
    """What MLflow recorded of a job, or of a notebook when `job_id` is empty. Times are MLflow's milliseconds.

    `job_id` is also set on the nested runs that a job made; its own run is the one that the job names.
    `is_checked` says that the history was compared with MLflow after the last point came in.
    """

    __table_args__ = (
        Index("ix_run_listed", "workspace_id", "experiment_id", "start_time"),
        Index("ix_run_newest", "workspace_id", "start_time", "run_id"),
    )
    run_id: str = Field(primary_key=True)
    workspace_id: str
    experiment_id: str
    job_id: str | None = Field(default=None, index=True)
    parent_run_id: str | None = None
    name: str = ""
    status: str = "RUNNING"
    start_time: int | None = Field(default=None, sa_type=BigInteger)
    end_time: int | None = Field(default=None, sa_type=BigInteger)
    user: str = ""
    lifecycle_stage: str = "active"
    is_checked: bool = Field(default=False, index=True)


class Key(SQLModel, table=True):
    """The name of a metric or parameter, kept once; its number commits with or before the rows that use it."""

    key_id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


def _real() -> Any:
    return Field(default=None, sa_column=Column(Float(53), nullable=True))


def _whole() -> Any:
    return Field(default=None, sa_column=Column(BigInteger, nullable=True))


class Metric(SQLModel, table=True):
    """One metric of one run. NaN is NULL with `last_nan`; extremes leave NaN out."""

    __table_args__ = (Index("ix_metric_sorted", "key_id", "last", "run_id"),)
    run_id: str = Field(primary_key=True)
    key_id: int = Field(primary_key=True)
    n: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    n_nan: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    last: float | None = _real()
    last_nan: bool = False
    last_step: int | None = _whole()
    last_time: int | None = _whole()
    min: float | None = _real()
    min_step: int | None = _whole()
    max: float | None = _real()
    max_step: int | None = _whole()
    first: float | None = _real()
    first_step: int | None = _whole()
    first_time: int | None = _whole()


class Param(SQLModel, table=True):
    """A parameter of a run; `num` is its value where that is a number."""

    __table_args__ = (
        Index("ix_param_listed", "key_id", text(BEGINNING), "run_id"),
        Index("ix_param_number", "key_id", "num", "run_id"),
    )
    run_id: str = Field(primary_key=True)
    key_id: int = Field(primary_key=True)
    value: str
    num: float | None = _real()


class Tag(SQLModel, table=True):
    """A tag of a run.

    `wish` is set where somebody changed it here and MLflow does not know yet: `set`, or `remove` for one that is
    to go; the worker tells MLflow, and nothing that MLflow says in between takes it back.
    """

    __table_args__ = (
        Index("ix_tag_listed", "key", text(BEGINNING), "run_id"),
        Index("ix_tag_wished", "wish", sqlite_where=text("wish <> ''"), postgresql_where=text("wish <> ''")),
    )
    run_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    value: str
    wish: str = ""


class Direction(SQLModel, table=True):
    """Whether more of a metric is better, said by a person; of others it is guessed from the name."""

    workspace_id: str = Field(primary_key=True)
    metric: str = Field(primary_key=True)
    is_higher_better: bool


class Point(NamedTuple):
    """One logged value. `time` is in milliseconds."""

    key: str
    value: float
    time: int
    step: int


@dataclass(slots=True)
class Summary:
    """A row of `Metric` in the making: what some points of one run and key come to."""

    run_id: str
    key_id: int
    n: int = 0
    n_nan: int = 0
    last: float | None = None
    last_nan: bool = False
    last_step: int = 0
    last_time: int = 0
    min: float | None = None
    min_step: int | None = None
    max: float | None = None
    max_step: int | None = None
    first: float | None = None
    first_step: int = 0
    first_time: int = 0

    def add(self, value: float, time: int, step: int) -> None:
        """Folds one more point in, in order of arrival.

        The latest is MLflow's: replaced only when (step, time, value) is strictly greater, NaN counting as 0.
        """
        is_nan = math.isnan(value)
        kept = None if is_nan else value
        held = 0.0 if self.last is None else self.last
        if not self.n or (step, time, kept or 0.0) > (self.last_step, self.last_time, held):
            self.last, self.last_nan, self.last_step, self.last_time = kept, is_nan, step, time
        if not self.n or (step, time) < (self.first_step, self.first_time):
            self.first, self.first_step, self.first_time = kept, step, time
        if kept is not None:
            if self.min is None or kept < self.min:
                self.min, self.min_step = kept, step
            if self.max is None or kept > self.max:
                self.max, self.max_step = kept, step
        self.n += 1
        self.n_nan += is_nan


_COLUMNS = tuple(Summary.__dataclass_fields__)
_CELLS = attrgetter(*_COLUMNS)
_LATER = (
    "(excluded.last_step, excluded.last_time, coalesce(excluded.last, 0))"
    " > (metric.last_step, metric.last_time, coalesce(metric.last, 0))"
)
_EARLIER = "(excluded.first_step, excluded.first_time) < (metric.first_step, metric.first_time)"


def _taken(condition: str, *columns: str) -> str:
    return ", ".join(f"{name} = CASE WHEN {condition} THEN excluded.{name} ELSE metric.{name} END" for name in columns)


def _extreme(name: str, sign: str) -> str:
    better = f"excluded.{name} IS NOT NULL AND (metric.{name} IS NULL OR excluded.{name} {sign} metric.{name})"
    return _taken(better, name, f"{name}_step")


_INSERT = (
    f"INSERT INTO metric ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "  # noqa: S608 (our columns)
    "ON CONFLICT (run_id, key_id) DO UPDATE SET "
)
_FOLD = text(
    _INSERT
    + "n = metric.n + excluded.n, n_nan = metric.n_nan + excluded.n_nan, "
    + _taken(_LATER, "last", "last_nan", "last_step", "last_time")
    + f", {_extreme('min', '<')}, {_extreme('max', '>')}, "
    + _taken(_EARLIER, "first", "first_step", "first_time")
)
_PARAM = text(
    "INSERT INTO param (run_id, key_id, value, num) VALUES (:run_id, :key_id, :value, :num) "
    "ON CONFLICT (run_id, key_id) DO UPDATE SET value = excluded.value, num = excluded.num"
)
_TAG = text(
    "INSERT INTO tag (run_id, key, value) VALUES (:run_id, :key, :value) "
    "ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value WHERE tag.wish = ''"
)
_WISH = text(
    "INSERT INTO tag (run_id, key, value, wish) VALUES (:run_id, :key, :value, :wish) "
    "ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value, wish = excluded.wish"
)
_KEY = text("INSERT INTO key (name) VALUES (:name) ON CONFLICT (name) DO NOTHING")
_RUN = text(
    "INSERT INTO run (run_id, workspace_id, experiment_id, job_id, parent_run_id, name, status, start_time, end_time,"
    ' "user", lifecycle_stage, is_checked) VALUES (:run_id, :workspace_id, :experiment_id, :job_id, :parent_run_id,'
    " :name, :status, :start_time, :end_time, :user, :lifecycle_stage, :is_checked) "
    "ON CONFLICT (run_id) DO UPDATE SET name = excluded.name, status = excluded.status,"
    " start_time = excluded.start_time, end_time = excluded.end_time,"
    """ "user" = CASE WHEN excluded."user" IN ('', 'unknown') THEN run."user" ELSE excluded."user" END,"""
    " lifecycle_stage = excluded.lifecycle_stage, job_id = coalesce(excluded.job_id, run.job_id),"
    " parent_run_id = coalesce(excluded.parent_run_id, run.parent_run_id)"
)


def ensure_keys(session: Session, names: Iterable[str]) -> dict[str, int]:
    """The numbers of these names, new ones included."""
    wanted = sorted(set(names))
    found = key_ids(session, wanted)
    missing = [{"name": name} for name in wanted if name not in found]
    if missing:
        session.connection().execute(_KEY, missing)
        found |= key_ids(session, [row["name"] for row in missing])
    return found


def key_ids(session: Session, names: Sequence[str]) -> dict[str, int]:
    """The numbers of those names that were ever used."""
    found: dict[str, int] = {}
    for some in _batches(names):
        rows = session.connection().execute(select(Key.name, Key.key_id).where(col(Key.name).in_(some)))
        found |= {name: int(number) for name, number in rows}
    return found


def key_names(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """The inverse of `key_ids`."""
    found: dict[int, str] = {}
    for some in _batches(sorted(set(ids))):
        rows = session.connection().execute(select(Key.key_id, Key.name).where(col(Key.key_id).in_(some)))
        found |= {int(number): name for number, name in rows}
    return found


def fold(session: Session, summaries: Iterable[Summary]) -> None:
    """Adds to what is known of these metrics."""
    rows = [dict(zip(_COLUMNS, _CELLS(summary), strict=True)) for summary in summaries]
    if rows:
        session.connection().execute(_FOLD, rows)


def replace(session: Session, run_id: str, summaries: Iterable[Summary]) -> None:
    """Says anew what all metrics of a run come to."""
    session.connection().execute(delete(Metric).where(col(Metric.run_id) == run_id))
    fold(session, summaries)


def save_run(session: Session, run: Run) -> None:
    """Notes a run as MLflow tells it; a job or person once known is kept where MLflow knows none."""
    session.connection().execute(_RUN, run.model_dump())


def save_params(session: Session, rows: Iterable[tuple[str, int, str]]) -> None:
    """Rows of (run id, key number, value)."""
    values = [{"run_id": run, "key_id": key, "value": value, "num": number(value)} for run, key, value in rows]
    if values:
        session.connection().execute(_PARAM, values)


def save_tags(session: Session, rows: Iterable[tuple[str, str, str]]) -> None:
    """Rows of (run id, key, value), as MLflow has them: what somebody wishes here stays."""
    values = [{"run_id": run, "key": key, "value": value} for run, key, value in rows]
    if values:
        session.connection().execute(_TAG, values)


def remove_tag(session: Session, run_id: str, key: str) -> None:
    """MLflow has it no more; one that is wished for here stays."""
    mine = (col(Tag.run_id) == run_id, col(Tag.key) == key)
    session.connection().execute(delete(Tag).where(*mine, col(Tag.wish) != "set"))


def wish_tag(session: Session, run_id: str, key: str, value: str | None) -> None:
    """Sets a tag that MLflow does not know of yet, or hides it until MLflow has removed it (None)."""
    row = {"run_id": run_id, "key": key, "value": value or "", "wish": "remove" if value is None else "set"}
    session.connection().execute(_WISH, row)


def wished_tags(session: Session, limit: int) -> list[tuple[str, Tag]]:
    """What MLflow is to be told, with the workspace of the run."""
    query = select(Run.workspace_id, Tag).join(Run, col(Run.run_id) == Tag.run_id).where(text("tag.wish <> ''"))
    return list(session.exec(query.order_by(Tag.run_id, Tag.key).limit(limit)))


def granted(session: Session, tag: Tag) -> None:
    """MLflow was told; no-op where somebody has wished for something else since."""
    mine = (
        col(Tag.run_id) == tag.run_id,
        col(Tag.key) == tag.key,
        col(Tag.wish) == tag.wish,
        col(Tag.value) == tag.value,
    )
    change = delete(Tag).where(*mine) if tag.wish == "remove" else update(Tag).where(*mine).values(wish="")
    session.connection().execute(change)


def move_run(session: Session, run_id: str, stage: str) -> None:
    """To `active` or `deleted`; lists show active ones only."""
    session.connection().execute(update(Run).where(col(Run.run_id) == run_id).values(lifecycle_stage=stage))


def note_points(session: Session, run_ids: Sequence[str]) -> None:
    """Points came in: these runs are to be compared with MLflow (again) once they have ended."""
    for some in _batches(run_ids):
        late = (col(Run.run_id).in_(some), col(Run.is_checked).is_(True))
        session.connection().execute(update(Run).where(*late).values(is_checked=False))


def checked(session: Session, run_id: str) -> None:
    session.connection().execute(update(Run).where(col(Run.run_id) == run_id).values(is_checked=True))


def unchecked(session: Session, limit: int) -> list[Run]:
    """Ended runs that were not compared with MLflow since their last point came in."""
    query = select(Run).where(col(Run.is_checked).is_(False), col(Run.status).in_(ENDED)).order_by(Run.run_id)
    return list(session.exec(query.limit(limit)))


def going_on(session: Session) -> list[Run]:
    return list(session.exec(select(Run).where(col(Run.status).not_in(ENDED), Run.lifecycle_stage == "active")))


def remove_run(session: Session, run_id: str) -> None:
    """All that is known of a run; no-op when nothing is."""
    for table in (Metric, Param, Tag, Run):
        session.connection().execute(delete(table).where(col(table.run_id) == run_id))


def metrics_of(session: Session, run_ids: Sequence[str], keys: Sequence[int] | None = None) -> list[Metric]:
    """The summaries of these runs, of these keys or of all."""
    query = select(Metric).where(col(Metric.run_id).in_(run_ids))
    if keys is not None:
        query = query.where(col(Metric.key_id).in_(keys))
    return list(session.exec(query))


def params_of(session: Session, run_ids: Sequence[str], keys: Sequence[int] | None = None) -> list[Param]:
    query = select(Param).where(col(Param.run_id).in_(run_ids))
    if keys is not None:
        query = query.where(col(Param.key_id).in_(keys))
    return list(session.exec(query))


def tags_of(session: Session, run_ids: Sequence[str]) -> list[Tag]:
    """Without those that are to go."""
    return list(session.exec(select(Tag).where(col(Tag.run_id).in_(run_ids), col(Tag.wish) != "remove")))


def named(session: Session, workspace_id: str, name: str) -> tuple[Run | None, Job | None]:
    """The active run of that id, or of the job of that name, which may have none yet; with the job whose own it is."""
    here = (col(Job.workspace_id) == workspace_id, col(Job.deleted_at).is_(None))
    job = session.exec(select(Job).where(*here, (col(Job.name) == name) | (col(Job.run_id) == name))).first()
    run_id = name if job is None else job.run_id
    mine = (Run.workspace_id == workspace_id, Run.lifecycle_stage == "active", Run.run_id == run_id)
    return session.exec(select(Run).where(*mine)).first(), job


def number(value: str) -> float | None:
    """A parameter's value as a finite number, where it is one."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _batches(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
