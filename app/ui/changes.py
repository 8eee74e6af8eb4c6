"""A change that somebody asked for: done and said, or refused where it was asked for."""

from collections.abc import Callable, Mapping

import streamlit as st

from app import context
from app.ui import forms
from app.ui.text import plain
from services.core.errors import AtelierError
from services.studio import Scope

Change = Callable[[Scope], object]


def saved(message: str, do: Change) -> bool:
    """Whether it was done."""
    try:
        with context.scope(write=True) as s:
            do(s)
    except AtelierError as error:
        context.show(error)
        return False
    context.done(message)
    return True


def changed(message: str, do: Change) -> None:
    """Runs the page again once it was done."""
    if saved(message, do):
        st.rerun()


@st.dialog("Edit details")
def details(
    name: str, description: str, tags: Mapping[str, str], do: Callable[[Scope, str, dict[str, str]], object]
) -> None:
    """Of anything with a description and tags; `name` tells its form from others."""
    with st.form(f"{name}_details", border=False):
        text = st.text_area("Description", description, height=110)
        spelled = st.text_input("Tags", plain(forms.spelled(tags)), help="name=value, name=value")
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        changed("Saved.", lambda s: do(s, text, forms.pairs(spelled)))
