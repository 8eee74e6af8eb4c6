"""Batch endpoints with jobs as their driver would leave them, and what an online endpoint is monitored by."""

import time
from datetime import timedelta
from typing import Any

from sqlmodel import select

from services import batch_endpoints, deployments, endpoints, jobs
from services.core.states import JobStatus
from services.core.times import now
from services.specs.deployments import ModelBatchDeployment
from services.specs.endpoints import BatchEndpoint, Invocation
from services.store.requests import Compared, Diff, Record, Sample
from services.store.rows import Asset, Job
from services.store.serving import Deployment, Endpoint
from services.studio import Scope
from tests.conftest import Stage
from tests.pages import serving_seed
from tests.recorded import recorded

SHADOW = "<script>alert(1)</script>"


def endpoint(scope: Scope, name: str = "nightly", **fields: Any) -> Endpoint:
    return batch_endpoints.create(scope, BatchEndpoint.model_validate({"name": name, **fields}))


def deployment(scope: Scope, place: str, name: str, **fields: Any) -> Deployment:
    written = {"name": name, "endpoint_name": place, "model": "azureml:iris:1", **fields}
    spec = ModelBatchDeployment.model_validate(written)
    is_first = not batch_endpoints.listed_deployments(scope, place)
    return batch_endpoints.create_deployment(scope, place, spec, set_default=is_first)


def called(scope: Scope, place: str, status: str = "Completed", deployment: str | None = None) -> Job:
    """A job over a folder of the default datastore."""
    data = {"type": "uri_folder", "path": "azureml://datastores/workspaceblobstore/paths/images"}
    job = batch_endpoints.invoke(
        scope, place, Invocation.model_validate({"inputs": {"data": data}}), deployment=deployment
    )
    job.status, job.started_at = JobStatus(status), now() - timedelta(seconds=70)
    if status == "Completed":
        job.finished_at = job.collected_at = now()
    scope.session.add(job)
    scope.session.flush()
    return job


def told(stage: Stage, name: str, **values: float) -> None:
    """What the driver of a job has told of its mini-batches; the job has a run from then on."""
    run_id = name.encode().hex()[:32].ljust(32, "0")
    with stage.scope() as scope:
        job = jobs.get(scope, name)
        job.run_id = run_id
        scope.session.add(job)
    recorded(stage, run_id, {key: [value] for key, value in values.items()}, experiment="nightly")


def nightly(stage: Stage) -> list[str]:
    """`nightly` with two deployments and two jobs, and `idle` with nothing; the jobs' names, the newest last."""
    with stage.scope() as scope:
        if not scope.session.exec(select(Asset).where(Asset.name == "iris")).first():
            serving_seed.model(scope)
        endpoint(scope, description="Every picture of the day", tags={"team": "vision"})
        deployment(scope, "nightly", "blue", settings={"mini_batch_size": 25, "retry_settings": {"max_retries": 2}})
        deployment(scope, "nightly", "green", settings={"error_threshold": 5, "output_action": "summary_only"})
        endpoint(scope, "idle")
        return [called(scope, "nightly").name, called(scope, "nightly", "Running", "green").name]


def busy(scope: Scope, row: Endpoint) -> None:
    """An hour of requests to blue and green, errors of every kind, samples of replicas, a shadow that differs."""
    at, log = time.time(), scope.studio.requests
    kinds = {7: 424, 11: 408, 13: 429, 17: 503, 19: 400}
    found = {each.name: each for each in endpoints.deployments_of(scope, row)}
    records = []
    for place in range(1800):
        name = "green" if place % 10 == 0 else "blue"
        code = next((code for every, code in kinds.items() if name == "green" and place % (every * 10) == 0), 200)
        records.append(
            Record(
                at=at - 3500 + 1.94 * place,
                workspace_id=row.workspace_id,
                endpoint_id=row.id,
                endpoint=row.name,
                deployment_id=found[name].id,
                deployment=name,
                path=f"/{scope.workspace.name if scope.workspace else ''}/{row.name}/score",
                code=code,
                reason={200: "OK", 424: "Failed Dependency"}.get(code, ""),
                model_code=500 if code == 424 else 0,
                model_reason="It does not want to" if code == 424 else "",
                request_size=180 + place % 40,
                response_size=36,
                user_agent="python-httpx/0.28",
                request_id=f"{place:08x}-0000",
                total_ms=4.0 + place % 17 + (30 if name == "green" else 0) + (place % 97 == 0) * 120,
                request_ms=0.2,
                response_ms=0.1,
                in_flight=1 + place % 4,
                queued=max(0, place % 60 - 57),
            )
        )
    diffs = [
        Compared(
            row.id, "blue", "green", Diff(0.0 if place % 5 else place / 40, b'{"data": [[5.1]]}', b"[0]", b"[2]", at)
        )
        for place in range(40)
    ]
    diffs.append(Compared(row.id, "blue", "green", Diff(1.0, b'{"data": [[9]]}', b'{"a": 1}', SHADOW.encode(), at)))
    log.write(records, diffs)
    for each in found.values():
        for replica in deployments.replicas(scope, each):
            log.sample(
                [
                    Sample(at - 900 + 10 * n, each.id, replica.id, 12.0 + n % 30, (210 + n % 9) << 20, 2 << 30)
                    for n in range(90)
                ]
            )
