"""A call of a batch endpoint: which files, by which deployment, where the results go, and what is other than usual."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import context
from app.ui import address, batch_details, parts, upload
from app.ui.batch_details import SCORE
from app.ui.text import plain, tag
from services import assets, batch_endpoints, datastores
from services.assets import AssetQuery
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.specs import source
from services.specs.deployments import BatchSettings
from services.specs.endpoints import Invocation
from services.specs.problems import checked

SOURCES = {"asset": "Data asset", "datastore": "Datastore path", "uri": "URI", "upload": "Upload"}
TYPES = {"uri_folder": "Folder", "uri_file": "File", "mltable": "Table"}
INPUT = "input_data"
MOST = 500


def show(name: str) -> None:
    """The form at the left, what it comes to at the right."""
    found = batch_details.seen(name)
    if not found.cards:
        parts.empty("play_arrow", "Nothing to call yet", "A batch endpoint is called once it has a deployment.")
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        place = st.container()
        deployment = _deployment(found)
        given = _data()
        outputs = _output()
        card = next(each for each in found.cards if each.row.name == deployment)
        with st.expander("Other than usual, for this job alone", key="invoke_overrides"):
            now, instances = batch_details.written(card.row)
            overrides, count = batch_details.settings_fields(now, instances, f"invoke:{card.row.id}")
        with st.expander("Name and experiment", key="invoke_names"):
            one, two = st.columns(2, gap="small")
            job = one.text_input("Job name", key="invoke_job", placeholder="made up when empty").strip()
            experiment = two.text_input("Experiment", key="invoke_experiment", placeholder=plain(name, 80)).strip()
    missing = "" if given else "Say which files."
    with right:
        _review(name, deployment, given, outputs, overrides)
        sent = parts.act("Create job", SCORE, glyph="play_arrow", primary=True, blocked=missing, key="act_invoke")
    if sent:
        with place:
            made = _invoked(
                name,
                {"inputs": {INPUT: given}, "outputs": outputs},
                deployment=deployment,
                overrides=overrides,
                instances=count if count != instances else None,
                job=job,
                experiment=experiment,
            )
        if made:
            context.go("job", job=made)


def _invoked(
    name: str,
    call: Mapping[str, Any],
    *,
    deployment: str,
    overrides: Mapping[str, Any],
    instances: int | None,
    job: str,
    experiment: str,
) -> str:
    """The job's name; empty after it was said what is wrong."""
    try:
        invocation = checked(Invocation, call)
        settings = checked(BatchSettings, overrides) if overrides else None
        with context.scope(write=True) as s:
            made = batch_endpoints.invoke(
                s,
                name,
                invocation,
                deployment=deployment,
                overrides=settings,
                instance_count=instances,
                name=job or None,
                experiment_name=experiment,
            )
            return made.name
    except AtelierError as error:
        context.show(error)
        return ""


def _deployment(found: batch_details.Seen) -> str:
    names = [card.row.name for card in found.cards]
    key, now = "_invoke_deployment", address.text("deployment")
    st.session_state[key] = now if now in names else found.default or names[0]

    def chosen() -> None:
        address.put(deployment=st.session_state[key])

    def said(name: str) -> str:
        return f"{plain(name, 60)} · default" if name == found.default else plain(name, 60)

    st.selectbox("Deployment", names, key=key, format_func=said, on_change=chosen)
    return str(st.session_state[key])


def _data() -> dict[str, Any]:
    """The input; empty while nothing is named."""
    from_ = st.segmented_control(
        "Where the files are",
        list(SOURCES),
        default="asset",
        format_func=lambda each: SOURCES[each],
        key="invoke_source",
        required=True,
    )
    match from_:
        case "asset":
            return _asset()
        case "upload":
            sent = upload.area("batch_input", "data", "Drop files or a folder here")
            if sent is None:
                return {}
            inner = sent.single or ""
            return {"type": "uri_file" if inner else "uri_folder", "path": f"azureml://uploads/{sent.id}/{inner}"}
        case "datastore":
            one, two, three = st.columns([2, 3, 1], gap="small")
            with context.scope() as s:
                known = [row.name for row in sorted(datastores.listed(s), key=lambda row: not row.is_default)]
            store = one.selectbox("Datastore", known, key="invoke_datastore", format_func=plain)
            inside = two.text_input("Path in it", key="invoke_path", placeholder="images/2026").strip().strip("/")
            kind = _type(three)
            return {"type": kind, "path": f"azureml://datastores/{store}/paths/{inside}"} if inside else {}
    one, two = st.columns([5, 1], gap="small")
    uri = one.text_input("URI", key="invoke_uri", placeholder="https://…, azureml://…, wasbs://…").strip()
    kind = _type(two)
    return {"type": kind, "path": uri} if uri else {}


def _type(place: Any) -> str:
    return str(place.selectbox("It is a", list(TYPES), format_func=lambda each: TYPES[each], key="invoke_type"))


def _asset() -> dict[str, Any]:
    one, two = st.columns([3, 1], gap="small")
    with context.scope() as s:
        known = {each.name: each.type for each in assets.listed(s, AssetKind.data, AssetQuery(limit=MOST)).rows}
    name = one.selectbox(
        "Data asset",
        list(known),
        key="invoke_asset",
        placeholder="Choose one" if known else "no data asset yet",
        index=0 if known else None,
        format_func=lambda each: plain(f"{each} · {TYPES.get(known[each], known[each])}", 120),
        disabled=not known,
    )
    if not name:
        return {}
    with context.scope() as s:
        versions = [each.version for each in assets.versions(s, AssetKind.data, name) if each.archived_at is None]
    version = two.selectbox("Version", versions, key=f"invoke_version:{name}")
    return {"type": known[name], "path": f"azureml:{name}:{version}"} if version else {}


def _output() -> dict[str, Any]:
    path = st.text_input(
        "Where the results go",
        key="invoke_output",
        placeholder="the workspace's own datastore",
        help="A folder, such as azureml://datastores/workspaceblobstore/paths/scores/today",
    ).strip()
    return {batch_endpoints.OUTPUT: {"type": "uri_folder", "path": path}} if path else {}


def _review(
    name: str, deployment: str, given: Mapping[str, Any], outputs: Mapping[str, Any], overrides: Mapping[str, Any]
) -> None:
    path = str(given.get("path") or "")
    facts = [
        ("Endpoint", plain(name, 80)),
        ("Deployment", plain(deployment, 80)),
        ("Input", tag("span", plain(path, 300), cls="at-mono") if path else None),
        ("Results", "the workspace's own datastore" if not outputs else plain(outputs["score"]["path"], 300)),
        ("Other than usual", ", ".join(overrides) if overrides else None),
    ]
    st.html(parts.panel("This job", parts.properties(facts)))
    if not path:
        return
    command = f"atelier batch-endpoint invoke --name {name} --deployment-name {deployment}"
    command += f" --input {path} --input-type {given['type']}"
    if outputs:
        command += f" --output-path {outputs['score']['path']}"
    st.code(command, "bash", wrap_lines=True)
    if overrides:
        st.code(source.dump(dict(overrides)), "yaml")
