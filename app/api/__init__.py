"""The REST surface below /api/v1: one router a noun, JSON in and out, errors as problem+json."""

from fastapi import APIRouter

from app.api import (
    batch_endpoints,
    comparisons,
    components,
    computes,
    data,
    datastores,
    environments,
    experiments,
    job_files,
    jobs,
    lineage,
    metrics,
    models,
    online_deployments,
    online_endpoints,
    requests,
    rollouts,
    runs,
    schemas,
    secrets,
    tiles,
    uploads,
    views,
    workspaces,
)


def router() -> APIRouter:
    """Everything below /api/v1."""
    made = APIRouter(prefix="/api/v1")
    for part in (
        workspaces,
        uploads,
        job_files,
        jobs,
        data,
        datastores,
        components,
        environments,
        models,
        batch_endpoints,
        online_endpoints,
        online_deployments,
        secrets,
        requests,
        lineage,
        experiments,
        runs,
        comparisons,
        metrics,
        tiles,
        views,
        computes,
        rollouts,
        schemas,
    ):
        made.include_router(part.router)
    return made
