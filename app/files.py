"""Browser routes for what does not go through Streamlit: logs, downloads, archives, uploads, signed links."""

from functools import partial
from typing import Annotated, Any, BinaryIO

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import FileResponse, Response

from app import links, receiving, request_stream, streams, tiles
from app.api import datastores, runs
from app.api import requests as request_log
from app.api import tiles as drawing
from app.api.bodies import body
from app.api.caller import Asking
from app.api.uploads import Announcement, shown
from services import artifacts, assets, data, logs, models, requests, run_files, uploads
from services.engines.contents import Contents
from services.requests import RequestQuery
from services.specs.tiles import Drawing

router = APIRouter(prefix="/files", include_in_schema=False)
Range = Annotated[str | None, Header()]
MOST_PACKED = 100_000
IMMUTABLE = "private, max-age=604800, immutable"


@router.get("/log/{ws}/{job}")
def log(
    asking: Asking,
    ws: str,
    job: str,
    file: str = logs.STANDARD,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    with asking.scope(ws) as scope:
        logs.read(scope, job, file=file, offset=0, limit=1)
    return streams.log(asking, ws, job, file, offset)


@router.get("/requests/{ws}/{name}")
def follow_requests(asking: Asking, ws: str, name: str, after: Annotated[int | None, Query(ge=0)] = None) -> Response:
    with asking.scope(ws) as scope:
        newest = requests.newest(scope, name)
    return request_stream.follow(asking, ws, name, newest if after is None else after)


@router.get("/requests-export/{ws}/{name}")
def requests_export(
    asking: Asking,
    ws: str,
    name: str,
    deployment: str = "",
    code: Annotated[list[str], Query()] = [],  # noqa: B006 (FastAPI copies it)
    search: str = "",
) -> Response:
    """All that match, as CSV."""
    return request_log.exported(asking, ws, name, RequestQuery(deployment, tuple(code), search))


@router.get("/artifact/{ws}/{job}")
def artifact(asking: Asking, ws: str, job: str, path: str, range: Range = None) -> Response:
    with asking.scope(ws) as scope:
        opened, size = artifacts.opened(scope, job, path)
    return streams.file(opened, size, path, range)


@router.get("/run-artifact/{ws}/{name}")
def run_artifact(asking: Asking, ws: str, name: str, path: str, range: Range = None) -> Response:
    """Images are named as what they are, so that a page can show them; opened by themselves they are downloads."""
    with asking.scope(ws) as scope:
        opened, size = run_files.opened(scope, name, path)
    answer = streams.file(opened, size, path, range)
    if answer.status_code != 416 and (media := run_files.media_type(path)):
        answer.headers["Content-Type"] = media
        answer.headers["Cache-Control"] = IMMUTABLE if run_files.is_settled(path) else "no-cache"
    return answer


@router.get("/output/{ws}/{job}")
def output(asking: Asking, ws: str, job: str, name: str, path: str, range: Range = None) -> Response:
    with asking.scope(ws) as scope:
        opened, size = artifacts.opened_output(scope, job, name, path)
    return streams.file(opened, size, path, range)


@router.get("/code/{ws}/{job}")
def code(asking: Asking, ws: str, job: str, path: str, range: Range = None) -> Response:
    with asking.scope(ws) as scope:
        opened, size = artifacts.opened_snapshot(scope, job, path)
    return streams.file(opened, size, path, range)


@router.get("/data/{ws}/{name}")
def data_file(asking: Asking, ws: str, name: str, path: str, version: str = "", range: Range = None) -> Response:
    with asking.scope(ws) as scope:
        found = data.contents(scope, data.get(scope, name, version or None))
    opened, size = found.opened(path)
    return streams.file(opened, size, path, range)


@router.get("/datastore/{ws}/{name}")
def datastore_file(asking: Asking, ws: str, name: str, path: str, range: Range = None) -> Response:
    return datastores.served(asking, ws, name, path, range)


@router.get("/model/{ws}/{name}")
def model_file(asking: Asking, ws: str, name: str, path: str, version: str = "", range: Range = None) -> Response:
    with asking.scope(ws) as scope:
        found = models.contents(scope, models.get(scope, name, version or None))
    opened, size = found.opened(path)
    return streams.file(opened, size, path, range)


@router.get("/model-archive/{ws}/{name}")
def model_archive(asking: Asking, ws: str, name: str, version: str = "") -> Response:
    with asking.scope(ws) as scope:
        found = models.contents(scope, models.get(scope, name, version or None))
    openers = {each.path: partial(_only, found, each.path) for each in found.listing(most=MOST_PACKED).files}
    return streams.packed(f"{name}-{version}" if version else name, openers)


@router.get("/runs-export/{ws}")
def runs_export(asking: Asking, ws: str, query: runs.Wanted, format: runs.Format = "csv") -> Response:
    return runs.exported(asking, ws, query, format)


@router.get("/archive/{ws}/{job}")
def archive(asking: Asking, ws: str, job: str) -> Response:
    return streams.archive(asking.studio, asking.principal, ws, job)


@router.get("/plotly.js")
def plotly() -> Response:
    """What draws the figures of tiles in the browser."""
    headers = {"Cache-Control": "private, max-age=86400"}
    return FileResponse(tiles.bundle(), media_type="text/javascript", headers=headers)


@router.post("/tiles/{ws}")
def tile(request: Request, asking: Asking, ws: str, sent: Drawing = body(Drawing)) -> Response:
    return drawing.draw(request, asking, ws, sent)


@router.get("/signed")
def signed(request: Request, range: Range = None) -> Response:
    fields = dict(request.query_params)
    studio = request.app.state.studio
    principal = links.checked(studio, fields)
    with studio.scope(principal, fields["ws"]) as scope:
        if "asset" not in fields:
            opened, size = artifacts.opened(scope, fields["job"], fields["path"])
            return streams.file(opened, size, fields["path"], range)
        found = data.contents(scope, assets.get_by_id(scope, fields["asset"]))
    opened, size = found.opened(fields["path"])
    return streams.file(opened, size, fields["path"], range)


@router.post("/uploads/{ws}", status_code=201)
def announce(asking: Asking, ws: str, sent: Announcement = body(Announcement)) -> Any:
    with asking.scope(ws, write=True) as scope:
        return shown(uploads.begin(scope, sent.kind, sent.listed()))


@router.put("/uploads/{ws}/{upload}", status_code=204)
async def send(
    request: Request, asking: Asking, ws: str, upload: str, path: str, offset: Annotated[int, Query(ge=0)] = 0
) -> None:
    await receiving.single(request, asking.studio, asking.principal, ws, upload, path, offset)


@router.post("/uploads/{ws}/{upload}/seal")
async def seal(asking: Asking, ws: str, upload: str) -> Any:
    def sealed() -> uploads.Upload:
        with asking.scope(ws, write=True) as scope:
            return uploads.seal(scope, upload)

    return shown(await anyio.to_thread.run_sync(sealed))


def _only(contents: Contents, path: str) -> BinaryIO:
    return contents.opened(path)[0]
