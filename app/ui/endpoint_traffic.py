"""Who gets how much of an endpoint's requests: sliders that sum to 100, presets, copies for deployments on trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.ui import endpoint_words
from app.ui.scripts import script
from services.store.serving import Deployment, Endpoint

ASSETS = Path(__file__).parent / "assets"

_traffic = st.components.v2.component(
    "atelier_traffic",
    html='<div class="traffic">\n</div>',
    css=(ASSETS / "traffic.css").read_text(encoding="utf-8"),
    js=script("nodes", "traffic"),
)


@dataclass(frozen=True)
class Split:
    """Percent by deployment. `traffic` sums to 0 or 100; who has none of it is left out of both."""

    traffic: dict[str, int]
    mirror: dict[str, int]


def sliders(endpoint: Endpoint, deployments: Sequence[Deployment], *, locked: bool = False) -> Split:
    """Draws them; what they say now, which is what holds until one is moved."""
    tones = endpoint_words.tones(deployments)
    lines = [_line(endpoint, each, tones[each.name]) for each in deployments]
    mark = f"{endpoint.id}:{endpoint.revision}:{','.join(each.name for each in deployments)}"
    data = {"mark": mark, "lines": lines, "locked": locked}
    result = _traffic(key=f"traffic:{endpoint.id}", data=data, on_split_change=_nothing)
    moved: Mapping[str, Any] = result.split or {}
    if moved.get("mark") != mark:
        return Split(_some(endpoint.traffic), _some(endpoint.mirror_traffic))
    return Split(_some(moved["traffic"]), _some(moved["mirror"]))


def _line(endpoint: Endpoint, row: Deployment, tone: str) -> dict[str, object]:
    is_ready = row.serving_generation > 0 and row.desired == "run"
    return {
        "name": row.name,
        "tone": tone,
        "ready": is_ready,
        "said": "" if is_ready else str(row.provisioning_state).lower(),
        "live": endpoint.traffic.get(row.name, 0),
        "mirror": endpoint.mirror_traffic.get(row.name, 0),
    }


def _some(percents: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(percent) for name, percent in percents.items() if percent}


def _nothing() -> None:
    """A state key needs a callback to exist from the first run on."""
