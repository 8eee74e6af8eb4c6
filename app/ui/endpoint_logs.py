"""What was asked of an endpoint, what its containers said, and what happened to them."""

from collections.abc import Iterable, Sequence

import streamlit as st

from app import context
from app.ui import address, log, parts, request_log, routes
from app.ui.text import Markup, plain, tag
from services import deployments, endpoints, requests
from services.core.errors import AtelierError
from services.core.states import ProvisioningState
from services.requests import RequestQuery
from services.store.rows import Event
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import Scope

SECTIONS = {"requests": "Request log", "container": "Container log", "events": "Container events"}
CODES = ("2xx", "4xx", "5xx", "408", "424", "429", "499")
CONTAINERS = ("inference-server", "storage-initializer")
NEWEST = ""
ALL = ""
PAGE = 100
LOOK_SECONDS = 2
TONES = {
    "BackOff": "red",
    "LivenessProbeFailed": "red",
    "ReadinessProbeFailed": "orange",
    "Killing": "orange",
    "Pulled": "blue",
    "Created": "blue",
    "Started": "blue",
    "Ready": "green",
    "Rollback": "orange",
    "Rollout": "violet",
}
MOST_EVENTS = 300


def show(name: str) -> None:
    with context.scope() as s:
        endpoint = endpoints.get(s, name)
        found = endpoints.deployments_of(s, endpoint)
    with st.container(horizontal=True, vertical_alignment="center", key="logs_bar"):
        section = _section()
        if section == "container":
            deployment, replica, container = _container_bar(found)
        else:
            deployment = _box("deployment", "Deployment", [ALL, *(each.name for each in found)], "All deployments")
            if section == "requests":
                codes = address.choice("code", "Code", CODES, width=230)
                search = address.search("find", placeholder="Search paths, agents and ids", width=260)
    match section:
        case "requests":
            asked(endpoint, deployment, codes, search)
        case "container":
            said(endpoint, found, deployment, replica, container)
        case _:
            happened(endpoint, deployment)


def asked(endpoint: Endpoint, deployment: str, codes: Sequence[str], search: str) -> None:
    """The newest page with what follows it, or an older one."""
    before = address.text("page")
    at = int(before) if before.isascii() and before.isdecimal() and len(before) < 18 else None
    query = RequestQuery(deployment, tuple(codes), search, before=at, limit=PAGE)
    with context.scope() as s:
        newest = requests.newest(s, endpoint.name)
        found = requests.listed(s, endpoint.name, query)
    is_narrowed = bool(deployment or codes or search)
    older = address.changed(page=found[-1].id) if len(found) == PAGE else ""
    request_log.show(
        f"{endpoint.id}:{deployment}:{','.join(codes)}:{search}:{at}",
        [requests.as_json(each) for each in found],
        url="" if at is not None else routes.request_stream(endpoint.name, newest),
        state="older requests" if at is not None else "",
        nothing="No request matches."
        if is_narrowed or at is not None
        else "No request yet. They stand here as they come.",
        csv=routes.requests_csv(endpoint.name, deployment=deployment, code=list(codes), search=search),
        older=older,
        newest=address.changed(page=None) if at is not None else "",
        deployment=deployment,
        codes=codes,
        search=search,
    )


def said(endpoint: Endpoint, found: Sequence[Deployment], deployment: str, replica: str, container: str) -> None:
    """One container's output; looked at again by itself, without a run of the page."""
    if not deployment:
        parts.empty("terminal", "No deployment yet", "The output of its containers stands here.")
        return

    @st.fragment(run_every=LOOK_SECONDS)
    def live() -> None:
        with context.scope() as s:
            row = deployments.get(s, endpoint.name, deployment)
            try:
                text, missing = deployments.logs(s, row, container=container, replica=replica or None), ""
            except AtelierError as error:
                text, missing = "", error.message
        if missing:
            parts.empty("terminal", "No log yet", missing)
            return
        running = row.provisioning_state != ProvisioningState.Failed and endpoint.desired == "run"
        log.text(
            f"container:{row.id}:{replica}:{container}",
            f"{row.name} · {container}",
            text,
            height=520,
            live=running and container == CONTAINERS[0],
        )

    live()


