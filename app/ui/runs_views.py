"""Saved views: open, save, rename, share, delete. The default one is made from what was logged and stays as it is."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from pydantic import ValidationError

from app import context
from app.ui import address, confirm, parts, runs_state
from app.ui.runs_state import Shown
from app.ui.text import Markup, markdown, plain, tag
from services import views
from services.core.errors import AtelierError, NotFound
from services.specs.views import ViewBody
from services.store.rows import View

WRITE = "experiments/runs/write"
# The default view by name: an address without one is that of somebody who comes back.
PLAIN = "default"


def settle(experiment: str) -> None:
    """An address that names only a view gets the words of it, so that whoever copies it has all.

    Once they were there and are taken away one by one, what is left is the default view. An address that names
    nothing at all is that of somebody who comes by a link of the studio: they find their columns and charts as they
    left them, but neither filter nor search, so that no run seems to be missing.
    """
    has_come = context.arrives(f"{context.workspace_name()}/{experiment}")
    found, before = _open(), context.recall("runs_view")
    context.remember("runs_view", found.id if found else "")
    if not runs_state.is_bare():
        return
    if found is None and has_come and not address.text("view"):
        _come_back(experiment)
    elif found is not None and found.body and found.id == before:
        address.put(view=PLAIN)
    elif found is not None and found.body:
        address.put(**runs_state.everything(runs_state.of_view(found.body)))


def keep(experiment: str, shown: Shown) -> None:
    """For the next time; not what cannot be read."""
    try:
        body = replace(shown, filter="", search="", page=1).body()
    except ValidationError:
        return
    place = f"runs_kept:{context.workspace_name()}/{experiment}"
    if context.recall(place) != body:
        with context.scope(write=True) as s:
            views.remember(s, body, experiment)
        context.remember(place, body)


def _come_back(experiment: str) -> None:
    with context.scope() as s:
        last = views.remembered(s, experiment)
    words = runs_state.everything(runs_state.of_view(last.model_dump())) if last else {}
    context.remember(f"runs_kept:{context.workspace_name()}/{experiment}", last or ViewBody())
    address.put(**words, view=PLAIN)


def menu(experiment: str, shown: Shown) -> None:
    """The views of this list, what can be done with the open one, and whether the screen differs from it."""
    view = _open()
    saved = runs_state.of_view(view.body) if view else Shown(show=shown.show)
    is_changed = runs_state.differs(shown, saved)
    name = plain(view.name, 40) if view else views.DEFAULT
    label = markdown(name) + (" · modified" if is_changed else "")
    with st.popover(label, icon=":material/bookmark:", key="runs_views", on_change="rerun") as opened:
        if not opened.open:
            return
        with context.scope() as s:
            mine = s.principal.id
            rows = views.listed(s, experiment)
        _list(rows, mine, view)
        with st.container(gap=None, key="runs_view_acts"):
            if view and view.owner_id == mine:
                _own(view, shown, is_changed=is_changed)
            if st.button("Save as new view", icon=":material/add:", key="runs_view_new", type="tertiary"):
                _save_as(experiment, shown)
            if is_changed:
                back = "Back to what was saved" if view else "Reset to the default view"
                st.html(tag("nav", tag("a", parts.icon("undo"), tag("span", back), href=_href(view)), cls="at-views"))


def _open() -> View | None:
    """The one that the address names; another's personal one is none."""
    wanted = address.text("view")
    if wanted in {"", PLAIN}:
        return None
    try:
        with context.scope() as s:
            return views.get(s, wanted)
    except NotFound:
        return None


def _href(view: View | None) -> str:
    """The default view is one of the list and one of the dashboard alike."""
    body = runs_state.of_view(view.body) if view else Shown(show=runs_state.shown().show)
    return address.changed(view=view.id if view else PLAIN, page=None, **runs_state.everything(body))


