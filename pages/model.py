"""One model: its versions, what its files say, where it came from and what uses it."""

from functools import partial

import streamlit as st

from app import context
from app.ui import address, assetpage, model_endpoints, model_tabs, modelforms, parts, tabs
from services import assets
from services.core.states import AssetKind
from services.store.rows import Asset

TABS = {
    "details": ("Details", model_tabs.details),
    "versions": ("Versions", model_tabs.versions),
    "artifacts": ("Artifacts", model_tabs.artifacts),
    "endpoints": ("Endpoints", model_endpoints.show),
    "jobs": ("Jobs", model_tabs.jobs),
    "data": ("Data", model_tabs.data),
    "compare": ("Compare versions", model_tabs.compare),
}


def actions(row: Asset) -> None:
    which = f"--name {row.name} --version {row.version}"
    parts.cli(f"atelier model show {which}", f"atelier model download {which} -p .", f"atelier model approve {which}")
    reason = context.may("onlineEndpoints/deployments/write")
    there = context.link("new_endpoint", model=row.name, version=row.version)
    st.html(parts.button("Deploy", there, glyph="rocket_launch", primary=True, reason=reason), width="content")
    assetpage.lineage(row)
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
        assetpage.archive(row)
        forgotten = "This version is forgotten here and in MLflow's registry; its files stay where they are."
        assetpage.delete(row, "models", forgotten)


with context.scope() as scope:
    versions = assets.versions(scope, AssetKind.model, address.text("name"))
row = assetpage.chosen(versions)
chip = parts.chip("Succeeded", "Approved") if "approval" in row.facts else None
crumbs = [("Models", context.link("models"))]
with parts.header(row.name, crumbs=crumbs, after=chip, below=row.description or None):
    assetpage.version_box(row, versions, marked=assetpage.latest(versions))
    actions(row)
assetpage.archived(row)
tabs.show("model", {word: (label, partial(draw, row, versions)) for word, (label, draw) in TABS.items()})
