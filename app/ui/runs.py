"""Runs of a workspace or of one experiment: list or dashboard, and all that decides what they show."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode

import streamlit as st

from app import context
from app.ui import parts, runs_actions, runs_columns, runs_dashboard, runs_filter, runs_state, runs_table, runs_views
from app.ui.runs_state import Shown
from app.ui.text import plain, tag
from services import runs
from services.runs import GroupLine, RunsQuery
from services.specs.run_fields import Field
from services.specs.run_fields import field as read_field

ASSETS = Path(__file__).parent / "assets"
EVERY_SECONDS = 5
GROUPABLE = ("status", "experiment", "creator", "compute", "source", "parent", "starred")
MOST_GROUPS = 200


@dataclass(frozen=True)
class Found:
    """What one look at the runs brought: a page of them, or groups."""

    page: runs_table.Page
    columns: list[str]
    groups: list[GroupLine] | None = None


def show(experiments: Sequence[str], nothing: Callable[[], None]) -> None:
    """Everything below the page's header; `nothing` draws what a place without any runs shows."""
    st.html(ASSETS / "runs.css")
    shown = runs_state.shown()
    runs_views.keep(_place(experiments), shown)
    _toolbar(experiments, shown)
    asked = runs_filter.bar(experiments, shown)
    if asked.problem is not None and not asked.text and shown.filter:
        parts.empty("rule", "The filter cannot be read", "Correct it above: the runs come back at once.")
        return
    _live(experiments, asked.text, nothing)


def _live(experiments: Sequence[str], text: str, nothing: Callable[[], None]) -> None:
    """The part that looks again by itself while a run on it is going on."""
    shown = runs_state.shown()
    first = [found(experiments, text, shown)]
    is_live = first[0].page.is_live

    @st.fragment(run_every=EVERY_SECONDS if is_live else None)
    def part() -> None:
        if context.recall("runs_again"):
            context.forget("runs_again")
            st.rerun()
        now = runs_state.shown()
        seen = first.pop() if first else found(experiments, text, now)
        if is_live and not seen.page.is_live:
            st.rerun()
        _drawn(experiments, text, now, seen, nothing)

    part()


def switch(experiments: Sequence[str]) -> None:
    """List or dashboard, for the header of a page; first of all, because a view decides that too."""
    runs_views.settle(_place(experiments))
    names = {"list": "List", "dashboard": "Dashboard"}
    if st.session_state.get("runs_show") != (now := runs_state.shown().show):
        st.session_state["runs_show"] = now
    st.segmented_control(
        "Show as", list(names), format_func=names.__getitem__, key="runs_show", required=True,
        label_visibility="collapsed", on_change=lambda: runs_state.put(show=st.session_state["runs_show"]),
    )  # fmt: skip


def found(experiments: Sequence[str], text: str, shown: Shown) -> Found:
    """One page of runs with their visible columns, and the pinned ones."""
    with context.scope() as s:
        columns = runs_columns.chosen(s, experiments, shown)
        query = RunsQuery(
            experiments=tuple(experiments), filter=text, search=shown.search, columns=tuple(columns),
            order_by=shown.order, limit=shown.page_size, offset=(shown.page - 1) * shown.page_size,
        )  # fmt: skip
        metrics = [each for each in map(read_field, columns) if each.kind == "metrics"]
        directions = runs.directions(s, list(dict.fromkeys(each.name for each in metrics)))
        if shown.group_by and not shown.is_dashboard:
            asked = replace(query, columns=tuple(map(str, metrics)), order_by=shown.order_by)
            lines = runs.grouped(s, asked, shown.group_by, limit=MOST_GROUPS)
            total = sum(line.count for line in lines)
            return Found(runs_table.Page((), (), total, directions=directions), columns, lines)
        listed = runs.listed(s, query)
        top = runs.lines(s, shown.pinned, columns) if shown.pinned else []
    rows = [line for line in listed.rows if line.id not in {each.id for each in top}]
    drawn = runs_state.eyes([line.id for line in [*top, *rows]], shown.hidden)
    return Found(
        runs_table.Page(
            top,
            rows,
            listed.total,
            has_more=listed.has_more,
            is_exact=listed.is_total_exact,
            directions=directions,
            drawn=frozenset(drawn),
        ),
        columns,
    )


