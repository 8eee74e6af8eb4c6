"""An endpoint's details: who gets its traffic, a card for each deployment, what the endpoint itself is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from app import context
from app.ui import address, changes, endpoint_assets, endpoint_words, parts
from app.ui.endpoint_traffic import sliders
from app.ui.text import Markup, bare, join, plain, tag
from services import deployments, endpoints, requests, rollouts
from services.core.errors import AtelierError
from services.core.states import ProvisioningState, ReplicaState
from services.core.times import iso, now, spoken
from services.store.requests import Window
from services.store.rows import Asset
from services.store.serving import Deployment, Endpoint, Replica, Rollout
from services.studio import Scope

WRITE = "onlineEndpoints/write"
DEPLOY = "onlineEndpoints/deployments/write"
DELETE = "onlineEndpoints/deployments/delete"
LOG_LINES = 12
ENDED = frozenset({ReplicaState.Gone, ReplicaState.Failed})


@dataclass(frozen=True)
class Card:
    """One deployment with what stands behind it; `log` is the end of what a failed one said."""

    row: Deployment
    replicas: list[Replica]
    model: Asset | None
    environment: Asset | None
    log: str
    window: Window


@dataclass(frozen=True)
class Seen:
    """An endpoint as it is now."""

    endpoint: Endpoint
    cards: list[Card]
    rollout: Rollout | None = None

    @property
    def deployments(self) -> list[Deployment]:
        return [card.row for card in self.cards]


def seen(name: str) -> Seen:
    """Raises NotFound."""
    with context.scope() as s:
        endpoint = endpoints.get(s, name)
        windows = {each.deployment_id: each.window for each in requests.summary(s, name)}
        found = endpoints.deployments_of(s, endpoint)
        cards = [_card(s, each, windows.get(each.id, Window())) for each in found]
        return Seen(endpoint, cards, rollouts.running(s, endpoint))


def show(name: str) -> None:
    """Looks again by itself, and runs the whole page again when the endpoint's health is another."""
    found = seen(name)
    if address.text("edit") == "traffic":
        traffic(found)
    health = endpoint_words.health(found.endpoint, found.deployments)
    is_moving = endpoint_words.is_moving(found.endpoint, found.deployments)

    @st.fragment(run_every=1 if is_moving else 4)
    def live() -> None:
        at_present = seen(name)
        left, right = st.columns([7, 3], gap="small")
        with left, st.container(key="endpoint_cards"):
            st.html(_figures(at_present))
            if address.text("edit") != "traffic":
                st.html(_shared(at_present))
            _cards(at_present)
        with right, st.container(key="endpoint_side"):
            st.html(parts.panel("Attributes", _attributes(at_present.endpoint)))
            if at_present.endpoint.tags:
                st.html(parts.panel("Tags", tag("div", parts.tags(at_present.endpoint.tags), cls="at-none")))
        if endpoint_words.health(at_present.endpoint, at_present.deployments) != health:
            st.rerun()

    live()


def traffic(found: Seen) -> None:
    """The editor: sliders, presets, copies; nothing happens before it is saved."""
    with st.container(border=True, key="traffic_editor"):
        parts.section("Traffic", "Changes hold for the next request; no request fails.")
        split = sliders(found.endpoint, found.deployments, locked=bool(context.may(WRITE)))
        with st.container(horizontal=True, vertical_alignment="center"):
            if parts.act("Save", WRITE, primary=True, key="act_save_traffic"):
                name = found.endpoint.name
                done = changes.saved(
                    f"Traffic: {endpoints.spoken(split.traffic)}.",
                    lambda s: endpoints.update(s, name, traffic=split.traffic, mirror_traffic=split.mirror),
                )
                if done:
                    address.put(edit=None)
                    st.rerun()
            st.html(parts.button("Cancel", address.changed(edit=None)), width="content")


def _card(scope: Scope, row: Deployment, window: Window) -> Card:
    return Card(
        row,
        [each for each in deployments.replicas(scope, row) if each.state not in ENDED][::-1],
        endpoint_assets.seen(scope, row.model_id),
        endpoint_assets.seen(scope, row.environment_id),
        _log(scope, row) if row.provisioning_state == ProvisioningState.Failed else "",
        window,
    )


def _log(scope: Scope, row: Deployment) -> str:
    """The end of what its newest container said; empty where there is none."""
    try:
        return deployments.logs(scope, row, tail=LOG_LINES)
    except AtelierError:
        return ""


def _figures(found: Seen) -> Markup:
    """How it does now, over the last minute."""
    windows = [card.window for card in found.cards]
    count, errors = sum(each.requests for each in windows), sum(each.errors for each in windows)
    slowest = max((each.p95 for each in windows if each.p95 is not None), default=None)
    ready = sum(_ready(card) for card in found.cards)
    wanted = sum(0 if card.row.is_asleep else card.row.instance_count for card in found.cards)
    stopped = found.endpoint.desired == "stop"
    said = {
        "Requests / min": f"{sum(each.rpm for each in windows):.4g}",
        "Latency p95": endpoint_words.milliseconds(slowest) or "–",
        "Errors": f"{errors / count:.1%}" if count else "–",
        "In flight": str(sum(each.in_flight for each in windows)),
        "Instances ready": f"{ready} of {0 if stopped else wanted}",
    }
    return tag(
        "div", *(tag("div", tag("small", name), tag("b", value)) for name, value in said.items()), cls="at-stats"
    )


