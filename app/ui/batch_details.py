"""A batch endpoint's details: a card for each deployment, which one is called, what the endpoint itself is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import context
from app.ui import address, changes, confirm, endpoint_assets, endpoint_words, parts
from app.ui.text import Markup, join, plain, tag
from services import batch_endpoints
from services.core.times import spoken
from services.specs.deployments import BatchSettings, ModelBatchDeployment
from services.store.rows import Asset
from services.store.serving import Deployment, Endpoint

WRITE = "batchEndpoints/write"
DEPLOY = "batchEndpoints/deployments/write"
DELETE = "batchEndpoints/deployments/delete"
SCORE = "batchEndpoints/score/action"
RETRIES, TIMEOUT = batch_endpoints.RETRIES, batch_endpoints.TIMEOUT
ACTIONS = {"append_row": "All rows in one file", "summary_only": "The script writes its own"}


@dataclass(frozen=True)
class Card:
    """One deployment, and what it is made of where the person may see it."""

    row: Deployment
    model: Asset | None
    environment: Asset | None


@dataclass(frozen=True)
class Seen:
    """A batch endpoint as it is; `default` is who is called when no deployment is named."""

    endpoint: Endpoint
    cards: list[Card]
    default: str
    uri: str


def seen(name: str) -> Seen:
    """Raises NotFound."""
    with context.scope() as s:
        row = batch_endpoints.get(s, name)
        rows = batch_endpoints.listed_deployments(s, name)
        cards = [
            Card(each, endpoint_assets.seen(s, each.model_id), endpoint_assets.seen(s, each.environment_id))
            for each in rows
        ]
        uri = str(batch_endpoints.as_json(s, row, context.studio().settings.reached_at)["scoring_uri"])
        return Seen(row, cards, batch_endpoints.default_of(s, row), uri)


def show(name: str) -> None:
    found = seen(name)
    left, right = st.columns([7, 3], gap="small")
    with left:
        if not found.cards:
            _nothing(name)
        for card in found.cards:
            st.html(_drawn(found, card))
    with right:
        st.html(parts.panel("Attributes", _attributes(found)))
        if found.endpoint.tags:
            st.html(parts.panel("Tags", tag("div", parts.tags(found.endpoint.tags), cls="at-none")))


def actions(row: Endpoint, found: Seen) -> None:
    """The header's right side."""
    name = row.name
    parts.cli(
        f"atelier batch-endpoint show --name {name}",
        f"atelier batch-endpoint invoke --name {name} --input azureml:images:1",
        f"atelier batch-endpoint list-jobs --name {name}",
        f"atelier batch-deployment create --file deployment.yml --endpoint-name {name}",
        f"atelier batch-endpoint delete --name {name} --yes",
    )
    there = context.link("new_endpoint", kind="batch", endpoint=name)
    st.html(parts.button("Add deployment", there, glyph="add", reason=context.may(DEPLOY)), width="content")
    reason = context.may(SCORE) or ("" if found.cards else "It has no deployment yet.")
    call = address.changed(tab="invoke")
    st.html(parts.button("Create job", call, glyph="play_arrow", primary=True, reason=reason), width="content")
    with st.popover("More", icon=":material/more_horiz:"):
        if parts.act("Edit details", WRITE, glyph="edit"):
            changes.details(
                f"batch:{row.id}",
                row.description,
                row.tags,
                lambda s, text, tags: batch_endpoints.update(s, name, description=text, tags=tags),
            )
        if parts.act("Delete", "batchEndpoints/delete", glyph="delete"):
            sentence = "All of its deployments go with it. Its jobs and their results stay."
            confirm.confirm(sentence, name, "Delete endpoint", lambda: _delete(name), then=_gone)


def asked(found: Seen) -> None:
    """Opens the dialog that a card's link asks for; the address forgets it at once, so that it opens once."""
    verb, of = address.text("do"), address.text("of")
    if not verb:
        return
    address.put(do=None, of=None)
    row = next((card.row for card in found.cards if card.row.name == of), None)
    if row is None:
        return
    name = found.endpoint.name
    if verb == "default" and not context.may(WRITE):
        default(name, row.name, found.default)
    elif verb == "edit" and not context.may(DEPLOY):
        edit(name, row)
    elif verb == "delete" and not context.may(DELETE):
        if reason := _kept(found, row.name):
            parts.banner("orange", reason)
            return
        sentence = "Its jobs and their results stay; its model and environment too."
        confirm.confirm(sentence, row.name, "Delete deployment", lambda: _remove(name, row.name))


