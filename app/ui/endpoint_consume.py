"""How programs call an endpoint: its addresses, what opens it, and the code to begin with."""

import secrets as random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import context
from app.ui import address, confirm, consume_code, endpoint_form, parts
from app.ui.scripts import script
from app.ui.text import tag
from services import endpoints
from services.core.errors import AtelierError
from services.endpoints import Issued
from services.store.serving import Deployment, Endpoint

ASSETS = Path(__file__).parent / "assets"
LABELS = {"primary": "Primary key", "secondary": "Secondary key", "token": "Token"}
LIST_KEYS, RENEW, TOKEN = (
    "onlineEndpoints/listKeys/action",
    "onlineEndpoints/regenerateKeys/action",
    "onlineEndpoints/token/action",
)

_lines = st.components.v2.component(
    "atelier_keys",
    html='<div class="lines">\n</div>',
    css=(ASSETS / "keys.css").read_text(encoding="utf-8"),
    js=script("nodes", "keys"),
)


def show(name: str) -> None:
    with context.scope() as s:
        endpoint = endpoints.get(s, name)
        found = endpoints.deployments_of(s, endpoint)
    studio, workspace = context.studio(), context.workspace_name()
    uri = endpoints.scoring_uri(studio, workspace, endpoint.name)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        parts.section("Addresses")
        swagger = endpoints.openapi_uri(studio, workspace, endpoint.name)
        lines = [_line("uri", "Scoring URI", uri), _line("swagger", "Swagger URI", swagger)]
        _lines(key=f"addresses:{endpoint.id}", data={"lines": lines})
        _authentication(endpoint)
    with right:
        _code(endpoint, found, uri)


def hide(endpoint: Endpoint) -> None:
    """Forgets what was shown: who comes back to the tab asks again."""
    context.forget(f"opened:{endpoint.id}")


def _line(id: str, label: str, value: str | None, **more: Any) -> dict[str, Any]:
    return {"id": id, "label": label, "value": value, **more}


def _authentication(endpoint: Endpoint) -> None:
    """Nothing secret is in the page before somebody who may asks for it."""
    by_key = endpoint.auth_mode == "key"
    parts.section("Keys" if by_key else "Token", "Either opens the endpoint." if by_key else "It opens for an hour.")
    kept, asked = f"opened:{endpoint.id}", f"keys:{endpoint.id}"
    shown: dict[str, Any] = context.recall(kept) or {}
    refused, unrenewable = context.may(LIST_KEYS if by_key else TOKEN), context.may(RENEW)
    if refused:
        shown = {}
        context.forget(kept)

    def answer() -> None:
        wish = st.session_state[asked].asked
        if wish:
            _answer(endpoint, str(wish["verb"]), str(wish["id"]), kept)

    names = ("primary", "secondary") if by_key else ("token",)
    lines = [
        _line(
            each,
            LABELS[each],
            None,
            secret=True,
            renewable=by_key,
            refused=refused or None,
            kept=unrenewable or None,
        )
        for each in names
    ]
    _lines(key=asked, data={"lines": [{**each, **shown.get(each["id"], {})} for each in lines]}, on_asked_change=answer)
    for each, said in list(shown.items()):
        if said.get("silent"):
            shown.pop(each)
    which = context.recall(f"renew:{endpoint.id}")
    if which:
        context.forget(f"renew:{endpoint.id}")
        sentence = f"Who calls with the {which} key is refused from then on, until they have the new one."
        confirm.confirm(sentence, which, "Regenerate", lambda: _renew(endpoint, which, kept))
    refusal = context.recall(f"refused:{endpoint.id}")
    if refusal:
        context.forget(f"refused:{endpoint.id}")
        context.show(refusal)
    header = "Authorization: Bearer <key>" if by_key else "Authorization: Bearer <token>"
    st.html(tag("p", "Sent as ", tag("span", header, cls="at-mono"), ".", cls="at-hint"))


def _answer(endpoint: Endpoint, verb: str, which: str, kept: str) -> None:
    """In a callback: what it finds is drawn by the run that follows."""
    shown: dict[str, Any] = dict(context.recall(kept) or {})
    if verb == "hide":
        shown.pop(which, None)
    elif verb == "regenerate":
        context.remember(f"renew:{endpoint.id}", which)
    else:
        try:
            value, note = _secret(endpoint, which)
        except AtelierError as error:
            context.remember(f"refused:{endpoint.id}", error)
            return
        shown[which] = {"value": value, "note": note, "silent": verb == "copy", "nonce": random.token_hex(4)}
    context.remember(kept, shown)


def _secret(endpoint: Endpoint, which: str) -> tuple[str, str]:
    """The value, and what is to be said beside it."""
    with context.scope(write=True) as s:
        if which == "token":
            issued: Issued = endpoints.token(s, endpoint.name)
            return issued.token, f"until {issued.expires_at:%H:%M} UTC"
        return getattr(endpoints.keys(s, endpoint.name), which), ""


def _renew(endpoint: Endpoint, which: str, kept: str) -> None:
    with context.scope(write=True) as s:
        endpoints.regenerate(s, endpoint.name, "primary" if which == "primary" else "secondary")
    context.forget(kept)
    context.done(f"The {which} key was made anew.")


def _code(endpoint: Endpoint, found: Sequence[Deployment], uri: str) -> None:
    wanted = address.text("lang", consume_code.LANGUAGES[0])
    language = wanted if wanted in consume_code.LANGUAGES else consume_code.LANGUAGES[0]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        key = "_consume_language"
        st.session_state[key] = language

        def chosen() -> None:
            address.put(lang=st.session_state[key])

        st.segmented_control(
            "Language",
            consume_code.LANGUAGES,
            key=key,
            on_change=chosen,
            label_visibility="collapsed",
            required=True,
        )
        deployment = endpoint_form.deployment_box(found, "consume")
    body = endpoint_form.starting(endpoint, endpoint_form.answering(endpoint, found, deployment))
    written = consume_code.code(language, uri, deployment, body)
    st.code(written, consume_code.COLORED[language], height=560 if written.count("\n") > 28 else "content")
    variable = tag("span", consume_code.VARIABLE, cls="at-mono")
    st.html(tag("p", "The key is read from the environment variable ", variable, ".", cls="at-hint"))
