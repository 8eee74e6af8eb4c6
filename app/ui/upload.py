"""Sending code and data: straight to our own server with progress, or through Streamlit where there is none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from app import context
from app.ui import routes
from services import uploads
from services.core.errors import AtelierError
from services.specs.code import Entry

ASSETS = Path(__file__).parent / "assets"
Kind = Literal["code", "data"]

_upload = st.components.v2.component(
    "atelier_upload",
    html="""<div class="drop" role="group"><span class="said" role="status"></span>
<button class="pick-folder" type="button">Choose folder</button>
<button class="pick-files" type="button">Choose files</button>
<button class="clear" type="button" hidden>Remove</button><progress max="1" value="0" hidden></progress>
<input class="files" type="file" multiple hidden><input class="folder" type="file" webkitdirectory hidden></div>""",
    css=(ASSETS / "upload.css").read_text(encoding="utf-8"),
    js=(ASSETS / "upload.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Sent:
    """`single` is the path of the only file, when it was one; `folder` the one that everything lies in, when kept."""

    id: str
    name: str
    files: int
    single: str = ""
    folder: str = ""


def area(key: str, kind: Kind, hint: str, *, start: Sent | None = None, whole: bool = False) -> Sent | None:
    """A place to drop files on; what has been sent, or None. `whole` keeps the name of a folder that is sent."""
    if not context.behind_gate():
        return _through_streamlit(key, kind, hint, start)
    return _direct(key, kind, hint, start, whole)


def _direct(key: str, kind: Kind, hint: str, start: Sent | None, whole: bool) -> Sent | None:
    known = (
        None
        if start is None
        else {"id": start.id, "files": start.files, "bytes": 0, "name": start.name, "single": start.single}
    )
    data = {"url": routes.uploads(), "kind": kind, "hint": hint, "upload": known, "whole": whole}
    result = _upload(key=f"upload:{key}", data=data, default={"upload": known}, on_upload_change=_nothing)
    found: dict[str, Any] | None = result.upload
    if not found:
        return None
    single, folder = found.get("single") or "", found.get("folder") or ""
    return Sent(found["id"], found["name"], int(found["files"]), single, folder)


def _through_streamlit(key: str, kind: Kind, hint: str, start: Sent | None) -> Sent | None:
    """Every file sits in this process's memory on the way: for small code only."""
    files = st.file_uploader(hint, accept_multiple_files=True, key=f"upload:{key}", label_visibility="collapsed")
    if not files:
        return start
    try:
        return _stored(kind, [(file.name, file.getvalue()) for file in files])
    except AtelierError as error:
        context.show(error)
        return start


def _stored(kind: Kind, files: Sequence[tuple[str, bytes]]) -> Sent:
    entries = [
        Entry(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()) for name, content in files
    ]
    with context.scope(write=True) as s:
        state = uploads.begin(s, kind, entries)
        landings = [] if state.complete else uploads.landings(s, state.id)
    contents = dict(files)
    for landing in landings:
        with landing.open() as target:
            target.write(contents[landing.target.name][landing.offset :])
        landing.finish()
    with context.scope(write=True) as s:
        state = uploads.seal(s, state.id) if not state.complete else state
    name = files[0][0] if len(files) == 1 else f"{len(files)} files"
    return Sent(state.id, name, len(files), files[0][0] if len(files) == 1 else "")


def _nothing() -> None:
    """A state key needs a callback to exist from the first run on."""
