"""One datastore: what it is and can do, what lies in it, what uses it."""

from functools import partial

import streamlit as st

from app import context, probing
from app.ui import address, confirm, datastoreforms, datastoreview, parts, tabs
from services import datastores
from services.core.errors import AtelierError
from services.store.rows import Datastore

TABS = {
    "overview": ("Overview", datastoreview.overview),
    "browse": ("Browse", datastoreview.browse),
    "uses": ("Used by", datastoreview.used),
}


def actions(row: Datastore) -> None:
    parts.cli(
        f"atelier datastore show --name {row.name}",
        f"atelier datastore test --name {row.name}",
        f"atelier datastore browse --name {row.name}",
        f"atelier datastore update --name {row.name} --file credentials.yml",
    )
    if parts.act("Test connection", "datastores/write", glyph="network_check"):
        test(row)
    with st.popover("More", icon=":material/more_horiz:"):
        if parts.act("Edit details", "datastores/write", glyph="edit"):
            datastoreforms.details(row)
        folder = "A folder needs none." if row.type == "folder" else ""
        if parts.act("Update authentication", "datastores/write", glyph="key", blocked=folder):
            datastoreforms.authenticate(row)
        if parts.act("Set as default", "datastores/write", glyph="check", blocked=not_default(row)):
            set_default(row)
        stays = "It comes with the workspace." if row.name in datastores.BUILT_IN else ""
        if parts.act("Unregister", "datastores/delete", glyph="delete", blocked=stays):
            sentence = "The studio forgets where it is and what opens it. Its files stay where they are."
            confirm.confirm(sentence, row.name, "Unregister", lambda: unregister(row.name), then=gone)


def not_default(row: Datastore) -> str:
    if row.is_default:
        return "It is the default already."
    return "It is for reading, and outputs must go somewhere." if row.is_read_only else ""


def test(row: Datastore) -> None:
    try:
        with st.spinner("Looking at what it can do …"):
            report = probing.tested(context.scope, row.name).report
    except AtelierError as error:
        context.done(error.message, icon=":material/error:")
    else:
        failed = [each["name"] for each in report["rows"] if each["outcome"] == "failed"]
        icon = ":material/error:" if failed else ":material/check_circle:"
        context.done(f"Failed: {', '.join(failed)}." if failed else "Everything was in order.", icon=icon)
    st.rerun()


def set_default(row: Datastore) -> None:
    try:
        with context.scope(write=True) as s:
            datastores.set_default(s, row.name)
    except AtelierError as error:
        context.done(error.message, icon=":material/error:")
    else:
        context.done(f"'{row.name}' is the default now.")
    st.rerun()


def unregister(name: str) -> None:
    with context.scope(write=True) as s:
        datastores.unregister(s, name)


def gone() -> None:
    context.done("The datastore was unregistered.")
    context.want("datastores", ws=context.workspace_name())


with context.scope() as scope:
    row = datastores.get(scope, address.text("name"))
chip = parts.chip("Ready", "Default") if row.is_default else None
with parts.header(
    row.name, crumbs=[("Datastores", context.link("datastores"))], after=chip, below=row.description or None
):
    actions(row)
tabs.show("datastore", {word: (label, partial(draw, row)) for word, (label, draw) in TABS.items()})
