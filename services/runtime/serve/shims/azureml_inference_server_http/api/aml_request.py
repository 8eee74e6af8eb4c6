"""`@rawhttp`: `run()` takes the request itself instead of its body."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_rawHttpRequested = False  # noqa: N816 — the name that servers look for
_rawhttp = importlib.import_module("atelier_serve.rawhttp")


def rawhttp(func: Callable[..., Any]) -> Callable[..., Any]:
    return _rawhttp.mark(func, __name__)  # type: ignore[no-any-return]


AMLRequest = _rawhttp.request_type()
