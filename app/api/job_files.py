"""A job's files: its log by offset or as a stream, its artifacts and named outputs, signed links to them."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app import links, streams
from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import artifacts, logs
from services.engines.files import File

router = APIRouter(prefix="/workspaces/{ws}/jobs/{name}", tags=["jobs"])
Range = Annotated[str | None, Header()]


class Wish(BaseModel):
    """Which file a signed link should give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str


@router.get("/log")
def log(
    asking: Asking,
    ws: str,
    name: str,
    file: str = logs.STANDARD,
    offset: Annotated[int, Query(ge=0)] = 0,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Bytes from `offset`, with the offset after them in X-Log-Offset; or server-sent events when asked for."""
    with asking.scope(ws) as scope:
        chunk = logs.read(scope, name, file=file, offset=offset)
    if "text/event-stream" in accept:
        return streams.log(asking, ws, name, file, offset)
    headers = {"X-Log-Offset": str(chunk.offset), "X-Log-End": str(chunk.ended).lower()}
    return Response(chunk.data, media_type="application/octet-stream", headers=headers)


@router.get("/files")
def files(asking: Asking, ws: str, name: str, prefix: str = "") -> Any:
    """The run's artifacts."""
    with asking.scope(ws) as scope:
        return page([_file(each) for each in artifacts.listed(scope, name, prefix=prefix)])


@router.get("/files/{path:path}")
def file(asking: Asking, ws: str, name: str, path: str, range: Range = None) -> Response:
    """One artifact; ranges are honoured."""
    with asking.scope(ws) as scope:
        opened, size = artifacts.opened(scope, name, path)
    return streams.file(opened, size, path, range)


@router.get("/outputs/{output}/files")
def output_files(asking: Asking, ws: str, name: str, output: str) -> Any:
    """The files of a named output."""
    with asking.scope(ws) as scope:
        return page([_file(each) for each in artifacts.output(scope, name, output)])


@router.get("/outputs/{output}/files/{path:path}")
def output_file(asking: Asking, ws: str, name: str, output: str, path: str, range: Range = None) -> Response:
    """One file of a named output; ranges are honoured."""
    with asking.scope(ws) as scope:
        opened, size = artifacts.opened_output(scope, name, output, path)
    return streams.file(opened, size, path, range)


@router.post("/links", status_code=201, openapi_extra=described(Wish))
def link(asking: Asking, ws: str, name: str, wish: Wish = body(Wish)) -> Any:
    """A link that works without signing in, for ten minutes, for this one file."""
    with asking.scope(ws) as scope:
        artifacts.opened(scope, name, wish.path)[0].close()
        address, expires = links.signed(asking.studio, asking.principal, ws, name, wish.path)
    return {"url": f"{asking.base_url}{address}", "expires_at": expires}


def _file(each: File) -> dict[str, Any]:
    return {"path": each.path, "size": each.size}
