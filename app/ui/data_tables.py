"""Tables, profiles and differences of data as HTML: every cell is text, whatever a file says."""

from collections.abc import Iterable, Sequence

from app.ui.text import Markup, join, number, plain, size, tag
from services.engines.tables import Cell, Column, ColumnProfile, Diff, Profile, TablePreview

WIDEST = 100
LONGEST = 160
NUMBERS = frozenset({"integer", "number"})
SHOWN_QUANTILES = (25, 50, 75)
SHOWN_TOP = 8
SHOWN_FILES = 200


def rows(found: TablePreview) -> Markup:
    """The first rows, with the type under each name."""
    columns = found.columns[:WIDEST]
    heads = [
        tag("th", tag("b", plain(column.name, 80)), tag("small", column.type), **_side(column)) for column in columns
    ]
    lines = [
        tag("tr", *(tag("td", _cell(cell), **_side(column)) for cell, column in zip(row, columns, strict=False)))
        for row in found.rows
    ]
    return _scrolled("at-data", tag("tr", *heads), lines)


def said(found: TablePreview) -> str:
    """How much of the file this is."""
    known = f" of {found.total_rows:,}" if found.total_rows is not None else ""
    start = "the first " if found.more and not known else ""
    columns = found.total_columns or len(found.columns)
    shown = f", {WIDEST} shown" if columns > WIDEST else ""
    return f"{start}{len(found.rows):,}{known} rows · {columns} columns{shown} · {found.format} · {size(found.size)}"


def profile(found: Profile) -> Markup:
    """One line for each column."""
    heads = (
        "Feature", "Profile", "Type", "Min", "Max", "Count", "Not missing", "Distinct", "Quantiles", "Mean",
        "Standard deviation", "Variance", "Skewness", "Kurtosis",
    )  # fmt: skip
    lines = [tag("tr", *_profiled(column)) for column in found.columns]
    numbers = [None if head in {"Feature", "Profile", "Type"} else "at-num" for head in heads]
    head = tag("tr", *(tag("th", tag("b", head), cls=cls) for head, cls in zip(heads, numbers, strict=True)))
    return _scrolled("at-data at-profile", head, lines)


def profiled(found: Profile) -> str:
    """How many rows it is of."""
    about = "about " if found.total_is_estimated else ""
    of = f" of {about}{found.total_rows:,}" if found.sampled and found.total_rows is not None else ""
    sample = ", a sample" if found.sampled else ""
    files = f" · {len(found.files):,} files" if len(found.files) > 1 else ""
    return f"{found.rows:,} rows{of}{sample} · {len(found.columns)} columns · {found.format}{files}"


def facts(found: Diff) -> list[tuple[str, str]]:
    """What changed, in numbers."""
    numbers = [
        ("Files added", f"{len(found.files_added):,}"),
        ("Files removed", f"{len(found.files_removed):,}"),
        ("Files changed", f"{len(found.files_changed):,}"),
        ("Files the same", f"{found.files_same:,}"),
    ]
    if not found.is_tabular:
        return numbers
    return [("Rows", f"{_count(found.old_rows)} → {_count(found.new_rows)}"), *numbers]


def schema(found: Diff) -> Markup | None:
    """Columns that came, went or changed their type."""
    lines = [
        *(_change("added", column.name, "", column.type) for column in found.columns_added),
        *(_change("removed", column.name, column.type, "") for column in found.columns_removed),
        *(_change("retyped", each.name, each.old, each.new) for each in found.columns_retyped),
    ]
    return _plain_table(("", "Column", "Old type", "New type"), lines)


def files(found: Diff) -> Markup | None:
    """Files that came, went or changed."""
    lines = [
        *(_change("added", path, "", "") for path in found.files_added),
        *(_change("removed", path, "", "") for path in found.files_removed),
        *(_change("changed", each.path, size(each.old_size), size(each.new_size)) for each in found.files_changed),
    ]
    return _plain_table(("", "File", "Old size", "New size"), lines, most=SHOWN_FILES)


def drift(found: Diff) -> Markup | None:
    """How the values of columns moved that both have."""
    lines = [
        tag(
            "tr",
            tag("td", plain(each.name, 80)),
            *(
                tag("td", cell, cls="at-num")
                for cell in (
                    _value(each.old_mean),
                    _value(each.new_mean),
                    f"{each.old_missing:.1%}",
                    f"{each.new_missing:.1%}",
                    _count(each.old_distinct),
                    _count(each.new_distinct),
                )
            ),
        )
        for each in found.drift
    ]
    heads = ("Column", "Old mean", "New mean", "Old missing", "New missing", "Old distinct", "New distinct")
    return _plain_table(heads, lines, numbers_from=1)


