"""A place to try an endpoint: fields or JSON, samples that are kept, the answer, and two deployments side by side."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

import streamlit as st

from app import context
from app.scoring import Answer, scored
from app.ui import address, changes, endpoint_form, endpoint_words, parts
from app.ui.compare_sections import diff
from app.ui.consume_code import compact
from app.ui.text import Markup, plain, size, tag
from services import endpoints
from services.core import answers
from services.core.errors import AtelierError
from services.engines import differences
from services.store.serving import Deployment, Endpoint

SCORE, WRITE = "onlineEndpoints/score/action", "onlineEndpoints/write"
FORM, JSON = "Form", "JSON"
NOBODY = ""
MOST_SHOWN = 40_000
MOST_LINES = 4000


@dataclass(frozen=True)
class Tried:
    """Who was asked, by name or by traffic, and what came of it."""

    asked: str
    answer: Answer | None = None
    error: AtelierError | None = None


def show(name: str) -> None:
    with context.scope() as s:
        endpoint = endpoints.get(s, name)
        found = endpoints.deployments_of(s, endpoint)
    if not found:
        there = context.link("new_endpoint", endpoint=name)
        action = parts.button("Add deployment", there, glyph="add", primary=True)
        parts.empty("science", "Nothing to try yet", "A deployment answers here once it is there.", action=action)
        return
    left, right = st.columns([5, 6], gap="medium")
    with left:
        asked = _who(found)
        body = _body(endpoint, endpoint_form.answering(endpoint, found, asked[0]))
        stopped = "The endpoint is stopped." if endpoint.desired == "stop" else ""
        label = "Test" if len(asked) == 1 else "Test both"
        sent = parts.act(label, SCORE, glyph="play_arrow", primary=True, blocked=stopped, key="act_test")
    with right:
        if sent:
            with st.spinner("Waiting for the answer"):
                context.remember(f"tried:{endpoint.id}", _tried(endpoint, body.encode(), asked))
        _answers(context.recall(f"tried:{endpoint.id}") or [])


def _who(found: Sequence[Deployment]) -> list[str]:
    """Who is asked: one, or two to be compared."""
    with st.container(horizontal=True, vertical_alignment="center", key="test_who"):
        st.html(tag("span", "Ask", cls="at-choices"), width="content")
        first = endpoint_form.deployment_box(found, "test")
        others = [each.name for each in found if each.name != first]
        if not others:
            return [first]
        key, now = "_test_against", address.text("against")
        st.session_state[key] = now if now in others else NOBODY

        def chosen() -> None:
            address.put(against=st.session_state[key])

        st.html(tag("span", "compared with", cls="at-choices"), width="content")
        st.selectbox(
            "Compared with",
            [NOBODY, *others],
            key=key,
            format_func=lambda each: plain(each, 60) if each else "nobody",
            on_change=chosen,
            label_visibility="collapsed",
            width=150,
        )
        second = str(st.session_state[key])
    return [first, second] if second else [first]


def _body(endpoint: Endpoint, deployment: Deployment | None) -> str:
    """From the fields, or as it was typed."""
    model = endpoint_form.model_of(deployment)
    columns = endpoint_form.columns(deployment, model)
    kept, box = f"body:{endpoint.id}", f"test_body:{endpoint.id}"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="test_how"):
        how = _how(kept, box) if columns else JSON
        _samples(endpoint, kept, box)
    if how == FORM and model is not None:
        body = endpoint_form.body(columns, endpoint_form.fields(columns, model))
        context.remember(f"form:{endpoint.id}", body)
        with st.expander("What is sent"):
            st.code(body, "json", wrap_lines=True)
        return body
    sample = endpoint.samples.get(address.text("sample"))
    if context.recall(kept) is None:
        start = sample or context.recall(f"form:{endpoint.id}") or endpoint_form.starting(endpoint, deployment)
        context.remember(kept, start)
    st.session_state.setdefault(box, context.recall(kept))

    def typed() -> None:
        context.remember(kept, st.session_state[box])

    with st.container(key="test_json"):
        text = st.text_area("Request body", key=box, height=320, on_change=typed, label_visibility="collapsed")
    if wrong := _wrong(text):
        st.html(tag("p", wrong, cls="at-hint"))
    return text


def _how(kept: str, box: str) -> str:
    key = "_test_how"
    st.session_state[key] = JSON if address.text("as") == "json" or address.text("sample") else FORM

    def chosen() -> None:
        context.forget(kept)
        st.session_state.pop(box, None)
        address.put(**{"as": "json" if st.session_state[key] == JSON else None}, sample=None)

    st.segmented_control(
        "How", [FORM, JSON], key=key, on_change=chosen, label_visibility="collapsed", required=True, width="content"
    )
    return str(st.session_state[key])


def _samples(endpoint: Endpoint, kept: str, box: str) -> None:
    """Bodies that were kept: one is opened, this one is kept, one is forgotten."""
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        key, now = "_test_sample", address.text("sample")
        if endpoint.samples:
            st.session_state[key] = now if now in endpoint.samples else None

            def opened() -> None:
                name = st.session_state[key]
                st.session_state[box] = endpoint.samples.get(name, "") if name else ""
                context.remember(kept, st.session_state[box] or None)
                address.put(**{"as": "json" if name else None}, sample=name)

            st.selectbox(
                "Sample",
                list(endpoint.samples),
                key=key,
                index=None,
                placeholder="Samples",
                format_func=plain,
                on_change=opened,
                label_visibility="collapsed",
                width=170,
            )
        with st.popover("Keep", icon=":material/bookmark_add:", disabled=bool(context.may(WRITE)), key="test_keep"):
            _keep(endpoint, now)


def _keep(endpoint: Endpoint, now: str) -> None:
    name = st.text_input("Keep this request as", now, placeholder="two irises", max_chars=80, key=f"sample_name:{now}")
    body = context.recall(f"body:{endpoint.id}") or context.recall(f"form:{endpoint.id}") or ""
    if parts.act("Keep it", WRITE, primary=True, blocked="" if name.strip() and body else "Give it a name."):
        done = changes.saved(
            "The sample was kept.",
            lambda s: endpoints.update(s, endpoint.name, samples={**endpoint.samples, name.strip(): body}),
        )
        if done:
            address.put(sample=name.strip(), **{"as": "json"})
            st.rerun()
    if now in endpoint.samples and parts.act("Forget it", WRITE, glyph="delete"):
        rest = {each: text for each, text in endpoint.samples.items() if each != now}
        if changes.saved("The sample is forgotten.", lambda s: endpoints.update(s, endpoint.name, samples=rest)):
            address.put(sample=None)
            st.rerun()


def _wrong(text: str) -> str:
    """A body need not be JSON, but mostly should."""
    try:
        json.loads(text)
    except ValueError as cause:
        return f"This is not JSON and is sent as it is: {cause}"
    return ""


def _tried(endpoint: Endpoint, body: bytes, asked: Sequence[str]) -> list[Tried]:
    """The same body to each of them at once."""
    studio = context.studio()
    try:
        with context.scope() as s:
            endpoints.scorable(s, endpoint.name)
    except AtelierError as error:
        return [Tried(asked[0], error=error)]

    def one(name: str) -> Tried:
        try:
            return Tried(name, scored(studio, endpoint, body, name or None, is_test=True))
        except AtelierError as error:
            return Tried(name, error=error)

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(one, asked))


def _answers(tried: Sequence[Tried]) -> None:
    if not tried:
        parts.empty("science", "No answer yet", "The answer stands here, with its status, time and headers.")
        return
    places = st.columns(len(tried), gap="small")
    for place, each in zip(places, tried, strict=True):
        with place:
            if each.answer is not None:
                st.html(_answer(each, each.answer, is_narrow=len(tried) > 1))
            elif each.error is not None:
                context.show(each.error)
    both = [(each.asked or "By traffic", each.answer) for each in tried if each.answer is not None]
    if len(both) == 2:
        st.html(_difference(*both))


def _answer(tried: Tried, answer: Answer, *, is_narrow: bool) -> Markup:
    tone = "green" if answer.code < 300 else "orange" if answer.code < 500 and answer.code != 424 else "red"
    head = tag(
        "span",
        tag("span", str(answer.code), cls="at-code", data_tone=tone, title=_phrase(answer.code)),
        None if is_narrow else tag("span", _phrase(answer.code)),
        tag("b", endpoint_words.milliseconds(answer.ms)),
        tag("span", "by ", tag("b", plain(answer.deployment, 60))) if answer.deployment else None,
        cls="at-answer",
    )
    lines = parts.properties(
        (plain(name, 80), tag("span", plain(value, 500), cls="at-mono")) for name, value in answer.headers.items()
    )
    summary = tag("summary", tag("b", "Headers"), tag("small", str(len(answer.headers))))
    headers = tag("details", summary, lines, cls="at-file")
    shown = tag("pre", _shown(answer.body, 36 if is_narrow else 72) or "(an empty body)", cls="at-body")
    return tag("section", tag("header", head, tag("small", size(len(answer.body)))), shown, headers, cls="at-panel")


def _phrase(code: int) -> str:
    try:
        return {424: "The model failed"}.get(code) or HTTPStatus(code).phrase
    except ValueError:
        return ""


def _shown(body: bytes, width: int) -> str:
    """JSON laid out to so many characters in a line; other text as it is; what is no text is only counted."""
    if len(body) <= 4 * MOST_SHOWN:
        try:
            return _cut(compact(json.loads(body), width=width))
        except ValueError:
            pass
    try:
        return _cut(body[:MOST_SHOWN].decode())
    except UnicodeDecodeError:
        return f"{size(len(body))} that are no text."


def _cut(text: str) -> str:
    """At most so much of it, and what was left out."""
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}\n… {len(text) - MOST_SHOWN:,} more characters"


def _difference(one: tuple[str, Answer], other: tuple[str, Answer]) -> Markup:
    """How far both answers are apart, and in which lines."""
    apart = answers.distance(one[1].body, other[1].body)
    note = "equal" if apart == 0 else f"furthest apart: {apart:.2%}" if apart < 1 else "different"
    if apart == 0:
        body = tag("div", "Both answers say the same.", cls="at-none")
    else:
        before, after = (_shown(each[1].body, 28).splitlines()[:MOST_LINES] for each in (one, other))
        body = diff(differences.of_texts(before, after))
    return parts.panel(f"{plain(one[0], 60)} beside {plain(other[0], 60)}", body, note)
