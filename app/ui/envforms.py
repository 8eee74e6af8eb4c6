"""The form of a new environment, and the words for its builds."""

from typing import Any

import streamlit as st

from app import context
from app.ui import forms
from services import environments
from services.core.errors import AtelierError
from services.specs import source
from services.specs.environments import Environment as Spec
from services.specs.problems import checked
from services.store.rows import Build

CONDA = "name: train\ndependencies:\n  - python=3.11\n  - pip:\n    - scikit-learn\n"


def built(build: Build | None) -> str:
    return (
        "Not built" if build is None else {"Running": "Building", "Succeeded": "Ready"}.get(build.status, build.status)
    )


@st.dialog("New environment", width="large")
def new(name: str = "", image: str = "", conda: str = "") -> None:
    """A name, an image, and what to add to it; the same name again is a new version."""
    with st.form("new_environment", border=False):
        name = st.text_input("Name", name, placeholder="sklearn-train", key="env_name")
        image = st.text_input("Image", image, placeholder="python:3.11", key="env_image")
        conda = st.text_area("Conda file (optional)", conda, height=180, placeholder=CONDA, key="env_conda")
        description = st.text_input("Description", key="env_description")
        tags = st.text_input("Tags", placeholder="team=vision", key="env_tags")
        sent = st.form_submit_button("Create", type="primary", key="env_create")
    if not sent:
        return
    try:
        wanted: dict[str, Any] = {
            "name": name.strip(),
            "image": image.strip(),
            "description": description,
            "tags": forms.pairs(tags),
        }
        if conda.strip():
            wanted["conda_file"] = source.load(conda, file="conda file").value
        with context.scope(write=True) as s:
            made = environments.create(s, checked(Spec, {key: value for key, value in wanted.items() if value}))
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"Environment '{made.name}:{made.version}' was created.")
    context.want("environment", ws=context.workspace_name(), name=made.name)
    st.rerun()
