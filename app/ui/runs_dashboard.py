"""The dashboard of runs: at the left which runs, at the right their charts; brushing there filters here."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import board, parts, runs_actions, runs_filter, runs_state, runs_table
from app.ui.runs_state import Shown
from app.ui.runs_table import Page
from app.ui.text import markdown
from services import tiles, views
from services.core.errors import NotFound
from services.specs.run_fields import field as read_field
from services.specs.tiles import Board

RAIL = 284
MOST_DRAWN = 200


def show(experiments: Sequence[str], page: Page, shown: Shown, acted: Callable[[dict[str, Any]], None]) -> None:
    """Board first, because what is brushed there says which runs the list has."""
    drawn = [line.id for line in page.all if line.id in page.drawn][:MOST_DRAWN]
    with st.container(horizontal=True, gap="small", key="runs_dashboard"):
        is_open = not context.recall("runs_rail_closed")
        left = st.container(width=RAIL, key="runs_rail") if is_open else st.container(width=40, key="runs_rail")
        with st.container(width="stretch", key="runs_board"):
            brushed = _board(experiments, drawn, page, shown)
        with left:
            _rail(page, shown, acted, brushed) if is_open else _opener()


def _opener() -> None:
    if st.button("", icon=":material/left_panel_open:", key="runs_rail_open", help="Show the list of runs"):
        context.forget("runs_rail_closed")
        st.rerun(scope="fragment")


def _rail(page: Page, shown: Shown, acted: Callable[[dict[str, Any]], None], brushed: list[str] | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.session_state.get("runs_only") != shown.only_shown:
            st.session_state["runs_only"] = shown.only_shown
        st.toggle(
            "Only drawn", key="runs_only", on_change=lambda: runs_state.put(only_shown=st.session_state["runs_only"]),
        )  # fmt: skip
        with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            if st.button("", icon=":material/left_panel_close:", key="runs_rail_close", help="Hide the list of runs"):
                context.remember("runs_rail_closed", True)
                st.rerun(scope="fragment")
    if brushed and st.button(
        f"Brushed: {len(brushed)} runs", icon=":material/close:", key="runs_unbrush", help="Take the brushes away"
    ):
        context.remember("runs_brush", _turn() + 1)
        st.rerun(scope="fragment")
    listed = _listed(page, shown, brushed)
    runs_table.rail("runs_list", page, listed, shown, acted)
    names = [name for name in listed if name in page.drawn][:MOST_DRAWN]
    if len(names) > 1:
        st.html(parts.button(f"Compare {len(names)}", runs_actions.compare_link(names), glyph="compare_arrows"))


def _listed(page: Page, shown: Shown, brushed: list[str] | None) -> list[str]:
    """Names of the brushed ones, else of those that are drawn or of all."""
    wanted = set(brushed) if brushed else page.drawn if shown.only_shown else None
    return [line.id for line in page.all if wanted is None or line.id in wanted]


def _board(experiments: Sequence[str], drawn: Sequence[str], page: Page, shown: Shown) -> list[str] | None:
    key = f"runs_board:{','.join(experiments)}:{_turn()}"
    known = runs_filter.known(experiments)
    changed = board.show(
        _wanted(experiments, shown.board),
        drawn,
        key=key,
        can_edit=True,
        version=f"{context.recall('runs_version') or 0}",
        live=any(runs_table.is_going(line) for line in page.all if line.id in page.drawn),
        metrics=[each.name for each in map(read_field, known) if each.kind == "metrics"],
        fields=known,
    )
    if changed.board is not None:
        with context.scope(write=True) as s:
            made = views.put_board(s, changed.board)
        runs_state.put(board=made)
        st.rerun()
    return changed.brushed


def _wanted(experiments: Sequence[str], board_id: str) -> Board:
    """The one of the address, else what was logged says."""
    with context.scope() as s:
        if board_id:
            try:
                return views.get_board(s, board_id)
            except NotFound as error:
                st.caption(markdown(f"{error.message} {error.hint} This is the one made from what was logged."))
        return tiles.default_board(s, experiments)


def _turn() -> int:
    """Another one is another board, without brushes."""
    return int(context.recall("runs_brush") or 0)
