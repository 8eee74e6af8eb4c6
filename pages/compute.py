"""Compute: the engines that run jobs, what they can take, what runs where."""

from typing import Any

import streamlit as st

from app import context
from app.ui import joblist, parts
from app.ui.text import Markup, join, size, tag
from services import computes

SHOWN = {
    "kind": "Kind",
    "version": "Version",
    "api_version": "API",
    "os": "System",
    "profile": "Profile",
    "address": "Address",
}


def figures(facts: dict[str, Any], running: int, queued: int) -> Markup:
    """What it can take, and what it takes now."""
    parts_ = [
        ("Processors", str(facts.get("cpus") or "–")),
        ("Memory", size(facts["memory"]) if facts.get("memory") else "–"),
        ("GPUs", str(facts.get("gpus") or 0)),
        ("Running", str(running)),
        ("Waiting", str(queued)),
    ]
    return tag("div", *(tag("div", tag("small", label), tag("b", value)) for label, value in parts_), cls="at-stats")


@st.fragment(run_every=5)
def engines() -> None:
    with context.scope() as s:
        found = computes.listed(s)
    for compute in found:
        state = {"ok": "Ready", "unknown": "Unknown"}.get(compute.state, compute.state.capitalize())
        seen = join((tag("span", "seen "), parts.ago(compute.seen_at))) if compute.seen_at else "never seen by a worker"
        st.html(
            tag(
                "div",
                tag("h2", compute.name, cls="at-h2"),
                parts.chip(state),
                tag("span", seen, cls="at-faint"),
                cls="at-title",
            )
        )
        st.html(figures(compute.facts, len(compute.running), compute.queued))
        left, right = st.columns([3, 2], gap="small")
        left.html(parts.panel("Runs here now", joblist.lines(compute.running, "No job of this workspace runs here.")))
        known = [(label, str(compute.facts[key])) for key, label in SHOWN.items() if compute.facts.get(key)]
        right.html(parts.panel("Engine", parts.properties(known)))
        if compute.seen_at is None:
            parts.empty(
                "memory", "No engine has been seen", "The worker looks for one when it starts.", cli="atelier doctor"
            )


with parts.header("Compute", below="Every compute name in a job means this machine's engine."):
    parts.cli("atelier doctor", "atelier status")
engines()
