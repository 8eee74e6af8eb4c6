"""Dashboards: sections of tiles that fetch what they show themselves; what a person changes comes back as a board."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic import ValidationError

from app import context
from app.ui.scripts import script
from app.ui.text import plain
from services.specs.run_fields import ATTRIBUTES
from services.specs.tiles import Board

ASSETS = Path(__file__).parent / "assets" / "board"
# One module in the end: a part may use what stands in any other, and the last has the entrance.
PARTS = ("dom", "words", "changes", "fetching", "plot", "parallel", "kinds", "forms", "tile", "board")
MOST_KNOWN = 500
LOCKED = "Your role here lets you look at this dashboard, not change it."

_board = st.components.v2.component(
    "atelier_board",
    html='<div class="board">\n</div>',
    css=(ASSETS / "board.css").read_text(encoding="utf-8"),
    js=script("nodes", *(f"board/{part}" for part in PARTS)),
)


@dataclass(frozen=True)
class Changed:
    """`board` is a new one, told once, else None. `brushed` are the runs chosen on parallel coordinates.

    `brushed` is None before anything was brushed and empty when no run is, or when the brushes were taken away.
    """

    board: dict[str, Any] | None = None
    brushed: list[str] | None = None


def show(
    board: Board,
    runs: Sequence[str],
    *,
    key: str,
    can_edit: bool,
    version: str,
    live: bool,
    metrics: Sequence[str] = (),
    fields: Sequence[str] = (),
    reason: str = LOCKED,
) -> Changed:
    """Draws it for these runs, by their jobs' names or their own ids.

    A new `version` fetches the tiles in sight again; `live` does so every few seconds. `metrics` (names) and `fields`
    (as `services.specs.run_fields` spells them) are suggested in the forms. `reason` says why it cannot be edited.
    """
    kept = f"{key}:board"
    last: dict[str, Any] = context.recall(kept) or {"n": 0, "refused": None}
    data = {
        "board": board.model_dump(mode="json"),
        "runs": list(runs),
        "ws": context.workspace_name(),
        "version": version,
        "live": live,
        "canEdit": can_edit,
        "reason": plain(reason),
        "metrics": list(metrics)[:MOST_KNOWN],
        "fields": list(fields)[:MOST_KNOWN],
        "attributes": list(ATTRIBUTES),
        "seen": last["n"],
        "refused": last["refused"],
    }
    result = _board(key=key, data=data, on_changed_change=_nothing, on_brushed_change=_nothing)
    brushed = result.brushed["runs"] if result.brushed else None
    if not result.changed or result.changed["n"] <= last["n"] or not can_edit:
        return Changed(brushed=brushed)
    found, refused = _read(result.changed["board"])
    told = {"n": result.changed["n"], "message": refused} if refused else None
    context.remember(kept, {"n": result.changed["n"], "refused": told})
    if refused:
        st.rerun()
    return Changed(found, brushed)


def _read(told: Any) -> tuple[dict[str, Any] | None, str]:
    """What a browser says is not believed: the board as it may be kept, or why it may not."""
    try:
        return Board.model_validate(told).model_dump(mode="json"), ""
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return None, plain(f"This change was not kept. {first['msg'].removeprefix('Value error, ')}", 400)


def _nothing() -> None:
    """A state key needs a callback to exist from the first run on."""
