"""Data assets, their files, previews, profiles and differences."""

from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app import links, streams
from app.api.assets import shared
from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import assets, data, previews
from services.core.paging import MOST
from services.core.states import AssetKind
from services.engines.contents import Contents
from services.engines.stores import Entry
from services.specs.data import DataAsset
from services.specs.problems import checked
from services.store.rows import Asset
from services.studio import Scope


def _shown(scope: Scope, row: Asset) -> dict[str, Any]:
    return data.as_json(row)


router = shared("data", AssetKind.data, _shown)
Range = Annotated[str | None, Header()]
Rows = Annotated[int, Query(ge=1, le=1000)]


class Definition(BaseModel):
    """A data asset as it is sent; `upload` is what was uploaded for it, and its `path` then does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    upload: str | None = None


class Wish(BaseModel):
    """Which file a signed link should give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates a version: of files uploaded before, or of a URI, which is kept as it is."""
    spec = checked(DataAsset, sent.spec)
    with asking.scope(ws, write=True) as scope:
        return data.as_json(data.create(scope, spec, upload=sent.upload))


@router.get("/{name}/versions/{version}/files")
def files(
    asking: Asking,
    ws: str,
    name: str,
    version: str,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
    cursor: str = "",
) -> Any:
    """Its files by path; the cursor is the last path of the page before."""
    found = _contents(asking, ws, name, version).listing(most=limit, after=cursor)
    return page([_file(each) for each in found.files], "" if found.is_whole else found.files[-1].path)


@router.get("/{name}/versions/{version}/files/{path:path}")
def file(asking: Asking, ws: str, name: str, version: str, path: str, range: Range = None) -> Response:
    """One file; ranges are honoured."""
    opened, size = _contents(asking, ws, name, version).opened(path)
    return streams.file(opened, size, path, range)


@router.post("/{name}/versions/{version}/links", status_code=201, openapi_extra=described(Wish))
def link(asking: Asking, ws: str, name: str, version: str, wish: Wish = body(Wish)) -> Any:
    """A link that works without signing in, for ten minutes, for this one file."""
    with asking.scope(ws) as scope:
        row = data.get(scope, name, _number(version))
        found = data.contents(scope, row)
    found.opened(wish.path)[0].close()
    address, expires = links.signed(asking.studio, asking.principal, ws, "", wish.path, asset=row.id)
    return {"url": f"{asking.base_url}{address}", "expires_at": expires}


@router.get("/{name}/versions/{version}/preview")
def preview(asking: Asking, ws: str, name: str, version: str, path: str = "", rows: Rows = 50) -> Any:
    """The first rows or lines of one file; without a path of the file that says most, or of an MLTable's table."""
    return previews.preview(_view(asking, ws, name, version), path, rows=rows).as_json()


@router.get("/{name}/versions/{version}/profile")
def profile(asking: Asking, ws: str, name: str, version: str) -> Any:
    """How far the profile is, and every column's numbers when it is Ready."""
    return previews.as_json(previews.profile(_view(asking, ws, name, version)), "profile")


@router.post("/{name}/versions/{version}/profile", status_code=202)
def ask_profile(asking: Asking, ws: str, name: str, version: str, anew: bool = False) -> Any:
    """Has the profile made; it is kept, so that asking again costs nothing unless it is wanted anew."""
    return previews.as_json(previews.ask_profile(_view(asking, ws, name, version), anew=anew), "profile")


@router.get("/{name}/versions/{version}/diff")
def diff(asking: Asking, ws: str, name: str, version: str, with_: Annotated[str, Query(alias="with")]) -> Any:
    """How far the comparison from the version `with` to this one is, and what it found when it is Ready."""
    old, new = _view(asking, ws, name, with_), _view(asking, ws, name, version)
    return previews.as_json(previews.diff(old, new), "diff")


@router.post("/{name}/versions/{version}/diff", status_code=202)
def ask_diff(
    asking: Asking,
    ws: str,
    name: str,
    version: str,
    with_: Annotated[str, Query(alias="with")],
    anew: bool = False,
) -> Any:
    """Has the comparison from the version `with` to this one made."""
    old, new = _view(asking, ws, name, with_), _view(asking, ws, name, version)
    return previews.as_json(previews.ask_diff(old, new, anew=anew), "diff")


def _contents(asking: Asking, ws: str, name: str, version: str) -> Contents:
    with asking.scope(ws) as scope:
        return data.contents(scope, data.get(scope, name, _number(version)))


def _view(asking: Asking, ws: str, name: str, version: str) -> previews.View:
    with asking.scope(ws) as scope:
        return previews.view(scope, data.get(scope, name, _number(version)))


def _number(version: str) -> str | None:
    return None if version == assets.LATEST else version


def _file(each: Entry) -> dict[str, Any]:
    return {"path": each.path, "size": each.size}
