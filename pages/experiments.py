"""Experiments: runs that belong together."""

import streamlit as st

from app import context
from app.ui import address, parts, table
from services import experiments
from services.core.errors import AtelierError

COLUMNS = [
    table.Column("Experiment", "link"),
    table.Column("Latest job", "code"),
    table.Column("Last submitted", "time"),
    table.Column("Jobs", "num"),
    table.Column("Created", "time"),
    table.Column("Created by"),
]


def row(each: experiments.Overview) -> table.Row:
    name = each.experiment.name
    href = context.link("experiment", experiment=name)
    cells = [
        table.link(name, href, "archived" if each.experiment.archived_at else ""),
        each.latest_job,
        table.time(each.last_submitted),
        each.jobs,
        table.time(each.experiment.created_at),
        each.experiment.created_by,
    ]
    return table.Row(name, cells, href)


def archive(names: list[str], *, restore: bool) -> None:
    try:
        with context.scope(write=True) as s:
            for name in names:
                experiments.archive(s, name, restore=restore)
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"{len(names)} {'restored' if restore else 'archived'}.")
    context.remember("experiments_reset", (context.recall("experiments_reset") or 0) + 1)
    st.rerun()


with parts.header("Experiments"):
    parts.cli(f"atelier job list -w {context.workspace_name()} --query '[].experiment_name'")
    st.html(parts.button("All runs", context.link("runs"), glyph="query_stats"))
with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
    search = address.search(placeholder="Search experiments")
    archived = address.switch("archived", "Include archived")
with context.scope() as scope:
    found = experiments.listed(scope, include_archived=archived, search=search)
if found:
    bar = st.container(horizontal=True, vertical_alignment="center")
    picked = table.show(
        "experiments",
        COLUMNS,
        [row(each) for each in found],
        label="Experiments",
        selectable=True,
        pager=table.Pager(total=len(found), noun="experiments"),
        reset=context.recall("experiments_reset") or 0,
    ).ids
    if picked:
        restoring = all(each.experiment.archived_at for each in found if each.experiment.name in picked)
        with bar:
            parts.section(f"{len(picked)} selected")
            if parts.act("Restore" if restoring else "Archive", "experiments/write", glyph="archive"):
                archive(picked, restore=restoring)
elif search:
    parts.empty("filter_alt_off", "No experiment matches", "Try another word, or include archived ones.")
else:
    parts.empty(
        "science",
        "No experiments yet",
        "A job names its experiment; the first job makes the first one.",
        action=parts.button("New job", context.link("new_job"), glyph="add", reason=context.may("jobs/write")),
        cli="atelier job create -f job.yml --set experiment_name=first",
    )