@st.dialog("Default deployment")
def default(endpoint: str, name: str, now: str) -> None:
    before = join((" instead of ", tag("b", plain(now, 40)))) if now else None
    st.html(tag("p", tag("b", plain(name, 40)), " is called when no deployment is named", before, ".", cls="at-muted"))
    if st.button("Make it the default", type="primary", width="stretch", key="batch_default"):
        changes.changed(
            f"'{name}' is the default deployment.",
            lambda s: batch_endpoints.update(s, endpoint, default_deployment=name),
        )


@st.dialog("Edit deployment", width="medium")
def edit(endpoint: str, row: Deployment) -> None:
    """How files are worked through; jobs under way go on as they began."""
    now, count = written(row)
    settings, instances = settings_fields(now, count, "edit")
    if not st.button("Save", type="primary", key="batch_edit_save", width="stretch"):
        return
    resources = {**(row.spec.get("resources") or {}), "instance_count": instances}
    wanted: dict[str, Any] = {"settings": settings, **({"resources": resources} if instances != count else {})}
    changes.changed(
        f"Deployment '{row.name}' was changed.",
        lambda s: batch_endpoints.change_deployment(s, endpoint, row.name, wanted),
    )


def written(row: Deployment) -> tuple[BatchSettings, int]:
    """How it works through files, and with how many instances."""
    spec = ModelBatchDeployment.model_validate(row.spec)
    return spec.batching, (spec.resources.instance_count if spec.resources is not None else None) or 1


def settings_fields(now: BatchSettings, instances: int, key: str) -> tuple[dict[str, Any], int]:
    """Draws the settings; only what differs from `now`, and the instances."""
    one, two, three = st.columns(3, gap="small")
    retry = now.retry_settings
    retries = RETRIES if retry.max_retries is None else retry.max_retries
    timeout = retry.timeout or TIMEOUT
    size = one.number_input(
        "Files at once", 1, 1_000_000, now.mini_batch_size, key=f"{key}_files", help="Of one mini-batch."
    )
    workers = two.number_input(
        "Workers", 1, 1024, now.max_concurrency_per_instance, key=f"{key}_workers", help="At once, of one instance."
    )
    count = three.number_input("Instances", 1, 1024, instances, key=f"{key}_instances")
    action = one.selectbox(
        "Results",
        list(ACTIONS),
        list(ACTIONS).index(now.output_action),
        format_func=lambda each: ACTIONS[each],
        key=f"{key}_action",
    )
    file = two.text_input(
        "Result file", now.output_file_name, key=f"{key}_file", disabled=action != "append_row", max_chars=255
    )
    most = three.number_input(
        "Failed files at most",
        -1,
        1_000_000,
        now.error_threshold,
        key=f"{key}_errors",
        help="More end the job; -1 never does.",
    )
    again = one.number_input("Retries", 0, 1000, retries, key=f"{key}_retries", help="Of a mini-batch that fails.")
    seconds = two.number_input("Time-out (s)", 1, 259_200, timeout, key=f"{key}_timeout", help="Of one mini-batch.")
    said = {
        "mini_batch_size": (int(size), now.mini_batch_size),
        "max_concurrency_per_instance": (int(workers), now.max_concurrency_per_instance),
        "output_action": (action, now.output_action),
        "output_file_name": (file.strip() or now.output_file_name, now.output_file_name),
        "error_threshold": (int(most), now.error_threshold),
    }
    changed: dict[str, Any] = {name: value for name, (value, before) in said.items() if value != before}
    if (again, seconds) != (retries, timeout):
        changed["retry_settings"] = {"max_retries": int(again), "timeout": int(seconds)}
    return changed, int(count)


def _delete(name: str) -> None:
    with context.scope(write=True) as s:
        batch_endpoints.delete(s, name)


def _gone() -> None:
    context.done("The endpoint was deleted.")
    context.want("endpoints", ws=context.workspace_name(), tab="batch")


def _remove(endpoint: str, name: str) -> None:
    with context.scope(write=True) as s:
        batch_endpoints.delete_deployment(s, endpoint, name)
    context.done(f"Deployment '{name}' was deleted.")


def _kept(found: Seen, name: str) -> str:
    """Why it cannot go, or nothing."""
    if name == found.default and len(found.cards) > 1:
        return f"'{name}' is the default: make another one the default first."
    return ""


