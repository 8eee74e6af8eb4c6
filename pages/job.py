"""One job: where its time went, what went in and came out, its log, charts, files and code."""

import streamlit as st

from app import context
from app.ui import address, job_actions, job_files, job_metrics, job_overview, job_source, parts
from services import jobs
from services.core.states import TERMINAL

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


def tabs(name: str) -> None:
    """Only the open one is run; which one is open is in the address."""
    labels = [label for label, _ in TABS.values()]
    wanted = TABS.get(address.text("tab"), TABS["overview"])[0]
    st.session_state["_job_tab"] = wanted

    def chosen() -> None:
        label = st.session_state["_job_tab"]
        key = next(key for key, (each, _) in TABS.items() if each == label)
        address.put(tab="" if key == "overview" else key, file=None)

    made = st.tabs(labels, key="_job_tab", on_change=chosen)
    for tab, (label, show) in zip(made, TABS.values(), strict=True):
        if label == wanted:
            with tab:
                with context.scope() as s:
                    job = jobs.get(s, name)
                show(job)


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
tabs(name)
