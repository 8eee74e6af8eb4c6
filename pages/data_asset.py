"""One data asset: its files, a first look at them, every column's numbers, what changed between versions, its uses."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import context
from app.ui import address, confirm, data_tabs, forms, parts
from app.ui.text import tag
from services import assets, data
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.store.rows import Asset
from services.studio import Scope

TABS = {
    "details": "Details",
    "preview": "Preview",
    "profile": "Profile",
    "compare": "Compare versions",
    "consume": "Consume",
    "jobs": "Jobs",
}
WRITE = "datasets/versions/write"


def actions(row: Asset) -> None:
    named = f"--name {row.name} --version {row.version}"
    parts.cli(f"atelier data show {named}", f"atelier data download {named}", f"atelier data preview {named}")
    link = context.link("lineage", kind="data", id=row.id)
    st.html(parts.button("Lineage", link, glyph="account_tree"), width="content")
    if parts.act("Edit", WRITE, glyph="edit"):
        edit(row)
    restoring = row.archived_at is not None
    if parts.act("Restore" if restoring else "Archive", WRITE, glyph="archive"):
        changed(
            f"Version {row.version} was {'restored' if restoring else 'archived'}.",
            lambda s: assets.archive(s, AssetKind.data, row.name, row.version, restore=restoring),
        )
    if parts.act("Delete", "datasets/versions/delete", glyph="delete"):
        deleted(row)
    if parts.act("New version", WRITE, glyph="add", primary=True):
        context.go("new_data", name=row.name)


@st.dialog("Edit")
def edit(row: Asset) -> None:
    """What is no content may change."""
    with st.form("edit_data", border=False):
        description = st.text_area("Description", row.description, height=96, key=f"edit:{row.id}:description")
        tags = st.text_input("Tags", forms.spelled(row.tags), placeholder="team=vision", key=f"edit:{row.id}:tags")
        sent = st.form_submit_button("Save", type="primary")
    if not sent:
        return
    try:
        with context.scope(write=True) as s:
            asset = data.get(s, row.name, row.version)
            assets.change(s, asset, description=description, tags=forms.pairs(tags))
    except AtelierError as error:
        context.show(error)
        return
    context.done("Saved.")
    st.rerun()


def deleted(row: Asset) -> None:
    with context.scope() as s:
        uses = assets.uses(s, row)
    breaks = ", ".join(f"{use.kind} {use.name}" for use in uses[:8])
    sentence = "Nothing uses this version. Its files stay where they are."
    if uses:
        sentence = f"It is used by {breaks}: it cannot be deleted, only archived."

    def remove() -> None:
        with context.scope(write=True) as s:
            assets.remove(s, data.get(s, row.name, row.version))
        context.done(f"Version {row.version} was deleted.")
        context.want("data", ws=context.workspace_name())

    confirm.confirm(sentence, f"{row.name}:{row.version}", "Delete", remove)


def changed(message: str, do: Callable[[Scope], object]) -> None:
    done = False
    with context.told():
        with context.scope(write=True) as s:
            do(s)
        context.done(message)
        done = True
    if done:
        st.rerun()


def version_box(versions: Sequence[Asset], row: Asset) -> None:
    """The version dropdown beside the title."""
    box = f"_data_version:{row.name}"
    st.session_state[box] = row.version
    st.selectbox(
        "Version",
        [each.version for each in versions],
        key=box,
        format_func=lambda version: f"Version {version}",
        label_visibility="collapsed",
        width=140,
        on_change=lambda: address.put(version=st.session_state[box], file=None, **{"with": None}),
    )


def tabs(row: Asset, versions: Sequence[Asset]) -> None:
    """Only the open one is run; which one is open is in the address."""
    wanted = TABS.get(address.text("tab"), TABS["details"])
    st.session_state["_data_tab"] = wanted

    def chosen() -> None:
        key = next(key for key, label in TABS.items() if label == st.session_state["_data_tab"])
        address.put(tab="" if key == "details" else key, file=None)

    made = st.tabs(list(TABS.values()), key="_data_tab", on_change=chosen)
    shows: dict[str, Callable[[], None]] = {
        "Details": lambda: data_tabs.details(row, versions),
        "Preview": lambda: data_tabs.preview(row),
        "Profile": lambda: data_tabs.profile(row),
        "Compare versions": lambda: data_tabs.compare(row, versions),
        "Consume": lambda: data_tabs.consume(row),
        "Jobs": lambda: data_tabs.jobs(row),
    }
    for tab, label in zip(made, TABS.values(), strict=True):
        if label == wanted:
            with tab:
                shows[label]()


name = address.text("name")
with context.scope() as scope:
    versions = assets.versions(scope, AssetKind.data, name)
wanted = address.text("version")
row = next((each for each in versions if each.version == wanted), versions[0])
crumbs = [("Data", context.link("data"))]
with parts.header(row.name, crumbs=crumbs, after=tag("span", row.type, cls="at-tag"), below=row.description or None):
    version_box(versions, row)
    actions(row)
if row.archived_at:
    parts.banner("gray", "This version is archived: lists leave it out unless they include archived ones.")
tabs(row, versions)
