"""Figures in a grid of tiles, drawn in the browser with the theme's colours; new data moves them without a blink."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.ui.scripts import script
from app.ui.text import plain

ASSETS = Path(__file__).parent / "assets"

_figures = st.components.v2.component(
    "atelier_figures",
    html='<div class="board figures">\n</div>',
    css=(ASSETS / "board" / "board.css").read_text(encoding="utf-8")
    + (ASSETS / "figures.css").read_text(encoding="utf-8"),
    js=script("nodes", "board/dom", "board/plot", "figures"),
)


@dataclass(frozen=True)
class Tile:
    """`nothing` is said in the place of a figure without data; `wide` takes a whole line."""

    id: str
    title: str
    figure: dict[str, Any] | None
    note: str = ""
    nothing: str = "Nothing in this time."
    wide: bool = False


def show(key: str, tiles: Sequence[Tile]) -> None:
    """Each keeps its zoom as long as its id stays."""
    data = {
        "tiles": [
            {
                "id": each.id,
                "title": plain(each.title, 120),
                "note": plain(each.note, 200),
                "nothing": plain(each.nothing, 200),
                "wide": each.wide,
                "figure": each.figure,
            }
            for each in tiles
        ]
    }
    _figures(key=key, data=data)
