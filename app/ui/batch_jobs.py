"""The jobs of a batch endpoint: how each goes, and how far it is."""

import streamlit as st

from app import context
from app.ui import address, batch_progress, parts, table
from app.ui.batch_details import SCORE
from app.ui.text import plain
from services import batch_endpoints
from services.core.states import TERMINAL
from services.store.rows import Job
from services.store.serving import Deployment
from services.studio import Scope

MOST = 50
ALL = ""
COLUMNS = [
    table.Column("Display name", "link"),
    table.Column("Deployment"),
    table.Column("Status", "status"),
    table.Column("Mini-batches", "text"),
    table.Column("Submitted", "time"),
    table.Column("Duration", "duration"),
    table.Column("Created by", "muted"),
    table.Column("Name", "code"),
]


def show(name: str) -> None:
    with context.scope() as s:
        found = batch_endpoints.listed_deployments(s, name)
    chosen = _whose([each.name for each in found]) if len(found) > 1 else ALL

    @st.fragment(run_every=2)
    def live() -> None:
        with context.scope() as s:
            rows = batch_endpoints.list_jobs(s, name, chosen or None, limit=MOST)
            lines = [_row(s, each, found) for each in rows]
        if not lines:
            _nothing(name, bool(found))
            return
        more = len(lines) == MOST
        noun = f"jobs, the newest {MOST}" if more else "job" if len(lines) == 1 else "jobs"
        table.show("batch_jobs", COLUMNS, lines, label="Jobs", pager=table.Pager(noun=noun, limit=MOST))

    live()


def _row(scope: Scope, job: Job, found: list[Deployment]) -> table.Row:
    there = context.link("job", job=job.name)
    by = next((each.name for each in found if each.id == job.deployment_id), "")
    cells = [
        table.link(job.display_name or job.name, there),
        by,
        table.status(job.status),
        batch_progress.short(batch_progress.of(scope, job.name)),
        table.time(job.created_at),
        table.lasting(job.started_at, job.finished_at, live=job.status not in TERMINAL),
        job.created_by,
        job.name,
    ]
    return table.Row(job.name, cells, there)


def _whose(names: list[str]) -> str:
    key, now = "_batch_jobs_of", address.text("deployment")
    st.session_state[key] = now if now in names else ALL

    def chosen() -> None:
        address.put(deployment=st.session_state[key])

    st.selectbox(
        "Deployment",
        [ALL, *names],
        key=key,
        format_func=lambda each: plain(each, 60) if each else "All deployments",
        on_change=chosen,
        label_visibility="collapsed",
        width=190,
    )
    return str(st.session_state[key])


def _nothing(name: str, has_deployments: bool) -> None:
    reason = context.may(SCORE) or ("" if has_deployments else "It has no deployment yet.")
    parts.empty(
        "dataset",
        "No jobs yet",
        "Each call of the endpoint is a job that works through all files that it was given.",
        action=parts.button(
            "Create job", address.changed(tab="invoke"), glyph="play_arrow", primary=True, reason=reason
        ),
        cli=f"atelier batch-endpoint invoke --name {name} --input azureml:images:1",
    )
