"""Environments: what jobs run in; list, create, versions, build log."""

import streamlit as st

from app import context
from app.ui import address, envforms, parts, table
from services import environments
from services.store.rows import Build, Environment

COLUMNS = [
    table.Column("Name", "link"),
    table.Column("Version", "code"),
    table.Column("Image", "code"),
    table.Column("Build", "status"),
    table.Column("Created", "time"),
    table.Column("Created by"),
    table.Column("Tags", "tags"),
]


def row(environment: Environment, build: Build | None) -> table.Row:
    href = context.link("environment", name=environment.name)
    cells = [
        table.link(environment.name, href, "archived" if environment.archived_at else ""),
        environment.version,
        environment.spec.get("image") or "build context",
        table.status(envforms.built(build)),
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
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        search = address.search(placeholder="Search environments")
        archived = address.switch("archived", "Include archived")
    with context.scope() as s:
        found = [
            (each, environments.build_of(s, each))
            for each in environments.listed(s, include_archived=archived, search=search)
        ]
    if found:
        pager = table.Pager(total=len(found), noun="environments")
        table.show("environments", COLUMNS, [row(*each) for each in found], label="Environments", pager=pager)
    elif search:
        parts.empty("filter_alt_off", "No environment matches", "Try another word, or include archived ones.")
    else:
        parts.empty(
            "deployed_code",
            "No environments yet",
            "An environment is an image with the packages that a job needs. Jobs may also name an image directly.",
            cli="atelier environment create --name train --image python:3.11",
        )


listing()
