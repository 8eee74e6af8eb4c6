"""How an endpoint does, over time: who is asked how much, how fast and how well it answers, what its replicas use."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import streamlit as st

from app import context
from app.ui import address, endpoint_words, figures, parts
from app.ui.charts import serving
from app.ui.charts.serving import TONES, WHOLE
from app.ui.endpoint_details import ENDED
from app.ui.figures import Tile
from app.ui.text import Markup, bare, join, plain, size, tag
from services import deployments, endpoints, requests
from services.core.states import ReplicaState
from services.core.times import now, spoken
from services.requests import Charts
from services.specs.sizes import size_of
from services.store.request_rolls import Series
from services.store.requests import Agreement, Diff, Sample, Window
from services.store.serving import Deployment, Endpoint, Replica

RANGES = {
    "15m": ("15 min", 900),
    "1h": ("1 h", 3600),
    "6h": ("6 h", 21_600),
    "1d": ("24 h", 86_400),
    "7d": ("7 days", 604_800),
}
FIRST = "1h"
EVERYONE = ""
LOOK_SECONDS = 5
MOST_SHOWN = 1500


@dataclass(frozen=True)
class Span:
    """From `since` to `until`, in seconds since 1970; `moves` while it ends now."""

    since: float
    until: float
    moves: bool


@dataclass(frozen=True)
class Seen:
    """An endpoint in a span of time; `samples` are of each deployment's replicas, by their ids."""

    endpoint: Endpoint
    deployments: list[Deployment]
    charts: Charts
    windows: list[Window]
    replicas: dict[str, list[Replica]]
    samples: dict[str, dict[str, list[Sample]]]
    agreements: dict[tuple[str, str], Agreement]


def show(name: str) -> None:
    with context.scope() as s:
        found = endpoints.deployments_of(s, endpoints.get(s, name))
    chosen = _bar([each.name for each in found])
    moves = span().moves

    @st.fragment(run_every=LOOK_SECONDS if moves else None)
    def live() -> None:
        now_ = seen(name, span())
        st.html(_numbers(now_))
        if not int(now_.charts.total.requests.sum()) and not any(now_.samples.values()):
            _nothing(name)
            return
        figures.show(f"monitoring:{now_.endpoint.id}", tiles(now_, chosen))
        for (one, other), agreement in now_.agreements.items():
            st.html(_agreement(one, other, agreement))

    live()


def span() -> Span:
    """As the address says: a length, and where it ends when that is not now."""
    seconds = RANGES.get(address.text("range"), RANGES[FIRST])[1]
    at, asked = time.time(), address.text("until")
    if asked.isascii() and asked.isdecimal() and len(asked) < 12 and seconds < int(asked) < at:
        return Span(int(asked) - seconds, int(asked), moves=False)
    return Span(at - seconds, at, moves=True)


def seen(name: str, of: Span) -> Seen:
    """Raises NotFound."""
    with context.scope() as s:
        endpoint = endpoints.get(s, name)
        found = endpoints.deployments_of(s, endpoint)
        return Seen(
            endpoint,
            found,
            requests.series(s, name, since=of.since, until=of.until),
            [each.window for each in requests.summary(s, name)],
            {each.name: [one for one in deployments.replicas(s, each) if one.state not in ENDED] for each in found},
            {each.name: requests.samples(s, name, each.name, since=of.since, until=of.until) for each in found},
            {pair: requests.agreement(s, name, *pair) for pair in requests.pairs(s, name)},
        )


