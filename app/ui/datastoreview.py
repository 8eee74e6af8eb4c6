"""One datastore's tabs: what it is and can do, what lies in it, and what uses it."""

from collections.abc import Sequence
from typing import BinaryIO

import streamlit as st

from app import context
from app.ui import address, parts, routes, viewer
from app.ui import datastorewords as words
from app.ui.nav import SCREENS
from app.ui.text import Markup, size, tag
from services import assets, datastores
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.core.times import parse
from services.engines.stores import Entry
from services.store.rows import Asset, Datastore, Job

SIZE = 100
TONES = {"ok": "green", "failed": "red", "skipped": "gray"}


def overview(row: Datastore) -> None:
    left, right = st.columns([2, 3], gap="small")
    shown = {key: value for key, value in row.spec.items() if isinstance(value, str | int) and key != "type"}
    door = {key: str(value) for key, value in row.spec.get("authentication", {}).items() if key != "type"}
    facts = [
        ("Type", words.kind(row)),
        *((key.replace("_", " ").capitalize(), str(value)) for key, value in shown.items() if key != "read_only"),
        ("Authentication", words.door(row)),
        *((key.replace("_", " ").capitalize(), value) for key, value in door.items()),
        ("Access", "Read only" if row.is_read_only else "Read and write"),
        ("URI", f"azureml://datastores/{row.name}/paths/"),
        ("Created on", parts.ago(row.created_at)),
        ("Created by", row.created_by),
        ("Tags", parts.tags(row.tags) if row.tags else None),
    ]
    left.html(parts.panel("Attributes", parts.properties(facts)))
    right.html(parts.panel("Last test", _report(row), _when(row)))


def browse(row: Datastore) -> None:
    """One folder at a time; a file opens beside it."""
    path, chosen = address.text("path"), address.text("file")
    try:
        with context.scope() as s:
            store = datastores.opened(s, row)
        page = datastores.page_of(store, path, limit=SIZE, after=address.text("after"))
    except AtelierError as error:
        context.show(error)
        return
    st.html(_trail(row.name, path))
    left, right = st.columns([2, 3], gap="small") if chosen else (st.container(), None)
    if page.rows:
        left.html(tag("div", parts.rows(("Name", "Size", "Modified"), map(_line, page.rows)), cls="at-panel"))
    else:
        left.html(tag("div", "Nothing lies here.", cls="at-none at-panel"))
    if page.next_cursor:
        left.html(parts.button("Next", address.changed(after=page.next_cursor, file=None), glyph="chevron_right"))
    if right is not None:

        def opened() -> tuple[BinaryIO, int]:
            return datastores.file(store, chosen)

        with right, context.told():
            viewer.show(chosen, opened, routes.datastore(row.name, chosen))


def used(row: Datastore) -> None:
    with context.scope() as s:
        found = datastores.uses(s, row.name, limit=50)
    left, right = st.columns(2, gap="small")
    jobs = [(tag("a", job.name, href=context.link("job", job=job.name)), *_about(job)) for job in found.jobs]
    left.html(parts.panel("Jobs", _listed(("Job", "Status", "Created"), jobs, "No job has read or written here.")))
    kept = [(_named(asset), str(asset.kind), parts.ago(asset.created_at)) for asset in found.assets]
    right.html(parts.panel("Assets", _listed(("Asset", "Kind", "Created"), kept, "No asset lies here.")))


def _report(row: Datastore) -> Markup:
    if not row.report:
        return tag("div", "It has not been tested.", cls="at-none")
    lines = [
        (
            tag("span", tag("i", cls="at-dot", data_tone=TONES[each["outcome"]]), each["name"], cls="at-chip"),
            each["detail"],
            f"{each['seconds']:.2f} s" if each["seconds"] else "",
        )
        for each in row.report["rows"]
    ]
    return parts.rows(("Test", "Result", "Took"), lines, numbers=frozenset({2}))


def _when(row: Datastore) -> Markup | str:
    at = parse(row.report["at"]) if row.report.get("at") else None
    return parts.ago(at) if at is not None else ""


def _trail(name: str, path: str) -> Markup:
    steps = [tag("a", name, href=address.changed(path=None, file=None, after=None))]
    parts_ = [part for part in path.split("/") if part]
    for place, part in enumerate(parts_):
        here = "/".join(parts_[: place + 1])
        steps += [tag("span", "/"), tag("a", part, href=address.changed(path=here, file=None, after=None))]
    return tag("nav", *steps, cls="at-crumbs", aria_label="Folder")


def _line(entry: Entry) -> tuple[Markup, str, Markup]:
    path = entry.path.rstrip("/")
    wanted = {"path": path, "file": None, "after": None} if entry.is_folder else {"file": path}
    glyph = parts.icon("folder" if entry.is_folder else "draft")
    link = tag("a", glyph, " ", path.rpartition("/")[2], href=address.changed(**wanted))
    return link, "" if entry.is_folder else size(entry.size), parts.ago(entry.modified)


def _about(job: Job) -> tuple[Markup, Markup]:
    return parts.chip(job.status), parts.ago(job.created_at)


def _named(asset: Asset) -> Markup:
    screen = "data_asset" if asset.kind == AssetKind.data else str(asset.kind)
    if asset.is_anonymous or screen not in SCREENS:
        return tag("span", assets.named(asset))
    return tag("a", assets.named(asset), href=context.link(screen, name=asset.name, version=asset.version))


def _listed(heads: tuple[str, ...], lines: Sequence[tuple[str, ...]], nothing: str) -> Markup:
    return parts.rows(heads, lines) if lines else tag("div", nothing, cls="at-none")
