"""Pages of runs: sorted by a summary, filtered by others, straight from the indexes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from services.store.metrics import Metric, Param, Run


@dataclass(frozen=True)
class RunQuery:
    """Which runs of a workspace, and in what order.

    `order_by` is a key number of a metric, or None for the newest first. `above` and `below` bound the
    latest value of metrics by key number; `params` are values by key number.
    """

    workspace_id: str
    experiment_ids: Sequence[str] = ()
    order_by: int | None = None
    descending: bool = True
    above: Mapping[int, float] | None = None
    below: Mapping[int, float] | None = None
    params: Mapping[int, str] | None = None


def page(session: Session, query: RunQuery, *, limit: int, offset: int = 0) -> list[str]:
    """Run ids: those with a number first (both databases order NULL differently), then NaN, then the missing."""
    if query.order_by is None:
        newest = _filtered(select(Run.run_id), query).order_by(col(Run.start_time).desc(), col(Run.run_id))
        return list(session.exec(newest.offset(offset).limit(limit)))
    ordered = col(Metric.last).desc() if query.descending else col(Metric.last).asc()
    mine = (col(Metric.run_id) == Run.run_id) & (col(Metric.key_id) == query.order_by)
    numbers = _filtered(select(Run.run_id).join(Metric, mine), query).where(col(Metric.last).is_not(None))
    found = list(session.exec(numbers.order_by(ordered, col(Metric.run_id)).offset(offset).limit(limit)))
    if len(found) == limit:
        return found
    before = session.exec(select(func.count()).select_from(numbers.subquery())).one()
    rest = _filtered(select(Run.run_id).join(Metric, mine, isouter=True), query).where(col(Metric.last).is_(None))
    rest = rest.order_by(col(Metric.run_id).is_(None), col(Run.start_time).desc(), col(Run.run_id))
    skipped = max(0, offset - before)
    return found + list(session.exec(rest.offset(skipped).limit(limit - len(found))))


def _filtered(statement: Any, query: RunQuery) -> Any:
    statement = statement.where(Run.workspace_id == query.workspace_id, Run.lifecycle_stage == "active")
    if query.experiment_ids:
        statement = statement.where(col(Run.experiment_id).in_(query.experiment_ids))
    for key, bound in (query.above or {}).items():
        statement = statement.where(_run_in(Metric, key, col(Metric.last) > bound))
    for key, bound in (query.below or {}).items():
        statement = statement.where(_run_in(Metric, key, col(Metric.last) < bound))
    for key, value in (query.params or {}).items():
        statement = statement.where(_run_in(Param, key, col(Param.value) == value))
    return statement


def _run_in(table: type[Metric] | type[Param], key: int, condition: Any) -> Any:
    return col(Run.run_id).in_(select(table.run_id).where(table.key_id == key, condition))
