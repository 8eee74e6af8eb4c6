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
from services.runs import RunDetail
from services.specs.run_fields import Field

MOST_ROWS = 200
FEW = 12
MACHINE = "system/"
HEADS = ("Name", "Last", "Lowest", "Highest", "Best step", "Points")


def show(detail: RunDetail, marked: Marks) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left:
        run_parts.note(detail.line.id, marked)
        values(detail.line.id, detail.metrics, detail.params)
    with right:
        st.html(parts.panel("Properties", properties(detail)))
        run_parts.tags(detail.line.id, marked)


def values(name: str, metrics_: Sequence[MetricSummary], params: Mapping[str, str]) -> None:
    """Metrics and parameters; where there are many, those whose names hold what is searched."""
    own = [each for each in metrics_ if not each.key.startswith(MACHINE)]
    wanted = ""
    if len(own) > FEW or len(params) > FEW:
        wanted = address.search("key", placeholder="Search metrics and parameters").casefold()
    if own:
        charts = tag("a", "Charts", href=address.changed(tab="metrics", key=None))
        shown = [each for each in own if wanted in each.key.casefold()]
        st.html(parts.panel("Metrics", metrics(name, shown), charts))
    if params:
        found = {key: value for key, value in params.items() if wanted in key.casefold()}
        st.html(parts.panel("Parameters", parameters(found), f"{len(found):,}"))


def metrics(name: str, shown: Sequence[MetricSummary]) -> Markup:
    """What each came to; of the lowest and the highest the better one stands out, by the metric's direction."""
    if not shown:
        return _none()
    some = shown[:MOST_ROWS]
    with context.scope() as s:
        is_higher = runs.directions(s, [each.key for each in some])
        steps = {each.key: _best_step(each.key, is_higher=is_higher[each.key]) for each in some}
        lines = runs.lines(s, [name], [str(each) for each in steps.values()])
    cells = lines[0].cells if lines else {}
    heads = [tag("th", text, cls="at-num" if place else None) for place, text in enumerate(HEADS)]
    rows = [_metric(each, _step(cells.get(str(steps[each.key]))), is_higher=is_higher[each.key]) for each in some]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), cls="at-data")
    return join((tag("div", table, cls="at-nested"), _rest(len(shown))))


def _metric(one: MetricSummary, best_step: str, *, is_higher: bool) -> Markup:
    lowest, highest = number(one.min), number(one.max)
    cells = (
        number(one.last),
        lowest if is_higher else tag("b", lowest),
        tag("b", highest) if is_higher else highest,
        best_step,
        f"{one.count:,}",
    )
    return tag("tr", tag("td", plain(one.key, 120)), *(tag("td", cell, cls="at-num") for cell in cells))


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
