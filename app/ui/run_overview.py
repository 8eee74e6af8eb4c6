"""A run's overview: what people noted, what it logged, what it is."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import streamlit as st

from app import context
from app.ui import address, parts, run_parts
from app.ui.text import Markup, join, number, plain, tag
from services import run_files, runs
from services.metrics import MetricSummary
from services.run_marks import Marks
from services.runs import RunDetail, RunLine
from services.specs.run_fields import Field

MOST_ROWS = 200
FEW = 12
MACHINE = "system/"
HEADS = ("Name", "Last", "Best", "at step", "Lowest", "Highest", "Points")


def show(detail: RunDetail, marked: Marks) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left:
        run_parts.note(detail.line.id, marked)
        values(detail)
    with right:
        st.html(parts.panel("Properties", properties(detail)))
        run_parts.tags(detail.line.id, marked)


def values(detail: RunDetail) -> None:
    """Metrics and parameters; where there are many, those whose names hold what is searched."""
    own = [each for each in detail.metrics if not each.key.startswith(MACHINE)]
    wanted = ""
    if len(own) > FEW or len(detail.params) > FEW:
        wanted = address.search("key", placeholder="Search metrics and parameters").casefold()
    metrics_ = [each for each in own if wanted in each.key.casefold()]
    params = {key: value for key, value in detail.params.items() if wanted in key.casefold()}
    if detail.metrics:
        charts = tag("a", "Charts", href=address.changed(tab="metrics", key=None))
        st.html(parts.panel("Metrics", metrics(detail.line, metrics_), charts))
    if detail.params:
        st.html(parts.panel("Parameters", parameters(params), f"{len(params)}"))


def metrics(line: RunLine, shown: Sequence[MetricSummary]) -> Markup:
    """What each came to. The best follows the direction that is known or guessed of it."""
    if not shown:
        return _none()
    some = shown[:MOST_ROWS]
    with context.scope() as s:
        is_higher = runs.directions(s, [each.key for each in some])
        fields = {each.key: _best_step(each.key, is_higher=is_higher[each.key]) for each in some}
        (cells,) = [each.cells for each in runs.lines(s, [line.id], [str(each) for each in fields.values()])] or [{}]
    rows = [
        (
            plain(each.key, 120),
            number(each.last),
            number(each.max if is_higher[each.key] else each.min),
            _step(cells.get(str(fields[each.key]))),
            number(each.min),
            number(each.max),
            f"{each.count:,}",
        )
        for each in some
    ]
    return join((parts.rows(HEADS, rows, numbers=frozenset(range(1, len(HEADS)))), _rest(len(shown))))


def parameters(params: Mapping[str, str]) -> Markup:
    if not params:
        return _none()
    rows = [(plain(key, 120), plain(value, 300)) for key, value in list(params.items())[:MOST_ROWS]]
    return join((parts.rows(("Name", "Value"), rows), _rest(len(params))))


def properties(detail: RunDetail) -> Markup:
    line, tags = detail.line, detail.tags
    return parts.properties(
        (
            ("Status", parts.chip(line.status)),
            ("Run", tag("span", line.run_id, cls="at-mono")),
            ("Experiment", tag("a", line.experiment, href=context.link("experiment", experiment=line.experiment))),
            ("Part of", run_parts.link(detail.parent) if detail.parent else None),
            ("Created", join((parts.ago(line.created), f" by {plain(line.user, 80)}" if line.user else ""))),
            ("Ended", parts.ago(line.ended) if line.ended else None),
            ("Duration", parts.duration(line.started, line.ended)),
            ("Source", _source(tags)),
            ("Commit", _mono(tags.get("mlflow.source.git.commit"))),
            ("Models", models(line.id)),
            ("Children", f"{len(detail.children):,}" if detail.children else None),
        )
    )


def models(name: str) -> Markup | None:
    """Those that were registered from the run's files; said to those who may read models."""
    if context.may("models/read"):
        return None
    with context.scope() as s:
        found = run_files.registered(s, name)
    links = [
        tag("a", f"{row.name}:{row.version}", href=context.link("model", name=row.name, version=row.version))
        for row in found
    ]
    return join(links, ", ") if links else None


def _best_step(key: str, *, is_higher: bool) -> Field:
    return Field("metrics", key, "max_step" if is_higher else "min_step")


def _step(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else ""


def _source(tags: Mapping[str, str]) -> Markup | None:
    """Clients write the whole path of a script, or the address of a notebook."""
    told = tags.get("mlflow.source.name", "")
    if not told:
        return None
    kind = tags.get("mlflow.source.type", "").lower()
    shown = plain(told if urlsplit(told).scheme in {"http", "https"} else told.rpartition("/")[2] or told, 200)
    return join((tag("span", shown, cls="at-mono", title=plain(told, 300)), f" ({plain(kind, 40)})" if kind else ""))


def _mono(text: str | None) -> Markup | None:
    return tag("span", plain(text, 80), cls="at-mono") if text else None


def _none() -> Markup:
    return tag("div", "No name holds these words.", cls="at-none")


def _rest(count: int) -> Markup | None:
    more = count - MOST_ROWS
    return tag("p", f"{more:,} more are not shown: search for them.", cls="at-none") if more > 0 else None
