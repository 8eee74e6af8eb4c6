"""How traffic moves to another deployment: a rollout and its alarms, the way from blue to green, who is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import context
from app.ui import address, changes, endpoint_alerts, endpoint_words, parts
from app.ui.endpoint_details import WRITE
from app.ui.text import Markup, join, plain, tag
from services import endpoints, requests, rollouts
from services.core.errors import AtelierError
from services.core.states import ProvisioningState, RolloutState
from services.core.times import now, seconds, spoken
from services.specs.problems import checked
from services.specs.rollouts import Rollout as RolloutSpec
from services.store.requests import Agreement, Window
from services.store.serving import Deployment, Endpoint, Rollout

LOOK_SECONDS = 1
QUIET_SECONDS = 5
KINDS = {"canary": "Canary", "linear": "Linear", "steps": "Own steps"}
UNITS = {"s": 1, "min": 60, "h": 3600}
MIRROR, CANARY = 20, 10
HISTORY = 20


@dataclass(frozen=True)
class Seen:
    """An endpoint with its rollouts, newest first; `window` is of the target of the one that runs."""

    endpoint: Endpoint
    deployments: list[Deployment]
    rollouts: list[Rollout]
    window: Window

    @property
    def running(self) -> Rollout | None:
        return next((each for each in self.rollouts if each.state == RolloutState.Running), None)


@dataclass(frozen=True)
class Pair:
    """Who had the traffic and who is to have it, by name; empty where there is none."""

    old: str
    new: str


def show(name: str) -> None:
    """The left side moves while a rollout does; the right side is what people do by hand."""
    found = seen(name)
    left, right = st.columns([7, 5], gap="small")
    with left:
        _moving(name, found)
        if found.running is None:
            begin(found)
        _history(found)
    with right:
        way(found)
        endpoint_alerts.show(found.endpoint)


def seen(name: str) -> Seen:
    """Raises NotFound."""
    with context.scope() as s:
        endpoint = endpoints.get(s, name)
        listed = rollouts.listed(s, name)
        running = next((each for each in listed if each.state == RolloutState.Running), None)
        window = Window()
        if running is not None:
            since = max(1.0, seconds(running.step_at, now()) or 1.0)
            span = min(since, rollouts.written(running).alarms.window)
            windows = requests.summary(s, name, seconds=span)
            window = next((each.window for each in windows if each.deployment == running.target), window)
        return Seen(endpoint, endpoints.deployments_of(s, endpoint), listed, window)


def _moving(name: str, found: Seen) -> None:
    """The rollout under way; the page is run again when it ends or begins."""
    before = _mark(found)

    @st.fragment(run_every=LOOK_SECONDS if found.running else QUIET_SECONDS)
    def live() -> None:
        seen_now = seen(name)
        if (running := seen_now.running) is not None:
            st.html(_running(seen_now, running))
            _buttons(name, running)
        else:
            _standing(seen_now)
        if _mark(seen_now) != before:
            st.rerun()

    live()


def _mark(found: Seen) -> object:
    return found.running and found.running.id, found.endpoint.traffic, found.endpoint.mirror_traffic


def _running(found: Seen, row: Rollout) -> Markup:
    spec, steps = rollouts.written(row), rollouts.percents(row)
    passed = seconds(row.step_at, now()) or 0.0
    left = max(0.0, spec.bake_seconds - passed)
    said = f"step {row.step + 1} of {len(steps)}, {_left(left)}"
    return tag(
        "section",
        tag("header", f"Rollout to {plain(row.target, 60)}", tag("small", said)),
        rail(row, steps, min(1.0, passed / spec.bake_seconds)),
        _watched(found.window, spec),
        tag("p", plain(row.message, 300), cls="at-hint at-told"),
        cls="at-panel at-rollout",
    )


def _left(left: float) -> str:
    return f"{spoken(left) if left >= 10 else f'{left:.0f}s'} left" if left else "done baking"


def rail(row: Rollout, steps: Sequence[int], baked: float) -> Markup:
    """The steps as a line: those behind, the one that bakes with how far it is, those to come."""
    here = row.step if row.state == RolloutState.Running else len(steps)
    points = [_point(f"{row.before.get(row.target, 0)} %", "before", "done", 1.0)]
    for place, percent in enumerate(steps):
        state = "done" if place < here else "now" if place == here else "next"
        points.append(_point(f"{percent} %", f"step {place + 1}", state, baked))
    return tag("ol", *points, cls="at-rail", style=f"--steps:{len(points)}")


def _point(percent: str, word: str, state: str, filled: float) -> Markup:
    line = tag("i", tag("em", style=f"width:{100 * filled:.1f}%") if state == "now" else None)
    return tag("li", tag("span", cls="at-knot"), line, tag("b", percent), tag("small", word), data_state=state)


def _watched(window: Window, spec: RolloutSpec) -> Markup:
    """What the alarms look at, against their limits."""
    alarms = spec.alarms
    enough = window.requests >= alarms.min_requests
    rate, most = 100 * window.error_rate, alarms.error_rate_percent
    values = [
        ("Requests", f"{window.requests:,}", f"judged from {alarms.min_requests} on", not enough, False),
        ("Error rate", f"{rate:.2f} %" if window.requests else "–", _limit(most, "%"), most is None, _over(rate, most)),
        (
            "Latency p95",
            endpoint_words.milliseconds(window.p95) or "–",
            _limit(alarms.p95_ms, "ms"),
            alarms.p95_ms is None,
            _over(window.p95, alarms.p95_ms),
        ),
    ]
    cells = [
        tag(
            "div", tag("small", name), tag("b", value), tag("small", note), data_over=over or None, data_off=off or None
        )
        for name, value, note, off, over in values
    ]
    return tag("div", *cells, cls="at-watched")


def _limit(most: float | None, unit: str) -> str:
    return "not watched" if most is None else f"at most {most:g} {unit}"


def _over(value: float | None, most: float | None) -> bool:
    return value is not None and most is not None and value > most


def _buttons(name: str, row: Rollout) -> None:
    with st.container(horizontal=True, key="rollout_buttons"):
        steps = rollouts.percents(row)
        following = f"{steps[row.step + 1]} %" if row.step + 1 < len(steps) else "the end"
        if parts.act(f"Promote to {following}", WRITE, glyph="skip_next", key="act_promote"):
            changes.changed("It went on.", lambda s: rollouts.promote(s, name))
        if parts.act("Promote fully", WRITE, glyph="fast_forward", key="act_promote_fully"):
            changes.changed(f"'{row.target}' has all of the traffic.", lambda s: rollouts.promote(s, name, full=True))
        if parts.act("Cancel", WRITE, glyph="stop", key="act_cancel_rollout"):
            changes.changed("It was canceled; the traffic stays.", lambda s: rollouts.cancel(s, name))
        if parts.act("Roll back", WRITE, glyph="undo", key="act_rollout_back"):
            changes.changed("The traffic is again as it was.", lambda s: rollouts.rollback(s, name))


def _standing(found: Seen) -> None:
    """Who has the traffic while nothing moves, and what one click would bring back."""
    endpoint, tones = found.endpoint, endpoint_words.tones(found.deployments)
    before = endpoint.previous_traffic
    can = any(before.values()) and before != endpoint.traffic
    lines = [("Now", endpoint.traffic), *([("Before", before)] if can else [])]
    body = tag(
        "dl", *(tag("div", tag("dt", word), tag("dd", _bar(given, tones))) for word, given in lines), cls="at-two"
    )
    st.html(parts.panel("Traffic", body, "no rollout is under way"))
    if can:
        name = endpoint.name
        if parts.act(f"Back to {endpoints.spoken(before)}", WRITE, glyph="undo", key="act_back"):
            changes.changed("The traffic is again as it was.", lambda s: rollouts.rollback(s, name))


def _bar(given: Mapping[str, int], tones: Mapping[str, str]) -> Markup:
    shares = {name: percent for name, percent in given.items() if percent}
    if not shares:
        return tag("span", "nobody", cls="at-faint")
    bar = [tag("i", data_tone=tones.get(name, "gray"), style=f"width:{percent}%") for name, percent in shares.items()]
    words = join((f"{plain(name, 60)} {percent} %" for name, percent in shares.items()), " · ")
    return join((tag("div", *bar, cls="at-bar"), tag("span", words)))


def begin(found: Seen) -> None:
    """The form of a rollout; what it comes to is said before it starts."""
    endpoint = found.endpoint
    able = [each.name for each in found.deployments if _is_able(each) and endpoint.traffic.get(each.name, 0) < 100]
    with st.container(border=True, key="rollout_form"):
        parts.section("Start a rollout", "traffic moves by itself, and back at an alarm")
        blocked = _blocked(found, able)
        if blocked:
            st.html(tag("p", blocked, cls="at-hint"))
            return
        one, two = st.columns([2, 3], gap="small")
        target = one.selectbox("To", able, key="rollout_target", format_func=plain, index=_newest(found, able))
        kind = two.segmented_control(
            "How",
            list(KINDS),
            default="canary",
            key="rollout_kind",
            format_func=lambda each: KINDS[each],
            required=True,
        )
        has = endpoint.traffic.get(str(target), 0)
        steps, (bake, judged) = _steps(str(kind), has), _baking()
        written = {"deployment": target, **steps, "bake_seconds": bake, "alarms": {**judged, **_alarms()}}
        try:
            spec, wrong = checked(RolloutSpec, written), ""
        except AtelierError as error:
            spec, wrong = None, error.message
        if wrong:
            st.html(tag("p", wrong, cls="at-wrong", role="alert"))
        elif spec is not None:
            st.html(tag("p", _planned(spec, has), cls="at-hint"))
        if parts.act("Start rollout", WRITE, glyph="trending_up", primary=True, blocked=wrong, key="act_begin_rollout"):
            started = spec
            if started is not None:
                changes.changed("The rollout began.", lambda s: rollouts.start(s, endpoint.name, started))


def _blocked(found: Seen, able: Sequence[str]) -> str:
    if len(found.deployments) < 2:
        return "A rollout needs a second deployment that is ready: add one, without traffic."
    if found.endpoint.desired != "run":
        return "The endpoint is stopped."
    if not any(found.endpoint.traffic.values()):
        return "No deployment has traffic that could move: give one all of it first."
    return "" if able else "No other deployment is ready."


def _is_able(row: Deployment) -> bool:
    return row.provisioning_state == ProvisioningState.Succeeded and row.serving_generation > 0 and row.desired == "run"


def _newest(found: Seen, able: Sequence[str]) -> int:
    ranked = sorted(found.deployments, key=lambda each: each.created_at, reverse=True)
    return next((able.index(each.name) for each in ranked if each.name in able), 0)


def _steps(kind: str, has: int) -> dict[str, Any]:
    """`has` is the share of the target already; a canary begins above it."""
    if kind == "steps":
        text = st.text_input(
            "Percent of each step", "5, 25, 50, 100", key="rollout_steps", help="Rising; the last is 100."
        )
        words = [each.strip().removesuffix("%").strip() for each in text.split(",") if each.strip()]
        return {"steps": [int(each) if each.isascii() and each.isdecimal() else each for each in words]}
    label = "Percent at first" if kind == "canary" else "Percent more with each step"
    usual = 20 if kind == "linear" or 0 < has < 20 else min(99, has + 10)
    percent = st.slider(label, 1, 100, usual, key=f"rollout_percent:{kind}", format="%d%%")
    return {"type": kind, "percent": int(percent)}


def _baking() -> tuple[int, dict[str, Any]]:
    """How long a step lasts, in seconds, and of what it is judged."""
    one, two, three, four = st.columns(4, gap="small")
    count = one.number_input("Each step for", 1, 10_000, 5, key="rollout_bake")
    unit = two.selectbox("Unit", list(UNITS), index=1, key="rollout_unit")
    window = three.number_input("Window (s)", 1, 3600, 30, key="rollout_window", help="Of which it is judged.")
    least = four.number_input(
        "Requests", 1, 1_000_000, 10, key="rollout_least", help="Fewer in the window are not judged."
    )
    return int(count) * UNITS[str(unit)], {"window": int(window), "min_requests": int(least)}


def _alarms() -> dict[str, Any]:
    """What brings the traffic back; an empty field is not watched."""
    one, two = st.columns(2, gap="small")
    rate = one.number_input(
        "Back above errors of (%)",
        0.0,
        100.0,
        5.0,
        step=0.5,
        key="rollout_rate",
        format="%g",
        help="5xx, 408, 424, 429.",
    )
    slow = two.number_input(
        "Back above p95 of (ms)", 0.0, 3_600_000.0, None, key="rollout_p95", format="%g", placeholder="not watched"
    )
    return {"error_rate_percent": rate, "p95_ms": slow or None}


def _planned(spec: RolloutSpec, has: int) -> str:
    steps = [percent for percent in spec.percents if percent > has]
    first, *later = steps or [100]
    bake, alarms = spoken(float(spec.bake_seconds)), spec.alarms
    said = f"{first} % for {bake}" + (f", then {', '.join(f'{each} %' for each in later)}" if later else "")
    limits = [
        f"more than {alarms.error_rate_percent:g} % errors" if alarms.error_rate_percent is not None else "",
        f"a p95 above {alarms.p95_ms:g} ms" if alarms.p95_ms is not None else "",
    ]
    watched = " or ".join(each for each in limits if each)
    return f"{said}. " + (f"Back at once at {watched}." if watched else "Nothing is watched: it goes on by time alone.")


def _history(found: Seen) -> None:
    over = [each for each in found.rollouts if each.state != RolloutState.Running][:HISTORY]
    if not over:
        return
    st.html(parts.panel("Rollouts before", tag("ol", *(_ended(each) for each in over), cls="at-past"), f"{len(over)}"))


def _ended(row: Rollout) -> Markup:
    steps = " → ".join(f"{percent} %" for percent in rollouts.percents(row))
    by = f" by {plain(row.created_by, 40)}" if row.created_by else ""
    return tag(
        "li",
        tag("div", tag("b", plain(row.target, 60)), tag("span", steps), parts.chip(str(row.state))),
        tag("p", plain(row.message, 400)),
        tag("small", join(("started ", parts.ago(row.created_at), by))),
    )


def way(found: Seen) -> None:
    """From blue to green in six steps: each does it, or leads to where it is done."""
    pair = paired(found)
    done, agreement = _done(found, pair)
    at = next((place for place in range(len(done)) if not any(done[place:])), len(done))
    with st.container(border=True, key="blue_green"):
        parts.section("From blue to green", "in six steps")
        for place, (title, note) in enumerate(_told(found, pair, agreement)):
            state = "done" if done[place] else "now" if place == at else "next" if place > at else "left"
            with st.container(horizontal=True, vertical_alignment="center", key=f"way_{place}"):
                st.html(_walked(place + 1, title, note, state))
                if state == "now":
                    _walk(place, found, pair)


def paired(found: Seen) -> Pair:
    """The newest is the new one; the old one is who has, or had, most of the traffic of the others."""
    rows = sorted((each for each in found.deployments if each.desired != "delete"), key=lambda each: each.created_at)
    if len(rows) < 2:
        return Pair(rows[0].name if rows else "", "")
    *others, new = rows
    now_, before = found.endpoint.traffic, found.endpoint.previous_traffic
    old = max(others, key=lambda each: (now_.get(each.name, 0), before.get(each.name, 0)))
    return Pair(old.name, new.name)


def _done(found: Seen, pair: Pair) -> tuple[list[bool], Agreement | None]:
    endpoint = found.endpoint
    new = next((each for each in found.deployments if each.name == pair.new), None)
    share = endpoint.traffic.get(pair.new, 0) if pair.new else 0
    agreement = _compared(endpoint.name, pair) if new is not None else None
    is_ready = new is not None and _is_able(new)
    mirrors = bool(endpoint.mirror_traffic.get(pair.new)) if pair.new else False
    tried = is_ready and (_was_asked(endpoint.name, pair.new) or mirrors or agreement is not None)
    return [is_ready, tried, agreement is not None, share > 0, share == 100, False], agreement


def _was_asked(name: str, deployment: str) -> bool:
    with context.scope() as s:
        return bool(requests.listed(s, name, requests.RequestQuery(deployment, limit=1)))


def _compared(name: str, pair: Pair) -> Agreement | None:
    with context.scope() as s:
        if (pair.old, pair.new) not in requests.pairs(s, name):
            return None
        return requests.agreement(s, name, pair.old, pair.new)


def _told(found: Seen, pair: Pair, agreement: Agreement | None) -> list[tuple[str, str]]:
    old, new = plain(pair.old or "blue", 40), plain(pair.new or "green", 40)
    copies = found.endpoint.mirror_traffic.get(pair.new, 0)
    compared = (
        f"{agreement.percent:.1f} % of {agreement.total:,} answers agree."
        if agreement is not None and agreement.percent is not None
        else f"{copies} % are copied; answers are compared as they come."
        if copies
        else "It gets copies of requests; callers notice nothing."
    )
    return [
        (f"Deploy {new}", f"Beside {old}, without traffic."),
        (f"Try {new}", "Ask it by its name, from the Test tab."),
        (f"Mirror to {new}", compared),
        (f"Send {CANARY} % to {new}", "A few callers first, or a rollout with alarms."),
        (f"Send all to {new}", f"{old} stays ready: one click brings it back."),
        (f"Delete {old}", f"Once nobody needs {old} any more."),
    ]


def _walked(number: int, title: str, note: str, state: str) -> Markup:
    mark = parts.icon("check") if state == "done" else parts.icon("remove") if state == "left" else str(number)
    return tag("div", tag("b", mark), tag("span", title), tag("small", note), cls="at-walk", data_state=state)


def _walk(place: int, found: Seen, pair: Pair) -> None:
    endpoint, name = found.endpoint, found.endpoint.name
    reason = context.may(WRITE) or ("It is being deleted." if endpoint.desired == "delete" else "")
    match place:
        case 0 if pair.new:
            st.html(parts.button("See how far", address.changed(tab=None)), width="content")
        case 0:
            there = context.link("new_endpoint", endpoint=name)
            st.html(parts.button("Add deployment", there, glyph="add", reason=reason), width="content")
        case 1:
            there = address.changed(tab="test", deployment=pair.new)
            st.html(parts.button("Test", there, glyph="science"), width="content")
        case 2:
            copies = endpoint.mirror_traffic.get(pair.new, 0)
            blocked = f"It gets {copies} %: send some requests." if copies else _frozen(found)
            if parts.act(f"Mirror {MIRROR} %", WRITE, blocked=blocked, key="act_walk_mirror"):
                mirror = {**endpoint.mirror_traffic, pair.new: MIRROR}
                changes.changed(
                    f"'{pair.new}' gets copies of {MIRROR} %.",
                    lambda s: endpoints.update(s, name, mirror_traffic=mirror),
                )
        case 3:
            if parts.act(f"Send {CANARY} %", WRITE, blocked=_frozen(found), key="act_walk_canary"):
                shares = rollouts.shared(endpoint.traffic, pair.new, CANARY)
                changes.changed(f"'{pair.new}' gets {CANARY} %.", lambda s: endpoints.set_traffic(s, name, shares))
        case 4:
            if parts.act("Send all", WRITE, blocked=_frozen(found), key="act_walk_all"):
                changes.changed(
                    f"'{pair.new}' has all of the traffic.",
                    lambda s: endpoints.set_traffic(s, name, {pair.new: 100}),
                )
        case _:
            there = address.changed(do="delete", of=pair.old)
            st.html(
                parts.button(f"Delete {plain(pair.old, 24)}", there, glyph="delete", reason=reason), width="content"
            )


def _frozen(found: Seen) -> str:
    return "A rollout is under way." if found.running is not None else ""
