"""Which columns a table of runs has: sensible ones at first, and a picker that copes with ten thousand keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from app import context
from app.ui import runs_state
from app.ui.runs_state import Shown
from app.ui.runs_table import label_of
from app.ui.scripts import script
from app.ui.text import plain
from services import access, runs
from services.runs import RunLine, RunsQuery
from services.specs.run_fields import AGGREGATES, ATTRIBUTES, Field
from services.specs.run_fields import field as read_field
from services.studio import Scope

ASSETS = Path(__file__).parent / "assets"
AT_FIRST = 4
LOOKED_AT = 40
FOUND = 100
KEPT_SECONDS = 60.0
Logged = Literal["metrics", "params", "tags"]
KINDS: tuple[Logged, ...] = ("metrics", "params", "tags")

_picker = st.components.v2.component(
    "atelier_runs_columns",
    html='<div class="wrap">\n</div>',
    css=(ASSETS / "runs_columns.css").read_text(encoding="utf-8"),
    js=script("nodes", "runs_columns"),
)


def chosen(scope: Scope, experiments: Sequence[str], shown: Shown) -> list[str]:
    """Those of the address, pinned ones first; else what every run has and the metrics and parameters that vary."""
    access.require(scope, "experiments/runs/read")
    columns = list(shown.columns) or _at_first(scope.workspace_id, tuple(experiments), scope)
    left = [each for each in columns if each in shown.pinned_columns]
    return left + [each for each in columns if each not in left]


@st.cache_data(ttl=KEPT_SECONDS, max_entries=500, show_spinner=False)
def _at_first(workspace_id: str, experiments: tuple[str, ...], _scope: Scope) -> list[str]:
    """Made from the newest runs, whatever the filter; the same for everybody for a minute."""
    names = {
        kind: [
            str(Field(kind, name))
            for name in runs.keys(_scope, experiments=experiments, kind=kind, limit=LOOKED_AT).names
        ]
        for kind in ("metrics", "params")
    }
    names["metrics"].sort(key=lambda text: text.startswith("metrics.system/"))
    query = RunsQuery(
        experiments=experiments, columns=tuple(names["metrics"] + names["params"]), limit=LOOKED_AT, count_to=0
    )
    lines = runs.listed(_scope, query).rows if query.columns else []
    found = ["status", *(() if experiments else ("experiment",)), "created", "duration", "creator"]
    return found + [each for kind in names for each in _varying(lines, names[kind])[:AT_FIRST]]


def _varying(lines: Sequence[RunLine], names: Sequence[str]) -> list[str]:
    """Those with more than one value, else those with any."""
    values = {name: {repr(line.cells[name]) for line in lines if line.cells.get(name) is not None} for name in names}
    return [name for name in names if len(values[name]) > 1] or [name for name in names if values[name]]


@st.dialog("Columns", width="large")
def pick(experiments: Sequence[str], shown: Shown) -> None:
    """Search, tick, order, pin; nothing changes before Apply."""
    search = st.session_state.get("runs_picker", {}).get("search") or ""
    with context.scope() as s:
        columns = chosen(s, experiments, shown)
        found = {
            kind: runs.keys(s, experiments=tuple(experiments), kind=kind, search=str(search)[:200], limit=FOUND)
            for kind in KINDS
        }
    data = {
        "chosen": [_told(each, shown) for each in columns],
        "attributes": [
            {"id": name, "label": label_of(Field("attribute", name))} for name in ATTRIBUTES if name != "name"
        ],
        "aggregates": list(AGGREGATES),
        "search": search,
        "kinds": [
            {"kind": kind, "total": keys.total, "names": keys.names, "prefixes": keys.prefixes}
            for kind, keys in found.items()
        ],
    }
    result = _picker(key="runs_picker", data=data, on_search_change=_nothing, on_done_change=_nothing)
    done = result.done
    if done is None:
        return
    if done.get("reset"):
        _at_first.clear()
        runs_state.put(columns=(), pinned_columns=(), widths={})
    else:
        columns = list(runs_state.fields(str(each) for each in done.get("columns", [])))
        left = runs_state.fields(str(each) for each in done.get("left", []))
        runs_state.put(columns=columns, pinned_columns=tuple(each for each in left if each in columns))
    st.rerun()


def _told(text: str, shown: Shown) -> dict[str, Any]:
    each = read_field(text)
    return {
        "id": text,
        "kind": each.kind,
        "name": each.name,
        "label": plain(label_of(Field(each.kind, each.name)), 300),
        "aggregate": "at" if each.step is not None else each.aggregate,
        "step": each.step,
        "left": text in shown.pinned_columns,
    }


def _nothing() -> None:
    """A state key needs a callback to exist from the first run on."""
