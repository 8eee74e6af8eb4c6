"""Pages of long lists: a limit and an opaque cursor."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.core.errors import Invalid

Row = TypeVar("Row")
MOST = 1000


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`next_cursor` is empty on the last page."""

    rows: list[Row]
    next_cursor: str = ""


def cut(session: Any, statement: Any, *, limit: int, cursor: str) -> Page[Any]:
    """One page of an ordered statement. Raises Invalid for a limit outside of 1–1000 or a foreign cursor."""
    if not 1 <= limit <= MOST:
        raise Invalid(f"A page holds 1 to {MOST} rows, not {limit}.", where="limit")
    offset = _read(cursor)
    rows = list(session.exec(statement.offset(offset).limit(limit + 1)))
    more = len(rows) > limit
    return Page(rows[:limit], _written(offset + limit) if more else "")


def cursor_at(offset: int) -> str:
    """The cursor of a place that is known by number, for screens that show page numbers."""
    return _written(offset) if offset > 0 else ""


def _written(offset: int) -> str:
    return base64.urlsafe_b64encode(f"o{offset}".encode()).decode().rstrip("=")


def _read(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as cause:
        raise Invalid("This is not a cursor of ours.", where="cursor") from cause
    if not text.startswith("o") or not text[1:].isdigit() or len(text) > 12:
        raise Invalid("This is not a cursor of ours.", where="cursor")
    return int(text[1:])
