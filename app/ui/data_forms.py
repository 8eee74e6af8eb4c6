"""A new data asset in four steps: its type, where its files are, its settings, a last look."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address, forms, parts, upload
from app.ui.text import Markup, plain, tag
from services import assets, data, datastores, jobs, locations
from services.core import names
from services.core.errors import AtelierError, Invalid, NotFound
from services.core.states import AssetKind
from services.jobs import JobQuery
from services.specs import source
from services.specs.data import DataAsset
from services.specs.problems import checked
from services.store.rows import Asset

STEPS = {"type": "Type", "source": "Source", "settings": "Settings", "review": "Review"}
TYPES = {
    "uri_file": ("File", "One file: a job gets its path."),
    "uri_folder": ("Folder", "A folder of files: a job gets its path."),
    "mltable": ("Table", "A folder with an MLTable file, which says how its files are one table."),
}
SOURCES = {
    "local": "Local files or folder",
    "uri": "URI",
    "datastore": "Datastore path",
    "job": "Job output",
}
DRAFT = "new_data"
JOBS = 50


def begin(name: str) -> None:
    """Starts afresh for another workspace, or when a version of another asset is wanted."""
    mark = f"{context.workspace_name()}:{name}"
    if (context.recall(DRAFT) or {}).get("mark") != mark:
        context.remember(DRAFT, {"mark": mark, "name": name})
        for key in [key for key in st.session_state if str(key).startswith("_data:")]:
            del st.session_state[key]


def over() -> None:
    context.forget(DRAFT)


def step() -> str:
    """The step in the address, or the first before it that is not yet right."""
    wanted = address.text("step", "type")
    order = list(STEPS)
    for each in order[: order.index(wanted) if wanted in order else 0]:
        if complaint(each):
            return each
    return wanted if wanted in order else "type"


def stepper(now: str) -> Markup:
    """The four steps; those that can be gone to are links."""
    order, drawn = list(STEPS), []
    for place, (key, label) in enumerate(STEPS.items()):
        mark = tag("b", str(place + 1))
        reachable = all(not complaint(each) for each in order[:place])
        if key == now or not reachable:
            drawn.append(tag("span", mark, label, aria_current="step" if key == now else None))
        else:
            drawn.append(tag("a", mark, label, href=address.changed(step=key)))
    return tag("nav", *drawn, cls="at-stepper", aria_label="Steps")


def type_step() -> None:
    existing = _existing()
    _text("Name", "name", placeholder="iris", disabled=bool(address.text("name")))
    if existing is not None:
        _put("type", existing.type)
        st.html(
            tag("p", f"A new version of '{existing.name}', which is a {existing.type} in all versions.", cls="at-muted")
        )
    _choice("Type", "type", {key: label for key, (label, _) in TYPES.items()}, disabled=existing is not None)
    st.html(tag("p", TYPES[type_()][1], cls="at-muted"))


def source_step() -> None:
    _choice("Where the files are", "source", SOURCES)
    match source_():
        case "local":
            hint = "Drop a file here" if type_() == "uri_file" else "Drop a folder or files here"
            sent = upload.area(f"data:{_draft()['mark']}", "data", hint, start=_draft().get("sent"))
            _draft()["sent"] = sent
        case "uri":
            _text("URI", "uri", placeholder="https://…, azureml://…, wasbs://…")
            st.html(tag("p", "It is kept as it is: nothing is copied, and nothing is checked.", cls="at-muted"))
        case "datastore":
            _datastore()
        case _:
            _job()


def settings_step() -> None:
    _text("Version", "version", placeholder="The next number")
    _text("Description", "description")
    _text("Tags", "tags", placeholder="team=vision, split=train")
    _text("Properties", "properties", placeholder="rows=1797")


def review_step() -> None:
    try:
        spec = wanted()
    except AtelierError as error:
        context.show(error)
        return
    sent = _sent()
    files = f"{sent.name}, {sent.files} {'file' if sent.files == 1 else 'files'}" if sent else None
    facts = [
        ("Name", spec.name),
        ("Version", spec.version or "the next number"),
        ("Type", spec.type),
        ("Files", files),
        ("Path", None if sent else tag("span", plain(spec.path), cls="at-mono")),
        ("Description", spec.description),
        ("Tags", parts.tags(spec.tags) if spec.tags else None),
        ("Properties", parts.tags(spec.properties) if spec.properties else None),
    ]
    st.html(parts.panel("Data asset", parts.properties(facts)))
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    parts.section("data.yml", "the same with: atelier data create -f data.yml")
    st.code(source.dump({"type": spec.type, **written}), language="yaml")


def complaint(step: str) -> str:
    """What is missing in a step; empty when it is right."""
    if step == "type":
        try:
            names.checked_asset(str(_draft().get("name", "")).strip())
        except Invalid as error:
            return error.message if _draft().get("name") else "Give it a name."
    if step == "source":
        if source_() == "local":
            sent = _sent()
            if sent is None:
                return "Choose the files first."
            if type_() == "uri_file" and sent.files != 1:
                return f"A file is one file, and these are {sent.files}."
        elif not _path():
            return "Say where the files are."
    return ""


def create() -> Asset:
    sent = _sent()
    with context.scope(write=True) as s:
        return data.create(s, wanted(), upload=sent.id if sent else None)


def wanted() -> DataAsset:
    """What the steps say. Raises Invalid."""
    draft, sent = _draft(), _sent()
    value: dict[str, Any] = {
        "name": str(draft.get("name", "")).strip(),
        "version": str(draft.get("version", "")).strip(),
        "type": type_(),
        "path": f"./{sent.single or sent.name}" if sent else _path(),
        "description": draft.get("description", ""),
        "tags": forms.pairs(draft.get("tags", "")),
        "properties": forms.pairs(draft.get("properties", "")),
    }
    return checked(DataAsset, {key: each for key, each in value.items() if each})


def type_() -> str:
    found = str(_draft().get("type") or address.text("type"))
    return found if found in TYPES else "uri_folder"


def source_() -> str:
    found = str(_draft().get("source") or address.text("source"))
    return found if found in SOURCES else "local"


def _datastore() -> None:
    with context.scope() as s:
        known = [row.name for row in datastores.listed(s)]
    _select("Datastore", "datastore", known)
    _text("Path in it", "datastore_path", placeholder="folder/iris.csv")


def _job() -> None:
    with context.scope() as s:
        known = [row.name for row in jobs.listed(s, JobQuery(limit=JOBS)).rows]
    _select("Job", "job", known, new=True)
    outputs = [locations.ARTIFACTS]
    if name := str(_draft().get("job") or ""):
        try:
            with context.scope() as s:
                outputs = [*jobs.get(s, name).resolved.get("outputs", {}), locations.ARTIFACTS]
        except NotFound as error:
            context.show(error)
    _select("Output", "output", list(dict.fromkeys(outputs)))
    _text("Path in it", "output_path", placeholder="All of it")


def _path() -> str:
    draft = _draft()
    match source_():
        case "uri":
            return str(draft.get("uri", "")).strip()
        case "datastore" if draft.get("datastore"):
            return f"azureml://datastores/{draft['datastore']}/paths/{str(draft.get('datastore_path', '')).strip()}"
        case "job" if draft.get("job") and draft.get("output"):
            inner = str(draft.get("output_path", "")).strip().strip("/")
            return f"azureml://jobs/{draft['job']}/outputs/{draft['output']}" + (f"/paths/{inner}" if inner else "")
    return ""


def _sent() -> upload.Sent | None:
    found = _draft().get("sent") if source_() == "local" else None
    return found if isinstance(found, upload.Sent) else None


def _existing() -> Asset | None:
    name = str(_draft().get("name", "")).strip()
    try:
        with context.scope() as s:
            return assets.versions(s, AssetKind.data, name)[0] if name else None
    except NotFound:
        return None


def _draft() -> dict[str, Any]:
    found: dict[str, Any] = context.recall(DRAFT) or {}
    return found


def _put(field: str, value: Any) -> None:
    """In the draft, and what is chosen in the address too."""
    _draft()[field] = value
    if field in {"type", "source"}:
        address.put(**{field: value})


def _bound(field: str, value: Any) -> str:
    """A widget's key; the draft is the truth, as widgets of other steps are forgotten."""
    key = f"_data:{field}"
    if st.session_state.get(key, ...) != value:
        st.session_state[key] = value
    return key


def _keep(field: str) -> None:
    _put(field, st.session_state[f"_data:{field}"])


def _text(label: str, field: str, *, placeholder: str = "", disabled: bool = False) -> None:
    key = _bound(field, str(_draft().get(field, "")))
    st.text_input(label, key=key, placeholder=placeholder, disabled=disabled, on_change=_keep, args=(field,))


def _choice(label: str, field: str, options: dict[str, str], *, disabled: bool = False) -> None:
    chosen = type_() if field == "type" else source_()
    key = _bound(field, chosen)
    st.radio(
        label, list(options), key=key, format_func=lambda each: options[each], horizontal=True, disabled=disabled,
        on_change=_keep, args=(field,),
    )  # fmt: skip


def _select(label: str, field: str, options: Sequence[str], *, new: bool = False) -> None:
    value = _draft().get(field)
    if value not in options and not (new and value):
        value = options[0] if options and not new else None
        _draft()[field] = value
    shown = [*options, *([value] if value and value not in options else [])]
    key = _bound(field, value)
    st.selectbox(
        label, shown, key=key, index=None, accept_new_options=new, on_change=_keep, args=(field,),
        placeholder="Choose one",
    )  # fmt: skip