def happened(endpoint: Endpoint, deployment: str) -> None:
    """To the endpoint and to its deployments, the newest first."""

    @st.fragment(run_every=LOOK_SECONDS)
    def live() -> None:
        with context.scope() as s:
            row = endpoints.get(s, endpoint.name)
            found = [(each.name, event) for each in _of(s, row, deployment) for event in deployments.events(s, each)]
            if not deployment:
                found += [("", event) for event in endpoints.events_of(s, row)]
        if not found:
            parts.empty("history", "Nothing happened yet", "What the studio does with its containers stands here.")
            return
        found.sort(key=lambda each: each[1].id or 0, reverse=True)
        note = f"the newest {MOST_EVENTS} of {len(found)}" if len(found) > MOST_EVENTS else f"{len(found)}"
        st.html(parts.panel("Container events", events(found[:MOST_EVENTS]), note))

    live()


def events(found: Iterable[tuple[str, Event]]) -> Markup:
    """A line for each: when, of what, the word, the sentence."""
    return tag("ol", *(_event(name, each) for name, each in found), cls="at-events")


def _event(name: str, each: Event) -> Markup:
    word = each.reason if each.reason.isalnum() else ""
    dot = tag("i", cls="at-dot", data_tone=TONES.get(word, "red" if word.endswith(("Failed", "Error")) else "gray"))
    return tag(
        "li",
        dot,
        parts.ago(each.at),
        tag("b", plain(name, 60)) if name else tag("b", "endpoint", cls="at-faint"),
        tag("code", plain(word, 40)) if word else tag("span", ""),
        tag("span", plain(each.message, 600)),
        tag("small", plain(each.principal, 40)) if each.principal else None,
    )


def _of(scope: Scope, endpoint: Endpoint, deployment: str) -> list[Deployment]:
    return [each for each in endpoints.deployments_of(scope, endpoint) if deployment in {ALL, each.name}]


def _section() -> str:
    key = "_logs_section"
    st.session_state[key] = address.text("log") if address.text("log") in SECTIONS else "requests"

    def chosen() -> None:
        word = st.session_state[key]
        address.put(log=None if word == "requests" else word, page=None)

    st.segmented_control(
        "Log",
        list(SECTIONS),
        key=key,
        format_func=lambda each: SECTIONS[each],
        on_change=chosen,
        label_visibility="collapsed",
        required=True,
        width="content",
    )
    return str(st.session_state[key])


def _container_bar(found: Sequence[Deployment]) -> tuple[str, str, str]:
    """Whose container, which of them, and which of its two logs."""
    if not found:
        return "", NEWEST, CONTAINERS[0]
    name = _box("deployment", "Deployment", [each.name for each in found], "")
    row = next(each for each in found if each.name == name)
    with context.scope() as s:
        replicas = deployments.replicas(s, row)
    words = {each.id: _replica(each) for each in replicas[:50]}
    replica = _box("replica", "Replica", [NEWEST, *words], "The newest that lives", words, width=250)
    container = _box("container", "Container", CONTAINERS, "", width=180)
    return name, replica, container


def _replica(row: Replica) -> str:
    attempt = f", attempt {row.attempt}" if row.attempt > 1 else ""
    return f"{row.ordinal + 1} · {row.state}{attempt} · {row.id[:6]}"


def _box(
    parameter: str,
    label: str,
    options: Sequence[str],
    nothing: str,
    words: dict[str, str] | None = None,
    *,
    width: int = 190,
) -> str:
    """One of some options, in the address; the first one while it says nothing."""
    key, now = f"_logs_{parameter}", address.text(parameter)
    st.session_state[key] = now if now in options else options[0]

    def chosen() -> None:
        picked = st.session_state[key]
        address.put(**{parameter: None if picked == options[0] else picked}, page=None)

    st.selectbox(
        label,
        options,
        key=key,
        format_func=lambda each: plain((words or {}).get(each, each), 80) if each else nothing,
        on_change=chosen,
        label_visibility="collapsed",
        width=width,
    )
    return str(st.session_state[key])
