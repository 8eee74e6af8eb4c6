"""Metrics of runs: many points at once, and the copy compared with MLflow's record."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from app.api.bodies import body, described, raw
from app.api.caller import Asking, Caller
from services import metric_healing as healing
from services import metrics
from services.core.errors import AtelierError, EngineError, Unavailable
from services.engines.native_metrics import NativeMetrics
from services.engines.tracking import HttpTracking, Logged, Tracking
from services.sessions import Bearer
from services.specs import metric_batches
from services.specs.metric_batches import MetricBatch
from services.store.metrics import ENDED
from services.studio import Studio, mlflow_workspace

log = logging.getLogger("atelier.tracking")
router = APIRouter(prefix="/workspaces/{ws}", tags=["experiments"])
FORWARDED = 1000
SECONDS = 5.0
MOST_TOLD = 20
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": metric_batches.schema()}}}}


@router.post("/runs/{run}/metrics:batch", openapi_extra=_BODY)
async def log_batch(request: Request, asking: Asking, ws: str, run: str) -> Any:
    """Logs up to a million points to a run at once; MLflow's clients read them there."""
    await anyio.to_thread.run_sync(_run_id, asking, ws, run)  # before 64 MB are taken in
    content = await raw(request, metric_batches.MOST_BYTES)
    return await anyio.to_thread.run_sync(_logged, asking, ws, run, content)


class Rebuilding(BaseModel):
    """Which runs are compared and mended: one by its name, or a page of all those after an id."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    run: str = ""
    after: str = ""
    thorough: bool = False


@router.get("/metrics:check")
def check(asking: Asking, ws: str, run: str = "", after: str = "", thorough: bool = False) -> Any:
    """Compares the copy of metrics with MLflow's record, for some seconds: `next` says where to go on."""
    return _compared(asking, ws, Rebuilding(run=run, after=after, thorough=thorough), mends=False)


@router.post("/metrics:rebuild", openapi_extra=described(Rebuilding))
def rebuild(asking: Asking, ws: str, sent: Rebuilding = body(Rebuilding)) -> Any:
    """Does the same and mends what differs from MLflow's record; a run that is named is read anew in any case."""
    return _compared(asking, ws, sent, mends=True)


def _compared(asking: Caller, ws: str, sent: Rebuilding, *, mends: bool) -> dict[str, Any]:
    """Runs that still go on are compared at their end: they change while they are looked at."""
    with asking.scope(ws) as scope:
        page = metrics.copied(scope, name=sent.run, after=sent.after, to_change=mends)
        scope.session.expunge_all()
    studio = asking.studio
    server = tracking(studio) if any(run.status in ENDED for run in page) else None
    thinned = studio.history.thinned([run.run_id for run in page])
    said: dict[str, Any] = {"checked": 0, "running": 0, "thinned": 0, "differing": [], "mended": 0, "next": ""}
    until = time.monotonic() + SECONDS
    for run in page:
        if server is None or run.status not in ENDED:
            said["running"] += 1
        else:
            wrong = healing.differences(studio, server, run.workspace_id, run.run_id, thorough=sent.thorough)
            said["checked"] += 1
            said["thinned"] += run.run_id in thinned
            if wrong:
                said["differing"].append({"run": run.run_id, "name": run.name, "differences": wrong[:MOST_TOLD]})
            if mends and (wrong or sent.run):
                healing.rebuild(studio, server, run.workspace_id, run.run_id)
                said["mended"] += 1
        if time.monotonic() > until and run is not page[-1]:
            return {**said, "next": run.run_id}
    return {**said, "next": page[-1].run_id if page and not sent.run else ""}


def _run_id(asking: Caller, ws: str, run: str) -> tuple[str, str]:
    """Of the workspace, and of the run in MLflow."""
    bearer = asking.request.scope.get("atelier.bearer")
    job_id = bearer.job_id if isinstance(bearer, Bearer) else None
    with asking.studio.scope(asking.principal, ws, job_id=job_id) as scope:
        return scope.workspace_id, metrics.run_to_log(scope, run)


def _logged(asking: Caller, ws: str, run: str, content: bytes) -> dict[str, Any]:
    """What MLflow has kept goes on to the tee, also when it then keeps no more."""
    batch = metric_batches.read(content, int(time.time() * 1000))
    workspace_id, run_id = _run_id(asking, ws, run)
    native = _native(asking.studio)
    kept = _written(native, run_id, batch) if native else _forwarded(asking.studio, workspace_id, run_id, batch)
    count = 0
    try:
        for part in kept:
            asking.request.app.state.tee.batch(run_id, batch[part])
            count = min(part.stop, len(batch))
    except AtelierError as error:
        error.hint = f"{count} of {len(batch)} points were logged; points that are sent again stay single."
        raise
    return {"run_id": run_id, "logged": count, "door": "native" if native else "mlflow"}


def _native(studio: Studio) -> NativeMetrics | None:
    """Where an admin has opened it, and MLflow's tables are those that it knows."""
    if not studio.settings.native_metrics:
        return None
    native = NativeMetrics(studio.folders.mlflow)
    try:
        if native.is_known():
            return native
    except EngineError as cause:
        log.warning("Points go through MLflow's own door: %s", cause)
    return None


def _written(native: NativeMetrics, run_id: str, batch: MetricBatch) -> Iterator[slice]:
    return native.log(run_id, batch.names, key=batch.key, step=batch.step, time=batch.time, value=batch.value)


def _forwarded(studio: Studio, workspace_id: str, run_id: str, batch: MetricBatch) -> Iterator[slice]:
    server = tracking(studio)
    for start in range(0, len(batch), FORWARDED):
        part = slice(start, start + FORWARDED)
        some = batch[part]
        rows = zip(some.key.tolist(), some.value.tolist(), some.time.tolist(), some.step.tolist(), strict=True)
        points = [(batch.names[key], Logged(value, at, step)) for key, value, at, step in rows]
        server.log(mlflow_workspace(workspace_id), run_id, points)
        yield part


def tracking(studio: Studio) -> Tracking:
    """A client of MLflow, wherever it listens now. Raises Unavailable before it was ever started."""
    fact = studio.fact("tracking")
    if fact is None:
        raise Unavailable("Tracking has not started yet.")
    return HttpTracking(str(fact.value["url"]))
