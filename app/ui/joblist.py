"""Jobs as lines and rows, the same on every screen that lists them."""

from collections.abc import Sequence

from app import context
from app.ui import parts, table
from app.ui.text import Markup, join, tag
from services.core.states import TERMINAL
from services.store.rows import Job

COLUMNS = {
    "display_name": table.Column("Display name", "link", "display_name"),
    "experiment": table.Column("Experiment", "text", "experiment_name"),
    "status": table.Column("Status", "status", "status"),
    "created": table.Column("Submitted", "time", "created_at"),
    "duration": table.Column("Duration", "duration"),
    "created_by": table.Column("Created by", "text", "created_by"),
    "compute": table.Column("Compute", "text", "compute"),
    "type": table.Column("Type", "muted"),
    "tags": table.Column("Tags", "tags"),
    "name": table.Column("Name", "code", "name"),
    "reason": table.Column("Reason", "muted"),
}
DEFAULT = ("display_name", "experiment", "status", "created", "duration", "created_by", "tags")


def row(job: Job, columns: Sequence[str]) -> table.Row:
    address = context.link("job", job=job.name)
    cells = {
        "display_name": table.link(job.display_name or job.name, address),
        "experiment": job.experiment_name,
        "status": table.status(job.status),
        "created": table.time(job.created_at),
        "duration": table.lasting(job.started_at, job.finished_at, live=job.status not in TERMINAL),
        "created_by": job.created_by,
        "compute": job.compute or "local",
        "type": job.type,
        "tags": table.tags(job.tags),
        "name": job.name,
        "reason": job.reason or job.message,
    }
    return table.Row(job.name, [cells[column] for column in columns], address)


def lines(jobs: Sequence[Job], nothing: str) -> Markup:
    """A short list for panels: name, what it is about, status, how long."""
    if not jobs:
        return tag("div", nothing, cls="at-none")
    return tag("div", *(_line(job) for job in jobs), cls="at-lines")


def _line(job: Job) -> Markup:
    over = job.status in TERMINAL
    about = join(
        (
            tag("span", job.experiment_name),
            tag("span", job.message or job.reason) if job.message or job.reason else None,
        ),
        " · ",
    )
    when = (
        parts.ago(job.finished_at or job.created_at)
        if over
        else tag("span", parts.duration(job.started_at or job.created_at, None))
    )
    return tag(
        "a",
        tag("span", tag("b", job.display_name or job.name), tag("small", about)),
        parts.chip(job.status),
        tag("span", when, cls="at-faint at-mono"),
        href=context.link("job", job=job.name),
    )
