"""`AMLResponse`: an answer that is sent as it is."""

from __future__ import annotations

import importlib

AMLResponse = importlib.import_module("atelier_serve.rawhttp").response()
