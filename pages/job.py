"""One job: where its time went, what went in and came out, its log, charts, images, files, children and code."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from app import context
from app.ui import (
    address,
    job_actions,
    job_files,
    job_metrics,
    job_overview,
    job_source,
    parts,
    run_children,
    run_images,
    run_parts,
    run_tables,
    tabs,
)
from services import jobs, runs
from services.core.states import TERMINAL
from services.store.rows import Job

Draw = Callable[[Job], object]
TABS: dict[str, tuple[str, Draw]] = {
    "overview": ("Overview", job_overview.show),
    "metrics": ("Metrics", job_metrics.show),
    "images": ("Images", lambda job: run_images.show(job.name, run_images.found(job.name))),
    "tables": ("Tables", lambda job: run_tables.show(job.name, run_tables.found(job.name))),
    "children": ("Children", lambda job: run_children.show(job.name, run_children.of(job.name))),
    "outputs": ("Outputs + logs", job_files.show),
    "code": ("Code", job_files.code),
    "monitoring": ("Monitoring", job_metrics.monitoring),
    "yaml": ("YAML", job_source.show),
}


@st.fragment(run_every=2)
def watch(name: str, seen: str) -> None:
    """Runs the whole page again when the status has moved; costs one small question."""
    with context.scope() as s:
        job = jobs.get(s, name)
    if f"{job.status}:{job.reason}:{job.collected_at}" != seen:
        st.rerun()


def filled(name: str) -> dict[str, tuple[str, Draw]]:
    """All tabs but those that would be empty."""
    with context.scope() as s:
        has_children = any(line.has_children for line in runs.lines(s, [name]))
    has = {
        "images": bool(run_images.found(name)),
        "tables": bool(run_tables.found(name)),
        "children": has_children,
    }
    return {word: tab for word, tab in TABS.items() if has.get(word, True)}


def opened(draw: Draw, name: str) -> None:
    """With the job as it is by now."""
    with context.scope() as s:
        job = jobs.get(s, name)
    draw(job)


name = address.text("job")
with context.scope() as scope:
    job = jobs.get(scope, name)
crumbs = [
    ("Jobs", context.link("jobs")),
    (job.experiment_name, context.link("experiment", experiment=job.experiment_name)),
]
marked = run_parts.marks(name)
with parts.header(job.display_name or job.name, crumbs=crumbs, after=run_parts.titled(str(job.status), marked.color)):
    if job.status == "Completed" and job.collected_at is not None:
        there = context.link("new_model", job=job.name)
        st.html(parts.button("Register model", there, glyph="model_training", reason=context.may("models/write")))
    run_parts.actions(name, marked)
    job_actions.show(job)
if job.archived_at:
    parts.banner("gray", "This job is archived: lists leave it out unless they include archived ones.")
if job.message and job.status in {"Failed", "Canceled", "NotResponding"}:
    job_overview.failure(job)
if job.status not in TERMINAL or job.collected_at is None:
    watch(name, f"{job.status}:{job.reason}:{job.collected_at}")
tabs.show("job", {word: (label, partial(opened, draw, name)) for word, (label, draw) in filled(name).items()})
