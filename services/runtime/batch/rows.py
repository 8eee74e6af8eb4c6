"""What run() returned as lines of text: a table without header and index, or one line for each item."""

from __future__ import annotations

from typing import Any, Iterator, TextIO  # noqa: UP035 (Python 3.8 subscripts no other)


def write(result: Any, separator: str, target: TextIO | None) -> int:
    """How many items it holds; a generator runs here. Raises TypeError for what is neither a list nor a table."""
    count = 0
    for text, items in _pieces(result, separator):
        count += items
        if target is not None:
            target.write(text)
    return count


def _pieces(result: Any, separator: str) -> Iterator[tuple[str, int]]:
    if _is_table(result):
        yield _table(result, separator), len(result)
        return
    if result is None or isinstance(result, (str, bytes, dict)) or not hasattr(result, "__iter__"):
        raise TypeError(f"run() returned {type(result).__name__}; a list or a DataFrame is expected")
    for item in result:
        yield (_table(item, separator), len(item)) if _is_table(item) else (f"{item}\n", 1)


def _is_table(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "to_csv")


def _table(frame: Any, separator: str) -> str:
    return str(frame.to_csv(sep=separator, header=False, index=False))
