"""Data: named versions of files, folders and tables."""

from urllib.parse import urlsplit

from app import context
from app.ui import assetlist, parts, table
from services import data
from services.core.states import AssetKind
from services.store.rows import Asset
from services.studio import Scope

COLUMNS = [
    table.Column("Name", "link", "name"),
    table.Column("Source", "muted"),
    table.Column("Version", "code"),
    table.Column("Created on", "time", "created_at"),
    table.Column("Modified on", "time", "updated_at"),
    table.Column("Type", "code", "type"),
    table.Column("Size", "size"),
    table.Column("Created by", sort="created_by"),
    table.Column("Tags", "tags"),
]
TYPES = ("uri_file", "uri_folder", "mltable")


def row(scope: Scope, asset: Asset) -> table.Row:
    href = context.link("data_asset", name=asset.name)
    cells = [
        table.link(asset.name, href, "archived" if asset.archived_at else asset.description),
        source(asset),
        asset.version,
        table.time(asset.created_at),
        table.time(asset.updated_at),
        asset.type,
        asset.facts.get("size"),
        asset.created_by,
        table.tags(asset.tags),
    ]
    return table.Row(asset.name, cells, href)


def source(asset: Asset) -> str:
    """Where it came from, in a word or two."""
    if data.is_kept(asset):
        return "Upload"
    if asset.job_id:
        return "Job output"
    if asset.path.startswith("azureml://"):
        return asset.path.partition("/datastores/")[2].partition("/")[0]
    found = urlsplit(data.shown_uri(asset.path))
    return found.hostname or found.scheme


def nothing() -> None:
    parts.empty(
        "database",
        "No data yet",
        "A data asset is a named version of a file, a folder or a table. What is uploaded never changes.",
        action=parts.button("New data asset", context.link("new_data"), glyph="add", primary=True)
        if not context.may("datasets/versions/write")
        else None,
        cli="atelier data create --name iris --path ./iris",
    )


with parts.header("Data"):
    parts.cli("atelier data list", "atelier data create --name iris --type uri_folder --path ./iris")
    if parts.act("New data asset", "datasets/versions/write", glyph="add", primary=True):
        context.go("new_data")
assetlist.show(AssetKind.data, COLUMNS, row, noun="data assets", nothing=nothing, types=TYPES)
