"""Endpoints: addresses that answer with a model's predictions, at once or for whole files."""

import streamlit as st

from app.ui import endpoint_list, parts

TABS = {"online": ("Real-time endpoints", endpoint_list.online)}

with parts.header("Endpoints"):
    parts.cli(
        "atelier online-endpoint list",
        "atelier online-endpoint create --name iris --auth-mode key",
        "atelier online-deployment create --file deployment.yml --all-traffic",
    )
    st.html(endpoint_list.create())
endpoint_list.online()
