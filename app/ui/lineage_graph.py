"""Lineage as a graph of links: what a node shows, where it leads, and how more of it is asked for."""

from collections.abc import Collection
from urllib.parse import quote, unquote

from app import context
from app.ui import address, graph, words
from app.ui.graph import Box, Line, More
from app.ui.text import Markup, tag
from services.core.states import JobStatus
from services.lineage import End, Graph, Node

ICONS = {
    "job": "play_circle",
    "data": "database",
    "environment": "deployed_code",
    "component": "widgets",
    "model": "model_training",
    "deployment": "cloud_upload",
    "uri": "link",
}
SPOKEN = {
    "job": "Job",
    "data": "Data",
    "environment": "Environment",
    "component": "Component",
    "model": "Model",
    "deployment": "Deployment",
}
SHORT = 12


def show(found: Graph, opened: Collection[End]) -> None:
    nodes = sorted(found.nodes, key=lambda node: node.end != found.root)
    links: dict[tuple[End, End], list[str]] = {}
    for link in found.links:
        links.setdefault((link.source, link.target), []).append(link.role)
    lines = [
        Line(key(source), key(target), ", ".join(filter(None, roles))) for (source, target), roles in links.items()
    ]
    graph.show("lineage", [_box(node, opened) for node in nodes], lines, label="Lineage")


def href(node: Node) -> str:
    """The page of what a node stands for; a URI has none but its lineage."""
    match node.kind:
        case "job":
            return context.link("job", job=node.name) if node.name else ""
        case "data":
            return context.link("data_asset", name=node.name, version=node.version)
        case "environment" | "component" | "model":
            return context.link(node.kind, name=node.name, version=node.version)
        case "deployment":
            is_batch = node.type == "batch"
            return context.link("batch_endpoint" if is_batch else "endpoint", name=node.name.partition("/")[0])
    return centred(node)


def centred(node: Node) -> str:
    return context.link("lineage", kind=node.kind, id=node.id)


def proof(node: Node) -> str:
    """What says that it is this and nothing else: the content's hash, the image's digest, the code's snapshot."""
    if node.kind == "environment" and node.digest:
        return f"image {node.digest.removeprefix('sha256:')[:SHORT]}"
    if node.kind == "job" and node.snapshot:
        return f"code {node.snapshot[:SHORT]}"
    if node.kind == "job" and node.digest:
        return f"image {node.digest.removeprefix('sha256:')[:SHORT]}"
    return f"hash {node.hash[:SHORT]}" if node.hash else ""


def about(node: Node) -> str:
    if node.kind == "uri":
        return "URI"
    version = f"v{node.version}" if len(node.version) < SHORT else node.version[:SHORT]
    said = [version if node.version else "", node.type.replace("_", " ")]
    if node.kind == "job":
        said = [words.label(node.status), node.type]
    elif node.status:
        said.append(node.status)
    return " · ".join(part for part in said if part) or SPOKEN.get(node.kind, node.kind)


def legend() -> Markup:
    """Which colour is what, in the order in which things usually stand."""
    parts = [
        tag("span", tag("i", icon, cls="at-icon", aria_hidden="true"), SPOKEN.get(kind, "URI"), data_kind=kind)
        for kind, icon in ICONS.items()
    ]
    return tag("div", *parts, cls="at-legend")


def key(end: End) -> str:
    """How a node is named in an address: without a comma, which stands between them."""
    return f"{end[0]}/{quote(end[1], safe='')}"


def ends(keys: Collection[str]) -> frozenset[End]:
    parted = (each.partition("/") for each in keys)
    return frozenset((kind, unquote(quoted)) for kind, _, quoted in parted)


def _box(node: Node, opened: Collection[End]) -> Box:
    with_it = ",".join(sorted({key(end) for end in (*opened, node.end)}))
    more = address.changed(open=with_it)
    is_status = node.kind == "job" and node.status in JobStatus.__members__
    side = (node.level > 0) - (node.level < 0)
    return Box(
        key(node.end),
        node.kind,
        ICONS.get(node.kind, "help"),
        node.label,
        side,
        about=about(node),
        mark=proof(node),
        title=_title(node),
        href=href(node),
        centre=centred(node),
        tone=words.tone(node.status) if is_status else "",
        is_moving=is_status and words.is_moving(node.status),
        earlier=More(node.earlier, more),
        later=More(node.later, more),
    )


def _title(node: Node) -> str:
    said = [
        node.name or node.label,
        *(
            f"{name} {value}"
            for name, value in (
                ("version", node.version),
                ("code", node.snapshot),
                ("image", node.digest),
                ("hash", node.hash),
                ("by", node.created_by),
            )
            if value
        ),
        f"{node.created_at:%Y-%m-%d %H:%M} UTC" if node.created_at else "",
    ]
    return "\n".join(part for part in said if part)
