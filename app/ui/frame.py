"""What surrounds every screen: style, side bar, workspace switcher, banners."""

from pathlib import Path

import streamlit as st

from app import context
from app.ui import nav, parts
from app.ui.text import join, tag
from services.store.rows import Workspace

ASSETS = Path(__file__).parent / "assets"
ICON = ASSETS / "favicon.png"
NEW = "+ New workspace"

_links = st.components.v2.component(
    "atelier_links", html="<span\n></span>", js=(ASSETS / "links.js").read_text(encoding="utf-8"), isolate_styles=False
)


def style() -> None:
    """The style sheet, and the script that follows links without loading the page again."""
    st.html(ASSETS / "style.css")
    with st.container(key="_interceptor"):
        _links(key="links")


def sidebar(screen: str, workspace: Workspace | None, counts: dict[str, int]) -> None:
    dark = st.context.theme.type == "dark"
    st.logo(ASSETS / f"logo-{'dark' if dark else 'light'}.svg", size="medium")
    with st.sidebar:
        _switcher(workspace)
        st.html(
            tag(
                "nav",
                *(_section(name, screen, workspace, counts) for name in nav.SECTIONS),
                cls="at-nav",
                aria_label="Main",
            )
        )
        with st.container(key="_who"):
            _who()


def bare(screen: str) -> None:
    """The side bar when nobody knows who asks, or for which workspace: the way out."""
    with context.told():
        names = context.my_workspaces()
        if names:
            sidebar(screen, None, {})


def banners() -> None:
    """What a person must know before they wonder: nobody works, or jobs are not isolated."""
    if not context.worker_is_alive():
        parts.banner("orange", "No worker is running: jobs wait until one is started.", "atelier up")
    engine = context.fact("engine")
    if engine is not None and engine.get("kind") == "process":
        parts.banner(
            "orange", "Jobs run as plain processes, without isolation: no Docker engine was found.", "atelier doctor"
        )


def _section(name: str, screen: str, workspace: Workspace | None, counts: dict[str, int]) -> str:
    lines = [tag("h6", name)] if name != "top" else []
    for each in nav.SCREENS.values():
        if each.section != name or (each.in_workspace and workspace is None and each.name != "home"):
            continue
        current = "page" if nav.shown_as(screen) == each.name else None
        count = counts.get(each.name, 0)
        lines.append(
            tag(
                "a",
                parts.icon(each.icon),
                tag("span", each.title),
                tag("span", str(count), cls="at-count", title="under way") if count else None,
                href=nav.href(each.name, ws=workspace.name if workspace else None),
                aria_current=current,
            )
        )
    return join(lines) if len(lines) > (name != "top") else join(())


def _switcher(workspace: Workspace | None) -> None:
    names = [row.name for row in context.my_workspaces()]
    if not names:
        return
    st.session_state["_switch"] = workspace.name if workspace else None
    st.selectbox(
        "Workspace",
        [*names, NEW],
        key="_switch",
        label_visibility="collapsed",
        placeholder="Choose a workspace",
        on_change=_switched,
    )


def _switched() -> None:
    chosen = st.session_state["_switch"]
    if chosen == NEW:
        context.want("workspaces", new="1", ws=context.workspace_name())
    elif chosen:
        context.want("", ws=chosen)


def _who() -> None:
    person = context.principal()
    name = person.display_name or person.name
    out = (
        tag(
            "form",
            tag("button", parts.icon("logout"), type="submit", title="Sign out"),
            method="post",
            action="/auth/sign-out",
        )
        if context.behind_gate()
        else None
    )
    st.html(
        tag(
            "div",
            tag("span", name[:1].upper(), cls="at-avatar"),
            tag("span", name, title=person.name),
            out,
            cls="at-who",
        )
    )
