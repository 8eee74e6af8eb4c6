"""A graph drawn in layers from left to right: boxes that are links, lines between them, all by our own script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import streamlit as st

from app.ui.scripts import script
from app.ui.text import plain

ASSETS = Path(__file__).parent / "assets"
WIDTH, HEIGHT = 216, 84
BETWEEN, BELOW, EDGE = 72, 18, 24
LANE = 12
PASSES = 6

_graph = st.components.v2.component(
    "atelier_graph",
    html='<div class="wrap">\n</div>',
    css=(ASSETS / "graph.css").read_text(encoding="utf-8"),
    js=script("nodes", "graph"),
)


@dataclass(frozen=True)
class More:
    """How many neighbours are left out on one side, and the address that shows them."""

    count: int
    href: str


@dataclass(frozen=True)
class Box:
    """`side` is -1 for what comes before the middle, 1 for what comes after it; `mark` is a short line of its own."""

    id: str
    kind: str
    icon: str
    label: str
    side: int
    about: str = ""
    mark: str = ""
    title: str = ""
    href: str = ""
    centre: str = ""
    tone: str = ""
    is_moving: bool = False
    earlier: More | None = None
    later: More | None = None


@dataclass(frozen=True)
class Line:
    source: str
    target: str
    role: str = ""


@dataclass(frozen=True)
class Place:
    """Left upper corner in pixels."""

    x: int
    y: int


@dataclass(frozen=True)
class Layout:
    """`ways` are the places that each line goes by, in the columns between its ends; it never lies under a box."""

    width: int
    height: int
    places: Mapping[str, Place]
    ways: Sequence[Sequence[Place]] = ()


def show(key: str, boxes: Sequence[Box], lines: Sequence[Line], *, label: str) -> None:
    """Draws it; the first box is the middle, and is in sight when the graph is wider than the page."""
    drawn = layout(boxes, lines)
    data = {
        "label": label,
        "width": drawn.width,
        "height": drawn.height,
        "box": [WIDTH, HEIGHT],
        "root": boxes[0].id,
        "boxes": [_told(box, drawn.places[box.id]) for box in boxes],
        "lines": [
            {
                "source": line.source,
                "target": line.target,
                "role": plain(line.role, 80),
                "by": [[place.x, place.y] for place in way],
            }
            for line, way in zip(lines, drawn.ways, strict=True)
        ],
    }
    _graph(key=key, data=data)


def layout(boxes: Sequence[Box], lines: Sequence[Line]) -> Layout:
    """Columns by the longest way from the middle, so that no line goes back; in a column, near to what it touches."""
    columns = _columns(boxes, lines)
    by_column: dict[int, list[str]] = {}
    for key, column in columns.items():
        by_column.setdefault(column, []).append(key)
    ways = [_lanes(place, line, columns, by_column) for place, line in enumerate(lines)]
    lanes = {lane: column for way in ways for lane, column in way}
    steps = [
        Line(one, other)
        for line, way in zip(lines, ways, strict=True)
        for one, other in pairwise([line.source, *(lane for lane, _ in way), line.target])
    ]
    _sorted(by_column, {**columns, **lanes}, steps)
    tall = {column: sum(_tall(key, lanes) + BELOW for key in keys) - BELOW for column, keys in by_column.items()}
    height = max(tall.values()) + 2 * EDGE
    places = {}
    for column, keys in by_column.items():
        top = (height - tall[column]) // 2
        for key in keys:
            places[key] = Place(EDGE + column * (WIDTH + BETWEEN), top)
            top += _tall(key, lanes) + BELOW
    by = [[Place(places[lane].x, places[lane].y + LANE // 2) for lane, _ in way] for way in ways]
    width = 2 * EDGE + len(by_column) * (WIDTH + BETWEEN) - BETWEEN
    return Layout(width, height, {box.id: places[box.id] for box in boxes}, by)


def _tall(key: str, lanes: Mapping[str, int]) -> int:
    return LANE if key in lanes else HEIGHT


def _lanes(
    place: int, line: Line, columns: Mapping[str, int], by_column: Mapping[int, list[str]]
) -> list[tuple[str, int]]:
    """A line over more than one column gets a lane of its own in each column between, as if it were a low box."""
    made = [(f"\0{place}:{column}", column) for column in range(columns[line.source] + 1, columns[line.target])]
    for lane, column in made:
        by_column[column].append(lane)
    return made


def _columns(boxes: Sequence[Box], lines: Sequence[Line]) -> dict[str, int]:
    sides = {box.id: box.side for box in boxes}
    found = dict(sides)
    for _ in boxes:  # a circle ends too
        moved = False
        for line in lines:
            before, after = found[line.source], found[line.target]
            if before < after or line.source == line.target:
                continue
            if sides[line.source] < 0 and sides[line.target] <= 0:
                found[line.source], moved = after - 1, True
            elif sides[line.target] > 0 and sides[line.source] >= 0:
                found[line.target], moved = before + 1, True
        if not moved:
            break
    used = {column: place for place, column in enumerate(sorted(set(found.values())))}
    return {key: used[column] for key, column in found.items()}


def _sorted(by_column: Mapping[int, list[str]], columns: Mapping[str, int], lines: Sequence[Line]) -> None:
    """Each column by the mean height of its neighbours, there and back a few times."""
    beside: dict[str, list[str]] = {}
    for line in lines:
        beside.setdefault(line.source, []).append(line.target)
        beside.setdefault(line.target, []).append(line.source)
    for turn in range(PASSES):
        heights = {key: place - len(ids) / 2 for ids in by_column.values() for place, key in enumerate(ids)}
        for column in sorted(by_column, reverse=turn % 2 == 1):
            ids = by_column[column]
            means = {}
            for key in ids:
                others = [heights[other] for other in beside.get(key, []) if columns[other] != columns[key]]
                means[key] = sum(others) / len(others) if others else heights[key]
            ids.sort(key=lambda key: means[key])
            heights.update({key: place - len(ids) / 2 for place, key in enumerate(ids)})


def _told(box: Box, place: Place) -> dict[str, Any]:
    def more(side: More | None) -> dict[str, Any] | None:
        return {"count": side.count, "href": side.href} if side is not None and side.count > 0 else None

    return {
        "id": box.id,
        "x": place.x,
        "y": place.y,
        "kind": box.kind,
        "icon": box.icon,
        "label": plain(box.label, 120),
        "about": plain(box.about, 120),
        "mark": plain(box.mark, 80),
        "title": plain(box.title, 1000),
        "href": box.href,
        "centre": box.centre,
        "tone": box.tone,
        "moving": box.is_moving,
        "earlier": more(box.earlier),
        "later": more(box.later),
    }
