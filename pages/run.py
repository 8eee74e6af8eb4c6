"""One run that is no job's own: logged by a script or a notebook, or nested in another run."""

from functools import partial

import streamlit as st

from app import context
from app.ui import (
    address,
    parts,
    run_artifacts,
    run_children,
    run_images,
    run_metrics,
    run_overview,
    run_parts,
    run_tables,
    tabs,
)
from services import runs

LIVE_SECONDS = 3


@st.fragment(run_every=LIVE_SECONDS)
def watch(name: str, seen: str) -> None:
    """Runs the whole page again when the run has ended."""
    with context.scope() as s:
        lines = runs.lines(s, [name])
    if not lines or lines[0].status != seen:
        st.rerun()


name = address.text("run")
with context.scope() as scope:
    detail = runs.get(scope, name)
if detail.line.job:
    context.go("job", job=detail.line.job, tab=address.text("tab"))
line, marked = detail.line, run_parts.marks(name)
with parts.header(line.name, crumbs=run_parts.crumbs(line.experiment), after=run_parts.titled(line.status, line.color)):
    parts.cli(f"atelier run show --name {line.run_id}", f"atelier run update --name {line.run_id} --star --tags team=x")
    run_parts.actions(name, marked)
is_live = line.status == "Running"
if is_live:
    watch(name, line.status)
    run_metrics.watch(name, len(detail.metrics))
pictures, tables = run_images.found(name), run_tables.found(name)
version = f"{line.status}:{line.ended}"
shown = {
    "overview": ("Overview", partial(run_overview.show, detail, marked)),
    "metrics": ("Metrics", partial(run_metrics.show, name, detail.metrics, live=is_live, version=version)),
    "images": ("Images", partial(run_images.show, name, pictures)) if pictures else None,
    "tables": ("Tables", partial(run_tables.show, name, tables)) if tables else None,
    "artifacts": ("Artifacts", partial(run_artifacts.show, name)),
    "monitoring": ("System metrics", partial(run_metrics.machine, name, detail.metrics, live=is_live, version=version))
    if run_metrics.has_machine(detail.metrics)
    else None,
    "children": ("Children", partial(run_children.show, name, detail.children)) if detail.children else None,
}
tabs.show("run", {word: tab for word, tab in shown.items() if tab is not None})
