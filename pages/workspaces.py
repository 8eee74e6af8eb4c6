"""Workspaces: cards, a new one by one field, deleted ones to recover."""

import streamlit as st

from app import context
from app.ui import address, confirm, forms, parts
from app.ui.text import join, tag
from services import workspaces
from services.core.errors import AtelierError
from services.specs.problems import checked
from services.specs.workspaces import Workspace as Spec
from services.specs.workspaces import WorkspaceUpdate
from services.store.rows import Workspace


def new() -> None:
    """One field is enough; the rest is folded away."""
    with st.container(border=True, key="new_workspace"):
        parts.section("New workspace", "2–63 letters, digits, - and _")
        with st.form("new_workspace_form", border=False, enter_to_submit=True):
            row = st.container(horizontal=True, vertical_alignment="bottom")
            name = row.text_input(
                "Name", placeholder="my-workspace", label_visibility="collapsed", key="ws_name", width=320
            )
            submitted = row.form_submit_button("Create", type="primary", key="ws_create")
            with st.expander("More"):
                display = st.text_input("Display name", key="ws_display")
                description = st.text_area("Description", key="ws_description", height=68)
                group = st.text_input("Resource group", key="ws_group")
                tags = st.text_input("Tags", placeholder="team=vision, cost=42", key="ws_tags")
        if submitted:
            create(name.strip(), display, description, group, forms.pairs(tags))


def create(name: str, display: str, description: str, group: str, tags: dict[str, str]) -> None:
    try:
        with context.install(write=True) as s:
            spec = checked(
                Spec,
                {
                    "name": name,
                    "display_name": display,
                    "description": description,
                    "resource_group": group,
                    "tags": tags,
                },
            )
            row = workspaces.create(s, spec)
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"Workspace '{row.name}' was created.")
    context.go("home", ws=row.name)


def card(row: Workspace, counts: dict[str, int]) -> str:
    about = row.description or (row.display_name if row.display_name != row.name else "")
    return tag(
        "a",
        tag("h3", row.display_name or row.name),
        tag("p", about) if about else None,
        parts.tags(row.tags) if row.tags else None,
        tag(
            "footer",
            tag("span", row.name, cls="at-mono"),
            tag("span", f"{counts.get('active', 0)} under way"),
            tag("span", f"{counts.get('total', 0)} jobs"),
            parts.ago(row.created_at),
        ),
        cls="at-card",
        href=context.link("home", ws=row.name),
        data_open=row.name == context.workspace_name(),
    )


def settings(row: Workspace) -> None:
    """What can be changed or given up of the open workspace."""
    parts.section("Settings", row.name)
    with st.container(border=True), st.form("ws_settings", border=False):
        display = st.text_input("Display name", row.display_name)
        description = st.text_area("Description", row.description, height=68)
        reason = context.may("workspaces/write")
        if st.form_submit_button("Save", disabled=bool(reason), help=reason or None):
            with context.told():
                with context.scope(write=True) as s:
                    workspaces.update(
                        s, checked(WorkspaceUpdate, {"display_name": display, "description": description})
                    )
                context.done("Saved.")
    if parts.act("Delete workspace", "workspaces/delete", glyph="delete"):
        sentence = "Its jobs are cancelled and it disappears from every list. It can be recovered for 14 days."
        confirm.confirm(sentence, row.name, "Delete workspace", lambda: change("delete", row.name))


def deleted(rows: list[Workspace]) -> None:
    parts.section("Recently deleted", "kept for 14 days")
    for row in rows:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"gone_{row.id}"):
            st.html(join((tag("b", row.name), tag("span", " deleted ", parts.ago(row.deleted_at), cls="at-faint"))))
            if st.button("Recover", key=f"recover_{row.id}"):
                with context.told():
                    change("recover", row.name)
                st.rerun()
            if st.button("Purge", key=f"purge_{row.id}"):
                sentence = "Everything it held is removed for good: files, logs, runs. This cannot be undone."
                confirm.confirm(sentence, row.name, "Purge for good", lambda name=row.name: change("purge", name))


def change(what: str, name: str) -> None:
    with context.scope(write=True, workspace=name, deleted=what != "delete") as s:
        {"delete": workspaces.delete, "recover": workspaces.recover, "purge": workspaces.purge}[what](s)
    context.done(
        f"Workspace '{name}' was {'purged' if what == 'purge' else what + 'ed' if what == 'recover' else 'deleted'}."
    )
    if what == "delete" and context.workspace_name() == name:
        context.want("workspaces")


with context.install() as scope:
    rows, gone = workspaces.listed(scope), workspaces.listed(scope, deleted=True)
    counted = workspaces.counts(scope)
actions = parts.header("Workspaces")
with actions:
    parts.cli("atelier workspace list", "atelier workspace create --name my-workspace")
    adding = address.flag("new") or not rows
    st.html(
        parts.button(
            "New workspace", address.changed(new=None if address.flag("new") else "1"), glyph="add", primary=not adding
        )
    )
if adding:
    new()
if not rows:
    parts.empty(
        "layers",
        "No workspace yet",
        "Give the first one a name above.",
        cli="atelier workspace create --name my-workspace",
    )
st.html(tag("div", *(card(row, counted.get(row.id, {})) for row in rows), cls="at-cards"))
if opened := next((row for row in rows if row.name == context.workspace_name()), None):
    settings(opened)
if gone:
    deleted(gone)
