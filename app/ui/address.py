"""What is open, chosen, sorted or filtered lives in the address: read it, write it, bind widgets to it."""

from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

from app.ui.text import markdown

MARK = "_at:"


def changed(**parameters: object) -> str:
    """The address of what is open with some parameters changed; None takes one away."""
    now = {key: st.query_params[key] for key in st.query_params}
    for key, value in parameters.items():
        if value is None or value == "":
            now.pop(key, None)
        else:
            now[key] = str(value)
    return f"{st.session_state.get('_path', '/')}?{urlencode(now)}"


def text(name: str, fallback: str = "") -> str:
    return st.query_params.get(name, fallback)


def number(name: str, fallback: int, *, least: int = 1, most: int = 100_000) -> int:
    value = st.query_params.get(name, "")
    return min(max(int(value), least), most) if value.isdecimal() and len(value) < 10 else fallback


def words(name: str, known: Sequence[str] | None = None) -> list[str]:
    """A comma-separated parameter; words that are not known are dropped."""
    found = [word for word in st.query_params.get(name, "").split(",") if word]
    return [word for word in found if known is None or word in known]


def flag(name: str) -> bool:
    return st.query_params.get(name) == "1"


def search(name: str = "q", *, placeholder: str = "Search", width: int = 280) -> str:
    """A search box whose words are in the address."""
    key = _bound(name, text(name))
    st.text_input(
        placeholder,
        key=key,
        type="search",
        live="400ms",
        placeholder=placeholder,
        label_visibility="collapsed",
        on_change=_write,
        args=(name,),
        width=width,
    )
    return text(name)


def choice(
    name: str, label: str, options: Sequence[str], labels: dict[str, str] | None = None, *, width: int = 190
) -> list[str]:
    """Several of some options, in the address as a comma-separated list."""
    chosen = words(name, options)
    key = _bound(name, chosen)
    st.multiselect(
        label,
        options,
        key=key,
        placeholder=label,
        label_visibility="collapsed",
        format_func=lambda option: (labels or {}).get(option, option),
        on_change=_write,
        args=(name,),
        width=width,
    )
    return chosen


def one_of(name: str, label: str, options: Sequence[str], *, width: int = 190) -> str:
    """One of some options or none."""
    value = text(name)
    if value and value not in options:
        options = [*options, value]
    key = _bound(name, value or None)
    st.selectbox(
        label,
        options,
        key=key,
        index=None,
        placeholder=label,
        label_visibility="collapsed",
        on_change=_write,
        args=(name,),
        width=width,
    )
    return value


def switch(name: str, label: str) -> bool:
    value = flag(name)
    key = _bound(name, value)
    st.toggle(markdown(label), key=key, on_change=_write, args=(name,))
    return value


def put(**parameters: object) -> None:
    """Changes the address of what is open, from a callback or the script."""
    for name, value in parameters.items():
        if value in (None, "", False):
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = "1" if value is True else str(value)


def _bound(name: str, value: object) -> str:
    """The address is the truth: the widget takes its value from there on each run."""
    key = f"{MARK}{name}"
    if st.session_state.get(key, ...) != value:
        st.session_state[key] = value
    return key


def _write(name: str) -> None:
    value = st.session_state[f"{MARK}{name}"]
    joined = ",".join(str(each) for each in value) if isinstance(value, list) else value
    put(**{name: joined, "page": None})
