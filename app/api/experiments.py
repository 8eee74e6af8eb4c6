"""Experiments and the runs in them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.caller import Asking, page
from services import experiments, metrics
from services.core.errors import NotFound

router = APIRouter(prefix="/workspaces/{ws}/experiments", tags=["experiments"])


@router.get("")
def listed(asking: Asking, ws: str, include_archived: bool = False, search: str = "") -> Any:
    """Experiments with their latest job."""
    with asking.scope(ws) as scope:
        found = experiments.listed(scope, include_archived=include_archived, search=search)
        return page([experiments.as_json(each) for each in found])


@router.get("/{name}")
def show(asking: Asking, ws: str, name: str) -> Any:
    """One experiment."""
    with asking.scope(ws) as scope:
        for each in experiments.listed(scope, include_archived=True):
            if each.experiment.name == name:
                return experiments.as_json(each)
    raise NotFound(f"Experiment '{name[:80]}' was not found.")


@router.get("/{name}/runs")
def runs(
    asking: Asking,
    ws: str,
    name: str,
    metric: Annotated[list[str], Query()] = [],  # noqa: B006 (FastAPI copies it)
    param: Annotated[list[str], Query()] = [],  # noqa: B006
    order_by: str = "",
    descending: bool = True,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
) -> Any:
    """Runs of an experiment with the metrics and params asked for."""
    with asking.scope(ws) as scope:
        rows = metrics.runs(
            scope,
            name,
            metrics=metric,
            params=param,
            order_by=order_by,
            descending=descending,
            limit=limit,
            offset=offset,
        )
    return page([vars(row) for row in rows])
