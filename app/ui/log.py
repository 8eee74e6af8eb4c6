"""The log viewer: follows a file by server-sent events, or shows text when there is no server of ours."""

from pathlib import Path

import streamlit as st

from app import context
from app.ui import routes
from app.ui.text import plain
from services import logs
from services.core.errors import NotFound

ASSETS = Path(__file__).parent / "assets"
KEPT = 256 << 10

_log = st.components.v2.component(
    "atelier_log",
    html="""<section class="log">
<header><b></b><span class="state"><i></i><span></span></span><span class="hits"></span>
<input type="search" placeholder="Search" aria-label="Search the log">
<button class="wrap" type="button" aria-pressed="false">Wrap</button>
<button class="follow" type="button">Follow</button><a>Download</a></header>
<pre tabindex="0" role="log" aria-label="Log"></pre></section>""",
    css=(ASSETS / "log.css").read_text(encoding="utf-8"),
    js=(ASSETS / "log.js").read_text(encoding="utf-8"),
)


def follow(job: str, file: str, *, live: bool, height: int = 460) -> None:
    """One file of a job's run, from its start, growing as it is written."""
    if context.behind_gate():
        _show(job, file, url=routes.log_stream(job, file), live=live, height=height)
    else:
        _polled(job, file, live, height)


def text(key: str, title: str, content: str, *, height: int = 420, live: bool = False) -> None:
    """Something that is given whole, in the same viewer; `live` when more of it is given with each run."""
    _log(key=f"log:{key}", data=_data(key, title, "", "", content, live=live, height=height))


def _polled(job: str, file: str, live: bool, height: int) -> None:
    @st.fragment(run_every=2 if live else None)
    def part() -> None:
        _show(job, file, content=tail(job, file), live=live, height=height)

    part()


def tail(job: str, file: str) -> str:
    """The last part of a log, as it may be shown."""
    with context.scope() as s:
        try:
            data, offset = bytearray(), 0
            while True:
                chunk = logs.read(s, job, file=file, offset=offset)
                data += chunk.data
                if chunk.offset == offset:
                    break
                offset = chunk.offset
                del data[: max(0, len(data) - KEPT)]
        except NotFound:
            return ""
    return data.decode("utf-8", "replace")


def _show(job: str, file: str, *, live: bool, height: int, url: str = "", content: str = "") -> None:
    download = routes.artifact(job, file) if context.behind_gate() else ""
    _log(key=f"log:{job}:{file}", data=_data(f"{job}:{file}", file, url, download, content, live=live, height=height))


def _data(key: str, title: str, url: str, download: str, content: str, *, live: bool, height: int) -> dict[str, object]:
    return {
        "key": key,
        "title": plain(title, 200),
        "url": url,
        "download": download,
        "text": content,
        "live": live,
        "height": height,
        "waiting": "Waiting for the first line…" if live else "This log is empty.",
    }
