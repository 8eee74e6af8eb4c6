"""Components: steps with a typed interface; list, register."""

from app import context
from app.ui import assetlist, component_forms, parts, table
from services.core.states import AssetKind
from services.store.rows import Asset
from services.studio import Scope

COLUMNS = [
    table.Column("Name", "link", "name"),
    table.Column("Version", "code"),
    table.Column("Type", sort="type"),
    table.Column("Inputs", "num"),
    table.Column("Outputs", "num"),
    table.Column("Created", "time", "created_at"),
    table.Column("Created by", sort="created_by"),
    table.Column("Tags", "tags"),
]
TYPES = ("command", "parallel", "sweep", "pipeline")


def row(scope: Scope, component: Asset) -> table.Row:
    href = context.link("component", name=component.name)
    shown = str(component.spec.get("display_name") or "")
    cells = [
        table.link(component.name, href, "archived" if component.archived_at else shown),
        component.version,
        component.type,
        len(component.spec.get("inputs") or {}),
        len(component.spec.get("outputs") or {}),
        table.time(component.created_at),
        component.created_by,
        table.tags(component.tags),
    ]
    return table.Row(component.name, cells, href)


def nothing() -> None:
    parts.empty(
        "widgets",
        "No components yet",
        "A component is a command with typed inputs and outputs, code and environment, to be used in many jobs.",
        cli="atelier component create -f component.yml",
    )


with parts.header("Components"):
    parts.cli("atelier component list", "atelier component create -f component.yml")
    if parts.act("New component", "components/write", glyph="add", primary=True):
        component_forms.new()
assetlist.show(AssetKind.component, COLUMNS, row, noun="components", nothing=nothing, types=TYPES, mine="My components")