def chart(column: ColumnProfile) -> Markup | None:
    """A histogram, or how often the values are that are there most."""
    if column.histogram:
        counts = [each.count for each in column.histogram]
        title = f"{_value(column.histogram[0].low)} to {_value(column.histogram[-1].high)}"
        return _bars(counts, title)
    if not column.top:
        return None
    top = column.top[:SHOWN_TOP]
    title = "\n".join(f"{_value(each.value)}: {each.count:,}" for each in top)
    lines = [
        tag(
            "span",
            tag("i", style=f"width:{max(2, round(100 * each.count / max(column.count, 1)))}%"),
            tag("em", plain(_value(each.value), 24)),
        )
        for each in top[:3]
    ]
    return tag("div", *lines, cls="at-top", title=plain(title, 600))


def _profiled(column: ColumnProfile) -> list[Markup]:
    quantiles = {each.percent: each.value for each in column.quantiles}
    shown = [f"{percent} % {_value(quantiles[percent])}" for percent in SHOWN_QUANTILES if percent in quantiles]
    every = "\n".join(f"{percent:g} %: {_value(value)}" for percent, value in quantiles.items())
    distinct = _count(column.distinct)
    numbers = (
        _value(column.minimum),
        _value(column.maximum),
        _count(column.count),
        f"{column.count - column.missing:,}",
        f"≈ {distinct}" if column.distinct_is_estimated and distinct else distinct,
    )
    moments = (column.mean, column.standard_deviation, column.variance, column.skewness, column.kurtosis)
    note = "\n".join(column.notes)
    return [
        tag("td", tag("b", plain(column.name, 80)), title=plain(note, 600) or None),
        tag("td", chart(column)),
        tag("td", column.type),
        *(tag("td", plain(each, 40), cls="at-num") for each in numbers),
        tag("td", join(tag("div", each) for each in shown), cls="at-num", title=plain(every, 900) or None),
        *(tag("td", plain(_value(each), 40), cls="at-num") for each in moments),
    ]


def _bars(counts: Sequence[int], title: str) -> Markup:
    """Of elements alone: what Streamlit cleans before it shows it loses every SVG."""
    highest = max(*counts, 1)
    bars = [tag("i", style=f"height:{max(4, round(100 * count / highest)) if count else 0}%") for count in counts]
    return tag("div", *bars, cls="at-hist", role="img", aria_label=title, title=plain(title, 200))


def _change(what: str, name: str, old: str, new: str) -> Markup:
    tone = {"added": "green", "removed": "red"}.get(what, "orange")
    word = tag("span", tag("i", cls="at-dot", data_tone=tone), what, cls="at-chip")
    return tag("tr", tag("td", word), tag("td", plain(name, 300)), tag("td", old), tag("td", new))


def _plain_table(
    heads: Sequence[str], lines: Sequence[Markup], *, most: int = 500, numbers_from: int = 99
) -> Markup | None:
    """None where there is nothing to say."""
    if not lines:
        return None
    head = tag(
        "tr", *(tag("th", name, cls="at-num" if place >= numbers_from else None) for place, name in enumerate(heads))
    )
    rest = tag("p", f"{len(lines) - most:,} more are not shown.", cls="at-none") if len(lines) > most else None
    return join((tag("table", tag("thead", head), tag("tbody", *lines[:most]), cls="at-table"), rest))


def _scrolled(cls: str, head: Markup, lines: Iterable[Markup]) -> Markup:
    """Wide and long tables scroll in their own frame, and their heads stay."""
    table = tag("table", tag("thead", head), tag("tbody", *lines), cls=cls)
    return tag("div", table, cls="at-scroll", tabindex="0", role="region", aria_label="Rows")


def _side(column: Column) -> dict[str, str]:
    return {"cls": "at-num"} if column.type in NUMBERS else {}


def _cell(cell: Cell) -> Markup:
    if cell is None:
        return tag("i", "null", cls="at-faint")
    whole = str(cell).lower() if isinstance(cell, bool) else str(cell)
    return tag("span", plain(whole, LONGEST), title=plain(whole, 2000) if len(whole) > LONGEST else None)


def _value(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return number(cell) if isinstance(cell, float) else str(cell)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
