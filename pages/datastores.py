"""Datastores: where data lies; list, register."""

from app import context
from app.ui import address, datastoreforms, parts, table
from app.ui import datastorewords as words
from services import datastores
from services.store.rows import Datastore

COLUMNS = [
    table.Column("Name", "link", "name"),
    table.Column("Type", sort="type"),
    table.Column("Storage name", "code"),
    table.Column("Authentication"),
    table.Column("Created on", "time", "created_at"),
    table.Column("Default"),
]


def row(store: Datastore) -> table.Row:
    href = context.link("datastore", name=store.name)
    cells = [
        table.link(store.name, href, "read only" if store.is_read_only else ""),
        words.kind(store),
        datastores.storage(store),
        words.door(store),
        table.time(store.created_at),
        "✓" if store.is_default else "",
    ]
    return table.Row(store.name, cells, href)


with parts.header("Datastores"):
    parts.cli("atelier datastore list", "atelier datastore create -f datastore.yml")
    if parts.act("New datastore", "datastores/write", glyph="add", primary=True):
        datastoreforms.new()
search = address.search(placeholder="Search datastores")
order = address.text("sort", "name")
key = order.removeprefix("-") if order.removeprefix("-") in {"name", "type", "created_at"} else "name"
with context.scope() as scope:
    found = [each for each in datastores.listed(scope) if search.casefold() in each.name.casefold()]
found.sort(key=lambda each: getattr(each, key), reverse=order.startswith("-"))
if found:
    pager = table.Pager(limit=len(found), total=len(found), noun="datastores")
    table.show("datastores", COLUMNS, [row(each) for each in found], label="Datastores", order=order, pager=pager)
else:
    parts.empty("filter_alt_off", "No datastores match", "Try another word.")
