"""Lineage: what one job or asset came from and what came of it, as a graph to walk along."""

import streamlit as st

from app import context
from app.ui import address, lineage_graph, parts
from app.ui.text import Markup, plain, tag
from services import lineage
from services.lineage import LEVELS, Graph, Node

DIRECTIONS = {"both": "Both ways", "up": "Where it came from", "down": "What came of it"}
MOST = 12


def bar(direction: str, levels: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        ways = [
            parts.button(label, address.changed(direction=None if way == "both" else way), primary=way == direction)
            for way, label in DIRECTIONS.items()
        ]
        fewer = "" if levels > 1 else "One level is the least."
        further = "" if levels < MOST else f"{MOST} levels are the most."
        less, more = address.changed(levels=levels - 1), address.changed(levels=levels + 1)
        st.html(parts.buttons(*ways), width="content")
        st.html(
            parts.buttons(
                parts.button("Fewer", less, glyph="remove", reason=fewer),
                tag("span", f"{levels} {'level' if levels == 1 else 'levels'}", cls="at-muted"),
                parts.button("More", more, glyph="add", reason=further),
            ),
            width="content",
        )


def listing(found: Graph) -> None:
    """The same as a table, with whole names and hashes."""
    lines = [
        (
            str(node.level) if node.level <= 0 else f"+{node.level}",
            tag("span", lineage_graph.SPOKEN.get(node.kind, "URI"), cls="at-nowrap"),
            tag("a", plain(node.label, 120), href=lineage_graph.href(node)),
            node.version[:12],
            parts.chip(node.status) if node.status else "",
            tag("span", proof(node), cls="at-mono at-muted"),
            tag("span", parts.ago(node.created_at), cls="at-nowrap"),
        )
        for node in sorted(found.nodes, key=lambda node: (node.level, node.kind, node.label))
    ]
    heads = ("Level", "Kind", "Name", "Version", "Status", "Code, image, content", "Created")
    st.html(parts.panel("In this graph", parts.rows(heads, lines), f"{len(lines)}"))


def proof(node: Node) -> str:
    pairs = (("code", node.snapshot), ("image", node.digest.removeprefix("sha256:")), ("content", node.hash))
    return "  ".join(f"{name} {value[:16]}" for name, value in pairs if value)


def nothing() -> None:
    with parts.header("Lineage"):
        parts.cli("atelier lineage show --kind data --name iris")
    parts.empty(
        "account_tree",
        "Choose where to start",
        "Open a job, data asset, environment, component or model and press Lineage there.",
        action=parts.button("Jobs", context.link("jobs")),
        cli="atelier lineage show --kind model --name iris --direction up",
    )


def wanted() -> lineage.Direction:
    match address.text("direction"):
        case "up":
            return "up"
        case "down":
            return "down"
    return "both"


def opened(kind: str, id: str) -> None:
    direction, levels = wanted(), address.number("levels", LEVELS, most=MOST)
    wide = lineage_graph.ends(address.words("open"))
    with context.scope() as s:
        found = lineage.around(s, kind, id, direction=direction, levels=levels, opened=wide)
    root = next(node for node in found.nodes if node.end == found.root)
    which = f" --version {root.version}" if root.version else ""
    crumbs = [("Lineage", context.link("lineage"))]
    with parts.header(root.label, crumbs=crumbs, after=chip(root), below=lineage_graph.about(root)):
        parts.cli(f"atelier lineage show --kind {root.kind} --name {root.name}{which}")
        if root.kind != "uri":
            st.html(parts.button(f"Open the {root.kind}", lineage_graph.href(root), glyph="open_in_new"))
    bar(direction, levels)
    if not found.is_whole:
        parts.banner(
            "orange", f"Only {len(found.nodes)} are shown: ask for fewer levels, or start from a nearer place."
        )
    if len(found.nodes) == 1:
        alone = (
            "It read and made nothing that is known here." if root.kind == "job" else "No job has read or made it yet."
        )
        parts.banner("gray", alone)
    lineage_graph.show(found, wide)
    st.html(lineage_graph.legend())
    listing(found)


def chip(node: Node) -> Markup | None:
    return parts.chip(node.status) if node.status else None


if address.text("kind") and address.text("id"):
    opened(address.text("kind"), address.text("id"))
else:
    nothing()
