"""The Streamlit half of the web process, as an application that others can mount."""

import logging
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import config

ROOT = Path(__file__).parents[2]
LOOK = ROOT / ".streamlit" / "config.toml"
# Set by code: a file in somebody's home folder may add keys, and none of these may be another's choice.
OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.trustedUserHeaders": {"X-Atelier-User": "name", "X-Atelier-Session": "sid"},
    "server.enableXsrfProtection": True,
    "server.enableAgentApi": False,
    "server.enableStaticServing": True,
    "server.maxUploadSize": 20,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "runner.postScriptGC": False,
    "runner.magicEnabled": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "client.showSidebarNavigation": False,
    "browser.gatherUsageStats": False,
    "global.developmentMode": False,
}


def application() -> Any:
    """One a process. Its lifespan must be run by whoever mounts it."""
    for name, value in [*look(), *OPTIONS.items()]:
        config.set_option(name, value)
    app = st.App(ROOT / "app" / "main.py")
    # Streamlit logs every request with its query, tokens included, however uvicorn was started.
    logging.getLogger("uvicorn.access").disabled = True
    return app


def look() -> Iterator[tuple[str, Any]]:
    """The theme. Streamlit reads it by itself only when it is started in the project's folder."""
    yield from _options(tomllib.loads(LOOK.read_text(encoding="utf-8")))


def _options(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _options(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
