"""The table of runs: what a run is, its marks and chosen columns; sorting and pages are addresses, changes are told."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import streamlit as st

from app import context
from app.ui import runs_state, table
from app.ui.nav import SCREENS
from app.ui.runs_state import Shown
from app.ui.scripts import script
from app.ui.text import plain
from services.core import colors
from services.core.states import TERMINAL
from services.runs import GroupLine, RunLine, Spread
from services.specs.run_fields import Field
from services.specs.run_fields import field as read_field
from services.store.metrics import number

ASSETS = Path(__file__).parent / "assets"
RUN_WIDTH, RAIL_WIDTH = 320, 278
KINDS = {"number": "num", "text": "muted", "time": "time", "flag": "text"}
WIDTHS = {"num": 92, "muted": 110, "time": 104, "text": 90, "status": 124, "duration": 98, "tag": 120, "code": 96}
LABELS = {"creator": "Created by", "id": "Id", "starred": "Starred"}
OVER = {str(status) for status in TERMINAL}
WRITE = "experiments/runs/write"

_table = st.components.v2.component(
    "atelier_runs",
    html='<div class="wrap">\n</div>',
    css=(ASSETS / "runs_table.css").read_text(encoding="utf-8"),
    js=script("nodes", "times", "runs_table"),
)


@dataclass(frozen=True)
class Page:
    """What is drawn: pinned runs first, then those of the page."""

    top: Sequence[RunLine]
    rows: Sequence[RunLine]
    total: int
    has_more: bool = False
    is_exact: bool = True
    directions: Mapping[str, bool] = field(default_factory=dict)
    drawn: frozenset[str] = frozenset()

    @property
    def all(self) -> list[RunLine]:
        return [*self.top, *self.rows]

    @property
    def is_live(self) -> bool:
        return any(is_going(line) for line in self.all)


def show(
    key: str,
    page: Page,
    columns: Sequence[str],
    shown: Shown,
    acted: Callable[[dict[str, Any]], None],
    *,
    reset: int = 0,
) -> list[str]:
    """Draws the runs; the names of the ticked ones. `acted` is given what was done to a run or a column."""
    made = [_run_column(shown, page), *(_column(read_field(each), shown, page) for each in columns)]
    best = _best(page, columns)
    data = {
        "label": "Runs",
        "columns": made,
        "rows": [_row(line, columns, shown, page, best) for line in page.all],
        "selectable": True,
        "best": "The best of this page",
        "sizes": [{"size": size, "href": runs_state.link(page_size=size), "current": size == shown.page_size}
                  for size in runs_state.SIZES],
        **_foot(page, shown),
    }  # fmt: skip
    return _drawn(key, data, acted, reset)


def rail(
    key: str, page: Page, listed: Sequence[str], shown: Shown, acted: Callable[[dict[str, Any]], None]
) -> list[str]:
    """The narrow list beside a dashboard: eyes, colours, names, stars of those of the page that are to be listed."""
    data = {
        "label": "Runs",
        "columns": [{**_run_column(shown, page), "width": RAIL_WIDTH, "left": False}],
        "rows": [_row(line, (), shown, page, {}) for line in page.all if line.id in listed],
        "selectable": False,
        "eyes": True,
        **_foot(page, shown),
    }
    if len(listed) < len(page.all):
        data["foot"] = f"{len(listed)} of {len(page.all)} on this page"
    return _drawn(key, data, acted, 0)


def groups(
    key: str, lines: Sequence[GroupLine], columns: Sequence[str], shown: Shown, href: Callable[[GroupLine], str],
    acted: Callable[[dict[str, Any]], None],
) -> None:  # fmt: skip
    """One row a group: what its runs have in common, how many there are, mean ± deviation and best of each metric."""
    by = [read_field(each) for each in shown.group_by]
    metrics = [read_field(each) for each in columns]
    heads = [
        *({**_plain_head(each, left=not place), **_sorting(str(each), shown)} for place, each in enumerate(by)),
        {"id": "count", "label": "Runs", "title": "How many runs", "kind": "num", "width": 72, "left": False},
        *(
            {**_plain_head(each), "kind": "spread", "width": max(204, _wide(each.label)), **_sorting(str(each), shown)}
            for each in metrics
        ),
    ]
    for head in heads:
        head["width"] = shown.widths.get(str(head["id"]), head["width"])
    rows = []
    for place, line in enumerate(lines):
        values = [_group_value(each, line.values.get(str(each))) for each in by]
        values[0] = {"text": _said(values[0]), "href": href(line)}
        rows.append({
            "id": str(place), "name": _said(values[0]["text"]),
            "cells": [*values, line.count, *(_spread(line.cells.get(str(each))) for each in metrics)],
        })  # fmt: skip
    heads[0]["kind"] = "link"
    foot = f"{len(lines)} groups of {sum(line.count for line in lines):,} runs · mean ± deviation, best in grey"
    _drawn(
        key, {"label": "Groups of runs", "columns": heads, "rows": rows, "selectable": False, "foot": foot}, acted, 0
    )


def is_going(line: RunLine) -> bool:
    return line.status not in OVER


def href_of(line: RunLine) -> str:
    """The page of one run."""
    if line.job:
        return context.link("job", job=line.job)
    return context.link("run", run=line.run_id) if "run" in SCREENS else ""


def label_of(each: Field) -> str:
    if each.kind == "attribute":
        return LABELS.get(each.name, each.name.capitalize())
    return each.label


def _drawn(key: str, data: dict[str, Any], acted: Callable[[dict[str, Any]], None], reset: int) -> list[str]:
    whole = f"{key}:{reset}"

    def told() -> None:
        what = st.session_state[whole].get("act")
        if isinstance(what, dict):
            acted(what)

    data |= {"reset": whole, "at": st.query_params.get("page", ""), "palette": list(colors.PALETTE)}
    data["refused"] = context.may(WRITE)
    result = _table(key=whole, data=data, on_picked_change=_nothing, on_act_change=told)
    ids = {row["id"] for row in data["rows"]}
    return [each for each in result.picked or [] if each in ids]


def _run_column(shown: Shown, page: Page) -> dict[str, Any]:
    """As wide as the longest name of the page needs, within reason."""
    longest = max((len(line.name) for line in page.all), default=0)
    wide = min(RUN_WIDTH, 132 + int(7.2 * longest))
    return {
        "id": "name", "label": "Run", "title": "Run", "kind": "run", "left": True,
        "width": shown.widths.get("run", wide), **_sorting("name", shown),
    }  # fmt: skip


def _column(each: Field, shown: Shown, page: Page) -> dict[str, Any]:
    name, head = str(each), _plain_head(each)
    head |= {
        "left": name in shown.pinned_columns,
        "width": shown.widths.get(name, head["width"]),
        "menu": True,
        "movable": True,
        "groupable": each.kind in {"params", "tags"} or each.name in {"status", "creator", "experiment", "source"},
        "right": each.kind == "params" and _are_numbers(line.cells.get(name) for line in page.all),
        **_sorting(name, shown),
    }
    if each.kind == "metrics" and each.name in page.directions:
        head["direction"] = "max" if page.directions[each.name] else "min"
        head["title"] += f" · {'higher' if page.directions[each.name] else 'lower'} is better"
    return head


def _are_numbers(values: Iterable[object]) -> bool:
    """Whether a column of parameters is read as one of numbers."""
    given = [value for value in values if value not in (None, "")]
    return bool(given) and all(isinstance(value, str) and number(value) is not None for value in given)


def _plain_head(each: Field, *, left: bool = False) -> dict[str, Any]:
    kind = _kind(each)
    label = plain(label_of(each), 200)
    width = max(WIDTHS[kind], _wide(label))
    return {"id": str(each), "label": label, "title": plain(str(each), 400), "kind": kind, "left": left, "width": width}


def _kind(each: Field) -> str:
    match each.kind, each.name:
        case "attribute", "status" | "duration":
            return each.name
        case "attribute", _:
            return KINDS[each.type]
        case "tags", _:
            return "tag"
        case "params", _:
            return "code"
    return "num"


def _wide(label: str) -> int:
    """Pixels for a head, of bounded length."""
    return min(220, 60 + int(6.6 * len(label)))


def _sorting(name: str, shown: Shown) -> dict[str, Any]:
    """Where clicks on the head lead: alone with a plain one, beside the others with shift."""
    order = list(shown.order)
    sorted_ = "desc" if f"-{name}" in order else "asc" if name in order else None
    place = next((at for at, each in enumerate(order) if each.removeprefix("-") == name), None)
    following = name if sorted_ == "desc" else f"-{name}" if sorted_ == "asc" else name
    beside = (
        [*order, following] if place is None else [following if at == place else each for at, each in enumerate(order)]
    )
    return {
        "href": runs_state.link(order_by=(following,)),
        "more": runs_state.link(order_by=tuple(beside)),
        "up": runs_state.link(order_by=(name,)),
        "down": runs_state.link(order_by=(f"-{name}",)),
        "sorted": sorted_,
        "place": str(place + 1) if place is not None and len(order) > 1 else "",
    }


def _row(line: RunLine, columns: Sequence[str], shown: Shown, page: Page, best: Mapping[int, float]) -> dict[str, Any]:
    values = [_value(line, read_field(each)) for each in columns]
    return {
        "id": line.id,
        "name": plain(line.name or line.id, 200),
        "href": href_of(line),
        "color": line.color,
        "starred": line.is_starred,
        "children": line.has_children,
        "top": line.id in shown.pinned,
        "baseline": line.id == shown.baseline,
        "shown": line.id in page.drawn,
        "cells": [None, *values],
        "best": [place + 1 for place, value in best.items() if line.cells.get(columns[place]) == value],
    }


def _value(line: RunLine, each: Field) -> Any:
    if each.kind == "attribute":
        return _attribute(line, each.name)
    return _cell(line.cells.get(str(each)))


def _attribute(line: RunLine, name: str) -> Any:
    match name:
        case "status":
            return table.status(line.status)
        case "duration":
            return table.lasting(line.started, line.ended, live=is_going(line))
        case "created" | "started" | "ended":
            return table.time(getattr(line, name))
        case "creator":
            return plain(line.user, 200)
        case "experiment":
            return plain(line.experiment, 200)
        case "starred":
            return "yes" if line.is_starred else ""
    return _cell(line.cells.get(name))


def _cell(value: object) -> Any:
    """As JSON has it: what is not finite is a word."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return value
        case float():
            return value if math.isfinite(value) else "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
        case datetime():
            return table.time(value)
        case None:
            return None
    return plain(value, 300)


