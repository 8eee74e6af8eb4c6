"""What is typed about models: where a new one comes from, what may change of one, who approves it."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import streamlit as st

from app import context
from app.ui import address, changes, forms, upload
from app.ui.text import plain, size, tag
from services import artifacts, assets, datastores, jobs, models
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.jobs import JobQuery
from services.specs.models import Model as Spec
from services.specs.problems import checked
from services.store.rows import Asset
from services.studio import Scope

TYPES = {"custom_model": "Custom", "mlflow_model": "MLflow", "triton_model": "Triton"}
ORIGINS = {
    "files": ("Local files", "Files or a folder of your machine are sent to the workspace."),
    "job": ("Job output", "An output or the artifacts of a job that is over; the model stays linked to the job."),
    "datastore": ("Datastore", "A path in a datastore of this workspace; nothing is copied."),
    "uri": ("URI", "runs:/…, azureml://… or https://…; nothing is copied."),
}
MOST_JOBS = 100
STAGES = ("", "Development", "Staging", "Production", "Archived")


def place() -> str:
    """The first step: where the files are, as a URI; empty while that is not said."""
    origin = _origin()
    st.html(tag("p", ORIGINS[origin][1], cls="at-muted"))
    match origin:
        case "files":
            return _sent()
        case "job":
            return _of_job()
        case "datastore":
            return _in_datastore()
    return st.text_input("URI", address.text("path"), placeholder="runs:/<run or job>/model", key="model_uri").strip()


def settings(found: str) -> dict[str, Any]:
    """The second step: name, version, type and words; `found` is the type that the files say."""
    left, right = st.columns(2, gap="small")
    name = left.text_input("Name", address.text("name"), placeholder="iris", key="model_name")
    version = right.text_input("Version", placeholder="the next number", key="model_version")
    types = list(TYPES)
    type_ = left.selectbox(
        "Type",
        types,
        index=types.index(found) if found in types else 0,
        format_func=lambda each: TYPES[each],
        key=f"model_type:{found}",
    )
    tags = right.text_input("Tags", placeholder="team=vision", key="model_tags")
    description = st.text_area("Description", height=90, key="model_description")
    return {
        "name": name.strip(),
        "version": version.strip(),
        "type": type_,
        "tags": forms.pairs(tags),
        "description": description,
    }


def create(path: str, given: dict[str, Any]) -> Asset:
    """Raises as the service."""
    written = {key: value for key, value in given.items() if value}
    with context.scope(write=True) as s:
        return models.create(s, checked(Spec, {**written, "path": path}))


@st.dialog("Edit details")
def details(row: Asset) -> None:
    with st.form("model_details", border=False):
        description = st.text_area("Description", row.description, height=110)
        tags = st.text_input("Tags", plain(forms.spelled(row.tags)), help="name=value, name=value")
        known = list(dict.fromkeys([*STAGES, row.stage]))
        stage = st.selectbox(
            "Stage", known, index=known.index(row.stage), format_func=lambda each: plain(each or "None", 80)
        )
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        changes.changed(
            "Saved.",
            lambda s: assets.change(s, _same(s, row), description=description, tags=forms.pairs(tags), stage=stage),
        )


@st.dialog("Labels")
def labels(row: Asset, standing: Sequence[str]) -> None:
    """Labels of this version; MLflow's clients read them as aliases."""
    with st.form("model_labels", border=False):
        kept = st.multiselect("On this version", standing, list(standing), format_func=plain)
        added = st.text_input("New label", placeholder="champion", help="It leaves the version that has it.")
        sent = st.form_submit_button("Save", type="primary")
    if not sent:
        return

    def change(scope: Scope) -> None:
        for label in set(standing) - set(kept):
            assets.remove_label(scope, AssetKind.model, row.name, label)
        if added.strip():
            assets.set_label(scope, _same(scope, row), added.strip())

    changes.changed("Saved.", change)


@st.dialog("Approve")
def approve(row: Asset) -> None:
    """A word of yours that this version may be used."""
    with st.form("model_approval", border=False):
        note = st.text_area("Note", height=110, placeholder="What was checked, and how.", key="approval_note")
        sent = st.form_submit_button("Approve", type="primary", key="approval_do")
    if sent:
        changes.changed("Approved.", lambda s: models.approve(s, _same(s, row), note))


