"""Which runs are beside each other, as the address says it: those, the baseline, the other one, and how to look."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import address
from app.ui.compare_table import removed
from app.ui.text import Markup, join, plain, tag
from services import comparisons
from services.comparisons import RunComparison, RunHead

AGGREGATES = {"last": "Last", "min": "Lowest", "max": "Highest", "first": "First"}


def asked() -> list[str]:
    """The names in the address; links of two jobs, as they were made before, are rewritten."""
    before, after = address.text("before"), address.text("after")
    if before and after:
        address.put(runs=f"{before},{after}", baseline=before, other=after, before=None, after=None)
    return address.words("runs")


def hrefs(runs: Sequence[RunHead]) -> dict[str, str]:
    """Their own pages."""
    return {run.id: href(run) for run in runs}


def href(run: RunHead) -> str:
    if run.job:
        return context.link("job", job=run.job)
    return context.link("run", run=run.run_id)


def other(found: RunComparison) -> RunHead:
    """The one that is looked at beside the baseline: the one in the address, else the next."""
    named = address.text("other")
    rest = [run for run in found.runs if run.id != found.baseline]
    return next((run for run in rest if named in {run.id, run.run_id}), rest[0])


def strip(found: RunComparison) -> None:
    """All of them with their colours; each leads to its page, and can be taken out."""
    chips = [_chip(run, found) for run in found.runs]
    st.html(tag("div", *chips, cls="at-runs", role="list", aria_label="Runs compared"))


def toolbar(found: RunComparison, tab: str, beside: Sequence[str]) -> None:
    """`beside` are the tabs that show two of the runs."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="toolbar"):
        labels = _labels(found.runs)
        select("baseline", "Baseline", labels, found.baseline)
        if tab in beside:
            select("other", "Compared with", {k: v for k, v in labels.items() if k != found.baseline}, other(found).id)
        if tab in ("", "metrics", "significance", "changed"):
            chosen = address.text("agg", "last")
            select("agg", "Value", AGGREGATES, chosen if chosen in AGGREGATES else "last", width=130)
        if tab in ("", "metrics", "params", "tags"):
            address.search(placeholder="Search names")
        if tab not in ("significance", "changed", "charts"):
            address.switch("only", "Differences only")
        _adding(found)


def _adding(found: RunComparison) -> None:
    with st.popover("Add runs", icon=":material/add:"):
        word = st.text_input("Search runs", key="compare_add", placeholder="Name, job or experiment", width=320)
        with context.scope() as s:
            offered = comparisons.candidates(s, [run.id for run in found.runs], search=word)
        names = ",".join(run.id for run in found.runs)
        lines = [
            tag("a", _dot(run), tag("b", plain(run.label, 60)), tag("small", plain(run.experiment, 60)),
                href=address.changed(runs=f"{names},{run.id}", baseline=found.baseline), cls="at-runline")
            for run in offered
        ]  # fmt: skip
        st.html(join(lines) if lines else tag("div", "No other run matches.", cls="at-none"))


def _labels(runs: Sequence[RunHead]) -> dict[str, str]:
    """A box finds what was chosen by its label: those that others have too get the id beside them."""
    counts = Counter(run.label for run in runs)
    return {run.id: plain(run.label if counts[run.label] == 1 else f"{run.label} · {run.id}", 80) for run in runs}


def select(name: str, label: str, options: dict[str, str], chosen: str, *, width: int = 220) -> None:
    """One of some, bound to the address; `options` are labels by what the address says, no two the same."""
    key = f"_at:compare:{name}"
    st.session_state[key] = chosen

    def put() -> None:
        address.put(**{name: st.session_state[key]})

    st.selectbox(
        label, list(options), key=key, format_func=lambda each: options.get(each, each), on_change=put, width=width
    )


def _chip(run: RunHead, found: RunComparison) -> Markup:
    left = [each.id for each in found.runs if each.id != run.id]
    gone = tag("a", "×", href=removed(run.id, left, found.baseline), title="Take out of the comparison", cls="at-x")
    return tag(
        "span",
        _dot(run),
        tag("a", plain(run.label, 60), href=href(run), title=plain(f"{run.id} · {run.experiment}", 200)),
        tag("small", "baseline") if run.id == found.baseline else None,
        gone if len(left) > 1 else None,
        cls="at-runchip",
        role="listitem",
        data_run=run.id,
    )


def _dot(run: RunHead) -> Markup:
    """Its colour came from our own palette or was checked when it was chosen; anything else has none."""
    is_color = len(run.color) == 7 and run.color[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in run.color[1:])
    return tag("i", cls="at-dot", style=f"--tone:{run.color}" if is_color else None)
