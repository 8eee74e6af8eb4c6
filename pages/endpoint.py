"""One online endpoint: its deployments and their traffic, a place to try it, how it does, and how it changes."""

from functools import partial
from pathlib import Path

import streamlit as st

from app import context
from app.ui import (
    address,
    endpoint_actions,
    endpoint_consume,
    endpoint_details,
    endpoint_logs,
    endpoint_monitoring,
    endpoint_rollout,
    endpoint_test,
    endpoint_words,
    parts,
    tabs,
)
from services import endpoints

TABS = {
    "details": ("Details", endpoint_details.show),
    "test": ("Test", endpoint_test.show),
    "consume": ("Consume", endpoint_consume.show),
    "monitoring": ("Monitoring", endpoint_monitoring.show),
    "logs": ("Logs", endpoint_logs.show),
    "rollout": ("Rollout", endpoint_rollout.show),
}
STYLE = Path(endpoint_details.__file__).parent / "assets" / "endpoints.css"

st.html(STYLE)
with context.scope() as scope:
    row = endpoints.get(scope, address.text("name"))
    found = endpoints.deployments_of(scope, row)
crumbs = [("Endpoints", context.link("endpoints"))]
chip = parts.chip(endpoint_words.health(row, found))
with parts.header(row.name, crumbs=crumbs, after=chip, below=row.description or None):
    endpoint_actions.show(row, found)
endpoint_actions.asked(row, found)
if row.message:
    parts.banner("orange", row.message)
tabs.show("endpoint", {word: (label, partial(draw, row.name)) for word, (label, draw) in TABS.items()})
