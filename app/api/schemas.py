"""JSON schemas of the YAML files, as editors ask for them."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.api.caller import Asking, page
from services import schemas

router = APIRouter(prefix="/schemas", tags=["schemas"])


@router.get("")
def listed(asking: Asking) -> Any:
    """The kinds of files that have a schema, each with the path of it."""
    base = f"{asking.base_url}/api/v1/schemas/"
    return page([{**row, "url": base + row["file"]} for row in schemas.listed()])


@router.get("/{kind}.schema.json")
def show(asking: Asking, kind: str) -> JSONResponse:
    """One schema, by our name of the kind or by the cloud's."""
    return JSONResponse(schemas.schema(kind), media_type="application/schema+json")
