"""A job as written and as recorded: YAML and JSON to copy."""

import streamlit as st

from app import context
from app.api import shapes
from app.ui import forms, parts
from services import jobs, workspaces
from services.specs import source
from services.store.rows import Job


def show(job: Job) -> None:
    left, right = st.columns(2, gap="small")
    with left:
        parts.section("YAML", "as submitted" if job.source else "from what was submitted")
        st.code(job.source or source.dump(job.spec), language="yaml", wrap_lines=True)
    with right:
        parts.section("JSON", "as 'atelier job show' prints it")
        with context.scope() as s:
            told = shapes.job(jobs.get(s, job.name), workspaces.get(s), s.studio.settings.reached_at)
        st.code(forms.pretty(told), language="json", wrap_lines=True)
