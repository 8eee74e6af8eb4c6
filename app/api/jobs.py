"""Jobs: submit, list, show, change, cancel, archive, delete; their events and metrics."""

import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api import shapes
from app.api.bodies import body, described
from app.api.caller import Asking, Caller, page
from services import access, events, jobs, metrics, workspaces
from services.core.errors import Conflict, Invalid
from services.core.times import now
from services.specs.jobs import CommandJob
from services.specs.problems import checked
from services.store.rows import IdempotencyKey, Job
from services.studio import Scope

router = APIRouter(prefix="/workspaces/{ws}/jobs", tags=["jobs"])
Name = Annotated[str, "the job's name"]


class Submission(BaseModel):
    """A job as it is sent: `spec` without local paths; code, context and data were uploaded before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    source: str = Field(default="", max_length=1 << 20)
    snapshot: str | None = None
    context: str | None = None
    git: dict[str, str] = {}


class Change(BaseModel):
    """What may change on a job; what is left out stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    display_name: str | None = None
    description: str | None = Field(default=None, max_length=10_000)
    tags: dict[str, str] | None = None
    starred: bool | None = None


@router.post("", status_code=201, openapi_extra=described(Submission))
def submit(
    asking: Asking,
    ws: str,
    response: Response,
    sent: Submission = body(Submission),
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Any:
    """Submits a job; an Idempotency-Key makes a repeated call answer the same job."""
    kind = sent.spec.get("type", "command")
    if kind != "command":
        raise Invalid(f"Jobs of type {str(kind)[:40]!r} are not run by this version.", where="type")
    spec = checked(CommandJob, sent.spec)
    with asking.scope(ws, write=True) as scope:
        access.require(scope, "jobs/write")
        if (known := _answered(scope, idempotency_key, sent)) is not None:
            response.headers["Idempotent-Replay"] = "true"
            return known
        job = jobs.submit(scope, spec, source=sent.source, snapshot=sent.snapshot, context=sent.context, git=sent.git)
        answer = {**_shown(asking, scope, job), "warnings": spec.warnings()}
        if idempotency_key:
            scope.session.add(
                IdempotencyKey(
                    key=idempotency_key,
                    principal_id=scope.principal.id,
                    request_hash=_hash(scope, sent),
                    status=201,
                    answer=answer,
                    created_at=now(),
                )
            )
        return answer


@router.get("")
def listed(
    asking: Asking,
    ws: str,
    search: str = "",
    status: Annotated[list[str], Query()] = [],  # noqa: B006 (FastAPI copies it)
    created_by: Annotated[list[str], Query()] = [],  # noqa: B006
    experiment_name: str = "",
    include_archived: bool = False,
    order_by: str = "-created_at",
    limit: int = 50,
    cursor: str = "",
) -> Any:
    """Jobs by search, status, creator and experiment, in pages."""
    query = jobs.JobQuery(
        search, tuple(status), tuple(created_by), experiment_name, include_archived, order_by, limit, cursor
    )
    with asking.scope(ws) as scope:
        found = jobs.listed(scope, query)
        return page([_shown(asking, scope, row) for row in found.rows], found.next_cursor)


@router.get("/{name}")
def show(asking: Asking, ws: str, name: Name, response: Response) -> Any:
    """One job, with its revision as ETag."""
    with asking.scope(ws) as scope:
        job = jobs.get(scope, name)
        response.headers["ETag"] = f'"{job.revision}"'
        return _shown(asking, scope, job)


@router.patch("/{name}", openapi_extra=described(Change))
def update(asking: Asking, ws: str, name: Name, response: Response, change: Change = body(Change)) -> Any:
    """Changes display name, description or tags; If-Match guards against somebody else's change."""
    with asking.scope(ws, write=True) as scope:
        asking.expects(scope, jobs.get(scope, name))
        job = jobs.update_details(scope, name, **change.model_dump())
        response.headers["ETag"] = f'"{job.revision}"'
        return _shown(asking, scope, job)


@router.delete("/{name}", status_code=204)
def delete(asking: Asking, ws: str, name: Name) -> None:
    """Deletes an ended job with its files."""
    with asking.scope(ws, write=True) as scope:
        asking.expects(scope, jobs.get(scope, name))
        jobs.delete(scope, name)


@router.post("/{name}/cancel", status_code=202)
def cancel(asking: Asking, ws: str, name: Name) -> Any:
    """Asks for a job to be stopped."""
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, jobs.cancel(scope, name))


@router.post("/{name}/archive")
def archive(asking: Asking, ws: str, name: Name) -> Any:
    """Hides a job from lists."""
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, jobs.archive(scope, name))


@router.post("/{name}/restore")
def restore(asking: Asking, ws: str, name: Name) -> Any:
    """Shows an archived job again."""
    with asking.scope(ws, write=True) as scope:
        return _shown(asking, scope, jobs.restore(scope, name))


@router.get("/{name}/events")
def told(asking: Asking, ws: str, name: Name) -> Any:
    """What happened to a job, in order."""
    with asking.scope(ws) as scope:
        jobs.get(scope, name)
        return page([shapes.event(row) for row in events.of(scope, "job", name)])


@router.get("/{name}/metrics")
def summary(asking: Asking, ws: str, name: Name) -> Any:
    """Of each metric the last, least and greatest value; params and tags."""
    with asking.scope(ws) as scope:
        found = metrics.summary(scope, name)
    return {
        "metrics": {
            each.key: {
                "last": each.last,
                "step": each.last_step,
                "min": each.min,
                "max": each.max,
                "count": each.count,
            }
            for each in found.metrics
        },
        "params": found.params,
        "tags": found.tags,
    }


@router.get("/{name}/metrics/history")
def history(
    asking: Asking,
    ws: str,
    name: Name,
    key: Annotated[list[str], Query()],
    max_points: Annotated[int | None, Query(ge=4, le=100_000)] = None,
) -> Response:
    """The points of metrics, down-sampled to `max_points` with all extremes kept."""
    with asking.scope(ws) as scope:
        lines = metrics.history(scope, name, key, max_points=max_points)
    value = [
        {"key": line.key, "step": line.step, "timestamp": line.time, "value": line.value.tolist()} for line in lines
    ]
    content = orjson.dumps({"value": value, "next_cursor": ""}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")


def _shown(asking: Caller, scope: Scope, job: Job) -> dict[str, Any]:
    return shapes.job(job, workspaces.get(scope), asking.base_url)


def _hash(scope: Scope, sent: Submission) -> str:
    """Of the request: the same key in another workspace is another request."""
    content = [scope.workspace_id, sent.model_dump()]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _answered(scope: Scope, key: str | None, sent: Submission) -> dict[str, Any] | None:
    known = scope.session.get(IdempotencyKey, (key, scope.principal.id)) if key else None
    if known is None:
        return None
    if known.request_hash != _hash(scope, sent):
        raise Conflict("This Idempotency-Key was used for another request.", where="Idempotency-Key")
    return dict(known.answer)
