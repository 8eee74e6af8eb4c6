"""Lineage over REST: what something came from, what came of it, and what changed between two jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.caller import Asking
from services import comparisons, lineage
from services.lineage import LEVELS

router = APIRouter(prefix="/workspaces/{ws}/lineage", tags=["lineage"])


@router.get("/jobs/{name}/compare/{other}")
def compare(asking: Asking, ws: str, name: str, other: str) -> Any:
    """What changed between two jobs: command, parameters, inputs, code, environment, packages, git."""
    with asking.scope(ws) as scope:
        return comparisons.compare(scope, name, other).as_json()


@router.get("/{kind}/{id:path}")
def around(
    asking: Asking,
    ws: str,
    kind: str,
    id: str,
    direction: lineage.Direction = "both",
    levels: Annotated[int, Query(description="at most 20")] = LEVELS,
) -> Any:
    """Nodes and edges around a job (name or id), an asset (`name:version` or id) or a URI that a job read."""
    with asking.scope(ws) as scope:
        return lineage.around(scope, kind, id, direction=direction, levels=levels).as_json()
