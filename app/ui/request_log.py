"""The table of requests: a page of the log, and below the newest page what comes while one looks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app.ui.scripts import script
from app.ui.text import plain

ASSETS = Path(__file__).parent / "assets"

_requests = st.components.v2.component(
    "atelier_requests",
    html='<div class="requests">\n</div>',
    css=(ASSETS / "requestlog.css").read_text(encoding="utf-8"),
    js=script("nodes", "requestlog"),
)


def show(
    key: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    url: str,
    state: str,
    nothing: str,
    csv: str,
    older: str,
    newest: str,
    deployment: str,
    codes: Sequence[str],
    search: str,
) -> None:
    """`rows` are lines of services.requests.as_json, newest first; `url` tells those that follow, empty for none.

    `state` is said where nothing follows. A new `key` begins anew. Links that are empty are left out.
    """
    data = {
        "key": key,
        "rows": [
            {name: plain(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows
        ],
        "url": url,
        "state": state,
        "nothing": nothing,
        "csv": csv,
        "older": older,
        "newest": newest,
        "filter": {"deployment": deployment, "codes": list(codes), "search": search},
    }
    _requests(key="requestlog", data=data)
