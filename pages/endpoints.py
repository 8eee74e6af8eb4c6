"""Endpoints: addresses that answer with a model's predictions, at once or for whole files."""

import streamlit as st

from app.ui import address, endpoint_list, parts, tabs

TABS = {
    "online": ("Real-time endpoints", endpoint_list.online),
    "batch": ("Batch endpoints", endpoint_list.batch),
}
HINTS = {
    "": (
        "atelier online-endpoint list",
        "atelier online-endpoint create --name iris --auth-mode key",
        "atelier online-deployment create --file deployment.yml --all-traffic",
    ),
    "batch": (
        "atelier batch-endpoint list",
        "atelier batch-endpoint create --name nightly",
        "atelier batch-deployment create --file deployment.yml --set-default",
    ),
}

kind = "batch" if address.text("tab") == "batch" else ""
with parts.header("Endpoints"):
    parts.cli(*HINTS[kind])
    st.html(endpoint_list.create(kind))
tabs.show("endpoints", TABS)
