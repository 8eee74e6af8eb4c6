"""One job: where its time went, what went in and came out, its log, charts, files and code."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from app import context
from app.ui import address, job_actions, job_files, job_metrics, job_overview, job_source, parts, tabs
from services import jobs
from services.core.states import TERMINAL
from services.store.rows import Job

TABS = {
    "overview": ("Overview", job_overview.show),
    "metrics": ("Metrics", job_metrics.show),
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


def opened(draw: Callable[[Job], object], name: str) -> None:
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
with parts.header(job.display_name or job.name, crumbs=crumbs, after=parts.chip(job.status)):
    if job.status == "Completed" and job.collected_at is not None:
        there = context.link("new_model", job=job.name)
        st.html(parts.button("Register model", there, glyph="model_training", reason=context.may("models/write")))
    job_actions.show(job)
if job.archived_at:
    parts.banner("gray", "This job is archived: lists leave it out unless they include archived ones.")
if job.message and job.status in {"Failed", "Canceled", "NotResponding"}:
    job_overview.failure(job)
if job.status not in TERMINAL or job.collected_at is None:
    watch(name, f"{job.status}:{job.reason}:{job.collected_at}")
tabs.show("job", {word: (label, partial(opened, draw, name)) for word, (label, draw) in TABS.items()})
