"""Metrics of runs: many points at once, and the copy compared with MLflow's record."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request

from app.api.bodies import raw
from app.api.caller import Asking, Caller
from services import metrics
from services.core.errors import AtelierError, EngineError, Unavailable
from services.engines.native_metrics import NativeMetrics
from services.engines.tracking import HttpTracking, Logged, Tracking
from services.sessions import Bearer
from services.specs import metric_batches
from services.specs.metric_batches import MetricBatch
from services.studio import Studio, mlflow_workspace

log = logging.getLogger("atelier.tracking")
router = APIRouter(prefix="/workspaces/{ws}", tags=["experiments"])
FORWARDED = 1000
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": metric_batches.schema()}}}}


@router.post("/runs/{run}/metrics:batch", openapi_extra=_BODY)
async def log_batch(request: Request, asking: Asking, ws: str, run: str) -> Any:
    """Logs up to a million points to a run at once; MLflow's clients read them there."""
    await anyio.to_thread.run_sync(_run_id, asking, ws, run)  # before 64 MB are taken in
    content = await raw(request, metric_batches.MOST_BYTES)
    return await anyio.to_thread.run_sync(_logged, asking, ws, run, content)


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
