"""One experiment: its runs with chosen metrics and parameters; ticked runs are drawn together."""

import streamlit as st

from app import context
from app.ui import address, parts, runlist, table
from app.ui.text import plain
from services import experiments, metrics
from services.core.errors import AtelierError
from services.store.rows import Experiment

SIZE = 50
SHOWN_AT_FIRST = 4


def actions(experiment: Experiment) -> None:
    restoring = experiment.archived_at is not None
    parts.cli(f"atelier job list -w {context.workspace_name()} --query \"[?experiment_name=='{experiment.name}']\"")
    if parts.act("Restore" if restoring else "Archive", "experiments/write", glyph="archive"):
        archive(experiment.name, restore=restoring)


def archive(name: str, *, restore: bool) -> None:
    try:
        with context.scope(write=True) as s:
            experiments.archive(s, name, restore=restore)
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"Experiment '{name}' was {'restored' if restore else 'archived'}.")
    st.rerun()


def chosen(known: tuple[list[str], list[str]]) -> tuple[list[str], list[str]]:
    """Which metrics and parameters are columns; the same metrics are drawn."""
    with st.popover("Columns", icon=":material/view_column:"):
        keys = address.choice("metrics", "Metrics", known[0], width=320)
        params = address.choice("params", "Parameters", known[1], width=320)
    return keys or known[0][:SHOWN_AT_FIRST], params or known[1][:SHOWN_AT_FIRST]


@st.fragment(run_every=5)
def listing(name: str, keys: list[str], params: list[str]) -> None:
    """The live part: one page of runs, and the charts of the ticked ones."""
    order, page = address.text("sort"), address.number("page", 1)
    by = order.removeprefix("-")
    with context.scope() as s:
        found = metrics.runs(
            s, name, metrics=keys, params=params, order_by=by if by in keys else "", descending=order.startswith("-"),
            limit=SIZE + 1, offset=(page - 1) * SIZE,
        )  # fmt: skip
    if not found:
        nothing(page)
        return
    shown = found[:SIZE]
    picked = runlist.ticked([runlist.id_of(run) for run in shown])
    runlist.show(
        shown, keys, params, picked,
        order=order, pager=table.Pager((page - 1) * SIZE, SIZE, len(found) > SIZE, None, "runs"),
    )  # fmt: skip
    runlist.compared([run for run in shown if runlist.id_of(run) in picked], keys, picked)


def nothing(page: int) -> None:
    if page > 1:
        back = parts.button("First page", address.changed(page=None))
        return parts.empty("filter_alt_off", "No runs on this page", "There are fewer than that.", action=back)
    return parts.empty(
        "science",
        "No runs yet",
        "Every job of this experiment is one run; it appears here when it is submitted.",
        action=parts.button("New job", context.link("new_job"), glyph="add", reason=context.may("jobs/write")),
        cli="atelier job create -f job.yml --set experiment_name=" + plain(address.text("experiment"), 80),
    )


name = address.text("experiment")
with context.scope() as scope:
    experiment = experiments.get(scope, name)
    known = metrics.keys(scope, name)
jobs_of = context.link("jobs", experiment=experiment.name)
with parts.header(
    experiment.name, crumbs=[("Experiments", context.link("experiments"))], below=experiment.description or None
):
    actions(experiment)
    st.html(parts.button("Jobs", jobs_of, glyph="play_circle"))
if experiment.archived_at:
    parts.banner("gray", "This experiment is archived: the list leaves it out unless it includes archived ones.")
with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
    keys, params = chosen(known)
    runlist.drawing()
listing(experiment.name, keys, params)
