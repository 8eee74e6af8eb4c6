"""Runs beside each other: numbers with their distance to a baseline, and what two of them differ in."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from app import context
from app.ui import address, compare_charts, compare_luck, compare_runs, compare_sections, compare_table, parts, tabs
from app.ui.compare_runs import AGGREGATES
from services import comparisons
from services.comparisons import RunComparison

COURSES = 24
BESIDE = ("code", "environment", "data", "host", "files", "logs")
ROWS = 100


def compared(names: list[str], tab: str) -> RunComparison:
    kinds = {"": ("metrics",), "metrics": ("metrics",), "params": ("params",), "tags": ("tags",)}
    aggregate = address.text("agg", "last")
    with context.scope() as s:
        return comparisons.compare_runs(
            s, names,
            baseline=address.text("baseline"), aggregate=aggregate if aggregate in AGGREGATES else "last",
            only_differing=address.flag("only"), search=address.text("q"), limit=ROWS, kinds=kinds.get(tab, ()),
        )  # fmt: skip


def metrics(found: RunComparison) -> None:
    if not found.metrics:
        nothing("metric")
        return
    with context.scope() as s:
        courses = comparisons.sparks(s, [run.id for run in found.runs[:COURSES]], [row.key for row in found.metrics])
    if len(found.runs) > COURSES:
        st.caption(f"Histories are drawn of the first {COURSES} runs.")
    compare_table.metrics(found, courses, compare_runs.hrefs(found.runs))


def params(found: RunComparison) -> None:
    if not found.params:
        nothing("parameter")
        return
    compare_table.texts("Parameter", found, found.params, compare_runs.hrefs(found.runs), found.totals["params"])


def tags(found: RunComparison) -> None:
    if not found.tags:
        nothing("tag")
        return
    compare_table.texts("Tag", found, found.tags, compare_runs.hrefs(found.runs), found.totals["tags"])


def nothing(noun: str) -> None:
    narrowed = address.text("q") or address.flag("only")
    action = parts.button(f"Show every {noun}", address.changed(q=None, only=None)) if narrowed else None
    title = f"No {noun} differs" if address.flag("only") and not address.text("q") else f"No {noun}s"
    parts.empty(
        "filter_alt_off" if narrowed else "data_array",
        title,
        f"None of these runs has a {noun} to show here.",
        action=action,
    )


def empty() -> None:
    cli = "atelier run compare --name RUN --name RUN"
    with parts.header("Compare runs", crumbs=[("Runs", context.link("runs"))]):
        parts.cli(cli)
    parts.empty(
        "compare_arrows",
        "Choose runs to compare",
        "Tick two or more in a list and press Compare.",
        action=parts.button("Runs", context.link("runs")),
        cli=cli,
    )


def section(found: RunComparison, word: str) -> None:
    """What the other run has otherwise than the baseline."""
    other = compare_runs.other(found)
    with context.scope() as s:
        told = comparisons.diff(s, found.baseline, other.id, word)
    compare_sections.show(told, found.runs[0], other, only_differing=address.flag("only"))


def tabs_of(found: RunComparison) -> dict[str, tuple[str, Callable[[], object]]]:
    return {
        "metrics": ("Metrics", partial(metrics, found)),
        "charts": ("Charts", partial(compare_charts.show, found)),
        "params": ("Parameters", partial(params, found)),
        "tags": ("Tags", partial(tags, found)),
        **{word: (word.capitalize(), partial(section, found, word)) for word in BESIDE},
        "significance": ("Significance", partial(compare_luck.significance, found)),
        "changed": ("What changed", partial(compare_luck.changed, found)),
    }


names = compare_runs.asked()
if len(names) < 2:
    empty()
else:
    tab = address.text("tab")
    found = compared(names, tab)
    with parts.header("Compare runs", crumbs=[("Runs", context.link("runs"))], below=f"{len(found.runs)} runs"):
        told = " ".join(f"--name {run.id}" for run in found.runs[:20])
        parts.cli(f"atelier run compare {told} --baseline {found.baseline}")
    if found.missing:
        parts.banner("orange", f"Not here, or no more: {', '.join(found.missing[:5])}.")
    compare_runs.strip(found)
    compare_runs.toolbar(found, tab, (*BESIDE, "changed"))
    tabs.show("compare", tabs_of(found))
