"""Whether differences are more than luck, and what changed since the last good run: two tabs of the comparison."""

from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import address, parts
from app.ui.compare_runs import other, select
from app.ui.text import Markup, number, plain, tag
from services import comparisons
from services.comparisons import Changed, Group, RunComparison, Significance, Tested
from services.engines.statistics import LEAST, NAMES
from services.specs.run_fields import quoted

TESTS: dict[str, str] = {"": "Chosen by the data", **{str(word): name for word, name in NAMES.items()}}
CERTAIN = 0.05
FIELDS = ("experiment", "creator", "compute", "source")
MOST_METRICS = 200


def significance(found: RunComparison) -> None:
    """Groups of runs that differ in their seeds alone, each against the baseline's."""
    names = [run.id for run in found.runs]
    metric = _metric(names)
    if not metric:
        _without_metrics()
        return
    with context.scope() as s:
        params = comparisons.compare_runs(s, names, only_differing=True, kinds=("params",)).params
    with st.container(horizontal=True, vertical_alignment="bottom", key="luck"):
        select("metric", "Metric", {each: each for each in _metrics(names)}, metric)
        fields = [f"params.{quoted(row.key)}" for row in params] + list(FIELDS)
        address.choice("by", "Group by", fields, width=320)
        test = address.text("test") if address.text("test") in TESTS else ""
        select("test", "Test", TESTS, test)
    with context.scope() as s:
        told = comparisons.significance(
            s, names, metric, baseline=found.baseline, group_by=address.words("by", fields),
            aggregate=found.aggregate, test=test or None,  # type: ignore[arg-type]  # one of TESTS
        )  # fmt: skip
    _significance(told, found)


def changed(found: RunComparison) -> None:
    """Of the other run what is otherwise than in the last good one before it."""
    names = [run.id for run in found.runs]
    mine = other(found)
    with st.container(horizontal=True, vertical_alignment="bottom", key="since"):
        metric = address.text("metric")
        known = _metrics(names)
        options = {"": "That it completed", **{each: f"And {each} not worse" for each in known}}
        select("metric", "Good means", options, metric if metric in known else "", width=320)
    with context.scope() as s:
        told = comparisons.changed(s, mine.id, metric=metric if metric in known else "", aggregate=found.aggregate)
    _changed(told, plain(mine.label, 80))


def _significance(told: Significance, found: RunComparison) -> None:
    tests = {test.group: test for test in told.tests}
    labels = {run.id: run.label for run in found.runs}
    heads = ("Group", "Runs", "n", "Mean ± deviation", "Difference (95 %)", "p", "p (Holm)", "Test")
    lines = [_line(group, tests.get(place), labels, is_baseline=place == 0) for place, group in enumerate(told.groups)]
    direction = "more is better" if told.is_higher_better else "less is better"
    table = parts.rows(heads, lines, numbers=frozenset({2, 3, 4, 5, 6}))
    st.html(
        parts.panel(
            plain(told.metric, 200), tag("div", table, cls="at-scrollx"), f"{told.aggregate} value, {direction}"
        )
    )
    for note in told.notes:
        parts.banner("gray", note)
    st.html(tag("div", *(tag("p", each) for each in _explained(told)), cls="at-said"))


def _explained(told: Significance) -> list[str]:
    by = ", ".join(told.grouped_by) or "nothing: no parameter differs"
    said = [f"Grouped by {plain(by, 400)}."]
    if told.set_aside:
        said.append(f"Taken for seeds and left out: {plain(', '.join(told.set_aside), 400)}.")
    said.append(
        f"A group is tested from {LEAST} runs on. Holm's p-value allows for all that is tested here; below {CERTAIN} "
        "a difference is called more than luck."
    )
    said += sorted({f"{NAMES[test.result.test]}: {test.result.why}" for test in told.tests})
    return said


def _line(group: Group, test: Tested | None, labels: dict[str, str], *, is_baseline: bool) -> Sequence[str | Markup]:
    named = tag("b", plain(group.label, 300), tag("small", " baseline") if is_baseline else None)
    runs_ = tag("span", plain(", ".join(labels.get(name, name) for name in group.runs), 300), cls="at-muted")
    mean = "" if group.mean is None else number(group.mean)
    spread = f"{mean} ± {number(group.deviation)}" if group.deviation is not None else mean
    if test is None:
        return (named, runs_, str(group.n), spread, "", "", "", "" if is_baseline else "not tested")
    result = test.result
    tone = ("green" if test.is_better else "red") if test.adjusted < CERTAIN and test.is_better is not None else "gray"
    between = f"{result.difference:+.4g} [{result.low:.4g}, {result.high:.4g}]"
    return (
        named, runs_, str(group.n), spread, tag("span", between, cls="at-word", data_tone=tone), f"{result.p:.3g}",
        f"{test.adjusted:.3g}", f"{NAMES[result.test]}, n = {result.n[0]} and {result.n[1]}",
    )  # fmt: skip


def _changed(told: Changed, label: str) -> None:
    for note in told.notes:
        parts.banner("gray", note)
    if not told.good:
        return
    against = address.changed(runs=f"{told.good},{told.run}", baseline=told.good, other=told.run, tab=None)
    good = tag("a", plain(told.good, 80), href=against, cls="at-link")
    rule = ". The likeliest first: what good runs kept the same, and none had as it is now."
    st.html(tag("div", tag("b", label), " against the last good run, ", good, rule, cls="at-said"))
    lines = []
    for each in told.changes:
        href = address.changed(
            runs=f"{told.good},{told.run}", baseline=told.good, other=told.run, tab=each.tab, only="1"
        )
        bar = tag("i", style=f"width:{round(each.weight * 100)}%")
        lines.append((
            tag("span", bar, cls="at-weight", title=f"{each.weight:.0%}"),
            tag("a", plain(each.sentence, 400), href=href), tag("span", plain(each.evidence, 300), cls="at-muted"),
        ))  # fmt: skip
    if lines:
        st.html(
            parts.panel("What changed", parts.rows(("Likely", "Change", "Evidence"), lines), f"{len(lines)} changes")
        )


def _metric(names: Sequence[str]) -> str:
    known = _metrics(names)
    asked = address.text("metric")
    return asked if asked in known else known[0] if known else ""


def _metrics(names: Sequence[str]) -> list[str]:
    with context.scope() as s:
        rows = comparisons.compare_runs(s, names, kinds=("metrics",), limit=MOST_METRICS).metrics
    return [row.key for row in rows]


def _without_metrics() -> None:
    parts.empty("data_array", "No metrics", "None of these runs logged a metric that could be compared.")
