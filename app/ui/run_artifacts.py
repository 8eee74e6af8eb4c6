"""Files of a run that no job made: the tree at the left, the chosen one at the right."""

from typing import BinaryIO

import streamlit as st

from app import context
from app.ui import address, parts, routes, tree, viewer
from services import run_files
from services.core.errors import AtelierError

FIRST = ("readme.md", "mlmodel")


def show(name: str) -> None:
    with context.scope() as s:
        files = run_files.listing(s, name)
    if not files:
        parts.empty(
            "folder", "No files", "What the run logs as artifacts is shown here.", cli='log_artifact("plot.png")'
        )
        return
    ranked = sorted(files, key=lambda file: (file.path.lower().rpartition("/")[2] not in FIRST, file.path))
    chosen = address.text("file") or ranked[0].path
    left, right = st.columns([2, 5], gap="small")
    left.html(
        parts.panel("Files", tree.drawn(files, lambda path: address.changed(file=path), chosen), f"{len(files):,}")
    )

    def opened() -> tuple[BinaryIO, int]:
        with context.scope() as s:
            return run_files.opened(s, name, chosen)

    with right:
        try:
            viewer.show(chosen, opened, routes.run_artifact(name, chosen))
        except AtelierError as error:
            context.show(error)
