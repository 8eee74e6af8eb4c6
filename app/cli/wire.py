"""httpx without its own command line: that one loads what draws tables and colours, 0.2 s at every start."""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx goes without what cannot be imported

import httpx  # noqa: E402

__all__ = ["httpx"]
