"""What is shown of runs, as the address says it: the same address shows the same to whoever may see it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from app.ui import address
from services.core.errors import AtelierError
from services.specs.run_fields import field as read_field
from services.specs.views import ViewBody

SIZES = (25, 50, 100, 200)
SIZE = 50
ORDER = ("-created",)
OPEN_AT_FIRST = 20
NARROWEST, WIDEST = 40, 1200
NONE, ALL = "-", "*"
# The words of the address, by the words of a view.
WORDS = {
    "show": "show",
    "filter": "filter",
    "search": "q",
    "columns": "columns",
    "order_by": "sort",
    "group_by": "group",
    "page_size": "size",
    "board": "board",
    "hidden": "hidden",
    "pinned": "pinned",
    "pinned_columns": "left",
    "widths": "widths",
    "baseline": "baseline",
    "only_shown": "only",
}
# A comma parts a list, except inside backticks and inside the parentheses of `at(metrics.loss, 100)`.
_PART = re.compile(r"(?:[^,`(]|`[^`]*`|\((?:[^`()]|`[^`]*`)*\)|[`(])+")


@dataclass(frozen=True)
class Shown:
    """As `ViewBody`, but whatever an address may hold: the filter need not be readable; empty means by default.

    `hidden` begins with `*` where all but the named eyes are closed, and is `-` where none is.
    """

    show: str = "list"
    filter: str = ""
    search: str = ""
    columns: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    page_size: int = SIZE
    board: str = ""
    hidden: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    pinned_columns: tuple[str, ...] = ()
    widths: Mapping[str, int] = field(default_factory=dict)
    baseline: str = ""
    only_shown: bool = False
    page: int = 1

    @property
    def order(self) -> tuple[str, ...]:
        return self.order_by or ORDER

    @property
    def is_dashboard(self) -> bool:
        return self.show == "dashboard"

    def body(self) -> ViewBody:
        """To be saved. Raises pydantic's ValidationError where the filter cannot be read."""
        return ViewBody.model_validate({name: _plain(getattr(self, name)) for name in WORDS})


def shown() -> Shown:
    """What the address asks for; words in it that mean nothing are left out."""
    size = address.number("size", SIZE, most=SIZES[-1])
    return Shown(
        show="dashboard" if address.text("show") == "dashboard" else "list",
        filter=address.text("filter")[:10_000],
        search=address.text("q")[:400],
        columns=fields(split(address.text("columns"))),
        order_by=ordered(split(address.text("sort"))),
        group_by=fields(split(address.text("group")))[:4],
        page_size=size,
        board=address.text("board")[:64],
        hidden=tuple(address.words("hidden"))[:200],
        pinned=tuple(dict.fromkeys(address.words("pinned")))[:50],
        pinned_columns=fields(split(address.text("left"))),
        widths=_widths(split(address.text("widths"))),
        baseline=address.text("baseline")[:400],
        only_shown=address.flag("only"),
        page=address.number("page", 1),
    )


def of_view(body: Mapping[str, object]) -> Shown:
    """What a saved view shows."""
    view = ViewBody.model_validate(body)
    given: dict[str, Any] = {name: getattr(view, name) for name in WORDS}
    read: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in given.items()}
    return Shown(**read)


def differs(one: Shown, other: Shown) -> bool:
    """Whether a view would have to be saved anew; which page is open is no part of it."""
    return replace(one, page=1) != replace(other, page=1)


def put(**changes: object) -> None:
    """Changes some words of the address, by the words of a view; another list begins at its first page."""
    written = {WORDS.get(name, name): _written(value) for name, value in changes.items()}
    if not {"hidden", "pinned_columns", "widths", "board", "pinned", "baseline", "show"} >= set(changes):
        written.setdefault("page", None)
    address.put(**written)


def link(**changes: object) -> str:
    """The address that `put` would leave."""
    written = {WORDS.get(name, name): _written(value) for name, value in changes.items()}
    if "page" not in written and set(changes) & {"filter", "search", "order_by", "group_by", "page_size"}:
        written["page"] = None
    return address.changed(**written)


def everything(view: Shown) -> dict[str, str | None]:
    """All words of the address for what a view shows, None for those that it leaves at their defaults."""
    plain = Shown()
    return {
        word: _written(getattr(view, name)) if getattr(view, name) != getattr(plain, name) else None
        for name, word in WORDS.items()
    }


def is_bare() -> bool:
    """Whether the address says nothing but where, so that a view that it names may say the rest."""
    return not any(word in st.query_params for word in [*WORDS.values(), "page"])


def split(text: str) -> list[str]:
    return [part.strip() for part in _PART.findall(text[:40_000]) if part.strip()]


def fields(texts: Iterable[str]) -> tuple[str, ...]:
    """In their canonical spelling, each once."""
    found = [_field(text) for text in texts]
    return tuple(dict.fromkeys(each for each in found if each))[:200]


def ordered(texts: Iterable[str]) -> tuple[str, ...]:
    """Fields to sort by, `-` before those that fall."""
    found = [("-" if text.startswith("-") else "", _field(text.removeprefix("-"))) for text in texts]
    by = {name: sign for sign, name in found if name}
    return tuple(f"{sign}{name}" for name, sign in by.items())[:8]


def eyes(page: Sequence[str], hidden: Sequence[str]) -> list[str]:
    """Of the runs of a page, those that are drawn."""
    if not hidden:
        return list(page[:OPEN_AT_FIRST])
    if hidden[0] == ALL:
        return [name for name in page if name in hidden]
    return [name for name in page if name not in hidden]


def closed(page: Sequence[str], drawn: Sequence[str]) -> tuple[str, ...]:
    """The inverse of `eyes`, in whichever way is shorter."""
    names = [name for name in page if name not in drawn]
    if not names:
        return (NONE,)
    return tuple(names) if len(names) <= len(drawn) else (ALL, *(name for name in page if name in drawn))


def _field(text: str) -> str:
    try:
        return str(read_field(text))
    except AtelierError:
        return ""


def _widths(texts: Iterable[str]) -> dict[str, int]:
    found = {}
    for text in texts:
        name, _, width = text.rpartition(":")
        if width.isdecimal() and NARROWEST <= int(width[:6]) <= WIDEST and (name == "run" or _field(name)):
            found[name] = int(width)
    return found


def _written(value: object) -> str | None:
    if isinstance(value, bool):
        return "1" if value else None
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{width}" for name, width in value.items()) or None
    if isinstance(value, (list, tuple)):
        return ",".join(value) or None
    return str(value) if value not in (None, "", "list") else None


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