def _ready(card: Card) -> int:
    return sum(each.state == ReplicaState.Ready for each in card.replicas)


def _shared(found: Seen) -> Markup:
    """Live traffic as one bar, and who is sent copies."""
    endpoint, tones = found.endpoint, endpoint_words.tones(found.deployments)
    given = {name: percent for name, percent in endpoint.traffic.items() if percent}
    bar = [
        tag("i", data_tone=tones.get(name, "gray"), style=f"width:{percent}%", title=f"{name} {percent} %")
        for name, percent in given.items()
    ]
    names = [_named(name, f"{percent} %", tones) for name, percent in given.items()]
    copies = [
        _named(name, f"copies of {percent} %", tones) for name, percent in endpoint.mirror_traffic.items() if percent
    ]
    nobody = "Nobody answers yet: requests are refused unless they name a deployment."
    body = tag(
        "div",
        tag("div", *bar, cls="at-bar"),
        tag("ul", *names, *copies) if names or copies else None,
        None if given else tag("p", nobody),
        _rollout(found.rollout) if found.rollout is not None else None,
        cls="at-share",
    )
    moves = "A rollout moves the traffic: end it first." if found.rollout is not None else ""
    reason = context.may(WRITE) or moves or ("" if found.cards else "It has no deployment yet.")
    change = parts.button("Update traffic", address.changed(edit="traffic"), glyph="tune", reason=reason)
    return tag("section", tag("header", tag("h3", "Traffic"), change), body, cls="at-panel at-deployment")


def _ago(at: datetime | None) -> Markup:
    """As `parts.ago`, to the minute: what is drawn every second stays the same, and so does what is selected in it."""
    if at is None:
        return Markup("")
    said = parts.spoken_ago(at) if now() - at >= timedelta(minutes=1) else "just now"
    return tag("time", said, datetime=iso(at), title=f"{at:%Y-%m-%d %H:%M:%S} UTC", data_ago=True)


def _rollout(row: Rollout) -> Markup:
    steps = rollouts.percents(row)
    at = f": {steps[row.step]} %, step {row.step + 1} of {len(steps)}"
    there = tag("a", "A rollout", href=address.changed(tab="rollout", edit=None), cls="at-link")
    return tag("p", there, f" to {plain(row.target, 60)} is under way{at}.")


def _named(name: str, said: str, tones: Mapping[str, str]) -> Markup:
    dot = tag("i", cls="at-dot", data_tone=tones.get(name, "gray"))
    return tag("li", dot, tag("b", plain(name, 80)), tag("span", said))


def _cards(found: Seen) -> None:
    if not found.cards:
        name = found.endpoint.name
        there = context.link("new_endpoint", endpoint=name)
        parts.empty(
            "deployed_code",
            "No deployment yet",
            "A deployment is a model and what runs it. The first one gets all of the traffic.",
            action=parts.button("Add deployment", there, glyph="add", primary=True, reason=context.may(DEPLOY)),
            cli=f"atelier online-deployment create --file deployment.yml --endpoint-name {name} --all-traffic",
        )
        return
    tones = endpoint_words.tones(found.deployments)
    for card in found.cards:
        st.html(_drawn(found.endpoint, card, tones[card.row.name]))


def _drawn(endpoint: Endpoint, card: Card, tone: str) -> Markup:
    row = card.row
    state = "Asleep" if row.is_asleep and row.provisioning_state == "Succeeded" else str(row.provisioning_state)
    live, mirrored = endpoint.traffic.get(row.name, 0), endpoint.mirror_traffic.get(row.name, 0)
    head = tag(
        "header",
        tag(
            "div",
            tag("h3", tag("i", cls="at-dot", data_tone=tone), plain(row.name, 80)),
            parts.chip(state),
            tag("span", f"{live} %", tag("small", "live"), cls="at-percent"),
            tag("span", f"{mirrored} %", tag("small", "mirrored"), cls="at-percent") if mirrored else None,
            _busy(card.window),
        ),
        _buttons(row, live),
    )
    return tag("section", head, _trouble(card), _facts(card), _replicas(card.replicas), cls="at-panel at-deployment")


def _busy(window: Window) -> Markup | None:
    if not window.requests:
        return None
    failed = f", {window.error_rate:.1%} errors" if window.errors else ""
    slow = f", p95 {endpoint_words.milliseconds(window.p95)}"
    return tag("span", f"{window.rpm:.4g} requests / min{slow}{failed}", cls="at-percent at-faint")


