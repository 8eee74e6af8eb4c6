"""A job's files: logs that grow, outputs, and the code it ran."""

from collections.abc import Callable, Sequence
from typing import BinaryIO

import streamlit as st

from app import context
from app.ui import address, log, parts, routes, tree, viewer
from app.ui.text import Markup, tag
from services import artifacts, logs
from services.core.errors import AtelierError
from services.core.states import TERMINAL
from services.engines.files import File
from services.store.rows import Job

LOGS = ("user_logs/", "system_logs/", "logs/")


def show(job: Job) -> None:
    """Tree at the left, the chosen file at the right; the standard log is open by default."""
    chosen, named = address.text("file"), address.text("output")
    live = job.status not in TERMINAL or job.collected_at is None
    left, right = st.columns([2, 5], gap="small")
    with context.scope() as s:
        files = artifacts.listed(s, job.name)
    if named:
        _named(job, named, chosen, left, right)
        return
    chosen = chosen or logs.STANDARD
    with left:
        st.html(parts.panel("Files", _tree(files, chosen), f"{len(files)}"))
        _outputs(job)
        if context.behind_gate():
            st.html(viewer.download_link("Download all", routes.archive(job.name)))
    with right:
        if chosen == logs.STANDARD or (chosen.startswith(LOGS) and chosen.endswith((".txt", ".log"))):
            log.follow(job.name, chosen, live=live, height=560)
        else:
            _file(chosen, lambda: _opened(job.name, chosen), routes.artifact(job.name, chosen))


def code(job: Job) -> None:
    """The snapshot, read only, with where it came from."""
    with context.scope() as s:
        files = artifacts.snapshot(s, job.name)
    if not files:
        parts.empty("code", "This job has no code", "Its command ran with what the image holds.", cli="code: ./src")
        return
    chosen = address.text("file") or _first(files)
    left, right = st.columns([2, 5], gap="small")
    git = job.git
    note = f"{git.get('branch', '')} {str(git.get('commit', ''))[:8]}{' (changed)' if git.get('dirty') else ''}".strip()
    left.html(parts.panel("Snapshot", _tree(files, chosen), note or (job.snapshot_id or "")[:12]))
    with right:
        _file(chosen, lambda: _opened_code(job.name, chosen), routes.snapshot(job.name, chosen))


def _named(
    job: Job, name: str, chosen: str, left: st.delta_generator.DeltaGenerator, right: st.delta_generator.DeltaGenerator
) -> None:
    with left:
        st.html(parts.button("All files", address.changed(output=None, file=None), glyph="arrow_back"))
        try:
            with context.scope() as s:
                files = artifacts.output(s, job.name, name)
        except AtelierError as error:
            context.show(error)
            return
        if not files:
            st.html(tag("div", "Nothing has been written to this output.", cls="at-none at-panel"))
            return
        chosen = chosen or _first(files)
        st.html(parts.panel(name, _tree(files, chosen), f"{len(files)}"))
    with right:
        _file(chosen, lambda: _opened_output(job.name, name, chosen), routes.output(job.name, name, chosen))


def _outputs(job: Job) -> None:
    names = list(dict.fromkeys([*(job.spec.get("outputs") or {}), *(job.resolved.get("outputs") or {})]))
    if names:
        links = [
            tag("a", parts.icon("output"), tag("span", name), href=address.changed(output=name, file=None))
            for name in names
        ]
        st.html(parts.panel("Named outputs", tag("div", *links, cls="at-tree")))


def _tree(files: Sequence[File], chosen: str) -> Markup:
    if not files:
        return tag("div", "Nothing has been written yet.", cls="at-none")
    return tree.drawn(
        files, lambda path: address.changed(file=path), chosen, opened=frozenset({"user_logs", "outputs"})
    )


def _file(path: str, opened: Callable[[], tuple[BinaryIO, int]], link: str) -> None:
    try:
        viewer.show(path, opened, link)
    except AtelierError as error:
        context.show(error)


def _opened(name: str, path: str) -> tuple[BinaryIO, int]:
    with context.scope() as s:
        return artifacts.opened(s, name, path)


def _opened_code(name: str, path: str) -> tuple[BinaryIO, int]:
    with context.scope() as s:
        return artifacts.opened_snapshot(s, name, path)


def _opened_output(name: str, output: str, path: str) -> tuple[BinaryIO, int]:
    with context.scope() as s:
        return artifacts.opened_output(s, name, output, path)


def _first(files: Sequence[File]) -> str:
    """What a reader wants to see first: a readme, a training script, else the first file."""
    wanted = ("readme.md", "train.py", "main.py", "job.yml")
    ranked = sorted(files, key=lambda file: (file.path.lower() not in wanted, file.path.count("/"), file.path))
    return ranked[0].path
