"""Parts that every screen is made of: header, chips, panels, empty states, links that look like buttons."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import context
from app.ui import words
from app.ui.text import Markup, join, plain, tag
from services.core.times import iso, now, seconds, spoken

Crumb = tuple[str, str]


def icon(name: str) -> Markup:
    return tag("i", name, cls="at-icon", aria_hidden="true")


def chip(status: str, note: str = "") -> Markup:
    """A status, in its colour and wording."""
    tone = words.tone(status)
    dot = tag("i", cls="at-dot", data_tone=tone, data_moving=words.is_moving(status))
    return tag("span", dot, note or words.label(status), cls="at-chip", data_status=str(status))


def tags(pairs: Mapping[str, str]) -> Markup:
    return join((tag("span", f"{key}: {value}" if value else key, cls="at-tag") for key, value in pairs.items()), " ")


def button(label: str, address: str, *, glyph: str = "", primary: bool = False, reason: str = "") -> Markup:
    """A link that looks like a button; with a `reason` it is shown but cannot be followed."""
    kind = "primary" if primary else None
    mark = icon(glyph) if glyph else None
    if reason:
        return tag("span", mark, label, cls="at-button", data_kind=kind, aria_disabled="true", title=reason)
    return tag("a", mark, label, cls="at-button", data_kind=kind, href=address)


def buttons(*links: Markup) -> Markup:
    return tag("div", *links, cls="at-buttons")


def header(
    title: str, *, crumbs: Sequence[Crumb] = (), after: Markup | None = None, below: str | None = None
) -> DeltaGenerator:
    """Breadcrumb, title and what stands beside it; answers the place for actions, at the right."""
    trail: list[Markup] = []
    for label, address in crumbs:
        trail += [tag("a", label, href=address), tag("span", "/")]
    row = st.container(horizontal=True, vertical_alignment="center", key="_header")
    row.html(
        join(
            (
                tag("nav", *trail, tag("span", plain(title, 60)), cls="at-crumbs", aria_label="Breadcrumb")
                if trail
                else None,
                tag("div", tag("h1", title), after, cls="at-title"),
                tag("div", below, cls="at-sub") if below else None,
            )
        )
    )
    return row.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small", width="content"
    )


def section(title: str, note: str = "") -> None:
    st.html(tag("h2", title, tag("small", note) if note else None, cls="at-h2"))


def panel(title: str, body: Markup, note: str | Markup = "") -> Markup:
    return tag("section", tag("header", title, tag("small", note) if note else None), body, cls="at-panel")


def properties(pairs: Iterable[tuple[str, str | None]]) -> Markup:
    """Names and values; those without a value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    if not shown:
        return tag("div", "None", cls="at-none")
    return tag("dl", *(part for name, value in shown for part in (tag("dt", name), tag("dd", value))), cls="at-props")


def empty(glyph: str, title: str, sentence: str, *, action: Markup | None = None, cli: str = "") -> None:
    """What an empty list says: what would be here, what to do, and the same on the command line."""
    st.html(
        tag(
            "div",
            icon(glyph),
            tag("b", title),
            tag("span", sentence),
            action,
            tag("code", cli) if cli else None,
            cls="at-empty",
        )
    )


def rows(
    heads: Sequence[str], lines: Iterable[Sequence[str | Markup]], *, numbers: frozenset[int] = frozenset()
) -> Markup:
    """A small plain table for panels."""
    head = tag("tr", *(tag("th", name, cls="at-num" if place in numbers else None) for place, name in enumerate(heads)))
    body = [
        tag("tr", *(tag("td", cell, cls="at-num" if place in numbers else None) for place, cell in enumerate(line)))
        for line in lines
    ]
    return tag("table", tag("thead", head), tag("tbody", *body), cls="at-table")


def banner(tone: str, sentence: str, cli: str = "") -> None:
    st.html(
        tag(
            "div",
            tag("i", cls="at-dot"),
            tag("span", sentence),
            tag("code", cli, cls="at-mono") if cli else None,
            cls="at-notice at-banner",
            data_tone=tone,
        )
    )


def cli(*lines: str) -> None:
    """The same on the command line, to copy."""
    with st.popover("CLI", icon=":material/terminal:", help="The same on the command line"):
        st.code("\n".join(plain(line) for line in lines), language="bash", wrap_lines=True)


def act(
    label: str, action: str, *, glyph: str = "", primary: bool = False, blocked: str = "", key: str | None = None
) -> bool:
    """A button that asks for permission before it is offered; shown disabled with the reason otherwise."""
    reason = context.may(action) or blocked
    return st.button(
        label,
        icon=f":material/{glyph}:" if glyph else None,
        type="primary" if primary else "secondary",
        disabled=bool(reason),
        help=reason or None,
        key=key or f"act_{label}",
    )


def ago(at: datetime | None) -> Markup:
    """`3 min ago`, with the exact time on hover; the script of the frame keeps it fresh."""
    if at is None:
        return Markup("")
    return tag("time", spoken_ago(at), datetime=iso(at), title=f"{at:%Y-%m-%d %H:%M:%S} UTC", data_ago=True)


def spoken_ago(at: datetime) -> str:
    passed = seconds(at, now()) or 0.0
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (30 * 86_400, 86_400, "d")):
        if passed < limit:
            return "just now" if passed < 5 else f"{int(passed // unit)} {name} ago"
    return f"{at:%Y-%m-%d}"


def duration(start: datetime | None, end: datetime | None) -> str:
    return spoken(seconds(start, end or now())) if start else ""
