"""The forms of datastores: a new one, other credentials, other words; what opens one is typed and never shown."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import context, probing
from app.ui import changes
from app.ui import datastorewords as words
from app.ui.text import tag
from services import datastores
from services.core.errors import AtelierError
from services.specs.datastores import datastore
from services.store.rows import Datastore

_OPTIONAL = "(optional)"


@st.dialog("New datastore", width="large")
def new() -> None:
    """What is asked for follows the type and the way to sign in."""
    left, right = st.columns(2)
    type_ = left.selectbox("Type", list(words.TYPES), format_func=words.TYPES.__getitem__, key="ds_type")
    name = right.text_input("Name", placeholder="team_data", key="ds_name", max_chars=255)
    value: dict[str, Any] = {"name": name.strip(), "type": type_, **_fields(words.PLACES[type_], f"ds_{type_}")}
    credentials = _credentials(type_, "ds")
    description = st.text_input("Description", key="ds_description")
    read_only = type_ != "http" and st.toggle("Read only: jobs never write there", key="ds_read_only")
    validate = not words.is_tried(type_) and st.toggle("Try it now", key="ds_validate")
    if words.is_tried(type_):
        st.html(tag("p", "It is tried first: write, read, list, rename, delete and a 64 MB file.", cls="at-muted"))
    if not st.button("Create", type="primary", key="ds_create"):
        return
    value |= {
        "description": description,
        "read_only": read_only,
        **({"credentials": credentials} if credentials else {}),
    }
    try:
        with st.spinner("Looking at what it can do …"):
            spec = datastore({key: each for key, each in value.items() if each not in ("", False)})
            made = probing.registered(context.scope, spec, validate=validate)
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"Datastore '{made.name}' was registered.")
    context.want("datastore", ws=context.workspace_name(), name=made.name)
    st.rerun()


@st.dialog("Update authentication", width="large")
def authenticate(row: Datastore) -> None:
    """The old credentials are not shown, and stay when the new ones do not work."""
    credentials = _credentials(row.type, "auth")
    validate = not words.is_tried(row.type) and st.toggle("Try it now", key="auth_validate")
    if not st.button("Update", type="primary", key="auth_update"):
        return
    try:
        with st.spinner("Looking at what it can do …"):
            probing.authenticated(context.scope, row.name, credentials or None, validate=validate)
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"The authentication of '{row.name}' was updated.")
    st.rerun()


def details(row: Datastore) -> None:
    changes.details(
        "datastore",
        row.description,
        row.tags,
        lambda s, description, tags: datastores.change(s, row.name, description=description, tags=tags),
    )


def _credentials(type_: str, key: str) -> dict[str, Any]:
    """Empty for an open door."""
    doors = words.DOORS[type_]
    if doors == ("none",):
        return {}
    door = st.selectbox(
        "Authentication", doors, format_func=words.AUTHENTICATIONS.__getitem__, key=f"{key}_{type_}_door"
    )
    return _fields(words.KEYS[door], f"{key}_{type_}_{door}")


def _fields(fields: Sequence[words.Field], key: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    columns = st.columns(2) if len(fields) > 1 and not any(each.is_long for each in fields) else [st]
    for place, field in enumerate(fields):
        column, at = columns[place % len(columns)], f"{key}_{field.name}"
        if field.is_long:
            text = column.text_area(field.label, key=at, height=120, placeholder=field.example)
        else:
            text = column.text_input(
                field.label,
                key=at,
                placeholder=field.example,
                type="password" if field.is_secret else "default",
                autocomplete="off" if field.is_secret else None,
            )
        if text.strip():
            found[field.name] = text if field.is_long else text.strip()
    return found
