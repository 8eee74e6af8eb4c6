"""What can be done with one job, in its header."""

import streamlit as st

from app import context
from app.ui import changes, confirm, forms, parts
from app.ui.text import plain
from services import jobs
from services.core.errors import AtelierError
from services.core.states import TERMINAL
from services.store.rows import Job


def show(job: Job) -> None:
    over = job.status in TERMINAL
    parts.cli(
        f"atelier job show --name {job.name}",
        f"atelier job stream --name {job.name}",
        f"atelier job download --name {job.name} --all -p .",
        f"atelier job cancel --name {job.name}",
    )
    reason = context.may("jobs/write")
    st.html(
        parts.button("Edit and submit", context.link("new_job", **{"from": job.name}), glyph="edit_note", reason=reason)
    )
    st.html(
        parts.button("Lineage", context.link("lineage", kind="job", id=job.id), glyph="account_tree"), width="content"
    )
    if not over:
        waiting = "It has been asked to stop." if job.desired == "cancel" else ""
        if parts.act("Cancel", "jobs/cancel/action", glyph="stop_circle", blocked=waiting):
            change("cancel", job.name, "The job was asked to stop.")
    _more(job, over)


def _more(job: Job, over: bool) -> None:
    archived = job.archived_at is not None
    with st.popover("More", icon=":material/more_horiz:"):
        if parts.act("Edit details", "jobs/write", glyph="edit", key="act_details"):
            details(job)
        if parts.act("Restore" if archived else "Archive", "jobs/write", glyph="archive", key="act_archive"):
            verb, past = ("restore", "restored") if archived else ("archive", "archived")
            change(verb, job.name, f"The job was {past}.")
        if parts.act(
            "Delete", "jobs/delete", glyph="delete", blocked="" if over else "Cancel it first.", key="act_delete"
        ):
            sentence = "Its run, log and files are removed. This cannot be undone."
            confirm.confirm(sentence, job.name, "Delete job", lambda: _apply("delete", job.name), then=gone)


def gone() -> None:
    context.done("The job was deleted.")
    context.want("jobs", ws=context.workspace_name())


def change(verb: str, name: str, message: str) -> None:
    try:
        _apply(verb, name)
    except AtelierError as error:
        context.done(error.message, icon=":material/error:")
    else:
        context.done(message)
    st.rerun()


def _apply(verb: str, name: str) -> None:
    with context.scope(write=True) as s:
        getattr(jobs, verb)(s, name)


@st.dialog("Edit details")
def details(job: Job) -> None:
    with st.form("job_details", border=False):
        display = st.text_input("Display name", job.display_name, max_chars=255)
        description = st.text_area("Description", job.description, height=100)
        tags = st.text_input("Tags", plain(forms.spelled(job.tags)), help="name=value, name=value")
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        changes.changed(
            "Saved.",
            lambda s: jobs.update_details(
                s, job.name, display_name=display, description=description, tags=forms.pairs(tags)
            ),
        )
