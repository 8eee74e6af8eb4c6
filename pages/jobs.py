"""Jobs: search, filter, choose columns, sort, page, act on many; everything in the address."""

import streamlit as st

from app import context
from app.ui import address, confirm, joblist, parts, table, words
from services import experiments, jobs
from services.core.errors import AtelierError
from services.core.paging import cursor_at
from services.core.states import ACTIVE, JobStatus
from services.jobs import JobQuery

SIZE = 50
STATUSES = [str(status) for status in JobStatus]


def filters() -> JobQuery:
    with context.scope() as s:
        people, known = (
            jobs.creators(s),
            [each.experiment.name for each in experiments.listed(s, include_archived=True)],
        )
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        search = address.search(placeholder="Search name or experiment")
        status = address.choice("status", "Status", STATUSES, {word: words.label(word) for word in STATUSES})
        creators = address.choice("by", "Created by", people, width=160)
        experiment = address.one_of("experiment", "Experiment", known)
        archived = address.switch("archived", "Include archived")
        with st.popover("Columns", icon=":material/view_column:"):
            labels = {name: column.label for name, column in joblist.COLUMNS.items()}
            address.choice("columns", "Columns", list(joblist.COLUMNS), labels, width=320)
    order = address.text("sort", "-created_at")
    return JobQuery(
        search=search,
        status=tuple(status),
        created_by=tuple(creators),
        experiment_name=experiment,
        include_archived=archived,
        order_by=order if order.removeprefix("-") in jobs.ORDERS else "-created_at",
        limit=SIZE,
        cursor=cursor_at((address.number("page", 1) - 1) * SIZE),
    )


@st.fragment(run_every=4)
def listing(query: JobQuery) -> None:
    """The live part: one page of rows, and what can be done with the ticked ones."""
    with context.scope() as s:
        page, counted = jobs.listed(s, query), jobs.counted(s, query)
    total = sum(counted.values())
    if not total:
        nothing(query)
        return
    columns = address.words("columns", list(joblist.COLUMNS)) or list(joblist.DEFAULT)
    if "display_name" not in columns:
        columns.insert(0, "display_name")
    bar = st.container(horizontal=True, key="bulk")
    picked = table.show(
        "jobs",
        [joblist.COLUMNS[name] for name in columns],
        [joblist.row(job, columns) for job in page.rows],
        label="Jobs",
        order=query.order_by,
        selectable=True,
        pager=table.Pager((address.number("page", 1) - 1) * SIZE, SIZE, bool(page.next_cursor), total, "jobs"),
        reset=context.recall("jobs_reset") or 0,
    )
    if picked.ids:
        chosen = [job for job in page.rows if job.name in picked.ids]
        with bar:
            bulk(
                [job.name for job in chosen],
                any(job.status in ACTIVE for job in chosen),
                all(job.archived_at for job in chosen),
            )


def bulk(names: list[str], some_active: bool, all_archived: bool) -> None:
    parts.section(f"{len(names)} selected")
    if len(names) > 1:
        oldest_first = names[::-1] if address.text("sort", "-created_at") == "-created_at" else names
        link = context.link("compare", runs=",".join(oldest_first))
        st.html(parts.button("Compare", link, glyph="compare_arrows"))
    if parts.act(
        "Cancel",
        "jobs/cancel/action",
        glyph="stop_circle",
        blocked="" if some_active else "None of these is under way.",
    ):
        each("cancel", names)
    if parts.act("Restore" if all_archived else "Archive", "jobs/write", glyph="archive"):
        each("restore" if all_archived else "archive", names)
    if parts.act(
        "Delete", "jobs/delete", glyph="delete", blocked="Cancel the ones under way first." if some_active else ""
    ):
        phrase = names[0] if len(names) == 1 else f"delete {len(names)} jobs"
        sentence = "Runs, logs and files are removed. This cannot be undone."
        confirm.confirm(sentence, phrase, "Delete", lambda: apply("delete", names))


def each(verb: str, names: list[str]) -> None:
    apply(verb, names)
    st.rerun()


def apply(verb: str, names: list[str]) -> None:
    """One transaction for each, so that one refusal does not undo the others."""
    refused: list[str] = []
    for name in names:
        try:
            with context.scope(write=True) as s:
                getattr(jobs, verb)(s, name)
        except AtelierError as error:
            refused.append(error.message)
    done = len(names) - len(refused)
    past = {"cancel": "asked to stop", "archive": "archived", "restore": "restored", "delete": "deleted"}[verb]
    if done:
        context.done(f"{done} {'job was' if done == 1 else 'jobs were'} {past}.")
    if refused:
        context.done(f"{len(refused)} refused: {refused[0]}", icon=":material/error:")
    context.remember("jobs_reset", (context.recall("jobs_reset") or 0) + 1)


def nothing(query: JobQuery) -> None:
    if query.search or query.status or query.created_by or query.experiment_name:
        action = parts.button("Clear filters", context.link("jobs"))
        return parts.empty(
            "filter_alt_off", "No job matches", "Try fewer filters, or include archived jobs.", action=action
        )
    return parts.empty(
        "play_circle",
        "No jobs yet",
        "A job runs a command in an environment and keeps its log, metrics and files.",
        action=parts.button(
            "New job", context.link("new_job"), glyph="add", primary=True, reason=context.may("jobs/write")
        ),
        cli="atelier job create -f job.yml --stream",
    )


with parts.header("Jobs"):
    parts.cli(f"atelier job list -w {context.workspace_name()}", "atelier job create -f job.yml --stream")
    st.html(
        parts.button("New job", context.link("new_job"), glyph="add", primary=True, reason=context.may("jobs/write"))
    )
listing(filters())