def _drawn(experiments: Sequence[str], text: str, shown: Shown, seen: Found, nothing: Callable[[], None]) -> None:
    if not seen.page.total and not seen.page.top:
        _none(shown, nothing)
        return
    names = [line.id for line in seen.page.all]
    acted = runs_actions.on_run_or_column(seen.columns, names)
    if shown.is_dashboard:
        runs_dashboard.show(experiments, seen.page, shown, acted)
        return
    if seen.groups is not None:
        metrics = [each for each in seen.columns if read_field(each).kind == "metrics"]
        runs_table.groups("runs_groups", seen.groups, metrics, shown, _group_href, acted)
        return
    if not names:
        back = parts.button("First page", runs_state.link(page=None))
        parts.empty("filter_alt_off", "No runs on this page", "There are fewer than that.", action=back)
        return
    bar = st.container(horizontal=True, vertical_alignment="center", key="runs_bulk")
    picked = runs_table.show(
        "runs", seen.page, seen.columns, shown, acted, reset=context.recall(runs_actions.RESET) or 0
    )
    if picked:
        with bar:
            runs_actions.bulk([line for line in seen.page.all if line.id in picked])


def _place(experiments: Sequence[str]) -> str:
    """Views are kept by it."""
    return experiments[0] if experiments else ""


def _group_href(line: GroupLine) -> str:
    """A group opens as the runs that its filter selects."""
    return runs_state.link(filter=line.filter, group_by=(), order_by=(), page=None)


def _none(shown: Shown, nothing: Callable[[], None]) -> None:
    if shown.filter or shown.search:
        clear = parts.button("Clear the filter", runs_state.link(filter="", search="", page=None))
        parts.empty("filter_alt_off", "No runs match", "Try fewer conditions, or another word.", action=clear)
    else:
        nothing()


def _toolbar(experiments: Sequence[str], shown: Shown) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        runs_views.menu(_place(experiments), shown)
        runs_filter.quick(experiments, shown)
        if shown.is_dashboard:
            return
        with st.container(horizontal=True, horizontal_alignment="right", gap="small", key="runs_choices"):
            _grouping(experiments, shown)
            if st.button("Columns", icon=":material/view_column:", key="runs_pick"):
                st.session_state.pop("runs_picker", None)
                runs_columns.pick(experiments, shown)
            _export(experiments, shown)


def _grouping(experiments: Sequence[str], shown: Shown) -> None:
    label = f"Grouped by {len(shown.group_by)}" if shown.group_by else "Group by"
    with st.popover(label, icon=":material/stacks:", key="runs_grouping", on_change="rerun") as opened:
        if not opened.open:
            return
        if st.session_state.get("runs_group") != list(shown.group_by):
            st.session_state["runs_group"] = list(shown.group_by)
        known = [each for each in runs_filter.known(experiments) if _is_groupable(each)]
        st.multiselect(
            "Fields", [*known, *(each for each in shown.group_by if each not in known)], key="runs_group",
            placeholder="Parameters, tags, status …", accept_new_options=True, max_selections=4, width=320,
            on_change=lambda: runs_state.put(group_by=runs_state.fields(st.session_state["runs_group"])),
        )  # fmt: skip
        st.html(
            tag(
                "p",
                "Each group shows how many runs it has, and mean ± deviation and best of the metrics that are columns.",
                cls="at-muted at-syntax",
            )
        )


def _is_groupable(text: str) -> bool:
    each: Field = read_field(text)
    return each.kind in {"params", "tags"} or text in GROUPABLE


def _export(experiments: Sequence[str], shown: Shown) -> None:
    with st.popover("Export", icon=":material/download:", key="runs_export", on_change="rerun") as opened:
        if not opened.open:
            return
        if context.behind_gate():
            with context.scope() as s:
                columns = runs_columns.chosen(s, experiments, shown)
            st.html(
                tag("nav", *(
                    tag("a", parts.icon("table_view" if kind == "csv" else "dataset"), tag("span", word),
                        href=_file(experiments, shown, columns, kind), download=True)
                    for word, kind in (("CSV", "csv"), ("Parquet", "parquet"))
                ), cls="at-views", aria_label="Export")
            )  # fmt: skip
        st.html(tag("p", "All runs that the filter finds, with the columns of this table.", cls="at-muted at-syntax"))


def _file(experiments: Sequence[str], shown: Shown, columns: Sequence[str], kind: str) -> str:
    query = [
        *(("experiment", each) for each in experiments), *(("column", each) for each in columns),
        *(("order_by", each) for each in shown.order),
        ("filter", shown.filter), ("search", shown.search), ("format", kind),
    ]  # fmt: skip
    place = quote(context.workspace_name(), safe="")
    return f"/files/runs-export/{place}?{urlencode([(name, value) for name, value in query if value])}"


def cli(experiments: Sequence[str]) -> None:
    """The same list on the command line."""
    shown = runs_state.shown()
    asked = [("--experiment-name", each) for each in experiments]
    asked += [("--filter", shown.filter)] if shown.filter else []
    asked += [("--columns", ",".join(shown.columns))] if shown.columns else []
    where = " ".join(f"{name} {shlex.quote(plain(value, 400))}" for name, value in asked)
    place = f"-w {context.workspace_name()} {where}".strip()
    parts.cli(f"atelier run list {place}", f"atelier run export {place} --file runs.csv")
