"""The request log of online endpoints over REST: its rows, and what they add up to."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from app.api.caller import Asking, Caller
from app.streams import SAFE
from services import requests
from services.core import times
from services.core.errors import Invalid
from services.core.paging import MOST
from services.requests import RequestQuery
from services.store.request_rolls import Series
from services.store.requests import Diff, Sample

router = APIRouter(prefix="/workspaces/{ws}/online-endpoints/{name}", tags=["requests"])
Moment = Annotated[str, Query(description="seconds since 1970, or a time such as 2030-01-31T12:00:00Z")]


@router.get("/requests", response_model=None)
def listed(
    asking: Asking,
    ws: str,
    name: str,
    deployment: str = "",
    code: Annotated[list[str], Query(description="such as 424 or 5xx")] = [],  # noqa: B006 (FastAPI copies it)
    search: str = "",
    since: Moment = "",
    before: Annotated[int | None, Query(description="the Id of the last one that you have")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    format: Literal["json", "csv"] = "json",
) -> Any:
    """Requests and how they were answered, newest first; as CSV all of them, and `limit` does not count."""
    query = RequestQuery(deployment, tuple(code), search, _moment(since, "since"), before, limit)
    if format == "csv":
        return exported(asking, ws, name, query)
    with asking.scope(ws) as scope:
        found = requests.listed(scope, name, query)
    return {"value": [requests.as_json(each) for each in found], "next": found[-1].id if len(found) == limit else None}


@router.get("/metrics")
def metrics(
    asking: Asking,
    ws: str,
    name: str,
    since: Moment,
    until: Moment = "",
    step: Annotated[int | None, Query(ge=1, description="seconds; longer where finer ones are gone")] = None,
) -> Any:
    """Requests, errors, bytes and latencies over time: of the endpoint, and of each deployment."""
    start = _moment(since, "since")
    if start is None:
        raise Invalid("Say since when.", where="since")
    with asking.scope(ws) as scope:
        found = requests.series(scope, name, since=start, until=_moment(until, "until"), step_s=step)
    return {
        "total": _columns(found.total),
        "deployments": {each: _columns(series) for each, series in found.deployments.items()},
    }


@router.get("/summary")
def summary(asking: Asking, ws: str, name: str, seconds: Annotated[float, Query(ge=1, le=7200)] = 60) -> Any:
    """How each deployment does now: requests a minute, latencies, answers by class, requests in flight."""
    with asking.scope(ws) as scope:
        found = requests.summary(scope, name, seconds=seconds)
    return {
        "value": [{"deployment": each.deployment, "seconds": each.seconds, **asdict(each.window)} for each in found]
    }


@router.get("/agreement")
def agreement(asking: Asking, ws: str, name: str, live: str = "", shadow: str = "") -> Any:
    """How often a shadow answered as the live deployment did, with the worst; of all pairs when none is named."""
    with asking.scope(ws) as scope:
        pairs = requests.pairs(scope, name)
        wanted = [pair for pair in pairs if live in {"", pair[0]} and shadow in {"", pair[1]}]
        found = {pair: requests.agreement(scope, name, *pair) for pair in wanted}
    return {
        "value": [
            {
                "live": pair[0],
                "shadow": pair[1],
                "total": each.total,
                "equal": each.equal,
                "percent": each.percent,
                "worst": [_diff(diff) for diff in each.worst],
            }
            for pair, each in found.items()
        ]
    }


@router.get("/deployments/{deployment}/samples")
def samples(asking: Asking, ws: str, name: str, deployment: str, since: Moment, until: Moment = "") -> Any:
    """Processor (percent of one core) and memory (bytes) of each replica."""
    start = _moment(since, "since")
    if start is None:
        raise Invalid("Say since when.", where="since")
    with asking.scope(ws) as scope:
        found = requests.samples(scope, name, deployment, since=start, until=_moment(until, "until"))
    return {"value": [_used(replica, rows) for replica, rows in found.items()]}


def exported(asking: Caller, ws: str, name: str, query: RequestQuery) -> Response:
    """Read while it is sent: a slow reader holds no more than a page of it, and nothing in the database."""
    with asking.scope(ws) as scope:
        pieces: Iterator[bytes] = requests.exported(scope, name, query)
    headers = {**SAFE, "Content-Disposition": "attachment; filename=requests.csv"}
    return StreamingResponse(pieces, headers=headers, media_type="text/csv")


def _moment(text: str, where: str) -> float | None:
    """Raises Invalid naming the parameter."""
    if not text:
        return None
    try:
        at = float(text)
    except ValueError:
        try:
            return times.parse(text).timestamp()
        except (ValueError, OverflowError) as cause:
            raise Invalid(f"{text[:40]!r} is not a time.", where=where, hint="Such as 2030-01-31T12:00:00Z.") from cause
    if not 0 <= at < 1e11:
        raise Invalid(f"{text[:40]!r} is not a time.", where=where, hint="In seconds since 1970.")
    return at


def _columns(series: Series) -> dict[str, Any]:
    """NaN is null."""
    numbers = {
        each: [None if math.isnan(value) else round(value, 3) for value in getattr(series, each).tolist()]
        for each in ("mean", "p50", "p90", "p95", "p99")
    }
    counts = ("at", "requests", "errors", "bytes_in", "bytes_out", "max_in_flight", "max_queued")
    return {
        "step": series.step,
        **{each: getattr(series, each).tolist() for each in counts},
        **numbers,
        "classes": {kind: counted.tolist() for kind, counted in series.classes.items()},
    }


def _diff(diff: Diff) -> dict[str, Any]:
    bodies = {"request": diff.request, "live": diff.live, "shadow": diff.shadow}
    return {
        "distance": diff.distance,
        "at": diff.at,
        **{side: body.decode("utf-8", "replace") for side, body in bodies.items()},
    }


def _used(replica: str, rows: list[Sample]) -> dict[str, Any]:
    return {
        "replica": replica,
        "at": [each.at for each in rows],
        "cpu": [each.cpu for each in rows],
        "memory": [each.memory for each in rows],
        "memory_limit": [each.limit for each in rows],
    }