def _buttons(row: Deployment, live: int) -> Markup:
    going = "It is being deleted." if row.desired == "delete" else ""
    trafficked = f"It has {live} % of the traffic: move that to another deployment first." if live else ""
    edit = address.changed(do="edit", of=row.name)
    gone = address.changed(do="delete", of=row.name)
    return parts.buttons(
        parts.button("Test", address.changed(tab="test", deployment=row.name, edit=None), glyph="science"),
        parts.button("Edit", edit, glyph="edit", reason=context.may(DEPLOY) or going),
        parts.button("Delete", gone, glyph="delete", reason=context.may(DELETE) or going or trafficked),
    )


def _trouble(card: Card) -> Markup | None:
    """Why it failed and what it said last; while it is under way, what it waits for."""
    row = card.row
    if not row.message and row.provisioning_state != ProvisioningState.Failed:
        return None
    sentence, _, more = row.message.partition("\n")
    failed = row.provisioning_state == ProvisioningState.Failed
    told = card.log.strip() or more if failed else more
    kept = "What served before still does." if failed and row.serving_generation else ""
    said = "\n".join(bare(line) for line in told.splitlines()[-LOG_LINES:])
    return tag(
        "div",
        tag("b", sentence or "It failed."),
        tag("span", kept, cls="at-muted") if kept else None,
        tag("span", row.reason, cls="at-mono at-faint") if row.reason and failed else None,
        tag("pre", said) if said else None,
        cls="at-notice",
        data_tone="red" if failed else "blue",
        role="status",
    )


def _facts(card: Card) -> Markup:
    row = card.row
    spec, resolved = row.spec, row.resolved
    settings = spec.get("request_settings") or {}
    by_model = not spec.get("environment")
    collected = "On" if spec.get("data_collector") else "Off"
    lines: list[tuple[str, str | None]] = [
        (
            "Model",
            endpoint_assets.link("model", card.model) or plain(str((resolved.get("model") or {}).get("path", "")), 200),
        ),
        ("Environment", endpoint_assets.link("environment", card.environment, "The model's own" if by_model else "")),
        ("Script", tag("span", plain(resolved["script"], 200), cls="at-mono") if resolved.get("script") else None),
        ("Server", endpoint_words.SERVERS.get(str(resolved.get("server", "")))),
        ("Instances", f"{_ready(card)} of {row.instance_count} ready"),
        ("Size", _size(spec)),
        ("Scaling", endpoint_words.scaling(spec)),
        ("Time-out", endpoint_words.milliseconds(settings.get("request_timeout_ms", 5000))),
        ("At once", f"{settings.get('max_concurrent_requests_per_instance', 1)} an instance"),
        ("Collects data", collected),
        ("Egress", "Closed" if spec.get("egress_public_network_access") == "disabled" else "Open"),
        ("Cold start", spoken(row.cold_start_ms / 1000) if row.cold_start_ms else None),
        ("Created", join((_ago(row.created_at), f" by {row.created_by}"))),
    ]
    shown = [(name, value) for name, value in lines if value]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown), cls="at-facts")


def _size(spec: Mapping[str, Any]) -> Markup:
    kind, resources = spec.get("instance_type"), spec.get("resources")
    said = endpoint_words.sized(kind, resources, context.fact("engine"))
    return tag("span", said, title=plain(kind, 80) if kind else None)


def _replicas(replicas: Sequence[Replica]) -> Markup | None:
    if not replicas:
        return None
    return tag("div", *(_replica(each) for each in replicas), cls="at-replicas")


def _replica(row: Replica) -> Markup:
    since = row.ready_at or row.started_at or row.created_at
    attempt = f", attempt {row.attempt}" if row.attempt > 1 else ""
    return tag(
        "span",
        tag("i", cls="at-dot", data_tone=_tone(row), data_moving=_is_moving(row)),
        tag("b", f"{row.ordinal + 1}"),
        f"{row.state}{attempt} ",
        _ago(since),
        title=row.message or None,
    )


def _tone(row: Replica) -> str:
    return {ReplicaState.Ready: "green", ReplicaState.Unhealthy: "red", ReplicaState.Draining: "orange"}.get(
        row.state, "blue"
    )


def _is_moving(row: Replica) -> bool:
    return row.state in {ReplicaState.Creating, ReplicaState.Starting, ReplicaState.Draining}


def _attributes(row: Endpoint) -> Markup:
    studio, workspace = context.studio(), context.workspace_name()
    uri = endpoints.scoring_uri(studio, workspace, row.name)
    swagger = endpoints.openapi_uri(studio, workspace, row.name)
    return parts.properties(
        [
            ("Scoring URI", tag("span", uri, cls="at-mono")),
            ("Swagger URI", tag("span", swagger, cls="at-mono")),
            ("Authentication", endpoint_words.AUTH.get(row.auth_mode, row.auth_mode)),
            ("State", str(row.provisioning_state) if row.desired != "stop" else "Stopped"),
            ("Message", row.message or None),
            ("Keeps callers", f"by the header {row.sticky}" if row.sticky else None),
            ("Compute", row.compute or "This studio's machine"),
            ("Created", join((_ago(row.created_at), f" by {row.created_by}"))),
            ("Changed", _ago(row.updated_at)),
            ("Id", tag("span", row.id, cls="at-mono")),
            *((plain(key, 80), plain(value, 300)) for key, value in row.properties.items()),
        ]
    )
