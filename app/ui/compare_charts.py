"""The runs that are compared as a dashboard: made from what they logged, and kept in the address once changed."""

import streamlit as st

from app import context
from app.ui import address, board
from app.ui.text import markdown
from services import runs, tiles, views
from services.comparisons import RunComparison
from services.core.errors import NotFound
from services.core.states import TERMINAL
from services.specs.run_fields import Field
from services.specs.tiles import Board

KEYS = 500


def show(found: RunComparison) -> None:
    """What is changed here is kept by its content, and the address names it: whoever opens it sees the same."""
    experiments = list(dict.fromkeys(run.experiment for run in found.runs if run.experiment))
    with context.scope() as s:
        metrics = runs.keys(s, experiments=experiments, kind="metrics", limit=KEYS).names
        params = runs.keys(s, experiments=experiments, kind="params", limit=KEYS).names
    fields = [str(Field("metrics", name)) for name in metrics] + [str(Field("params", name)) for name in params]
    changed = board.show(
        _wanted(experiments),
        [run.id for run in found.runs],
        key="compare_board",
        can_edit=True,
        version="",
        live=any(run.status not in TERMINAL for run in found.runs),
        metrics=metrics,
        fields=fields,
    )
    if changed.board is not None:
        with context.scope(write=True) as s:
            made = views.put_board(s, changed.board)
        address.put(board=made)
        st.rerun()


def _wanted(experiments: list[str]) -> Board:
    with context.scope() as s:
        if named := address.text("board"):
            try:
                return views.get_board(s, named)
            except NotFound as error:
                st.caption(markdown(f"{error.message} {error.hint} This is the one made from what was logged."))
        return tiles.default_board(s, experiments)
