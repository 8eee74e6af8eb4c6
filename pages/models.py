"""Models: named versions of what training left behind; list, register."""

import streamlit as st

from app import context
from app.ui import assetlist, modelforms, parts, table
from app.ui.text import Markup
from services import models
from services.core.states import AssetKind
from services.store.rows import Asset
from services.studio import Scope

COLUMNS = [
    table.Column("Name", "link", "name"),
    table.Column("Version", "code"),
    table.Column("Type", sort="type"),
    table.Column("Stage"),
    table.Column("Source job", "link"),
    table.Column("Size", "size"),
    table.Column("Created", "time", "created_at"),
    table.Column("Created by", sort="created_by"),
    table.Column("Tags", "tags"),
]


def row(scope: Scope, model: Asset) -> table.Row:
    href = context.link("model", name=model.name)
    job = models.maker(scope, model)
    cells = [
        table.link(model.name, href, "archived" if model.archived_at else ""),
        model.version,
        modelforms.TYPES.get(model.type, model.type),
        model.stage,
        table.link(job.display_name or job.name, context.link("job", job=job.name)) if job else "",
        model.facts.get("size"),
        table.time(model.created_at),
        model.created_by,
        table.tags(model.tags),
    ]
    return table.Row(model.name, cells, href)


def register() -> Markup:
    reason = context.may("models/write")
    return parts.button("Register model", context.link("new_model"), glyph="add", primary=True, reason=reason)


def nothing() -> None:
    parts.empty(
        "model_training",
        "No models yet",
        "A model is a named version of what a training job left behind. What an MLflow client registers is here too.",
        action=register(),
        cli="atelier model create --name iris --path azureml://jobs/JOB/outputs/artifacts/paths/model",
    )


with parts.header("Models"):
    parts.cli("atelier model list", "atelier model create --name iris --path ./model")
    st.html(register())
assetlist.show(AssetKind.model, COLUMNS, row, noun="models", nothing=nothing, types=models.TYPES)
