"""How far a job is through its mini-batches, from the metrics that its driver tells while it works."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app import context
from app.ui.text import Markup, plain, tag
from services import jobs, metrics
from services.core.states import TERMINAL
from services.core.times import now, seconds, spoken
from services.metrics import MetricSummary
from services.store.rows import Job
from services.studio import Scope

LOOK_SECONDS = 2


@dataclass(frozen=True)
class Progress:
    """Mini-batches; `items` are files or rows that failed in the end."""

    total: int
    done: int
    failed: int = 0
    items: int = 0


def of(scope: Scope, name: str) -> Progress | None:
    """None before the driver has told anything."""
    return _read(metrics.summary(scope, name).metrics)


def _read(told: Sequence[MetricSummary]) -> Progress | None:
    last = {each.key: int(each.last) for each in told if each.last is not None}
    total = last.get("mini_batches_total")
    if total is None:
        return None
    return Progress(
        total, last.get("mini_batches_done", 0), last.get("mini_batches_failed", 0), last.get("items_failed", 0)
    )


def short(of: Progress | None) -> str:
    """`12 of 40`, for lists."""
    if of is None:
        return ""
    return f"{of.done} of {of.total}" + (f", {of.failed} failed" if of.failed else "")


def show(job: Job) -> None:
    """A bar that grows by itself, and where the job was asked for; nothing for a job of no endpoint."""
    if job.deployment_id is None:
        return
    over = job.status in TERMINAL and job.collected_at is not None

    @st.fragment(run_every=None if over else LOOK_SECONDS)
    def live() -> None:
        with context.scope() as s:
            row, found = jobs.get(s, job.name), of(s, job.name)
        st.html(_panel(row, found))

    live()


def _panel(job: Job, found: Progress | None) -> Markup:
    endpoint, deployment = (str(job.properties.get(f"azureml.{each}") or "") for each in ("endpoint", "deployment"))
    there = context.link("batch_endpoint", name=endpoint)
    by = tag("small", "by ", tag("a", plain(f"{endpoint}/{deployment}", 80), href=there)) if endpoint else None
    if found is None:
        said = "None were done." if job.status in TERMINAL else "They are counted once the files are listed."
        body = tag("div", said, cls="at-none")
    else:
        whole = max(found.total, 1)
        good = max(0, found.done - found.failed)
        bar = tag(
            "div",
            tag(
                "i",
                data_tone="green" if job.status == "Completed" else "blue",
                style=f"width:{100 * good / whole:.2f}%",
            ),
            tag("i", data_tone="red", style=f"width:{100 * found.failed / whole:.2f}%") if found.failed else None,
            cls="at-bar",
            role="progressbar",
            aria_valuenow=str(found.done),
            aria_valuemax=str(found.total),
        )
        words = [
            tag("span", tag("b", f"{found.done:,}"), f" of {found.total:,}"),
            tag("span", f"{found.done / whole:.0%}"),
            tag("span", tag("b", f"{found.failed:,}"), " failed", cls="at-bad") if found.failed else None,
            tag("span", tag("b", f"{found.items:,}"), " items failed", cls="at-bad") if found.items else None,
            tag("span", _left(job, found)) if _left(job, found) else None,
        ]
        body = tag("div", bar, tag("div", *words, cls="at-words"), cls="at-progress")
    return tag("section", tag("header", "Mini-batches", by), body, cls="at-panel")


def _left(job: Job, found: Progress) -> str:
    """About how long it still takes, when it goes on as until now."""
    passed = seconds(job.started_at, now())
    if job.status != "Running" or not passed or not 0 < found.done < found.total:
        return ""
    return f"about {spoken(passed / found.done * (found.total - found.done))} left"
