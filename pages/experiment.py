"""One experiment: its runs as a list or a dashboard."""

import streamlit as st

from app import context
from app.ui import address, parts, runs
from app.ui.text import plain
from services import experiments
from services.core.errors import AtelierError
from services.store.rows import Experiment


def actions(experiment: Experiment) -> None:
    restoring = experiment.archived_at is not None
    runs.cli((experiment.name,))
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


def nothing() -> None:
    parts.empty(
        "science",
        "No runs yet",
        "Every job of this experiment is one run; it appears here when it is submitted.",
        action=parts.button("New job", context.link("new_job"), glyph="add", reason=context.may("jobs/write")),
        cli="atelier job create -f job.yml --set experiment_name=" + plain(address.text("experiment"), 80),
    )


with context.scope() as scope:
    experiment = experiments.get(scope, address.text("experiment"))
with parts.header(
    experiment.name, crumbs=[("Experiments", context.link("experiments"))], below=experiment.description or None
):
    runs.switch((experiment.name,))
    actions(experiment)
    st.html(parts.button("Jobs", context.link("jobs", experiment=experiment.name), glyph="play_circle"))
if experiment.archived_at:
    parts.banner("gray", "This experiment is archived: the list leaves it out unless it includes archived ones.")
runs.show((experiment.name,), nothing)
