"""Runs beside each other, what two of them differ in, and whether that is more than luck."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.caller import Asking
from services import comparisons
from services.comparisons import MOST_ROWS
from services.engines.statistics import Test

router = APIRouter(prefix="/workspaces/{ws}", tags=["runs"])
Runs = Annotated[list[str], Query(alias="run", description="a job's name or MLflow's run id, 2 to 200 times")]
Named = Annotated[str, Query(max_length=400)]


@router.get("/runs:compare")
def compare(
    asking: Asking,
    ws: str,
    run: Runs,
    baseline: Named = "",
    aggregate: Named = "last",
    differences_only: bool = False,
    search: Named = "",
    limit: Annotated[int, Query(ge=1, le=10_000, description="rows of each kind")] = MOST_ROWS,
    section: Annotated[list[str], Query(description="of two runs: what else to compare")] = [],  # noqa: B006 (FastAPI copies it)
) -> Any:
    """Metrics, parameters and tags of runs, the baseline first, with the distance to it; and sections of two runs."""
    with asking.scope(ws) as scope:
        found = comparisons.compare_runs(
            scope,
            run,
            baseline=baseline,
            aggregate=aggregate,
            only_differing=differences_only,
            search=search,
            limit=limit,
        )
        sections = [comparisons.diff(scope, found.baseline, found.runs[1].id, each) for each in dict.fromkeys(section)]
        return found.as_json() | {"sections": [each.as_json() for each in sections]}


@router.get("/runs:significance")
def significance(
    asking: Asking,
    ws: str,
    run: Runs,
    metric: Named,
    baseline: Named = "",
    group_by: Annotated[list[str], Query(description="params.NAME, tags.NAME …")] = [],  # noqa: B006
    aggregate: Named = "last",
    test: Test | None = None,
) -> Any:
    """Whether groups of three runs or more, alike but for their seeds, differ from the baseline's by more than luck."""
    with asking.scope(ws) as scope:
        return comparisons.significance(
            scope, run, metric, baseline=baseline, group_by=group_by, aggregate=aggregate, test=test
        ).as_json()


@router.get("/runs/{name}/changes")
def changes(asking: Asking, ws: str, name: str, metric: Named = "", aggregate: Named = "last") -> Any:
    """What changed since the last good run of the same experiment, the likeliest cause first."""
    with asking.scope(ws) as scope:
        return comparisons.changed(scope, name, metric=metric, aggregate=aggregate).as_json()
