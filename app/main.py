"""The studio's entrance for Streamlit: who, which workspace, the frame, then the screen."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app import context  # noqa: E402
from app.ui import frame, nav  # noqa: E402
from services.core.errors import AtelierError  # noqa: E402


def registry() -> dict[str, st.Page]:
    return {
        screen.name: st.Page(
            screen.path,
            title=screen.title,
            icon=f":material/{screen.icon}:",
            url_path=screen.name,
            default=screen.name == "home",
            visibility="visible" if screen.section else "hidden",
        )
        for screen in nav.SCREENS.values()
    }


def main() -> None:
    st.set_page_config(page_title="Atelier", page_icon=str(frame.ICON), layout="wide", initial_sidebar_state="expanded")
    context.begin()
    frame.style()
    pages = registry()
    page = st.navigation(list(pages.values()), position="hidden")
    name = next(name for name, each in pages.items() if each is page)
    st.session_state["_pages"], st.session_state["_path"] = pages, nav.href(name)
    context.enter(name)
    if wanted := context.wanted():
        target, parameters = wanted
        st.switch_page(pages[target or nav.shown_as(name)], query_params=parameters)
    try:
        workspace = context.open_workspace()
        frame.sidebar(name, workspace, context.under_way())
        frame.banners()
    except AtelierError as error:
        frame.bare(name)
        context.show(error)
        st.stop()
    if workspace is None and name not in {"home", "workspaces"}:
        st.switch_page(pages["home"])
    _run(page)


def _run(page: st.Page) -> None:
    """Errors of ours become words; anything else is a bug and says only that."""
    try:
        page.run()
    except AtelierError as error:
        context.show(error)
    except Exception as error:  # noqa: BLE001 (the outermost door: reruns and stops are no Exceptions)
        context.broken(error)


main()
