"""Whether the studio is there (healthz), whether jobs can be submitted (readyz), and numbers for Prometheus."""

import http.client
import secrets
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from sqlalchemy import func
from sqlmodel import col, select
from starlette.responses import JSONResponse, Response

from app.api.caller import Asking
from services import access
from services.core.errors import AtelierError
from services.core.times import now
from services.store.rows import Fact, Job, Workspace
from services.studio import Studio

ALIVE_SECONDS = 15
GATEWAY_SECONDS = 1.0
# New with each start: an open page that finds another one loads itself again, for its session is gone.
PROCESS = secrets.token_hex(8)
router = APIRouter(include_in_schema=False)


@router.api_route("/healthz", methods=["GET", "HEAD"])
def healthz() -> Response:
    return JSONResponse({"status": "ok"}, headers={"X-Process": PROCESS, "Cache-Control": "no-store"})


@router.api_route("/readyz", methods=["GET", "HEAD"])
def readyz(request: Request) -> Response:
    """200 once jobs can be submitted: database, worker, engine, the way to tracking and the gateway are there."""
    states = state(request.app.state.studio)
    is_ready = all(value == "ready" for value in states.values())
    return JSONResponse({"status": "ready" if is_ready else "not ready", **states}, 200 if is_ready else 503)


@router.get("/metrics")
def metrics(asking: Asking) -> Response:
    """Jobs by workspace and status, for those who may read the whole install."""
    with asking.scope(None) as scope:
        access.require(scope, "jobs/read")
        rows = scope.session.exec(
            select(Workspace.name, Job.status, func.count())
            .join(Job, col(Job.workspace_id) == Workspace.id)
            .where(col(Job.deleted_at).is_(None))
            .group_by(col(Workspace.name), col(Job.status))
        ).all()
    states = state(asking.studio)
    lines = ["# HELP atelier_jobs Jobs by workspace and status.", "# TYPE atelier_jobs gauge"]
    lines += [f'atelier_jobs{{workspace="{name}",status="{status}"}} {count}' for name, status, count in rows]
    lines += ["# HELP atelier_ready Whether a part of the studio is ready.", "# TYPE atelier_ready gauge"]
    lines += [f'atelier_ready{{part="{part}"}} {int(value == "ready")}' for part, value in states.items()]
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def state(studio: Studio) -> dict[str, str]:
    """Of each part `ready`, or what is wrong with it."""
    try:
        with studio.database.session(write=False) as session:
            facts = {row.name: row for row in session.exec(select(Fact))}
    except AtelierError as cause:
        return {"database": cause.message}
    return {
        "database": "ready",
        "worker": "ready" if _age(facts.get("worker")) < ALIVE_SECONDS else "not alive",
        "engine": _engine(facts.get("engine")),
        "tracking": "ready" if "tracking" in facts and "gateway" in facts else "starting",
        **({"gateway": _gateway(facts["scoring"])} if "scoring" in facts else {}),
    }


def _gateway(fact: Fact) -> str:
    """Asked itself: its socket is open, kept by the supervisor, while it is started again."""
    where = urlsplit(str(fact.value["url"]))
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=GATEWAY_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return "ready" if connection.getresponse().status == 200 else "not alive"
    except (OSError, http.client.HTTPException):
        return "not alive"
    finally:
        connection.close()


def _engine(fact: Fact | None) -> str:
    value: dict[str, Any] = fact.value if fact else {}
    return str(value.get("state", "starting"))


def _age(fact: Fact | None) -> float:
    return (now() - fact.at).total_seconds() if fact else float("inf")
