"""Where a job's time went: every second has a status and a reason, read from its events."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.ui import words
from app.ui.text import Markup, tag
from services.core.states import TERMINAL, JobStatus
from services.core.times import iso, spoken
from services.store.rows import Event, Job

_STATUS = re.compile(r"\AJob is ([A-Za-z]+)\b", re.ASCII)
USUAL = {
    "NotStarted": "Not yet handed to the worker",
    "Queued": "Waiting for the worker",
    "Preparing": "Bringing image, inputs and code together",
    "Provisioning": "Waiting for a place to run",
    "Starting": "Being started",
    "Running": "The command runs",
    "Finalizing": "Collecting outputs and logs",
    "CancelRequested": "Being stopped",
    "NotResponding": "The engine does not answer",
    "Paused": "Paused",
}


@dataclass(frozen=True)
class Span:
    """From `start` to `end` (None while it lasts) the job was in `status`, because of `reason`."""

    status: str
    reason: str
    start: datetime
    end: datetime | None

    def seconds(self, at: datetime) -> float:
        return max(0.0, ((self.end or at) - self.start).total_seconds())


def spans(job: Job, events: Sequence[Event]) -> list[Span]:
    """Without gaps from submission to the end; a job without events is one span."""
    marks: list[tuple[datetime, str, str]] = [(job.created_at, "Queued", "")]
    for event in events:
        found = _STATUS.match(event.message)
        status = found.group(1) if found and found.group(1) in JobStatus.__members__ else marks[-1][1]
        if found is None and not event.reason:
            continue
        marks.append((max(event.at, marks[-1][0]), status, event.reason))
    merged: list[tuple[datetime, str, str]] = []
    for at, status, reason in marks:
        reason = reason or USUAL.get(status, "")
        if not merged or (status, reason) != merged[-1][1:]:
            merged.append((at, status, reason))
    ends = [at for at, _, _ in merged[1:]] + [job.finished_at if job.status in TERMINAL else None]
    found_spans = [Span(status, reason, at, end) for (at, status, reason), end in zip(merged, ends, strict=True)]
    return [span for span in found_spans if span.status not in TERMINAL and (span.end is None or span.end > span.start)]


def drawn(found: Sequence[Span], at: datetime) -> Markup:
    """A bar to scale and a line for each span."""
    total = sum(span.seconds(at) for span in found) or 1.0
    bar = tag(
        "div",
        *(
            tag(
                "i",
                data_tone=words.tone(span.status),
                style=f"flex:{max(span.seconds(at) / total, 0.004):.4f}",
                title=span.reason,
            )
            for span in found
        ),
        cls="at-bar",
    )
    lines = [
        tag(
            "li",
            tag("i", cls="at-dot", data_tone=words.tone(span.status), data_moving=span.end is None),
            tag("span", words.label(span.status), title=iso(span.start)),
            tag("span", span.reason, cls="at-muted"),
            tag("data", spoken(span.seconds(at)) + (" so far" if span.end is None else "")),
        )
        for span in found
    ]
    return tag("div", bar, tag("ol", *lines), cls="at-time")
