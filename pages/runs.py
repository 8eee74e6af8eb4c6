"""Runs of the whole workspace: those of jobs, of notebooks and of whatever else logs here."""

from app import context
from app.ui import parts, runs


def nothing() -> None:
    parts.empty(
        "science",
        "No runs yet",
        "Every job is a run, and so is whatever an MLflow client logs here from a notebook or a script.",
        action=parts.button("New job", context.link("new_job"), glyph="add", reason=context.may("jobs/write")),
        cli="atelier job create -f job.yml",
    )


with parts.header("Runs"):
    runs.switch(())
    runs.cli(())
runs.show((), nothing)
