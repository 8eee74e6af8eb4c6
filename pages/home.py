"""Home: what runs now, what failed lately, and the first steps."""

import streamlit as st

from app import context
from app.ui import joblist, parts
from app.ui.text import tag
from services import environments, jobs, workspaces
from services.core.states import ACTIVE
from services.jobs import JobQuery

ACTIVE_WORDS = tuple(str(status) for status in ACTIVE)


def welcome() -> None:
    """Before there is any workspace."""
    parts.header("Welcome to Atelier")
    parts.empty(
        "layers",
        "Start with a workspace",
        "A workspace holds a group's jobs, environments and data.",
        action=parts.button("Create a workspace", context.link("workspaces", new="1"), glyph="add", primary=True),
        cli="atelier workspace create --name my-workspace",
    )


@st.fragment(run_every=5)
def now() -> None:
    """The small live part: numbers, running, failed."""
    with context.scope() as s:
        counted = jobs.counted(s)
        running = jobs.listed(s, JobQuery(status=ACTIVE_WORDS, limit=8)).rows
        failed = jobs.listed(s, JobQuery(status=("Failed",), order_by="-finished_at", limit=5)).rows
    active = sum(counted.get(word, 0) for word in ACTIVE_WORDS)
    waiting = sum(counted.get(word, 0) for word in ("NotStarted", "Queued", "Preparing", "Provisioning", "Starting"))
    figures = [
        ("Running", active - waiting, "blue", {"status": "Running,Finalizing,NotResponding,CancelRequested"}),
        ("Waiting", waiting, "gray", {"status": "NotStarted,Queued,Preparing,Provisioning,Starting"}),
        ("Completed", counted.get("Completed", 0), "green", {"status": "Completed"}),
        ("Failed", counted.get("Failed", 0), "red", {"status": "Failed"}),
    ]
    st.html(
        tag(
            "div",
            *(
                tag(
                    "a",
                    tag("small", tag("i", cls="at-dot", data_tone=tone), label),
                    tag("b", str(count)),
                    href=context.link("jobs", **query),
                )
                for label, count, tone, query in figures
            ),
            cls="at-stats",
        )
    )
    left, right = st.columns(2, gap="small")
    left.html(
        parts.panel(
            "Running now", joblist.lines(running, "Nothing is running."), f"{active} under way" if active else ""
        )
    )
    right.html(parts.panel("Failed lately", joblist.lines(failed, "Nothing has failed."), ""))


def checklist() -> None:
    """What a new workspace needs, ticked as it happens; gone when all is done."""
    engine = context.fact("engine") or {}
    with context.scope() as s:
        counted = jobs.counted(s)
        has_environment = bool(environments.listed(s).rows)
    steps = [
        (context.worker_is_alive(), "The studio's worker is running", "atelier status"),
        (engine.get("kind") == "docker", "A Docker engine answers", "atelier doctor"),
        (bool(counted), "Submit a first job", "atelier job create -f examples/hello/job.yml --stream"),
        (counted.get("Completed", 0) > 0, "See a job complete", "atelier job list"),
        (has_environment, "Register an environment", "atelier environment create -f environment.yml"),
    ]
    if all(done for done, _, _ in steps):
        return
    lines = [
        tag(
            "li",
            parts.icon("check_circle" if done else "radio_button_unchecked"),
            tag("span", label),
            tag("code", cli),
            data_done=done,
        )
        for done, label, cli in steps
    ]
    st.html(
        parts.panel(
            "First steps", tag("ul", *lines, cls="at-steps"), f"{sum(done for done, _, _ in steps)} of {len(steps)}"
        )
    )


with context.install() as scope:
    known = workspaces.listed(scope)
if not known:
    welcome()
    st.stop()
with context.scope() as scope:
    workspace = workspaces.get(scope)
actions = parts.header(workspace.display_name or workspace.name, below=workspace.description or None)
actions.html(
    parts.buttons(
        parts.button("All jobs", context.link("jobs")),
        parts.button("New job", context.link("new_job"), glyph="add", primary=True, reason=context.may("jobs/write")),
    )
)
now()
checklist()
