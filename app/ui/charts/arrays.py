"""Numbers and text as Plotly takes them: typed base64 arrays, and names in which nothing is HTML."""

import base64

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
EXACT = 2.0**24
LARGEST = 3.4e38
LONGEST = 120


def typed(values: Array) -> dict[str, str]:
    """As Plotly reads it without parsing: 32 bits where nothing is lost on a screen, else 64."""
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    whole = bool(finite.size and np.all(finite == np.floor(finite)))
    narrow = largest < (EXACT if whole else LARGEST) and largest < LARGEST
    array = values.astype("<f4" if narrow else "<f8")
    return {"dtype": "f4" if narrow else "f8", "bdata": base64.b64encode(array.tobytes()).decode("ascii")}


def safe(text: str) -> str:
    """Plotly reads a little HTML in names and titles."""
    return shortened(text, LONGEST).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def faint(color: str, opacity: float = 0.12) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