def _group_value(each: Field, value: object) -> Any:
    if each.kind == "attribute" and each.name == "status" and value:
        return table.status(str(value))
    return _cell(value)


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("label") or value.get("text") or "")
    return "(none)" if value in (None, "") else str(value)


def _spread(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None or not spread.n:
        return None
    return {"n": spread.n, "mean": _cell(spread.mean), "std": _cell(spread.std) if spread.n > 1 else None,
            "best": _cell(spread.best)}  # fmt: skip


def _best(page: Page, columns: Sequence[str]) -> dict[int, float]:
    """The best value of each metric's column, where not all are the same."""
    found: dict[int, float] = {}
    for place, text in enumerate(columns):
        each = read_field(text)
        if (
            each.kind != "metrics"
            or each.name not in page.directions
            or each.aggregate not in {"last", "min", "max", "first"}
        ):
            continue
        values = {
            value for line in page.all if isinstance(value := line.cells.get(text), float) and math.isfinite(value)
        }
        if len(values) > 1:
            found[place] = max(values) if page.directions[each.name] else min(values)
    return found


def _foot(page: Page, shown: Shown) -> dict[str, Any]:
    offset, here = (shown.page - 1) * shown.page_size, len(page.rows)
    total = f"{page.total:,}{'' if page.is_exact else '+'} runs"
    said = total if not offset and not page.has_more else f"{offset + 1:,}–{offset + here:,} of {total}"
    pinned, live = f" · {len(page.top)} pinned" if page.top else "", " · live" if page.is_live else ""
    return {
        "foot": said + pinned + live,
        "earlier": runs_state.link(page=shown.page - 1 if shown.page > 2 else None) if offset else None,
        "later": runs_state.link(page=shown.page + 1) if page.has_more else None,
    }


def _nothing() -> None:
    """A state key needs a callback to exist from the first run on."""
