"""A job's overview: where the time went, what it is, what went in and came out."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import batch_progress, job_metrics, parts, run_overview, run_parts, timeline
from app.ui.text import Markup, bare, join, tag
from services import batch_endpoints, events, jobs, logs
from services.core.errors import NotFound
from services.core.states import TERMINAL
from services.core.times import now, spoken
from services.store.rows import Job

HIDDEN = "••••••"


def failure(job: Job) -> None:
    """What went wrong, with the last lines of the log, above all tabs."""
    sentence, _, told = job.message.partition("\n")
    lines = told.splitlines() or _last_lines(job)
    body = tag("span", "\n".join(bare(line) for line in lines), cls="at-mono at-muted") if lines else None
    tone = "red" if job.status == "Failed" else "orange" if job.status == "NotResponding" else "gray"
    st.html(tag("div", tag("b", sentence), body, cls="at-notice", data_tone=tone, role="status"))


def _last_lines(job: Job) -> list[str]:
    if job.status != "Failed":
        return []
    try:
        with context.scope() as s:
            return logs.tail(s, job.name, lines=6)
    except NotFound:
        return []


def show(job: Job) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left:
        batch_progress.show(job)
        times(job.name)
        st.html(parts.panel("Inputs", inputs(job)))
        st.html(parts.panel("Outputs", outputs(job)))
        recorded = job_metrics.recorded(job)
        run_overview.values(job.name, recorded.metrics, recorded.params)
    marked = run_parts.marks(job.name)
    with right:
        st.html(parts.panel("Properties", properties(job)))
        run_parts.note(job.name, marked, blocked="" if job.run_id else "It has no run yet.")
        run_parts.tags(job.name, marked)
    if job.description:
        right.html(parts.panel("Description", tag("div", job.description, cls="at-pre")))
    if job.git:
        right.html(
            parts.panel("Git", parts.properties((key.capitalize(), _git(value)) for key, value in job.git.items()))
        )


def times(name: str) -> None:
    """The timeline; counts on by itself while the job is under way."""
    with context.scope() as s:
        over = jobs.get(s, name).status in TERMINAL

    @st.fragment(run_every=None if over else 2)
    def part() -> None:
        with context.scope() as s:
            job, told = jobs.get(s, name), events.of(s, "job", name)
        found, at = timeline.spans(job, told), now()
        total = spoken(sum(span.seconds(at) for span in found))
        st.html(parts.panel("Timeline", timeline.drawn(found, at), f"{total} in all" if over else f"{total} so far"))

    part()


def properties(job: Job) -> Markup:
    spec, resolved = job.spec, job.resolved
    environment = spec.get("environment")
    return parts.properties(
        (
            ("Status", parts.chip(job.status)),
            ("Name", tag("span", job.name, cls="at-mono")),
            ("Command", tag("pre", str(spec.get("command", "")))),
            (
                "Experiment",
                tag("a", job.experiment_name, href=context.link("experiment", experiment=job.experiment_name)),
            ),
            (
                "Environment",
                environment if isinstance(environment, str) else tag("span", str(_image(environment)), cls="at-mono"),
            ),
            ("Image", tag("span", str(resolved.get("image", "")), cls="at-mono") if resolved.get("image") else None),
            ("Compute", job.compute or "local"),
            ("Submitted", join((parts.ago(job.created_at), " by ", job.created_by))),
            ("Started", parts.ago(job.started_at) if job.started_at else None),
            ("Finished", parts.ago(job.finished_at) if job.finished_at else None),
            ("Duration", parts.duration(job.started_at, job.finished_at)),
            ("Exit code", str(job.exit_code) if job.exit_code is not None else None),
            ("Attempt", str(job.attempt) if job.attempt > 1 else None),
            ("Run", tag("span", job.run_id, cls="at-mono") if job.run_id else None),
            ("Warning", job.warning),
            *((f"{key}", str(value)) for key, value in job.properties.items()),
        )
    )


def inputs(job: Job) -> Markup:
    given: Mapping[str, Any] = job.spec.get("inputs") or {}
    variables: Mapping[str, Any] = job.spec.get("environment_variables") or {}
    settled: Mapping[str, Any] = job.resolved.get("assets") or {}
    lines = [(name, *_input(value, settled.get(name, {}))) for name, value in given.items()]
    hidden = {secret.decode("utf-8", "replace") for secret in logs.secrets_of(job)}
    lines += [
        (f"${name}", "variable", HIDDEN if str(value) in hidden else str(value))
        for name, value in variables.items()
        if name != batch_endpoints.SETTINGS
    ]
    return _ports(lines)


def _input(value: Any, settled: Mapping[str, Any]) -> tuple[str, str | Markup]:
    """What a job read leads to its page: the very version, or the job that made it."""
    kind, path = _port(value)
    screen = {"data": "data_asset", "model": "model"}.get(settled.get("kind", ""))
    if settled.get("kind") == "job":
        return kind, tag("a", path, href=context.link("job", job=settled["name"]))
    if screen is None or not settled["name"]:
        return kind, path
    named = f"{settled['name']}:{settled['version']}"
    return kind, tag("a", named, href=context.link(screen, name=settled["name"], version=settled["version"]))


def outputs(job: Job) -> Markup:
    declared: Mapping[str, Any] = job.spec.get("outputs") or {}
    resolved: Mapping[str, Any] = job.resolved.get("outputs") or {}
    lines = []
    for name in dict.fromkeys([*declared, *resolved]):
        kind, path = _port({**(declared.get(name) or {}), **(resolved.get(name) or {})})
        address = context.link("job", job=job.name, tab="outputs", output=name)
        lines.append((tag("a", name, href=address), kind, path))
    return _ports(lines)


def _ports(lines: Sequence[tuple[str, str, str]]) -> Markup:
    if not lines:
        return tag("div", "None", cls="at-none")
    return parts.rows(
        ("Name", "Type", "Value"), [(name, kind, tag("span", value, cls="at-mono")) for name, kind, value in lines]
    )


def _port(value: Any) -> tuple[str, str]:
    if isinstance(value, Mapping):
        mode = f" · {value['mode']}" if value.get("mode") else ""
        return f"{value.get('type', '')}{mode}", str(value.get("path", ""))
    kind = {bool: "boolean", int: "integer", float: "number"}.get(type(value), "string")
    return kind, str(value)


def _git(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _image(environment: object) -> str:
    return str(environment.get("image", "build context")) if isinstance(environment, Mapping) else ""
