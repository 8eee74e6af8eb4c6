"""Requests: what an online endpoint was asked and how it answered, from the log that the gateway writes."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from services import access, endpoints
from services.core.errors import Invalid, NotFound
from services.core.paging import MOST
from services.core.times import iso
from services.engines.run_tables import as_csv
from services.store.request_rolls import Series
from services.store.requests import Agreement, Record, Requests, Sample, Window
from services.studio import Scope

_CODE = re.compile(r"\A[1-5](?:\d\d|xx)\Z", re.ASCII)
SECONDS = 60


@dataclass(frozen=True)
class RequestQuery:
    """Which requests. `codes` are like 424 or 5xx; `search` looks in paths, reasons, user agents and ids.

    `since` is in seconds since 1970; `before` the id of the last one that is known already: the newest come first.
    """

    deployment: str = ""
    codes: tuple[str, ...] = ()
    search: str = ""
    since: float | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True)
class Summary:
    """How a deployment does now: the last seconds of it."""

    deployment: str
    deployment_id: str
    seconds: float
    window: Window


@dataclass(frozen=True)
class Charts:
    """Columns of one length: of the endpoint with what reached no deployment, and of each deployment by name."""

    total: Series
    deployments: Mapping[str, Series] = field(default_factory=dict)


def listed(scope: Scope, endpoint: str, query: RequestQuery | None = None) -> list[Record]:
    """The newest first. Raises Invalid for a code that is none and a limit outside of 1–1000."""
    access.require(scope, "onlineEndpoints/read")
    return _asked(scope.studio.requests, endpoints.get(scope, endpoint).id, _checked(query or RequestQuery()))


def exported(scope: Scope, endpoint: str, query: RequestQuery | None = None) -> Iterator[bytes]:
    """All that match, as CSV; read while it is taken, also after this transaction. `limit` does not count."""
    access.require(scope, "onlineEndpoints/read")
    row, checked = endpoints.get(scope, endpoint), _checked(replace(query or RequestQuery(), limit=MOST))
    heads = list(as_json(Record(0.0, "", "", "")))
    pages = _pages(scope.studio.requests, row.id, checked)
    return as_csv(heads, ([list(as_json(each).values()) for each in page] for page in pages))


def fresh(scope: Scope, endpoint: str, after: int, *, limit: int = 200) -> list[Record]:
    """Those that came after the one of this id, oldest first; of more than `limit` the newest: for who follows."""
    access.require(scope, "onlineEndpoints/read")
    return scope.studio.requests.fresh(endpoints.get(scope, endpoint).id, after, limit)


def newest(scope: Scope, endpoint: str) -> int:
    """The id from which on to follow; 0 before the first request of all."""
    access.require(scope, "onlineEndpoints/read")
    endpoints.get(scope, endpoint)
    return scope.studio.requests.newest()


def summary(scope: Scope, endpoint: str, *, seconds: float = SECONDS) -> list[Summary]:
    """Of each deployment, by name: requests a minute, latencies, answers by class, how many are in flight."""
    access.require(scope, "onlineEndpoints/read")
    if not 1 <= seconds <= 7200:
        raise Invalid(f"A summary is of 1 to 7200 seconds, not of {seconds:g}.", where="seconds")
    rows = endpoints.deployments_of(scope, endpoints.get(scope, endpoint))
    log = scope.studio.requests
    return [Summary(row.name, row.id, seconds, log.window(row.id, seconds)) for row in rows]


def series(
    scope: Scope, endpoint: str, *, since: float, until: float | None = None, step_s: int | None = None
) -> Charts:
    """From `since` until now unless told otherwise; some three hundred steps when no length is named.

    Raises Invalid for a span that ends before it begins, and steps shorter than a second.
    """
    access.require(scope, "onlineEndpoints/read")
    until = time.time() if until is None else until
    if until <= since:
        raise Invalid("The span ends before it begins.", where="until")
    if step_s is not None and step_s < 1:
        raise Invalid(f"A step is at least one second, not {step_s}.", where="step")
    step = step_s or _step(until - since)
    row, log = endpoints.get(scope, endpoint), scope.studio.requests
    return Charts(
        log.series(endpoint_id=row.id, since=since, until=until, step_s=step),
        {
            each.name: log.series(deployment_id=each.id, since=since, until=until, step_s=step)
            for each in endpoints.deployments_of(scope, row)
        },
    )


def agreement(scope: Scope, endpoint: str, live: str, shadow: str) -> Agreement:
    """How often the shadow answered as the live deployment did, and where they were furthest apart."""
    access.require(scope, "onlineEndpoints/read")
    return scope.studio.requests.diffs(endpoints.get(scope, endpoint).id, live, shadow)


def pairs(scope: Scope, endpoint: str) -> list[tuple[str, str]]:
    """Live and shadow deployments whose answers were compared, by name."""
    access.require(scope, "onlineEndpoints/read")
    return scope.studio.requests.pairs(endpoints.get(scope, endpoint).id)


def samples(
    scope: Scope, endpoint: str, deployment: str, *, since: float, until: float | None = None
) -> dict[str, list[Sample]]:
    """What the replicas of a deployment used, by their ids; also of those that have ended."""
    access.require(scope, "onlineEndpoints/read")
    rows = endpoints.deployments_of(scope, endpoints.get(scope, endpoint))
    row = next((each for each in rows if each.name == deployment), None)
    if row is None:
        raise NotFound(f"Endpoint '{endpoint[:80]}' has no deployment '{deployment[:80]}'.")
    found: dict[str, list[Sample]] = {}
    for sample in scope.studio.requests.samples(row.id, since=since, until=time.time() if until is None else until):
        found.setdefault(sample.replica_id, []).append(sample)
    return found


def as_json(record: Record) -> dict[str, Any]:
    """A line of the log with the cloud's column names, and what only this studio knows after them."""
    return {
        "TimeGenerated": iso(datetime.fromtimestamp(record.at, UTC)),
        "Method": record.method,
        "Path": record.path,
        "EndpointName": record.endpoint,
        "DeploymentName": record.deployment,
        "Protocol": record.protocol,
        "ResponseCode": record.code,
        "ResponseCodeReason": record.reason,
        "ModelStatusCode": record.model_code or None,
        "ModelStatusReason": record.model_reason,
        "RequestPayloadSize": record.request_size,
        "ResponsePayloadSize": record.response_size,
        "UserAgent": record.user_agent,
        "XRequestId": record.request_id,
        "XMSClientRequestId": record.client_request_id,
        "TotalDurationMs": round(record.total_ms, 3),
        "RequestDurationMs": round(record.request_ms, 3),
        "ResponseDurationMs": round(record.response_ms, 3),
        "RequestThrottlingDelayMs": round(record.throttle_ms, 3),
        "Kind": record.kind,
        "ReplicaId": record.replica_id,
        "InFlight": record.in_flight,
        "Queued": record.queued,
        "Id": record.id,
    }


def _checked(query: RequestQuery) -> RequestQuery:
    for code in query.codes:
        if not _CODE.match(code):
            raise Invalid(f"{code[:20]!r} is not a status.", where="code", hint="Such as 200, 424, 4xx or 5xx.")
    if not 1 <= query.limit <= MOST:
        raise Invalid(f"A page holds 1 to {MOST} rows, not {query.limit}.", where="limit")
    return query


def _asked(log: Requests, endpoint_id: str, query: RequestQuery) -> list[Record]:
    return log.listed(
        endpoint_id,
        deployment=query.deployment,
        codes=query.codes,
        search=query.search,
        since=query.since,
        before=query.before,
        limit=query.limit,
    )


def _pages(log: Requests, endpoint_id: str, query: RequestQuery) -> Iterator[list[Record]]:
    while page := _asked(log, endpoint_id, query):
        yield page
        query = replace(query, before=page[-1].id)


def _step(span: float) -> int:
    """A round length at which the span has at most three hundred steps."""
    return next((step for step in _STEPS if span / step <= 300), _STEPS[-1])


_STEPS: Sequence[int] = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)
