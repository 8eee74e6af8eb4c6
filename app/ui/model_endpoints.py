"""Where one version of a model answers: its deployments, behind endpoints of both kinds."""

from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import parts
from app.ui.text import Markup, plain, tag
from services import deployments
from services.store.rows import Asset
from services.store.serving import Deployment, Endpoint


def show(row: Asset, _: Sequence[Asset]) -> None:
    with context.scope() as s:
        found = deployments.of_asset(s, row)
    if not found:
        there = context.link("new_endpoint", model=row.name, version=row.version)
        reason = context.may("onlineEndpoints/deployments/write")
        action = parts.button("Deploy", there, glyph="rocket_launch", primary=True, reason=reason)
        parts.empty("api", "It serves nowhere", "Behind an endpoint it answers to programs.", action=action)
        return
    lines = [_line(endpoint, deployment) for endpoint, deployment in found]
    st.html(parts.panel("Endpoints", parts.rows(("Endpoint", "Kind", "Deployment", "State", "Traffic"), lines)))


def _line(endpoint: Endpoint, deployment: Deployment) -> list[str | Markup]:
    is_batch = endpoint.kind == "batch"
    is_default = "default" if endpoint.default_deployment == deployment.name else ""
    return [
        tag(
            "a",
            plain(endpoint.name, 80),
            href=context.link("batch_endpoint" if is_batch else "endpoint", name=endpoint.name),
        ),
        "Batch" if is_batch else "Real-time",
        plain(deployment.name, 80),
        parts.chip(deployment.provisioning_state),
        is_default if is_batch else f"{endpoint.traffic.get(deployment.name, 0)} %",
    ]
