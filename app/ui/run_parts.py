"""What the screens of one run share: its address, its dot, its own marks and how they are changed."""

import re
from collections.abc import Mapping

import streamlit as st

from app import context
from app.ui import changes, parts
from app.ui.text import Markup, join, markdown, plain, tag
from services import run_marks
from services.run_marks import LONGEST_KEY, LONGEST_VALUE, Marks
from services.runs import RunLine

WRITE = "experiments/runs/write"
MOST_TAGS = 40
# The studio loads nothing from elsewhere: an image of a foreign server becomes a link to it.
_FOREIGN_IMAGE = re.compile(r"!(\[[^\]\n]*\]\(\s*<?(?:[a-z]+:)?//)", re.IGNORECASE)


def address(line: RunLine) -> str:
    """A job's own run is shown on the job's page."""
    return context.link("job", job=line.job) if line.job else context.link("run", run=line.run_id)


def dot(color: str) -> Markup:
    return tag("i", cls="at-dot", style=f"--tone:{color}", aria_hidden="true")


def link(line: RunLine) -> Markup:
    return tag("a", dot(line.color), " ", plain(line.name, 120), href=address(line), cls="at-run")


def marks(name: str) -> Marks:
    with context.scope() as s:
        return run_marks.of(s, name)


def actions(name: str, marked: Marks) -> None:
    """Star and colour, in the header."""
    key = "act_starred" if marked.is_starred else "act_star"
    if parts.act("Starred" if marked.is_starred else "Star", WRITE, glyph="star", key=key):
        said = "The star was taken away." if marked.is_starred else "The run got a star."
        changes.changed(said, lambda s: run_marks.change(s, name, is_starred=not marked.is_starred))
    if not marked.color:
        return
    place = st.container(key="run_color", width="content")
    with place, st.popover("Colour", icon=":material/palette:", help="Its colour in every list and chart"):
        reason = context.may(WRITE)
        picked = st.color_picker("Colour", marked.color, key=f"color:{marked.color}", disabled=bool(reason))
        if picked.lower() != marked.color.lower() and not reason:
            changes.changed("The colour was changed.", lambda s: run_marks.change(s, name, color=picked))
        if parts.act("As it came", WRITE, glyph="undo", key="act_color"):
            changes.changed("The colour is as it came.", lambda s: run_marks.change(s, name, color=""))


def note(name: str, marked: Marks, *, blocked: str = "") -> None:
    """What people think of it, in Markdown; nothing in it runs or loads from elsewhere."""
    with st.container(border=True, key="note"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.html(tag("h2", "Note", cls="at-h2"))
            if parts.act("Edit" if marked.note else "Add a note", WRITE, glyph="edit", blocked=blocked, key="act_note"):
                _edit_note(name, marked.note)
        if marked.note:
            st.markdown(harmless(marked.note))
        else:
            st.html(tag("div", "What was tried here, and what came of it?", cls="at-faint"))


def harmless(text: str) -> str:
    """Markdown that somebody wrote. HTML in it stays text, because Streamlit is not asked to allow it."""
    return _FOREIGN_IMAGE.sub(r"\1", plain_lines(text))


def plain_lines(text: str) -> str:
    return "\n".join(plain(line, LONGEST_VALUE) for line in text.split("\n"))


def tags(name: str, marked: Marks) -> None:
    with st.container(border=True, key="tags"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.html(tag("h2", "Tags", cls="at-h2"))
            if parts.act("Edit", WRITE, glyph="sell", key="act_tags"):
                _edit_tags(name, marked.tags)
        shown = parts.tags({plain(key, 120): plain(value, 300) for key, value in marked.tags.items()})
        st.html(tag("div", shown or tag("span", "None", cls="at-faint"), cls="at-tags"))


@st.dialog("Note", width="large")
def _edit_note(name: str, text: str) -> None:
    with st.form("run_note", border=False):
        written = st.text_area("Note", text, height=320, max_chars=LONGEST_VALUE, help="Markdown", key="note_text")
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        changes.changed("The note was saved.", lambda s: run_marks.change(s, name, note=written))


@st.dialog("Tags", width="large")
def _edit_tags(name: str, known: Mapping[str, str]) -> None:
    with st.form("run_tags", border=False):
        wanted: dict[str, str | None] = {}
        for place, (key, value) in enumerate(list(known.items())[:MOST_TAGS]):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                text = st.text_input(markdown(key), value, max_chars=LONGEST_VALUE, key=f"tag:{place}")
                is_gone = st.checkbox("Remove", key=f"tag_gone:{place}")
            if is_gone:
                wanted[key] = None
            elif text != value:
                wanted[key] = text
        with st.container(horizontal=True):
            new_key = st.text_input("New tag", max_chars=LONGEST_KEY, key="tag_new", placeholder="team")
            new_value = st.text_input("Value", max_chars=LONGEST_VALUE, key="tag_new_value", placeholder="vision")
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        if new_key.strip():
            wanted[new_key.strip()] = new_value
        changes.changed("The tags were saved.", lambda s: run_marks.change(s, name, tags=wanted))


def crumbs(experiment: str) -> list[parts.Crumb]:
    return [
        ("Experiments", context.link("experiments")),
        (plain(experiment, 60), context.link("experiment", experiment=experiment)),
    ]


def titled(status: str, color: str) -> Markup:
    """What stands beside the title."""
    return join((dot(color) if color else None, parts.chip(status)))
