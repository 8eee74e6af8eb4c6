"""Who is asking, in which workspace, in one transaction a question; the owner of session_state."""

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st

from app.ui import text
from app.ui.nav import SCREENS, href
from services import access, sessions, workspaces
from services.core.errors import AtelierError, Denied, NotFound
from services.core.times import now
from services.store.migrate import upgrade
from services.store.rows import Fact, Principal, Workspace
from services.studio import Scope, Settings, Studio

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HEARTBEAT_SECONDS = 15
log = logging.getLogger("atelier.studio")


@st.cache_resource(show_spinner=False)
def studio() -> Studio:
    """One for the process; the database is brought up to date before the first page."""
    opened = Studio(Settings())
    upgrade(opened.database)
    sessions.ensure_owner(opened)
    return opened


def session_id() -> str:
    """The gate's word for who is signed in; empty when Streamlit runs without it."""
    return str(dict(st.user).get("sid") or "")


def behind_gate() -> bool:
    """Whether our own server carries this page, with its routes for logs, uploads and downloads."""
    return bool(session_id())


def principal() -> Principal:
    """The person of this run. Without the gate it is the local owner, and only on loopback."""
    sid = session_id()
    if sid:
        found = sessions.alive(studio(), sid)
    else:
        found = sessions.ensure_owner(studio()) if st.get_option("server.address") in LOOPBACK else None
    if found is None:
        raise Denied("You are not signed in.", hint="Open the studio's sign-in page and come back.")
    return found


@contextmanager
def scope(*, write: bool = False, workspace: str | None = None, deleted: bool = False) -> Iterator[Scope]:
    """One transaction for the person of this run, in the open workspace unless another is named."""
    name = workspace if workspace is not None else workspace_name()
    with studio().scope(principal(), name or None, write=write, request_id=request_id(), deleted=deleted) as opened:
        yield opened


@contextmanager
def install(*, write: bool = False) -> Iterator[Scope]:
    """The same above all workspaces: list them, make one."""
    with studio().scope(principal(), None, write=write, request_id=request_id()) as opened:
        yield opened


def workspace_name() -> str:
    """The one in the address; main.py has put it there."""
    return st.query_params.get("ws", "")


def request_id() -> str:
    """One a run of the script, shown with errors and written in the events it caused."""
    return str(st.session_state.setdefault("_request_id", secrets.token_hex(8)))


def begin() -> None:
    """Starts a run: a fresh request id, and the toasts that the last run left."""
    st.session_state["_request_id"] = secrets.token_hex(8)
    for message, icon in st.session_state.pop("_toasts", []):
        st.toast(text.markdown(message), icon=icon)


def done(message: str, *, icon: str = ":material/check_circle:") -> None:
    """A toast that survives the rerun that follows a change."""
    st.session_state.setdefault("_toasts", []).append((message, icon))


@contextmanager
def told() -> Iterator[None]:
    """Turns an error into words on the page. Only for code that neither reruns nor switches pages."""
    try:
        yield
    except AtelierError as error:
        show(error)


def show(error: AtelierError) -> None:
    """Our errors, designed: what, where, what to do, and the id to look for in the log."""
    parts = [
        text.tag("b", error.message),
        *(text.tag("span", each, cls="at-mono") for each in getattr(error, "details", [])[1:]),
        text.tag("span", f"At {error.where}", cls="at-mono at-muted") if error.where else None,
        text.tag("span", error.hint) if error.hint else None,
        text.tag("span", f"{error.code} · request {request_id()}", cls="at-mono at-faint"),
    ]
    st.html(text.tag("div", *parts, cls="at-notice", data_tone="red", role="alert"))


def broken(error: Exception) -> None:
    """A bug: the person gets a sentence and the id, the log gets the rest."""
    log.error("A page failed (request %s)", request_id(), exc_info=error)
    st.html(
        text.tag(
            "div",
            text.tag("b", "This page could not be shown."),
            text.tag("span", "The fault is ours. The studio's log has the details."),
            text.tag("span", f"request {request_id()}", cls="at-mono at-faint"),
            cls="at-notice",
            data_tone="red",
            role="alert",
        )
    )


def may(action: str) -> str:
    """Empty when the person may do it here, else the reason for a disabled button."""
    key = f"_roles:{session_id()}:{workspace_name()}"
    roles = st.session_state.get(key)
    if roles is None or st.session_state.get("_roles_run") != request_id():
        with scope() as s:
            roles = s.roles
        st.session_state[key], st.session_state["_roles_run"] = roles, request_id()
    if access.allowed(roles, action):
        return ""
    return f"Your role here does not allow this. An Owner can grant a role with '{action}'."


def fact(name: str) -> Mapping[str, Any] | None:
    """What another process has said last, with its age in `_seconds`."""
    with studio().database.session(write=False) as session:
        row = session.get(Fact, name)
        return None if row is None else {**row.value, "_seconds": (now() - row.at).total_seconds()}


def worker_is_alive() -> bool:
    beat = fact("worker")
    return beat is not None and beat["_seconds"] < HEARTBEAT_SECONDS


def my_workspaces() -> list[Workspace]:
    with install() as s:
        return workspaces.listed(s)


def open_workspace() -> Workspace | None:
    """The workspace in the address, else the one last open, else the first; None when there is none."""
    found = my_workspaces()
    asked = workspace_name()
    wanted = asked or str(st.session_state.get("_ws", ""))
    row = next((each for each in found if each.name.casefold() == wanted.casefold()), None)
    if row is None and asked:
        raise NotFound(f"Workspace '{text.plain(asked, 80)}' was not found.", hint="Choose one at the left.")
    row = row or (found[0] if found else None)
    if row is not None:
        st.session_state["_ws"] = row.name
        if asked != row.name:
            st.query_params["ws"] = row.name
    return row


def under_way() -> dict[str, int]:
    """Numbers beside the side bar's lines: jobs that are not over."""
    if not workspace_name():
        return {}
    with scope() as s:
        return {"jobs": workspaces.counts(s).get(s.workspace_id, {}).get("active", 0)}


def want(screen: str, **parameters: str) -> None:
    """Asks the next run to open a screen; for callbacks, which cannot switch pages themselves."""
    st.session_state["_go"] = (screen, parameters)


def wanted() -> tuple[str, dict[str, str]] | None:
    found: tuple[str, dict[str, str]] | None = st.session_state.pop("_go", None)
    return found


def remember(key: str, value: object) -> None:
    """Keeps something for the next runs of this tab."""
    st.session_state[f"_keep:{key}"] = value


def recall(key: str) -> Any:
    return st.session_state.get(f"_keep:{key}")


def forget(key: str) -> None:
    st.session_state.pop(f"_keep:{key}", None)


def enter(screen: str) -> None:
    """Another screen than the last run's is a new arrival, also at a place where the person has been before."""
    if st.session_state.get("_screen") != screen:
        st.session_state["_screen"] = screen
        st.session_state.pop("_place", None)


def arrives(place: str) -> bool:
    """Whether the person has just come to this place of the screen, rather than done something there."""
    before = st.session_state.get("_place")
    st.session_state["_place"] = place
    return bool(before != place)


def go(screen: str, **parameters: object) -> None:
    """Opens another screen by script, after a change; for everything else there are links."""
    wanted = {key: str(value) for key, value in {"ws": workspace_name(), **parameters}.items() if value}
    st.switch_page(st.session_state["_pages"][screen], query_params=wanted)


def link(screen: str, **parameters: object) -> str:
    """Address of a screen in the open workspace."""
    return href(screen, **({"ws": workspace_name()} | parameters if SCREENS[screen].in_workspace else parameters))
