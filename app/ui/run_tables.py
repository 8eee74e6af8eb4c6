"""Tables that a run logged, as rows to look at."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address, parts, routes, viewer
from app.ui.text import Markup, join, number, plain, tag
from services import run_files
from services.core.errors import AtelierError
from services.run_files import Picture, Table

ROWS = 500
MOST_COLUMNS = 100


def found(name: str) -> list[str]:
    with context.scope() as s:
        return run_files.tables(s, name)


def show(name: str, paths: Sequence[str]) -> None:
    path = address.text("table")
    path = path if path in paths else paths[0]
    if len(paths) > 1:
        st.session_state["run_table"] = path
        st.selectbox("Table", paths, key="run_table", on_change=_chosen, label_visibility="collapsed", width=420)
    try:
        with context.scope() as s:
            table = run_files.table(s, name, path, limit=ROWS)
    except AtelierError as error:
        context.show(error)
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(tag("div", tag("b", plain(path, 300)), tag("span", _counted(table)), cls="at-filehead"))
        if context.behind_gate():
            st.html(viewer.download_link("Download", routes.run_artifact(name, path)), width="content")
    if not table.rows:
        parts.empty("table", "No rows", "The table was logged without any.")
        return
    st.html(tag("div", drawn(name, table), cls="at-scroll", tabindex="0", role="region", aria_label=plain(path, 200)))


def drawn(name: str, table: Table) -> Markup:
    heads = [
        tag("th", plain(column, 120), cls="at-num" if _is_number(table, place) else None)
        for place, column in enumerate(table.columns[:MOST_COLUMNS])
    ]
    body = [tag("tr", *(_cell(name, value) for value in row[:MOST_COLUMNS])) for row in table.rows]
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), cls="at-data")


def _is_number(table: Table, place: int) -> bool:
    found = [row[place] for row in table.rows if place < len(row) and row[place] is not None]
    return bool(found) and all(isinstance(each, int | float) and not isinstance(each, bool) for each in found)


def _cell(name: str, value: Any) -> Markup:
    if isinstance(value, Picture):
        source = routes.run_artifact(name, value.small or value.path)
        return tag("td", tag("img", src=source, alt="", loading="lazy", cls="at-thumb") if source else value.path)
    if isinstance(value, bool) or value is None:
        return tag("td", "" if value is None else str(value).lower())
    if isinstance(value, int | float):
        return tag("td", number(value) if isinstance(value, float) else str(value), cls="at-num")
    text = plain(value, 2000)
    return tag("td", plain(text, 300), title=text if len(text) > 60 else None)


def _counted(table: Table) -> Markup:
    of = f"the first {len(table.rows):,} of " if table.total > len(table.rows) else ""
    return join((f"{of}{table.total:,} rows, {len(table.columns):,} columns",))


def _chosen() -> None:
    address.put(table=st.session_state["run_table"])
