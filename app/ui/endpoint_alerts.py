"""Who is told when an endpoint fails, errs or slows down; of a webhook only its host is seen again."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import parts
from app.ui.endpoint_details import WRITE
from app.ui.text import Markup, plain, tag
from services import alerts
from services.core.errors import AtelierError
from services.core.times import spoken
from services.specs.problems import checked
from services.specs.rollouts import Alert
from services.store.serving import Endpoint

ON = {"failed": "A deployment fails", "error_rate": "Error rate (%)", "p95": "Latency p95 (ms)"}
USUAL = {"error_rate": 5.0, "p95": 1000.0}


def show(endpoint: Endpoint) -> None:
    with context.scope() as s:
        found = alerts.listed(s, endpoint.name)
    going = "It is being deleted." if endpoint.desired == "delete" else ""
    with st.container(border=True, key="alerts"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            parts.section("Alerts", "webhook and mail")
            if parts.act("Add alert", WRITE, glyph="add_alert", blocked=going, key="act_add_alert"):
                add(endpoint, found)
        if not found:
            st.html(tag("p", "Nobody is told when a deployment fails, errs or slows down.", cls="at-hint"))
        for place, each in enumerate(found):
            with st.container(horizontal=True, vertical_alignment="center", key=f"alert_{place}"):
                st.html(_line(each))
                label, key = f"Remove {plain(each.name, 60)}", f"act_remove_alert:{each.name}"
                if parts.act("", WRITE, glyph="delete", blocked=going, key=key):
                    put(endpoint, [one for one in found if one.name != each.name], f"{label}: done.")


def put(endpoint: Endpoint, wanted: Sequence[Alert], message: str) -> None:
    """In the place of those that were there. Asks the network for a webhook's host before anything is changed."""
    try:
        alerts.checked(context.studio(), wanted)
        with context.scope(write=True) as s:
            alerts.put(s, endpoint.name, wanted)
    except AtelierError as error:
        context.show(error)
        return
    context.done(message)
    st.rerun()


@st.dialog("Add alert")
def add(endpoint: Endpoint, found: Sequence[Alert]) -> None:
    name = st.text_input("Name", placeholder="too many errors", max_chars=64, key="alert_name")
    on = st.selectbox("When", list(ON), format_func=lambda each: ON[each], key="alert_on")
    written: dict[str, Any] = {"name": name.strip(), "on": on}
    if on != "failed":
        one, two = st.columns(2, gap="small")
        unit = "%" if on == "error_rate" else "ms"
        written["threshold"] = one.number_input(
            f"Above ({unit})", 0.0, None, USUAL[str(on)], key=f"alert_threshold:{on}", format="%g"
        )
        written["window"] = int(two.number_input("Over the last (s)", 5, 3600, 60, key="alert_window"))
    webhook = st.text_input(
        "Webhook",
        placeholder="https://…",
        key="alert_webhook",
        help="It is kept as a secret: only its host is shown again.",
    ).strip()
    has_mail = bool(context.studio().settings.smtp_url)
    mail = st.text_input(
        "Mail",
        placeholder="ops@example.com, …" if has_mail else "this studio has no mail server",
        key="alert_mail",
        disabled=not has_mail,
    )
    written |= {"webhook": webhook or None, "mail": [each.strip() for each in mail.split(",") if each.strip()]}
    missing = (
        "" if name.strip() and (written["webhook"] or written["mail"]) else "Give it a name, and somebody to tell."
    )
    if not st.button(
        "Add", type="primary", width="stretch", key="alert_add", disabled=bool(missing), help=missing or None
    ):
        return
    try:
        wanted = checked(Alert, written)
    except AtelierError as error:
        context.show(error)
        return
    put(endpoint, [*found, wanted], f"'{wanted.name}' is watched.")


def _line(each: Alert) -> Markup:
    when = {
        "failed": "a deployment fails",
        "error_rate": f"more than {each.threshold or 0:g} % errors over {spoken(float(each.window))}",
        "p95": f"p95 above {each.threshold or 0:g} ms over {spoken(float(each.window))}",
    }[each.on]
    told = [plain(each.webhook, 80)] if each.webhook else []
    told += [plain(address, 80) for address in each.mail]
    return tag("div", tag("b", plain(each.name, 64)), tag("span", when), tag("small", ", ".join(told)), cls="at-alert")
