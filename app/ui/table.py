"""Lists: rows as real links, sorting and pages in the address, ticked rows as state. No data frame travels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from app.ui import words
from app.ui.address import changed
from app.ui.scripts import script
from app.ui.text import plain
from services.core.times import iso

ASSETS = Path(__file__).parent / "assets"
Kind = Literal["text", "muted", "code", "link", "status", "time", "duration", "num", "size", "tags", "shares"]

_table = st.components.v2.component(
    "atelier_table",
    html='<div class="wrap">\n</div>',
    css=(ASSETS / "table.css").read_text(encoding="utf-8"),
    js=script("nodes", "times", "table"),
)


@dataclass(frozen=True)
class Column:
    """`sort` is the word for `?sort=`; a column without one cannot be sorted."""

    label: str
    kind: Kind = "text"
    sort: str = ""


@dataclass(frozen=True)
class Row:
    """`id` is what ticking it answers; cells are made by the functions below or are plain strings and numbers."""

    id: str
    cells: Sequence[Any]
    href: str = ""


@dataclass(frozen=True)
class Pager:
    """Where in the whole list this page is; `total` None when nobody counted."""

    offset: int = 0
    limit: int = 50
    more: bool = False
    total: int | None = None
    noun: str = "rows"

    def said(self, here: int) -> str:
        if self.total is None:
            return f"{here} {self.noun}"
        if self.total <= here and not self.offset:
            return f"{self.total} {self.noun}"
        return f"{self.offset + 1}–{self.offset + here} of {self.total} {self.noun}"


@dataclass(frozen=True)
class Picked:
    ids: list[str] = field(default_factory=list)


def show(
    key: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    label: str,
    order: str = "",
    selectable: bool = False,
    pager: Pager | None = None,
    picked: Sequence[str] = (),
    reset: int = 0,
) -> Picked:
    """Draws the list; the ids of the ticked rows. A new `reset` number forgets what was ticked."""
    data = {
        "label": label,
        "columns": [_head(column, order) for column in columns],
        "rows": [{"id": row.id, "href": row.href, "cells": [_plain(cell) for cell in row.cells]} for row in rows],
        "selectable": selectable,
        "picked": list(picked),
        "reset": f"{key}:{reset}",
        **_foot(pager or Pager(), len(rows)),
    }
    result = _table(key=f"{key}:{reset}", data=data, on_picked_change=_nothing)
    ids = {row.id for row in rows}
    found = result.picked if result.picked is not None else list(picked)
    return Picked([each for each in found if each in ids])


def link(text: str, href: str, sub: str = "") -> dict[str, str]:
    return {"text": plain(text), "href": href, "sub": plain(sub)}


def status(word: str) -> dict[str, object]:
    return {"status": word, "label": words.label(word), "tone": words.tone(word), "moving": words.is_moving(word)}


def time(at: datetime | None) -> str | None:
    return iso(at)


def lasting(start: datetime | None, end: datetime | None, *, live: bool) -> dict[str, object] | None:
    """A duration; one that is still growing counts on in the browser."""
    if start is None:
        return None
    if live or end is None:
        return {"since": iso(start)} if live else None
    return {"seconds": max(0.0, (end - start).total_seconds())}


def tags(pairs: Mapping[str, str]) -> list[str]:
    return [plain(f"{key}: {value}" if value else key, 80) for key, value in pairs.items()][:4]


def shares(percents: Mapping[str, int], tones: Mapping[str, str], note: str = "") -> dict[str, object] | None:
    """A thin bar of who gets how much, in percent; None where nobody gets anything."""
    parts = [
        {"name": plain(name, 80), "percent": percent, "tone": tones.get(name, "gray")}
        for name, percent in percents.items()
        if percent
    ]
    return {"parts": parts, "note": plain(note, 200)} if parts or note else None


def _head(column: Column, order: str) -> dict[str, object]:
    if not column.sort:
        return {"label": plain(column.label), "kind": column.kind}
    ascending, descending = order == column.sort, order == f"-{column.sort}"
    following = f"-{column.sort}" if ascending else column.sort
    return {
        "label": plain(column.label),
        "kind": column.kind,
        "href": changed(sort=following, page=None),
        "sorted": "asc" if ascending else "desc" if descending else None,
    }


def _foot(pager: Pager, here: int) -> dict[str, object]:
    page = pager.offset // pager.limit + 1
    return {
        "foot": pager.said(here),
        "earlier": changed(page=page - 1 if page > 2 else None) if pager.offset else None,
        "later": changed(page=page + 1) if pager.more else None,
    }


def _plain(cell: Any) -> Any:
    return plain(cell) if isinstance(cell, str) else cell


def _nothing() -> None:
    """A state key needs a callback to exist from the first run on."""