def _list(rows: Sequence[View], mine: str, view: View | None) -> None:
    own = [row for row in rows if row.owner_id == mine]
    others = [row for row in rows if row.owner_id != mine]
    lines = [_line(views.DEFAULT, "", _href(None), is_open=view is None)]
    for title, some in (("Mine", own), ("Shared by others", others)):
        if some:
            lines.append(tag("h6", title))
        for row in some:
            note = (
                "shared" if row.is_shared and row.owner_id == mine else row.created_by if row.owner_id != mine else ""
            )
            lines.append(_line(row.name, note, _href(row), is_open=view is not None and view.id == row.id))
    st.html(tag("nav", *lines, cls="at-views", aria_label="Views"))


def _line(name: str, note: str, href: str, *, is_open: bool) -> Markup:
    return tag(
        "a", parts.icon("check" if is_open else "bookmark"), tag("span", plain(name, 80)),
        tag("small", note) if note else None, href=href, aria_current="true" if is_open else None,
    )  # fmt: skip


def _own(view: View, shown: Shown, *, is_changed: bool) -> None:
    refused = context.may(WRITE)
    if is_changed and st.button("Save changes", icon=":material/save:", key="runs_view_save", type="tertiary"):
        _changed(view.id, "was saved", body=shown)
    if st.button("Rename", icon=":material/edit:", key="runs_view_rename", type="tertiary"):
        _rename(view.id, view.name)
    if st.button(
        "Stop sharing" if view.is_shared else "Share with the workspace",
        icon=":material/group:",
        key="runs_view_share",
        type="tertiary",
        disabled=bool(refused),
        help=refused or None,
    ):
        _changed(view.id, "is shared" if not view.is_shared else "is yours alone", is_shared=not view.is_shared)
    if st.button("Delete", icon=":material/delete:", key="runs_view_delete", type="tertiary"):
        confirm.confirm(
            "The view goes, also for those who have it in a link; runs stay as they are.", view.name, "Delete",
            lambda: _deleted(view.id), lambda: address.put(view=PLAIN),
        )  # fmt: skip


def _deleted(view_id: str) -> None:
    with context.scope(write=True) as s:
        views.delete(s, view_id)


def _changed(
    view_id: str, said: str, *, body: Shown | None = None, is_shared: bool | None = None, name: str | None = None
) -> None:
    try:
        with context.scope(write=True) as s:
            row = views.change(s, view_id, name=name, body=body.body() if body else None, is_shared=is_shared)
            named = row.name
    except AtelierError as error:
        context.show(error)
        return
    except ValidationError:
        st.html(_unreadable())
        return
    context.done(f"View '{named}' {said}.")
    st.rerun()


@st.dialog("Rename the view")
def _rename(view_id: str, name: str) -> None:
    typed = st.text_input("Name", name, max_chars=views.LONGEST, key="runs_view_typed", autocomplete="off")
    if st.button("Rename", type="primary", key="runs_view_renamed", disabled=not typed.strip()):
        _changed(view_id, "has its new name", name=typed)


@st.dialog("Save as a new view")
def _save_as(experiment: str, shown: Shown) -> None:
    refused = context.may(WRITE)
    name = st.text_input("Name", max_chars=views.LONGEST, key="runs_view_name", autocomplete="off")
    is_shared = st.toggle(
        "Share with the workspace", key="runs_view_shared", disabled=bool(refused), help=refused or None
    )
    if not st.button("Save", type="primary", key="runs_view_made", disabled=not name.strip()):
        return
    try:
        with context.scope(write=True) as s:
            made = views.create(s, name, shown.body(), experiment=experiment, is_shared=is_shared).id
    except AtelierError as error:
        context.show(error)
        return
    except ValidationError:
        st.html(_unreadable())
        return
    address.put(view=made)
    context.done(f"View '{name.strip()}' was saved.")
    st.rerun()


def _unreadable() -> Markup:
    return tag(
        "div",
        tag("b", "The filter cannot be read, so the view was not saved."),
        tag("span", "Correct it first."),
        cls="at-notice",
        data_tone="red",
        role="alert",
    )
