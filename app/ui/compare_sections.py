"""What two runs differ in, drawn: things by name beside each other, and texts line by line."""

from collections.abc import Iterable, Iterator, Sequence

import streamlit as st

from app.ui import parts
from app.ui.text import Markup, join, plain, size, tag
from services.comparisons import Difference, Part, RunHead, Section
from services.engines.differences import FileChange, Line

MOST = 500
OPEN = 6
NOTHING = tag("span", "—", cls="at-faint")
Pair = tuple[Line | None, Line | None]


def show(section: Section, before: RunHead, after: RunHead, *, only_differing: bool) -> None:
    """Part by part; what is the same is left out when only differences are asked for."""
    heads = ("", plain(before.label, 80), plain(after.label, 80))
    for part in section.parts:
        lines = [line for line in part.lines if line.differs or not only_differing]
        if lines:
            st.html(parts.panel(part.title, _table(heads, lines), _counted(part)))
        if part.files:
            _files(part, heads)
        if part.text:
            st.html(parts.panel(part.title, diff(part.text), _counted(part)))
        if not lines and not part.files and not part.text:
            said = "Nothing differs." if part.lines or not part.notes else " ".join(part.notes)
            st.html(parts.panel(part.title, tag("div", said, cls="at-none")))
        if part.notes and (part.lines or part.files or part.text):
            st.html(tag("div", " ".join(part.notes), cls="at-label"))


def _counted(part: Part) -> str:
    return "the same" if not part.count else f"{part.count} {'differs' if part.count == 1 else 'differ'}"


def _table(heads: tuple[str, str, str], lines: Sequence[Difference]) -> Markup:
    body = [
        tag("tr", tag("td", tag("b", plain(line.name, 200))), *_values(line), data_differs=line.differs)
        for line in lines[:MOST]
    ]
    head = tag("tr", *(tag("th", each) for each in heads))
    table = tag("table", tag("thead", head), tag("tbody", *body), cls="at-table at-differences")
    more = tag("div", f"{len(lines) - MOST} more.", cls="at-none") if len(lines) > MOST else None
    return tag("div", table, more, cls="at-beside")


def _values(line: Difference) -> Iterator[Markup]:
    for value in (line.before, line.after):
        yield tag("td", tag("pre", plain(value, 4000), cls="at-mono at-value") if value else NOTHING)


def _files(part: Part, heads: tuple[str, str, str]) -> None:
    with_lines = [each for each in part.files if each.lines]
    without = [each for each in part.files if not each.lines]
    if without:
        st.html(parts.panel(part.title, _listed(without, heads), f"{len(without)} compared by content"))
    for place, each in enumerate(with_lines):
        st.html(_file(each, is_open=place < OPEN))


def _listed(files: Sequence[FileChange], heads: tuple[str, str, str]) -> Markup:
    lines = [
        (
            tag("b", plain(each.path, 300)),
            _word(each),
            size(each.before_size) or NOTHING,
            size(each.after_size) or NOTHING,
            each.note or _digests(each),
        )
        for each in files[:MOST]
    ]
    return parts.rows(("Path", "", heads[1], heads[2], ""), lines)


def _digests(each: FileChange) -> str | Markup:
    if not each.before or not each.after:
        return ""
    return tag("span", f"{each.before[:8]} → {each.after[:8]}", cls="at-mono at-muted")


def _word(each: FileChange) -> Markup:
    tone = {"added": "green", "removed": "red", "changed": "orange"}[each.word]
    return tag("span", each.word, cls="at-word", data_tone=tone)


def _file(each: FileChange, *, is_open: bool) -> Markup:
    counts = join((tag("ins", f"+{each.added}"), tag("del", f"−{each.removed}")), " ")
    summary = tag("summary", tag("b", plain(each.path, 300)), _word(each), tag("small", counts))
    return tag("details", summary, diff(each.lines), cls="at-panel at-file", open=is_open)


def diff(lines: Sequence[Line]) -> Markup:
    """Side by side: what went stands beside what came in its place."""
    columns = tag("colgroup", *(tag("col", cls=kind) for kind in ("at-no", None, "at-no", None)))
    table = tag("table", columns, tag("tbody", *(_row(before, after) for before, after in pairs(lines))), cls="at-diff")
    return tag("div", table, cls="at-diffbox")


def pairs(lines: Iterable[Line]) -> Iterator[Pair]:
    """Removed lines beside the added ones that follow them; the same lines and heads of hunks stand on both sides."""
    gone: list[Line] = []
    come: list[Line] = []
    for line in lines:
        if line.kind == "removed" and not come:
            gone.append(line)
        elif line.kind == "added":
            come.append(line)
        else:
            yield from _beside(gone, come)
            gone, come = ([line], []) if line.kind == "removed" else ([], [])
            if line.kind != "removed":
                yield line, line
    yield from _beside(gone, come)


def _beside(gone: Sequence[Line], come: Sequence[Line]) -> Iterator[Pair]:
    for place in range(max(len(gone), len(come))):
        yield gone[place] if place < len(gone) else None, come[place] if place < len(come) else None


def _row(before: Line | None, after: Line | None) -> Markup:
    if before is not None and before.kind == "hunk":
        return tag("tr", tag("td", before.text, colspan="4"), cls="at-hunk")
    return tag("tr", *_side(before, "before"), *_side(after, "after"))


def _side(line: Line | None, side: str) -> tuple[Markup, Markup]:
    if line is None:
        return tag("td", cls="at-no"), tag("td", cls="at-gap")
    number = line.before if side == "before" else line.after
    kind = line.kind if line.kind != "same" else None
    return tag("td", str(number), cls="at-no", data_kind=kind), tag("td", plain(line.text, 1000), data_kind=kind)
