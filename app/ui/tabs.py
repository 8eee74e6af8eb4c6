"""Tabs of a page: only the open one is run, and which one is open is in the address."""

from collections.abc import Callable, Mapping

import streamlit as st

from app.ui import address


def show(name: str, tabs: Mapping[str, tuple[str, Callable[[], object]]]) -> None:
    """`tabs` are labels and what draws them, by the word for `?tab=`; the first is open when there is none.

    A file or a package that was open in one is not open in the next.
    """
    first, key = next(iter(tabs)), f"_{name}_tab"
    open_, draw = tabs.get(address.text("tab"), tabs[first])
    st.session_state[key] = open_

    def chosen() -> None:
        word = next(word for word, (label, _) in tabs.items() if label == st.session_state[key])
        address.put(tab="" if word == first else word, file=None, package=None)

    made = st.tabs([label for label, _ in tabs.values()], key=key, on_change=chosen)
    for tab, (label, _) in zip(made, tabs.values(), strict=True):
        if label == open_:
            with tab:
                draw()
