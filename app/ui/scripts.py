"""Scripts of components: each is one module, made of the parts that several share and its own."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def script(*parts: str) -> str:
    """By the names of the files, in this order."""
    return "".join((ASSETS / f"{part}.js").read_text(encoding="utf-8") for part in parts)
