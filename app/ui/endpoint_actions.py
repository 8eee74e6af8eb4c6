"""What is done to an endpoint and its deployments: roll back, stop, edit, delete; each asked for where it matters."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address, changes, confirm, endpoint_consume, endpoint_scaling, forms, parts
from app.ui.endpoint_details import DELETE, DEPLOY, WRITE
from app.ui.text import plain, tag
from services import assets, deployments, endpoints, rollouts
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.store.rows import Asset
from services.store.serving import Deployment, Endpoint


def show(endpoint: Endpoint, found: Sequence[Deployment]) -> None:
    """The header's right side."""
    name = endpoint.name
    if address.text("tab") != "consume":
        endpoint_consume.hide(endpoint)
    parts.cli(
        f"atelier online-endpoint show --name {name}",
        f'atelier online-endpoint update --name {name} --traffic "{_traffic(endpoint, found)}"',
        f"atelier online-endpoint invoke --name {name} --request-file sample.json",
        f"atelier online-endpoint get-credentials --name {name}",
        f"atelier online-deployment create --file deployment.yml --endpoint-name {name}",
        f"atelier online-endpoint delete --name {name} --yes",
    )
    going = "It is being deleted." if endpoint.desired == "delete" else ""
    before = endpoint.previous_traffic
    with context.scope() as s:
        is_moving = rollouts.running(s, endpoint) is not None
    can = is_moving or (any(before.values()) and before != endpoint.traffic)
    nothing = "" if can else "There is no traffic to come back to."
    if parts.act("Roll back", WRITE, glyph="undo", blocked=going or nothing):
        changes.changed("The traffic is again as it was.", lambda s: rollouts.rollback(s, name))
    reason = context.may(DEPLOY) or going
    there = context.link("new_endpoint", endpoint=name, **_model(endpoint, found))
    st.html(parts.button("Add deployment", there, glyph="add", primary=True, reason=reason), width="content")
    with st.popover("More", icon=":material/more_horiz:"):
        _more(endpoint, going)


def _model(endpoint: Endpoint, found: Sequence[Deployment]) -> dict[str, str]:
    """Of the deployment with most traffic: what is added beside it is mostly its next version."""
    first = max(found, key=lambda row: endpoint.traffic.get(row.name, 0), default=None)
    name = str((first.resolved.get("model") or {}).get("name") or "") if first is not None else ""
    return {"model": name} if name and name not in assets.UNNAMED else {}


def _more(endpoint: Endpoint, going: str) -> None:
    name = endpoint.name
    if parts.act("Edit details", WRITE, glyph="edit", blocked=going):
        details(endpoint)
    if endpoint.desired == "stop":
        if parts.act("Start", WRITE, glyph="play_arrow"):
            changes.changed("It is starting.", lambda s: endpoints.start(s, name))
    elif parts.act("Stop", WRITE, glyph="stop_circle", blocked=going):
        changes.changed("It was stopped: callers are told so.", lambda s: endpoints.stop(s, name))
    if parts.act("Delete", "onlineEndpoints/delete", glyph="delete", blocked=going):
        sentence = "All of its deployments go with it, and its keys open nothing from then on."
        confirm.confirm(sentence, name, "Delete endpoint", lambda: _delete(name), then=gone)


def _traffic(endpoint: Endpoint, found: Sequence[Deployment]) -> str:
    names = [each.name for each in found] or ["blue"]
    given = endpoint.traffic or {names[0]: 100}
    return " ".join(f"{name}={percent}" for name, percent in given.items())


def _delete(name: str) -> None:
    with context.scope(write=True) as s:
        endpoints.delete(s, name)


def gone() -> None:
    context.done("The endpoint is being deleted.")
    context.want("endpoints", ws=context.workspace_name())


