"""Environments: what jobs run in; list, create, versions, build log."""

from app import context
from app.ui import assetlist, envforms, parts, table
from services import environments
from services.core.states import AssetKind
from services.store.rows import Asset
from services.studio import Scope

COLUMNS = [
    table.Column("Name", "link", "name"),
    table.Column("Version", "code"),
    table.Column("Image", "code"),
    table.Column("Build", "status"),
    table.Column("Created", "time", "created_at"),
    table.Column("Created by", sort="created_by"),
    table.Column("Tags", "tags"),
]


def row(scope: Scope, environment: Asset) -> table.Row:
    href = context.link("environment", name=environment.name)
    cells = [
        table.link(environment.name, href, "archived" if environment.archived_at else ""),
        environment.version,
        environment.spec.get("image") or "build context",
        table.status(envforms.built(environments.build_of(scope, environment))),
        table.time(environment.created_at),
        environment.created_by,
        table.tags(environment.tags),
    ]
    return table.Row(environment.name, cells, href)


def listing() -> None:
    with parts.header("Environments"):
        parts.cli("atelier environment list", "atelier environment create -f environment.yml")
        if parts.act("New environment", "environments/write", glyph="add", primary=True):
            envforms.new()
    assetlist.show(AssetKind.environment, COLUMNS, row, noun="environments", nothing=nothing)


def nothing() -> None:
    parts.empty(
        "deployed_code",
        "No environments yet",
        "An environment is an image with the packages that a job needs. Jobs may also name an image directly.",
        cli="atelier environment create --name train --image python:3.11",
    )


listing()
