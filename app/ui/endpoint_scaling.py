"""How many instances a deployment has: by hand, or following the load between a least and a most."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.ui.text import tag

BY_USE = "target_utilization"
SLEEPS_AFTER = 300


def follows(spec: Mapping[str, Any]) -> bool:
    """Whether instances come and go by themselves."""
    return bool((spec.get("scale_settings") or {}).get("type") == BY_USE)


def fields(key: str, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Draws the toggle and what it opens; `scale_settings` as they are written, None where people decide."""
    scale = spec.get("scale_settings") or {}
    if not st.toggle("Follow the load", follows(spec), key=f"{key}_automatic", help="Instances come and go by use."):
        return None
    one, two, three, four = st.columns(4, gap="small")
    least = one.number_input(
        "Least", 0, 1000, _or(scale.get("min_instances"), 1), key=f"{key}_least", help="With 0 it may fall asleep."
    )
    most = two.number_input(
        "Most", max(1, int(least)), 1000, max(_or(scale.get("max_instances"), 2), 1, int(least)), key=f"{key}_most"
    )
    aim = three.number_input(
        "Use (%)", 1, 100, _or(scale.get("target_utilization_percentage"), 70), key=f"{key}_target"
    )
    asleep = four.number_input(
        "Sleeps after (s)",
        1,
        7 * 86_400,
        _or(scale.get("scale_to_zero_after"), SLEEPS_AFTER),
        key=f"{key}_sleeps",
        disabled=least > 0,
    )
    if not least:
        st.html(tag("p", "The first request after that wakes it, and waits for its cold start.", cls="at-hint"))
    return {
        "type": BY_USE,
        "min_instances": int(least),
        "max_instances": int(most),
        "target_utilization_percentage": int(aim),
        **({} if least else {"scale_to_zero_after": int(asleep)}),
    }


def _or(value: int | None, fallback: int) -> int:
    return fallback if value is None else value
