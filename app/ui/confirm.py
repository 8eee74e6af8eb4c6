"""Destructive things ask for the name first."""

from collections.abc import Callable

import streamlit as st

from app import context
from app.ui.text import plain, tag
from services.core.errors import AtelierError


@st.dialog("Are you sure?")
def confirm(
    sentence: str, name: str, verb: str, do: Callable[[], object], then: Callable[[], None] | None = None
) -> None:
    """Does it once the person has typed `name`; then the page is run again."""
    st.html(tag("p", sentence, cls="at-muted"))
    st.html(tag("p", "Type ", tag("b", plain(name), cls="at-mono"), " to go on."))
    typed = st.text_input("Name", label_visibility="collapsed", key="_confirm", autocomplete="off")
    if not st.button(verb, type="primary", disabled=typed.strip() != name, key="_confirm_do", width="stretch"):
        return
    try:
        do()
    except AtelierError as error:
        context.show(error)
        return
    if then is not None:
        then()
    st.rerun()
