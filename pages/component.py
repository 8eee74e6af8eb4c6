"""One component: its versions, interface, code and environment, the jobs that used it, and a job made of it."""

from functools import partial

import streamlit as st

from app import context
from app.ui import address, assetpage, changes, component_forms, component_tabs, parts, tabs
from app.ui.text import tag
from services import assets, components
from services.store.rows import Asset
from services.studio import Scope

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
    assetpage.lineage(row)
    with st.popover("More", icon=":material/more_horiz:"):
        if parts.act("Edit details", "components/write", glyph="edit"):
            edit(row)
        assetpage.archive(row)
        assetpage.delete(row, "components", "This version is forgotten; its code stays.")
    if row.type == "command" and parts.act("Use in a job", "jobs/write", glyph="play_arrow", primary=True):
        component_forms.use(row)


def edit(row: Asset) -> None:
    def change(scope: Scope, description: str, tags: dict[str, str]) -> None:
        assets.change(scope, assets.get_by_id(scope, row.id), description=description, tags=tags)

    changes.details("component", row.description, row.tags, change)


with context.scope() as scope:
    versions = components.versions(scope, address.text("name"))
row = assetpage.chosen(versions)
crumbs = [("Components", context.link("components"))]
with parts.header(row.name, crumbs=crumbs, after=tag("span", row.type, cls="at-tag"), below=row.description or None):
    assetpage.version_box(row, versions, marked=assetpage.latest(versions))
    actions(row)
assetpage.archived(row)
if row.type != "command":
    parts.banner("gray", f"A {row.type} component runs as a step of a pipeline.")
tabs.show("component", {word: (label, partial(draw, row, versions)) for word, (label, draw) in TABS.items()})
