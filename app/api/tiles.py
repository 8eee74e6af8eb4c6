"""Tiles of dashboards, drawn for runs."""

import hashlib

from fastapi import APIRouter, Request
from starlette.responses import Response

from app import tiles
from app.api.bodies import body, described
from app.api.caller import Asking
from services.specs.tiles import Drawing

router = APIRouter(prefix="/workspaces/{ws}", tags=["experiments"])


@router.post("/tiles", openapi_extra=described(Drawing))
def draw(request: Request, asking: Asking, ws: str, sent: Drawing = body(Drawing)) -> Response:
    """What a tile shows of at most 200 runs: a figure for Plotly, a table, images or a sentence."""
    with asking.scope(ws) as scope:
        content = tiles.answer(scope, sent)
    return unless_known(request, content)


def unless_known(request: Request, content: bytes) -> Response:
    """A dashboard asks again while its runs run: what did not change is not sent twice."""
    tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