def withdraw(row: Asset) -> None:
    changes.changed("The approval was withdrawn.", lambda s: models.approve(s, _same(s, row), "", withdraw=True))


def _origin() -> str:
    wanted = address.text("origin", "job" if address.text("job") else "files")
    key = "model_origin"
    st.session_state[key] = wanted if wanted in ORIGINS else "files"

    def chosen() -> None:
        address.put(origin=st.session_state[key] or "files", path=None)

    st.segmented_control(
        "Origin",
        list(ORIGINS),
        key=key,
        format_func=lambda each: ORIGINS[each][0],
        label_visibility="collapsed",
        on_change=chosen,
    )
    return wanted if wanted in ORIGINS else "files"


def _sent() -> str:
    sent = upload.area("model", "data", "Drop the model's files or its folder here", whole=True)
    return f"azureml://uploads/{sent.id}/{sent.folder or sent.single}" if sent is not None else ""


def _of_job() -> str:
    with context.scope() as s:
        found = jobs.listed(s, JobQuery(status=("Completed",), limit=MOST_JOBS)).rows
    names = {job.name: job.display_name or job.name for job in found}
    wanted = address.text("job")
    if wanted:
        names.setdefault(wanted, wanted)
    if not names:
        st.html(tag("div", "No job has completed yet.", cls="at-none at-panel"))
        return ""
    known = list(names)
    job = st.selectbox(
        "Job",
        known,
        index=known.index(wanted) if wanted in known else 0,
        format_func=lambda each: plain(names[each] if names[each] == each else f"{names[each]} ({each})", 200),
        key=f"model_job:{wanted}",
    )
    places = _places(job)
    if not places:
        st.html(tag("div", "This job has left no folder behind.", cls="at-none at-panel"))
        return ""
    paths = list(places)
    return st.selectbox("Folder", paths, format_func=lambda each: plain(places[each], 300), key=f"model_place:{job}")


def _places(job: str) -> dict[str, str]:
    """Folders of a job that could be a model by their URI: those with an MLmodel first, then outputs, then others."""
    try:
        with context.scope() as s:
            row, files = jobs.get(s, job), artifacts.listed(s, job)
    except AtelierError:
        return {}
    root = f"azureml://jobs/{job}/outputs"
    folders: dict[str, bool] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if path.parts[0] in {"user_logs", "system_logs", "logs"}:
            continue
        for parent in [each for each in path.parents if each.parts]:
            folders[str(parent)] = folders.get(str(parent), False) or (path.name == "MLmodel" and parent == path.parent)
    ranked = sorted(folders, key=lambda each: (not folders[each], each.count("/"), each))
    found = {f"{root}/{name}/paths/": f"{name} (output)" for name in row.resolved.get("outputs", {})}
    models_ = {f"{root}/artifacts/paths/{each}": f"{each} (MLflow model)" for each in ranked if folders[each]}
    others = {f"{root}/artifacts/paths/{each}": each for each in ranked if not folders[each]}
    return {**models_, **found, **others}


def _in_datastore() -> str:
    with context.scope() as s:
        rows = datastores.listed(s)
    stores = [each.name for each in sorted(rows, key=lambda each: (not each.is_default, each.name))]
    left, right = st.columns([1, 2], gap="small")
    store = left.selectbox("Datastore", stores, format_func=plain, key="model_store")
    path = right.text_input("Path", placeholder="models/iris", key="model_path").strip().strip("/")
    return f"azureml://datastores/{store}/paths/{path}" if store and path else ""


def seen(path: str) -> dict[str, Any] | None:
    """What the files at a place say; None after it was said why there is nothing to say."""
    try:
        with context.scope() as s:
            return models.seen(s, path)
    except AtelierError as error:
        context.show(error)
        return None


def found(facts: dict[str, Any]) -> list[tuple[str, str | None]]:
    """In words, for a panel."""
    return [
        ("Files", f"{facts['files']:,}" if facts.get("files") else None),
        ("Size", size(facts["size"]) if facts.get("size") else None),
        ("Formats", ", ".join(facts.get("formats") or []) or None),
        ("Flavours", ", ".join(plain(name, 80) for name in facts.get("flavors") or {}) or None),
        ("MLflow", plain(facts["mlflow_version"], 40) if facts.get("mlflow_version") else None),
    ]


def _same(scope: Scope, row: Asset) -> Asset:
    return models.get(scope, row.name, row.version)
