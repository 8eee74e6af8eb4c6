"""Uploads: announce files, send what is missing in one stream, seal."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app import receiving
from app.api.bodies import body, described
from app.api.caller import Asking
from services import uploads
from services.engines import archives
from services.engines.files import remove_tree
from services.specs.code import Entry, whole

router = APIRouter(prefix="/workspaces/{ws}/uploads", tags=["uploads"])


class Announced(BaseModel):
    """One file: relative POSIX path, size in bytes, SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(max_length=4096)
    size: int = Field(ge=0, le=1 << 50)
    sha256: str = Field(max_length=64)
    executable: bool = False


class Announcement(BaseModel):
    """All files of an upload, and what it is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["code", "data", "context"]
    entries: list[Announced]

    def listed(self) -> list[Entry]:
        return [Entry(each.path, each.size, each.sha256, each.executable) for each in self.entries]


@router.post("", status_code=201, openapi_extra=described(Announcement))
def begin(asking: Asking, ws: str, sent: Announcement = body(Announcement)) -> Any:
    """Announces files by path, size and hash; answers which of them are missing."""
    with asking.scope(ws, write=True) as scope:
        return shown(uploads.begin(scope, sent.kind, sent.listed()))


@router.put("/{upload}/content")
async def content(request: Request, asking: Asking, ws: str, upload: str) -> Any:
    """The remaining bytes of the missing files, concatenated in the order of `missing`."""
    return shown(await receiving.concatenated(request, asking.studio, asking.principal, ws, upload))


@router.post("/{upload}/seal")
def seal(asking: Asking, ws: str, upload: str) -> Any:
    """Closes an upload once everything has arrived and is what was announced."""
    with asking.scope(ws, write=True) as scope:
        return shown(uploads.seal(scope, upload))


@router.post("/{upload}/unpack")
def unpack(asking: Asking, ws: str, upload: str, kind: Literal["code", "data"] = "data") -> Any:
    """Unpacks an upload of one archive (zip, tar, tar.gz, tar.bz2) into an upload of its files; whole or not at all."""
    with asking.scope(ws, write=True) as scope:
        archive, folder = uploads.packed(scope, upload)
    try:
        archives.extract(archive, folder)
        manifest = whole(folder)
        with asking.scope(ws, write=True) as scope:
            return shown(uploads.adopt(scope, kind, folder, manifest))
    finally:
        if folder.exists():
            remove_tree(folder)


def shown(state: uploads.Upload) -> dict[str, Any]:
    missing = [{"path": path, "offset": offset} for path, offset in state.missing]
    return {"id": state.id, "complete": state.complete, "missing": missing}
