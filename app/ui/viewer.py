"""Shows one file without trusting it: text as text, images as images, anything else as a download."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO

import streamlit as st

from app.ui import parts
from app.ui.text import Markup, plain, size, tag

MOST = 512 << 10
IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"}
LANGUAGES = {
    ".py": "python", ".yml": "yaml", ".yaml": "yaml", ".json": "json", ".md": "markdown", ".sh": "bash",
    ".toml": "toml", ".csv": None, ".html": "html", ".js": "javascript", ".sql": "sql", ".r": "r",
}  # fmt: skip
LARGEST_IMAGE = 20 << 20
SMALL = 64 << 20


def show(path: str, opened: Callable[[], tuple[BinaryIO, int]], link: str) -> None:
    """`link` is where our server gives it; without one it travels through Streamlit, when it is small."""
    stream, count = opened()
    with stream:
        suffix = PurePosixPath(path).suffix.lower()
        is_image = suffix in IMAGES and count <= LARGEST_IMAGE
        content = stream.read(LARGEST_IMAGE if is_image else MOST)
    _head(path, count, opened, link)
    if is_image:
        st.image(content)
    elif b"\0" in content[:8000]:
        st.html(tag("div", f"This is not text; download it to look at it ({size(count)}).", cls="at-none at-panel"))
    else:
        text = content.decode("utf-8", "replace")
        if count > MOST:
            text += f"\n… {size(count - MOST)} more; download it to see all."
        st.code(
            text or " ",
            language=LANGUAGES.get(suffix),
            line_numbers=True,
            height=560 if text.count("\n") > 28 else "content",
        )


def _head(path: str, count: int, opened: Callable[[], tuple[BinaryIO, int]], link: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(tag("div", tag("b", plain(path, 300)), tag("span", size(count)), cls="at-filehead"))
        download(path, count, opened, link)


def download(
    path: str, count: int, opened: Callable[[], tuple[BinaryIO, int]], link: str, label: str = "Download"
) -> None:
    if link:
        st.html(download_link(label, link), width="content")
    elif count <= SMALL:
        st.download_button(
            label, lambda: _whole(opened), PurePosixPath(path).name, icon=":material/download:", on_click="ignore"
        )


def download_link(label: str, link: str) -> Markup:
    return tag("a", parts.icon("download"), label, cls="at-button", href=link, download=True)


def _whole(opened: Callable[[], tuple[BinaryIO, int]]) -> bytes:
    stream, _ = opened()
    with stream:
        return stream.read()
