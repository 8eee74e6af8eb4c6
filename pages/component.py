"""One component: its versions, interface, code and environment, the jobs that used it, and a job made of it."""

import streamlit as st

from app import context
from app.ui import address, component_forms, component_tabs, parts
from app.ui.text import tag
from services import components
from services.core.errors import NotFound
from services.store.rows import Asset

TABS = {
    "details": ("Details", component_tabs.details),
    "code": ("Code", component_tabs.code),
    "environment": ("Environment", component_tabs.environment),
    "jobs": ("Jobs", component_tabs.jobs),
    "yaml": ("YAML", component_tabs.yaml),
}


def actions(row: Asset) -> None:
    which = f"--name {row.name} --version {row.version}"
    parts.cli(
        f"atelier component show {which} -o yaml",
        f"atelier component download {which} -p .",
        *([f"atelier component use {which} --set inputs.NAME=VALUE"] if row.type == "command" else []),
    )
    st.html(
        parts.button("Lineage", context.link("lineage", kind="component", id=row.id), glyph="account_tree"),
        width="content",
    )
    with st.popover("More", icon=":material/more_horiz:"):
        if parts.act("Edit details", "components/write", glyph="edit"):
            component_forms.details(row)
        if parts.act("Restore" if row.archived_at else "Archive", "components/write", glyph="archive"):
            component_forms.archive(row)
        if parts.act("Delete", "components/delete", glyph="delete"):
            component_forms.delete(row)
    if row.type == "command" and parts.act("Use in a job", "jobs/write", glyph="play_arrow", primary=True):
        component_forms.use(row)


def chosen(versions: list[Asset]) -> Asset:
    """The version in the address, else the latest that is not archived."""
    wanted = address.text("version")
    latest = next((each for each in versions if each.archived_at is None), versions[0])
    if not wanted:
        return latest
    found = next((each for each in versions if each.version == wanted), None)
    if found is None:
        raise NotFound(f"Component '{latest.name}' has no version '{wanted[:80]}'.")
    return found


def choice(row: Asset, versions: list[Asset]) -> None:
    """The drop-down of versions; which one is open is in the address."""
    key, latest = "_component_version", next((each.version for each in versions if each.archived_at is None), "")
    st.session_state[key] = row.version

    def changed() -> None:
        address.put(version=st.session_state[key], file=None)

    st.selectbox(
        "Version",
        [each.version for each in versions],
        key=key,
        format_func=lambda each: f"Version {each}{' (latest)' if each == latest else ''}",
        label_visibility="collapsed",
        on_change=changed,
        width=190,
    )


def tabs(row: Asset, versions: list[Asset]) -> None:
    """Only the open one is run; which one is open is in the address."""
    wanted = TABS.get(address.text("tab"), TABS["details"])[0]
    st.session_state["_component_tab"] = wanted

    def opened() -> None:
        key = next(key for key, (label, _) in TABS.items() if label == st.session_state["_component_tab"])
        address.put(tab="" if key == "details" else key, file=None)

    made = st.tabs([label for label, _ in TABS.values()], key="_component_tab", on_change=opened)
    for tab, (label, show) in zip(made, TABS.values(), strict=True):
        if label == wanted:
            with tab:
                show(row, versions)


with context.scope() as scope:
    versions = components.versions(scope, address.text("name"))
row = chosen(versions)
crumbs = [("Components", context.link("components"))]
with parts.header(row.name, crumbs=crumbs, after=tag("span", row.type, cls="at-tag"), below=row.description or None):
    choice(row, versions)
    actions(row)
if row.archived_at:
    parts.banner("gray", "This version is archived: lists leave it out unless they include archived ones.")
if row.type != "command":
    parts.banner("gray", f"A {row.type} component runs as a step of a pipeline.")
tabs(row, versions)