def tiles(of: Seen, chosen: str) -> list[Tile]:
    """Charts with the cloud's names. Of all deployments, or of the chosen one."""
    tones = endpoint_words.tones(of.deployments)
    colors = {name: TONES[tone] for name, tone in tones.items()} | {of.endpoint.name: WHOLE}
    whole = of.charts.deployments.get(chosen, of.charts.total)
    each = {name: series for name, series in of.charts.deployments.items() if chosen in {EVERYONE, name}}
    whom = plain(chosen, 60) if chosen else "all deployments"
    asked = {name: series for name, series in each.items() if series.requests.any()}
    made = [
        Tile("rpm", "RequestsPerMinute", serving.rates(asked, colors) if asked else None, _step(whole)),
        Tile("latency", "RequestLatency", serving.percentiles(whole) if whole.requests.any() else None, whom),
        Tile(
            "errors", "Errors", serving.errors(whole) if whole.errors.any() else None, whom, "No errors in this time."
        ),
        Tile("load", "In flight and queued", serving.load(asked, colors) if asked else None),
        Tile("bytes", "NetworkBytes", serving.payload(whole) if whole.requests.any() else None, whom),
    ]
    if len(asked) > 1:
        made.insert(2, Tile("slow", "RequestLatency P95", serving.slow(asked, colors), "by deployment"))
    return [*made, *_used(of, chosen, tones)]


def _used(of: Seen, chosen: str, tones: Mapping[str, str]) -> list[Tile]:
    """What replicas use, in percent of what an instance of their deployment has."""
    host: Mapping[str, Any] = context.fact("engine") or {}
    cpu: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    for row in of.deployments:
        found = of.samples.get(row.name) or {}
        if not found or chosen not in {EVERYONE, row.name}:
            continue
        has = size_of(
            row.spec.get("instance_type"),
            row.spec.get("resources"),
            cpus=int(host.get("cpus") or 1),
            memory=int(host.get("memory") or 1 << 30),
        )
        named = [(_replica(of, row, one), TONES[tones[row.name]], values) for one, values in found.items()]
        cpu.append(serving.processors(named, has.cpus))
        memory.append(serving.memory(named, has.memory))
    nothing = "Replicas are sampled while they run."
    return [
        Tile("cpu", "CpuUtilizationPercentage", _joined(cpu), "per replica", nothing),
        Tile("memory", "CpuMemoryUtilizationPercentage", _joined(memory), "per replica", nothing),
    ]


