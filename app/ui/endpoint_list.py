"""The lists of endpoints: how each is, who gets its traffic, how busy it is now."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address, endpoint_words, parts, table
from app.ui.text import Markup
from services import batch_endpoints, endpoints, requests
from services.core.paging import Page, cursor_at
from services.store.endpoints import ORDERS, EndpointQuery
from services.store.serving import Deployment, Endpoint
from services.studio import Scope

SIZE = 50
BATCH = [
    table.Column("Name", "link", "name"),
    table.Column("Default", "text"),
    table.Column("Deployments", "num"),
    table.Column("Last job", "status"),
    table.Column("Called", "time"),
    table.Column("Description", "muted"),
    table.Column("Created", "time", "created_at"),
    table.Column("Created by", "muted"),
    table.Column("Tags", "tags"),
]
ONLINE = [
    table.Column("Name", "link", "name"),
    table.Column("Health", "status"),
    table.Column("Traffic", "shares"),
    table.Column("Deployments"),
    table.Column("Requests/min", "num"),
    table.Column("p95", "num"),
    table.Column("Auth", "muted"),
    table.Column("Created", "time", "created_at"),
    table.Column("Created by", "muted"),
    table.Column("Tags", "tags"),
]


def create(kind: str = "") -> Markup:
    reason = context.may(f"{kind or 'online'}Endpoints/write")
    there = context.link("new_endpoint", kind=kind)
    return parts.button("Create", there, glyph="add", primary=True, reason=reason)


def online() -> None:
    """Real-time endpoints. Looks again by itself: often while something is under way."""
    query = _query()
    moving = _read(query)[1]

    @st.fragment(run_every=1.5 if moving else 8)
    def live() -> None:
        page, still, rows = _read(query)
        if not page.rows:
            _nothing(query.search)
            return
        table.show("endpoints", ONLINE, rows, label="Real-time endpoints", order=query.order_by, pager=_pager(page))
        if still != moving:
            st.rerun()

    live()


def batch() -> None:
    """Batch endpoints: what is called for whole files, and how the last call went."""
    query = _query()

    @st.fragment(run_every=5)
    def live() -> None:
        with context.scope() as s:
            page = batch_endpoints.listed(s, query)
            rows = [_batch_row(s, each) for each in page.rows]
        if not rows:
            _nothing(query.search, "batch")
            return
        table.show("batches", BATCH, rows, label="Batch endpoints", order=query.order_by, pager=_pager(page))

    live()


def _batch_row(scope: Scope, endpoint: Endpoint) -> table.Row:
    href = context.link("batch_endpoint", name=endpoint.name)
    last = batch_endpoints.list_jobs(scope, endpoint.name, limit=1)
    cells: list[Any] = [
        table.link(endpoint.name, href),
        batch_endpoints.default_of(scope, endpoint),
        len(batch_endpoints.listed_deployments(scope, endpoint.name)),
        table.status(last[0].status) if last else "",
        table.time(last[0].created_at) if last else None,
        endpoint.description,
        table.time(endpoint.created_at),
        endpoint.created_by,
        table.tags(endpoint.tags),
    ]
    return table.Row(endpoint.name, cells, href)


def _query() -> EndpointQuery:
    """What the tool bar and the address ask for."""
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        search = address.search(placeholder="Search endpoints")
    order = address.text("sort", "-created_at")
    return EndpointQuery(
        search=search,
        order_by=order if order.removeprefix("-") in ORDERS else "-created_at",
        limit=SIZE,
        cursor=cursor_at((address.number("page", 1) - 1) * SIZE),
    )


def _pager(page: Page[Endpoint]) -> table.Pager:
    noun = "endpoint" if len(page.rows) == 1 else "endpoints"
    return table.Pager((address.number("page", 1) - 1) * SIZE, SIZE, bool(page.next_cursor), None, noun)


def _read(query: EndpointQuery) -> tuple[Page[Endpoint], bool, list[table.Row]]:
    """The page, whether something of it is under way, and its rows."""
    with context.scope() as s:
        page = endpoints.listed(s, query)
        found = [(each, endpoints.deployments_of(s, each)) for each in page.rows]
        rows = [_row(s, endpoint, deployments) for endpoint, deployments in found]
    return page, any(endpoint_words.is_moving(*each) for each in found), rows


def _row(scope: Scope, endpoint: Endpoint, deployments: Sequence[Deployment]) -> table.Row:
    href = context.link("endpoint", name=endpoint.name)
    windows = [each.window for each in requests.summary(scope, endpoint.name)]
    cells: list[Any] = [
        table.link(endpoint.name, href),
        table.status(endpoint_words.health(endpoint, deployments)),
        table.shares(endpoint.traffic, endpoint_words.tones(deployments), _mirrored(endpoint)),
        _count(deployments),
        round(sum(each.rpm for each in windows), 1) if windows else 0,
        endpoint_words.milliseconds(max((each.p95 for each in windows if each.p95 is not None), default=None)),
        endpoint_words.AUTH.get(endpoint.auth_mode, endpoint.auth_mode),
        table.time(endpoint.created_at),
        endpoint.created_by,
        table.tags(endpoint.tags),
    ]
    return table.Row(endpoint.name, cells, href)


def _mirrored(endpoint: Endpoint) -> str:
    said = ", ".join(f"{name} {percent}" for name, percent in endpoint.mirror_traffic.items() if percent)
    return f"copies: {said}" if said else ""


def _count(deployments: Sequence[Deployment]) -> str:
    ready = sum(each.provisioning_state == "Succeeded" for each in deployments)
    total = len(deployments)
    return f"{total}" if ready == total else f"{total} ({ready} ready)"


def _nothing(search: str, kind: str = "") -> None:
    if search:
        parts.empty("filter_alt_off", "No endpoints match", "Try another word.")
        return
    if kind == "batch":
        parts.empty(
            "dataset",
            "No batch endpoints yet",
            "A batch endpoint takes files and answers with a job that works through all of them.",
            action=create("batch"),
            cli="atelier batch-endpoint create --name nightly",
        )
        return
    parts.empty(
        "api",
        "No endpoints yet",
        "An endpoint is an address that answers with a model's predictions. Choose a registered model, and its "
        "address is there within seconds.",
        action=create(),
        cli="atelier online-endpoint create --name iris --auth-mode key",
    )
