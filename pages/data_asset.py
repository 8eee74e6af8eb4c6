"""One data asset: its files, a first look at them, every column's numbers, what changed between versions, its uses."""

import streamlit as st

from app import context
from app.ui import address, assetpage, changes, data_tabs, forms, parts, tabs
from app.ui.text import tag
from services import assets, data
from services.core.states import AssetKind
from services.store.rows import Asset

WRITE = "datasets/versions/write"


def actions(row: Asset) -> None:
    named = f"--name {row.name} --version {row.version}"
    parts.cli(f"atelier data show {named}", f"atelier data download {named}", f"atelier data preview {named}")
    assetpage.lineage(row)
    if parts.act("Edit", WRITE, glyph="edit"):
        edit(row)
    assetpage.archive(row)
    assetpage.delete_or_say(row, "data", "Nothing uses this version. Its files stay where they are.")
    if parts.act("New version", WRITE, glyph="add", primary=True):
        context.go("new_data", name=row.name)


@st.dialog("Edit")
def edit(row: Asset) -> None:
    """What is no content may change."""
    with st.form("edit_data", border=False):
        description = st.text_area("Description", row.description, height=96, key=f"edit:{row.id}:description")
        tags = st.text_input("Tags", forms.spelled(row.tags), placeholder="team=vision", key=f"edit:{row.id}:tags")
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        changes.changed(
            "Saved.",
            lambda s: assets.change(
                s, data.get(s, row.name, row.version), description=description, tags=forms.pairs(tags)
            ),
        )


name = address.text("name")
with context.scope() as scope:
    versions = assets.versions(scope, AssetKind.data, name)
wanted = address.text("version")
row = next((each for each in versions if each.version == wanted), versions[0])
crumbs = [("Data", context.link("data"))]
with parts.header(row.name, crumbs=crumbs, after=tag("span", row.type, cls="at-tag"), below=row.description or None):
    assetpage.version_box(row, versions)
    actions(row)
assetpage.archived(row)
tabs.show(
    "data",
    {
        "details": ("Details", lambda: data_tabs.details(row, versions)),
        "preview": ("Preview", lambda: data_tabs.preview(row)),
        "profile": ("Profile", lambda: data_tabs.profile(row)),
        "compare": ("Compare versions", lambda: data_tabs.compare(row, versions)),
        "consume": ("Consume", lambda: data_tabs.consume(row)),
        "jobs": ("Jobs", lambda: data_tabs.jobs(row)),
    },
)