def _joined(figures_: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if not figures_:
        return None
    return {"data": [trace for each in figures_ for trace in each["data"]], "layout": figures_[0]["layout"]}


def _replica(of: Seen, row: Deployment, replica_id: str) -> str:
    """`blue 1`, as its card counts it; by the beginning of its id once it has ended."""
    here = next((each for each in of.replicas[row.name] if each.id == replica_id), None)
    return f"{row.name} {here.ordinal + 1}" if here is not None else f"{row.name} · {replica_id[:6]}"


def _bar(names: Sequence[str]) -> str:
    """The time, and whose; in the address."""
    with st.container(horizontal=True, vertical_alignment="center", key="monitoring_bar"):
        key, known = "_monitoring_range", list(RANGES)
        st.session_state[key] = address.text("range") if address.text("range") in known else FIRST

        def chosen() -> None:
            picked = st.session_state[key]
            address.put(range=None if picked == FIRST else picked, until=None)

        st.segmented_control(
            "Time",
            known,
            key=key,
            format_func=lambda each: RANGES[each][0],
            on_change=chosen,
            label_visibility="collapsed",
            required=True,
            width="content",
        )
        st.html(_steps(), width="content")
        box, now_ = "_monitoring_deployment", address.text("deployment")
        st.session_state[box] = now_ if now_ in names else EVERYONE

        def picked() -> None:
            address.put(deployment=st.session_state[box])

        st.selectbox(
            "Deployment",
            [EVERYONE, *names],
            key=box,
            format_func=lambda each: plain(each, 60) if each else "All deployments",
            on_change=picked,
            label_visibility="collapsed",
            width=190,
        )
        st.html(_said(), width="content")
    return str(st.session_state[box])


def _steps() -> Markup:
    """One span earlier, one later."""
    of = span()
    length = of.until - of.since
    later = of.until + length
    return parts.buttons(
        parts.button("Earlier", address.changed(until=int(of.until - length)), glyph="chevron_left"),
        parts.button(
            "Later",
            address.changed(until=int(later) if later < time.time() else None),
            glyph="chevron_right",
            reason="It ends now." if of.moves else "",
        ),
    )


def _said() -> Markup:
    of = span()
    if of.moves:
        return tag(
            "span", tag("i", cls="at-dot", data_tone="green", data_moving=True), " live", cls="at-choices at-live"
        )
    start, end = (datetime.fromtimestamp(each, UTC) for each in (of.since, of.until))
    return tag("span", f"{start:%Y-%m-%d %H:%M} – {end:%m-%d %H:%M} UTC", cls="at-choices")


def _step(of: Series) -> str:
    return f"each point {spoken(float(of.step)) if of.step >= 10 else f'{of.step} s'}"


def _numbers(of: Seen) -> Markup:
    """How it does now, and how many errors there were in the span."""
    total = of.charts.total
    count, errors = int(total.requests.sum()), int(total.errors.sum())
    slowest = max((each.p95 for each in of.windows if each.p95 is not None), default=None)
    ready = sum(each.state == ReplicaState.Ready for found in of.replicas.values() for each in found)
    runs = of.endpoint.desired == "run"
    wanted = sum(0 if each.is_asleep else each.instance_count for each in of.deployments) if runs else 0
    said = {
        "Requests / min": f"{sum(each.rpm for each in of.windows):.4g}",
        "Latency p95": endpoint_words.milliseconds(slowest) or "–",
        "Requests": f"{count:,}",
        "Error rate": f"{errors / count:.2%}" if count else "–",
        "Busiest, in flight": str(int(np.max(total.max_in_flight, initial=0))),
        "Instances ready": f"{ready} of {wanted}",
    }
    return tag(
        "div", *(tag("div", tag("small", name), tag("b", value)) for name, value in said.items()), cls="at-stats"
    )


def _nothing(name: str) -> None:
    parts.empty(
        "monitoring",
        "No requests in this time",
        "Charts are drawn from the first request on. Send one from the Test tab or from a terminal.",
        action=parts.button("Test", address.changed(tab="test", range=None, until=None), glyph="science", primary=True),
        cli=f"atelier online-endpoint invoke --name {name} --request-file sample.json",
    )


def _agreement(live: str, shadow: str, found: Agreement) -> Markup:
    """How often a deployment on trial said the same, and where it was furthest off."""
    said = f"{found.percent:.2f} %" if found.percent is not None else "–"
    head = tag(
        "div",
        tag("b", said),
        tag("span", f"of {found.total:,} answers of {plain(shadow, 60)} were those of {plain(live, 60)}"),
        tag("div", tag("i", data_tone="green", style=f"width:{found.percent or 0:.2f}%"), cls="at-bar"),
        cls="at-agreement",
    )
    body: list[Markup] = [_pair(each, live, shadow) for each in found.worst]
    note = f"{len(body)} furthest apart" if body else "never apart"
    return tag(
        "section",
        tag("header", f"{plain(shadow, 60)} beside {plain(live, 60)}", tag("small", note)),
        head,
        *body,
        cls="at-panel at-shadow",
    )


def _pair(each: Diff, live: str, shadow: str) -> Markup:
    apart = f"{each.distance:.2%}" if each.distance < 1 else "different"
    summary = tag(
        "summary",
        tag("b", _first(each.request)),
        tag("small", join((apart, parts.ago(datetime.fromtimestamp(min(each.at, now().timestamp()), UTC))), " · ")),
    )
    columns = [("Request", each.request), (plain(live, 60), each.live), (plain(shadow, 60), each.shadow)]
    return tag(
        "details",
        summary,
        tag(
            "div", *(tag("div", tag("small", head), tag("pre", _text(body))) for head, body in columns), cls="at-three"
        ),
        cls="at-file",
    )


def _first(body: bytes) -> str:
    return plain(" ".join(_text(body).split()), 90) or "(an empty body)"


def _text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as cause:
        if cause.start < len(body) - 4:
            return f"{size(len(body))} that are no text."
        text = body[: cause.start].decode()
    return plain("\n".join(bare(line) for line in text.splitlines()), MOST_SHOWN)
