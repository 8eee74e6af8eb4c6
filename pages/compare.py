"""Two jobs beside each other: only what differs, by what it is about."""

from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import address, parts
from app.ui.text import Markup, join, number, plain, tag
from services import comparisons, jobs, metrics
from services.comparisons import Change
from services.store.rows import Job

MOST = 300
SHORT = 12


def side(name: str) -> tuple[Job, dict[str, float | None]]:
    with context.scope() as s:
        return jobs.get(s, name), {each.key: each.last for each in metrics.summary(s, name).metrics}


def changes(title: str, found: Sequence[Change], heads: tuple[str, Markup, Markup]) -> None:
    lines = [(tag("b", plain(each.name, 200)), *values(title, each)) for each in found[:MOST]]
    note = f"{len(found)} {'differs' if len(found) == 1 else 'differ'}"
    st.html(parts.panel(title.capitalize(), rows(heads, lines), note))


def values(title: str, each: Change) -> tuple[Markup, Markup]:
    nothing = tag("span", "—", cls="at-faint")
    shown = [value[:SHORT] if title == "code" else plain(value, 2000) for value in (each.before, each.after)]
    before, after = (tag("pre", value, cls="at-mono at-value") if value else nothing for value in shown)
    return before, after


def rows(heads: tuple[str, Markup, Markup], lines: Sequence[Sequence[str | Markup]]) -> Markup:
    return tag("div", parts.rows(heads, lines), cls="at-beside")


def outcome(one: dict[str, float | None], other: dict[str, float | None], heads: tuple[str, Markup, Markup]) -> None:
    """What came of it: the last value of each metric that both or one of them logged."""
    keys = sorted({*one, *other})
    if keys:
        lines = [(tag("b", plain(key, 200)), number(one.get(key)), number(other.get(key))) for key in keys[:MOST]]
        st.html(parts.panel("Metrics", rows(heads, lines), "last values"))


def about(one: Job, other: Job) -> list[Sequence[str | Markup]]:
    return [
        (tag("b", "Status"), parts.chip(one.status), parts.chip(other.status)),
        (tag("b", "Submitted"), *(join((parts.ago(job.created_at), " by ", job.created_by)) for job in (one, other))),
        (tag("b", "Duration"), *(parts.duration(job.started_at, job.finished_at) for job in (one, other))),
    ]


def head(job: Job) -> Markup:
    return tag("a", plain(job.display_name or job.name, 80), href=context.link("job", job=job.name))


before, after = address.text("before"), address.text("after")
if not before or not after:
    with parts.header("Compare jobs", crumbs=[("Jobs", context.link("jobs"))]):
        parts.cli("atelier lineage compare --name JOB --other JOB")
    parts.empty(
        "compare_arrows",
        "Choose two jobs",
        "Tick two jobs in the list and press Compare.",
        action=parts.button("Jobs", context.link("jobs")),
        cli="atelier lineage compare --name JOB --other JOB",
    )
else:
    with context.scope() as scope:
        found = comparisons.compare(scope, before, after)
    (one, one_metrics), (other, other_metrics) = side(before), side(after)
    heads = ("", head(one), head(other))
    with parts.header("Compare jobs", crumbs=[("Jobs", context.link("jobs"))], below="What differs between the two"):
        parts.cli(f"atelier lineage compare --name {before} --other {after}")
        st.html(parts.button("Swap", address.changed(before=after, after=before), glyph="swap_horiz"))
    st.html(parts.panel("Jobs", rows(heads, about(one, other))))
    if not found.sections:
        parts.banner("green", "Nothing differs: command, inputs, code, environment and git are the same.")
    for title, each in found.sections.items():
        changes(title, each, heads)
    outcome(one_metrics, other_metrics, heads)
