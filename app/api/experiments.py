"""Experiments and the runs in them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.caller import Asking, page
from app.api.runs import line
from services import experiments
from services import runs as listing
from services.core.errors import NotFound
from services.runs import NEWEST, RunsQuery
from services.specs.run_fields import Field

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
    columns = [str(Field("metrics", each)) for each in metric] + [str(Field("params", each)) for each in param]
    by = f"{'-' if descending else ''}{Field('metrics', order_by)}" if order_by else NEWEST[0]
    with asking.scope(ws) as scope:
        found = listing.listed(scope, RunsQuery((name,), "", "", tuple(columns), (by,), limit, offset, count_to=0))
    return page([line(each) for each in found.rows])
