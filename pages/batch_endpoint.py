"""One batch endpoint: its deployments, the jobs that came of its calls, and a form to call it."""

from functools import partial
from pathlib import Path

import streamlit as st

from app import context
from app.ui import address, batch_details, batch_invoke, batch_jobs, parts, tabs

TABS = {
    "details": ("Details", batch_details.show),
    "jobs": ("Jobs", batch_jobs.show),
    "invoke": ("Create job", batch_invoke.show),
}
STYLE = Path(batch_details.__file__).parent / "assets" / "endpoints.css"

st.html(STYLE)
found = batch_details.seen(address.text("name"))
row = found.endpoint
crumbs = [("Endpoints", context.link("endpoints", tab="batch"))]
with parts.header(
    row.name, crumbs=crumbs, after=parts.chip("Ready" if found.cards else "Empty"), below=row.description or None
):
    batch_details.actions(row, found)
batch_details.asked(found)
tabs.show("batch_endpoint", {word: (label, partial(draw, row.name)) for word, (label, draw) in TABS.items()})
