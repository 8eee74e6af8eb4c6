"""A job as written and as recorded: YAML and JSON to copy."""

import streamlit as st

from app import context
from app.ui import forms, parts
from services import jobs
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
            told = jobs.as_json(s, jobs.get(s, job.name))
        st.code(forms.pretty(told), language="json", wrap_lines=True)
