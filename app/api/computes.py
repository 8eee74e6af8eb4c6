"""Compute: the engines that run jobs."""

from typing import Any

from fastapi import APIRouter

from app.api.caller import Asking, page
from services import computes

router = APIRouter(prefix="/workspaces/{ws}/computes", tags=["computes"])


@router.get("")
def listed(asking: Asking, ws: str) -> Any:
    """The engines that run jobs, and their capacity."""
    with asking.scope(ws) as scope:
        return page([computes.as_json(each) for each in computes.listed(scope)])
