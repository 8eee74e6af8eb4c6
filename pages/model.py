"""One model: its versions, what its files say, where it came from and what uses it."""

import streamlit as st

from app import context
from app.ui import address, model_tabs, modelforms, parts
from services import assets
from services.core.errors import NotFound
from services.core.states import AssetKind
from services.store.rows import Asset

TABS = {
    "details": ("Details", model_tabs.details),
    "versions": ("Versions", model_tabs.versions),
    "artifacts": ("Artifacts", model_tabs.artifacts),
    "jobs": ("Jobs", model_tabs.jobs),
    "data": ("Data", model_tabs.data),
    "compare": ("Compare versions", model_tabs.compare),
}


def actions(row: Asset) -> None:
    which = f"--name {row.name} --version {row.version}"
    parts.cli(f"atelier model show {which}", f"atelier model download {which} -p .", f"atelier model approve {which}")
    st.html(
        parts.button("Lineage", context.link("lineage", kind="model", id=row.id), glyph="account_tree"), width="content"
    )
    approved = "approval" in row.facts
    if not approved and parts.act("Approve", "models/approve/action", glyph="verified"):
        modelforms.approve(row)
    with st.popover("More", icon=":material/more_horiz:"):
        if parts.act("Edit details", "models/write", glyph="edit"):
            modelforms.details(row)
        if parts.act("Labels", "models/write", glyph="label"):
            with context.scope() as s:
                standing = assets.labels_of(s, row)
            modelforms.labels(row, standing)
        if approved and parts.act("Withdraw approval", "models/approve/action", glyph="unpublished"):
            modelforms.withdraw(row)
        if parts.act("Restore" if row.archived_at else "Archive", "models/write", glyph="archive"):
            modelforms.archive(row)
        if parts.act("Delete", "models/delete", glyph="delete"):
            modelforms.delete(row)


def chosen(versions: list[Asset]) -> Asset:
    """The version in the address, else the latest that is not archived."""
    wanted = address.text("version")
    latest = next((each for each in versions if each.archived_at is None), versions[0])
    if not wanted:
        return latest
    found = next((each for each in versions if each.version == wanted), None)
    if found is None:
        raise NotFound(f"Model '{latest.name}' has no version '{wanted[:80]}'.")
    return found


def choice(row: Asset, versions: list[Asset]) -> None:
    """The drop-down of versions; which one is open is in the address."""
    key, latest = "_model_version", next((each.version for each in versions if each.archived_at is None), "")
    st.session_state[key] = row.version

    def chosen() -> None:
        address.put(version=st.session_state[key], file=None)

    st.selectbox(
        "Version",
        [each.version for each in versions],
        key=key,
        format_func=lambda each: f"Version {each}{' (latest)' if each == latest else ''}",
        label_visibility="collapsed",
        on_change=chosen,
        width=190,
    )


def tabs(row: Asset, versions: list[Asset]) -> None:
    """Only the open one is run; which one is open is in the address."""
    wanted = TABS.get(address.text("tab"), TABS["details"])[0]
    st.session_state["_model_tab"] = wanted

    def opened() -> None:
        key = next(key for key, (label, _) in TABS.items() if label == st.session_state["_model_tab"])
        address.put(tab="" if key == "details" else key, file=None)

    made = st.tabs([label for label, _ in TABS.values()], key="_model_tab", on_change=opened)
    for tab, (label, show) in zip(made, TABS.values(), strict=True):
        if label == wanted:
            with tab:
                show(row, versions)


with context.scope() as scope:
    versions = assets.versions(scope, AssetKind.model, address.text("name"))
row = chosen(versions)
chip = parts.chip("Succeeded", "Approved") if "approval" in row.facts else None
crumbs = [("Models", context.link("models"))]
with parts.header(row.name, crumbs=crumbs, after=chip, below=row.description or None):
    choice(row, versions)
    actions(row)
if row.archived_at:
    parts.banner("gray", "This version is archived: lists leave it out unless they include archived ones.")
tabs(row, versions)