def asked(endpoint: Endpoint, found: Sequence[Deployment]) -> None:
    """Opens the dialog that a card's link asks for; the address forgets it at once, so that it opens once."""
    verb, of = address.text("do"), address.text("of")
    if not verb:
        return
    address.put(do=None, of=None)
    row = next((each for each in found if each.name == of), None)
    if row is None or row.desired == "delete":
        return
    if verb == "delete" and not context.may(DELETE):
        live = endpoint.traffic.get(row.name, 0)
        if live:
            parts.banner("orange", f"'{row.name}' has {live} % of the traffic: move that to another deployment first.")
            return
        sentence = "Its replicas end when they have answered what they hold; its model and environment stay."
        confirm.confirm(sentence, row.name, "Delete deployment", lambda: _remove(endpoint.name, row.name))
    elif verb == "edit" and not context.may(DEPLOY):
        edit(endpoint, row)


def _remove(endpoint: str, name: str) -> None:
    with context.scope(write=True) as s:
        deployments.delete(s, endpoint, name)
    context.done(f"Deployment '{name}' is being deleted.")


@st.dialog("Edit details")
def details(row: Endpoint) -> None:
    with st.form("endpoint_details", border=False):
        text = st.text_area("Description", row.description, height=90)
        spelled = st.text_input("Tags", plain(forms.spelled(row.tags)), help="name=value, name=value")
        header = st.text_input(
            "Keep callers on one deployment by the header",
            row.sticky,
            placeholder="none: each request follows the traffic by itself",
            help="The same value of this request header leads to the same deployment, as x-user-id would.",
        )
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        changes.changed(
            "Saved.",
            lambda s: endpoints.update(s, row.name, description=text, tags=forms.pairs(spelled), sticky=header.strip()),
        )


@st.dialog("Edit deployment", width="medium")
def edit(endpoint: Endpoint, row: Deployment) -> None:
    """How many instances, which version of its model, how long and how much at once."""
    spec = row.spec
    settings = spec.get("request_settings") or {}
    st.html(tag("p", tag("b", plain(row.name, 80)), " of ", plain(endpoint.name, 80), cls="at-muted"))
    model, known = _versions(row)
    version = model.version if model is not None else ""
    one, two = st.columns(2, gap="small")
    if model is not None:
        version = one.selectbox(
            f"Version of {plain(model.name, 60)}", known, index=known.index(version), key="edit_version"
        )
    by_use = endpoint_scaling.follows(spec)
    count = two.number_input("Instances", 1, 1000, max(1, row.instance_count), key="edit_count", disabled=by_use)
    timeout = one.number_input(
        "Time-out (ms)", 1, 24 * 3_600_000, settings.get("request_timeout_ms", 5000), step=1000, key="edit_timeout"
    )
    at_once = two.number_input(
        "Requests at once",
        1,
        10_000,
        settings.get("max_concurrent_requests_per_instance", 1),
        key="edit_at_once",
        help="Of one instance; more wait, and are refused with 429 when they wait too long.",
    )
    scale = endpoint_scaling.fields("edit", spec)
    if model is not None and version != model.version:
        st.html(tag("p", "What serves now goes on until the new version answers.", cls="at-muted"))
    if not st.button("Save", type="primary", key="edit_save", width="stretch"):
        return
    changed: dict[str, Any] = {
        "request_settings": {"request_timeout_ms": timeout, "max_concurrent_requests_per_instance": at_once}
    }
    if scale is not None:
        changed["scale_settings"] = {"scale_to_zero_after": None, **scale}
    else:
        changed |= {"instance_count": count, **({"scale_settings": None} if by_use else {})}
    if model is not None and version != model.version:
        changed["model"] = f"azureml:{model.name}:{version}"
    changes.changed(
        f"Deployment '{row.name}' was changed.",
        lambda s: deployments.change(s, endpoint.name, row.name, changed),
    )


def _versions(row: Deployment) -> tuple[Asset | None, list[str]]:
    """The registered model that it serves, and what could take its place; nothing for one that has no name."""
    if row.model_id is None:
        return None, []
    try:
        with context.scope() as s:
            model = assets.get_by_id(s, row.model_id)
            if model.is_anonymous:
                return None, []
            known = [each.version for each in assets.versions(s, AssetKind.model, model.name) if not each.archived_at]
    except AtelierError:
        return None, []
    return model, list(dict.fromkeys([*known, model.version]))