def _nothing(name: str) -> None:
    there = context.link("new_endpoint", kind="batch", endpoint=name)
    parts.empty(
        "deployed_code",
        "No deployment yet",
        "A deployment is a model and how it works through files. The first one is what is called.",
        action=parts.button("Add deployment", there, glyph="add", primary=True, reason=context.may(DEPLOY)),
        cli=f"atelier batch-deployment create --file deployment.yml --endpoint-name {name} --set-default",
    )


def _drawn(found: Seen, card: Card) -> Markup:
    row = card.row
    is_default = row.name == found.default
    marks = tag(
        "div",
        tag("h3", plain(row.name, 80)),
        parts.chip(str(row.provisioning_state)),
        tag("span", "default", cls="at-tag") if is_default else None,
    )
    said = tag("p", plain(row.description, 400), cls="at-hint at-described") if row.description else None
    return tag(
        "section",
        tag("header", marks, _links(found, row, is_default)),
        said,
        _facts(card),
        cls="at-panel at-deployment",
    )


def _links(found: Seen, row: Deployment, is_default: bool) -> Markup:
    call = address.changed(tab="invoke", deployment=row.name)
    first = "It is the default already." if is_default else ""
    kept = _kept(found, row.name)
    make = address.changed(do="default", of=row.name)
    change = address.changed(do="edit", of=row.name)
    drop = address.changed(do="delete", of=row.name)
    return parts.buttons(
        parts.button("Create job", call, glyph="play_arrow", reason=context.may(SCORE)),
        parts.button("Set default", make, glyph="star", reason=context.may(WRITE) or first),
        parts.button("Edit", change, glyph="edit", reason=context.may(DEPLOY)),
        parts.button("Delete", drop, glyph="delete", reason=context.may(DELETE) or kept),
    )


def _facts(card: Card) -> Markup:
    row = card.row
    settings, instances = written(row)
    retry = settings.retry_settings
    retries = RETRIES if retry.max_retries is None else retry.max_retries
    appends = settings.output_action == "append_row"
    most = settings.error_threshold
    script = str(row.resolved.get("script") or "")
    by_model = not row.spec.get("environment")
    spec: Mapping[str, Any] = row.spec
    lines: list[tuple[str, str | None]] = [
        ("Model", endpoint_assets.link("model", card.model)),
        ("Environment", endpoint_assets.link("environment", card.environment, "The model's own" if by_model else "")),
        ("Script", tag("span", plain(script, 200), cls="at-mono") if script else "None: an MLflow model"),
        ("Files at once", f"{settings.mini_batch_size:,} a mini-batch"),
        ("Workers", f"{settings.max_concurrency_per_instance} an instance"),
        ("Instances", str(instances)),
        ("Results", ACTIONS[settings.output_action]),
        ("Result file", tag("span", plain(settings.output_file_name, 120), cls="at-mono") if appends else None),
        ("Retries", f"{retries}, each after {spoken(float(retry.timeout or TIMEOUT))} at most"),
        ("Failed files", "Never end the job" if most < 0 else f"{most:,} at most"),
        ("Compute", plain(spec["compute"], 80) if spec.get("compute") else "This studio's machine"),
        ("Size", _size(spec.get("resources") or {})),
        ("Log level", plain(settings.logging_level, 20)),
        ("Created", join((parts.ago(row.created_at), f" by {row.created_by}"))),
    ]
    shown = [(name, value) for name, value in lines if value]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown), cls="at-facts")


def _size(resources: Mapping[str, Any]) -> str | None:
    kind = resources.get("instance_type")
    return endpoint_words.sized(kind, None, context.fact("engine")) if kind else None


def _attributes(found: Seen) -> Markup:
    row = found.endpoint
    return parts.properties(
        [
            ("Invoke URI", tag("span", found.uri, cls="at-mono")),
            ("Authentication", endpoint_words.AUTH.get(row.auth_mode, row.auth_mode)),
            ("Default", plain(found.default, 80) or "None"),
            ("State", str(row.provisioning_state)),
            ("Created", join((parts.ago(row.created_at), f" by {row.created_by}"))),
            ("Changed", parts.ago(row.updated_at)),
            ("Id", tag("span", row.id, cls="at-mono")),
            *((plain(key, 80), plain(value, 300)) for key, value in row.properties.items()),
        ]
    )
