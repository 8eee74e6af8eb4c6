"""Runs over REST: a page of them by a filter, one with all that it logged, its histories; what people write on one.

Numbers that JSON has no word for are texts: "NaN", "Infinity", "-Infinity".
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, Literal, cast

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from app import streams
from app.api.bodies import body, described
from app.api.caller import Asking, Caller
from services import metrics, run_marks, runs
from services.core import times
from services.core.errors import NotFound
from services.metrics import Line
from services.runs import NEWEST, GroupLine, RunDetail, RunLine, RunsQuery

router = APIRouter(prefix="/workspaces/{ws}", tags=["runs"])
Name = Annotated[str, "the job's name, or MLflow's run id"]
Texts = Annotated[list[str], Query()]
Kind = Literal["metrics", "params", "tags"]
Format = Literal["csv", "parquet"]
IN_MEMORY = 8 << 20


class Marks(BaseModel):
    """What people write on a run; what is left out stays, a tag that is null goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: dict[str, str | None] | None = None
    note: str | None = None
    is_starred: bool | None = None
    color: str | None = None


class Better(BaseModel):
    """Which way a metric gets better; null lets its name tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    is_higher_better: bool | None = None


def asked(
    filter: str = "",
    search: str = "",
    experiment: Texts = [],  # noqa: B006 (FastAPI copies it)
    column: Texts = [],  # noqa: B006
    order_by: Texts = [],  # noqa: B006
    limit: int = 50,
    offset: int = 0,
) -> RunsQuery:
    """Which runs, as every address here is asked."""
    return RunsQuery(tuple(experiment), filter, search, tuple(column), tuple(order_by) or NEWEST, limit, offset)


Wanted = Annotated[RunsQuery, Depends(asked)]


@router.get("/runs")
def listed(asking: Asking, ws: str, query: Wanted) -> Response:
    """A page of runs with the columns asked for, such as `metrics.loss`, `min(metrics.loss)` or `params.lr`."""
    with asking.scope(ws) as scope:
        found = runs.listed(scope, query)
    return _json(
        {
            "value": [line(each) for each in found.rows],
            "has_more": found.has_more,
            "total": found.total,
            "is_total_exact": found.is_total_exact,
        }
    )


@router.get("/runs:groups")
def groups(
    asking: Asking,
    ws: str,
    query: Wanted,
    group_by: Texts = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Runs by what they have in common: how many, of each column mean, deviation and best, and the filter of each."""
    with asking.scope(ws) as scope:
        found = runs.grouped(scope, query, group_by, limit=limit)
    return _json({"value": [group(each) for each in found]})


@router.get("/runs:export", response_class=Response)
def export(asking: Asking, ws: str, query: Wanted, format: Format = "csv") -> Response:
    """All runs of a list as a file; `limit` and `offset` do not count."""
    return exported(asking, ws, query, format)


@router.get("/runs:keys")
def keys(
    asking: Asking,
    ws: str,
    kind: Kind = "metrics",
    search: str = "",
    experiment: Texts = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> Any:
    """Names of what runs logged, and how many there are below each prefix."""
    with asking.scope(ws) as scope:
        return asdict(runs.keys(scope, experiments=experiment, kind=kind, search=search, limit=limit))


@router.get("/runs:directions")
def directions(asking: Asking, ws: str, metric: Texts = []) -> Any:  # noqa: B006
    """Whether more is better, by metric: as somebody said, else guessed from the name."""
    with asking.scope(ws) as scope:
        return {"value": runs.directions(scope, metric)}


@router.put("/runs:directions", openapi_extra=described(Better))
def set_direction(asking: Asking, ws: str, said: Better = body(Better)) -> Any:
    """Says which way a metric gets better."""
    with asking.scope(ws, write=True) as scope:
        runs.set_direction(scope, said.metric, said.is_higher_better)
        return {"value": runs.directions(scope, [said.metric])}


@router.get("/runs/{name}")
def show(asking: Asking, ws: str, name: Name) -> Response:
    """One run: what it logged, its note, its parent and its children."""
    with asking.scope(ws) as scope:
        return _json(detail(runs.get(scope, name)))


@router.patch("/runs/{name}", openapi_extra=described(Marks))
def mark(asking: Asking, ws: str, name: Name, change: Marks = body(Marks)) -> Any:
    """Changes tags, note, star or colour; an empty note or colour takes it back."""
    with asking.scope(ws, write=True) as scope:
        run_marks.change(scope, name, **change.model_dump())
        return {"id": name, **asdict(run_marks.of(scope, name))}


@router.get("/runs/{name}/history")
def history(
    asking: Asking,
    ws: str,
    name: Name,
    metric: Annotated[list[str], Query(max_length=200)],
    max_points: Annotated[int | None, Query(ge=4, le=1_000_000)] = None,
) -> Response:
    """The points of metrics, down-sampled to `max_points` with all extremes kept; times in milliseconds."""
    with asking.scope(ws) as scope:
        if not runs.resolve(scope, [name]):
            raise NotFound(f"Run '{name[:80]}' was not found.")
        lines = [metrics.compare(scope, [name], key, max_points=max_points).get(name) for key in metric]
    return _json({"value": [_points(key, found) for key, found in zip(metric, lines, strict=True)]})


def exported(asking: Caller, ws: str, query: RunsQuery, format: Format) -> Response:
    """The file whole before its first byte leaves: a slow reader holds nothing in the database."""
    file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed when it is sent)
    with asking.scope(ws) as scope:
        for piece in runs.exported(scope, query, format):
            file.write(piece)
    size = file.tell()
    file.seek(0)
    return streams.file(cast("BinaryIO", file), size, f"runs.{format}", None)


def line(row: RunLine) -> dict[str, Any]:
    """A run's line as it is sent."""
    return {
        "id": row.id,
        "run_id": row.run_id,
        "job": row.job,
        "name": row.name,
        "experiment": row.experiment,
        "status": row.status,
        "created": times.iso(row.created),
        "started": times.iso(row.started),
        "ended": times.iso(row.ended),
        "user": row.user,
        "color": row.color,
        "is_starred": row.is_starred,
        "parent_run_id": row.parent_run_id,
        "has_children": row.has_children,
        "cells": {key: cell(value) for key, value in row.cells.items()},
    }


def detail(found: RunDetail) -> dict[str, Any]:
    return {
        **line(found.line),
        "metrics": {
            each.key: {
                "last": cell(each.last),
                "step": each.last_step,
                "min": cell(each.min),
                "max": cell(each.max),
                "count": each.count,
            }
            for each in found.metrics
        },
        "params": found.params,
        "tags": found.tags,
        "note": found.note,
        "parent": line(found.parent) if found.parent else None,
        "children": [line(each) for each in found.children],
    }


def group(found: GroupLine) -> dict[str, Any]:
    return {
        "values": {key: cell(value) for key, value in found.values.items()},
        "count": found.count,
        "cells": {key: {what: cell(each) for what, each in vars(of).items()} for key, of in found.cells.items()},
        "filter": found.filter,
    }


def cell(value: Any) -> Any:
    """What JSON can say of a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return times.iso(value) if isinstance(value, datetime) else value


def _points(key: str, found: Line | None) -> dict[str, Any]:
    if found is None:
        return {"metric": key, "step": [], "timestamp": [], "value": []}
    value = found.value if np.isfinite(found.value).all() else [cell(each) for each in found.value.tolist()]
    return {"metric": key, "step": found.step, "timestamp": found.time, "value": value}


def _json(content: Mapping[str, Any]) -> Response:
    """Bytes at once: a page of many cells is no time to be looked through again."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
