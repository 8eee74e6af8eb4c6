"""The colour of a run: the same in every list, legend and chart, unless somebody chose another."""

import hashlib

# Told apart on white and on near-black alike; neighbours in the list are far apart on the colour wheel.
PALETTE = (
    "#5b5bd6", "#e5734a", "#1f9d8b", "#c2478f", "#3e8fd6", "#b08a1e", "#8e5bd0", "#5f9e3f",
    "#d1495b", "#5c7f9b", "#0f9ab0", "#c9622b", "#a0559c", "#3f9c6a", "#9a7b2f", "#6f7ee0",
    "#cf5f8a", "#4b8f2f", "#b5533c", "#2f7fb8", "#8a6fb8", "#c08a3e", "#37a08f", "#7d8794",
)  # fmt: skip


def of(run_id: str) -> str:
    """A stable function of the id, `#rrggbb`."""
    return PALETTE[int.from_bytes(hashlib.blake2s(run_id.encode(), digest_size=4).digest()) % len(PALETTE)]
