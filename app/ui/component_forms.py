"""The forms of components: register one from a folder or from text, use one in a job, change and delete one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import context
from app.ui import parts, upload
from app.ui.text import plain, tag
from services import assets, components, uploads
from services.assets import AssetQuery
from services.core.errors import AtelierError, Invalid
from services.core.states import AssetKind
from services.engines import files
from services.specs import local_components, source
from services.specs.code import Manifest
from services.specs.components import component
from services.specs.interfaces import ComponentInput
from services.specs.local_components import LocalComponent
from services.store.rows import Asset

FOLDER, TEXT = "From a folder", "From YAML"
STARTER = """name: train
command: echo ${{inputs.rate}} > ${{outputs.model}}/rate.txt
environment:
  image: python:3.11
inputs:
  rate:
    type: number
    default: 0.1
outputs:
  model:
    type: uri_folder
"""
SAFE_INTEGER = 2**53
CHOICES = 200


@st.dialog("New component", width="large")
def new() -> None:
    """The same name again is a new version."""
    way = st.segmented_control(
        "From", [FOLDER, TEXT], default=FOLDER, key="component_way", label_visibility="collapsed"
    )
    made = _from_text() if way == TEXT else _from_folder()
    if made is not None:
        context.done(f"Component '{assets.named(made)}' was created.")
        context.want("component", ws=context.workspace_name(), name=made.name, version=made.version)
        st.rerun()


def _from_text() -> Asset | None:
    written = st.text_area("component.yml", STARTER, height=320, key="component_yaml")
    st.html(
        tag("p", "Its environment is named or written here. A component with code comes from a folder.", cls="at-muted")
    )
    if not st.button("Create", type="primary", key="component_create"):
        return None
    try:
        with context.scope(write=True) as s:
            read = source.load(written, file="component.yml")
            return components.create(s, component(read.value, read))
    except AtelierError as error:
        context.show(error)
        return None


def _from_folder() -> Asset | None:
    """The folder is sent as it is; what its file names is then taken from what was sent, and from nowhere else."""
    sent = upload.area("component", "code", "Drop the folder with the component's YAML and code here")
    if sent is None:
        return None
    try:
        with context.scope() as s:
            root = uploads.require_snapshot(s, sent.id)
        known = [file.path for file in files.walk(root) if file.path.endswith((".yml", ".yaml"))]
        if not known:
            raise Invalid("There is no YAML file in what was sent.", hint="Send the folder that holds component.yml.")
        chosen = st.selectbox("The component's file", known, key="component_file")
        read = _read(root, chosen)
    except AtelierError as error:
        context.show(error)
        return None
    st.html(parts.panel("Review", parts.properties(_reviewed(read))))
    if not st.button("Create", type="primary", key="component_create"):
        return None
    try:
        return _made(read)
    except AtelierError as error:
        context.show(error)
        return None


def _read(root: Path, chosen: str) -> LocalComponent:
    with files.open_inside(root, chosen) as file:
        written = source.load(file.read(source.LIMIT + 1), file=chosen)
    return local_components.component(written, (root / chosen).parent, within=root)


def _reviewed(read: LocalComponent) -> list[tuple[str, str | None]]:
    written = read.written
    count = sum(len(each.entries) for each in read.code)
    environment = written.get("environment")
    return [
        ("Name", plain(written.get("name") or "", 255)),
        ("Type", plain(written.get("type") or "command", 40)),
        ("Description", plain(written.get("description") or "", 300)),
        ("Inputs", plain(", ".join(written.get("inputs") or {}), 300)),
        ("Outputs", plain(", ".join(written.get("outputs") or {}), 300)),
        ("Environment", plain(environment, 200) if isinstance(environment, str) else "written in the file"),
        ("Code", f"{count} {'file' if count == 1 else 'files'}" if count else None),
    ]


def _made(read: LocalComponent, *, is_part: bool = False) -> Asset:
    for manifest in (*read.code, *read.contexts):
        _kept(manifest)
    for place, inner in read.parts.items():
        read.put(place, f"azureml:{assets.named(_made(inner, is_part=True))}")
    spec = component(read.written)
    with context.scope(write=True) as s:
        return components.resolve(s, spec) if is_part else components.create(s, spec)


def _kept(manifest: Manifest) -> None:
    """Files that lie in an upload already become an upload of their own."""
    with context.scope(write=True) as s:
        state = uploads.begin(s, "code", manifest.entries)
        landings = {path: uploads.landing(s, state.id, path) for path, _ in state.missing}
    for path, landing in landings.items():
        with landing.open() as target, manifest.sources[path].open("rb") as origin:
            origin.seek(landing.offset)
            while piece := origin.read(1 << 20):
                target.write(piece)
        landing.finish()
    if not state.complete:
        with context.scope(write=True) as s:
            uploads.seal(s, state.id)


@st.dialog("Use in a job", width="large")
def use(row: Asset) -> None:
    """One field for each input, of its type and within its limits; what is left empty takes its default."""
    interface = {name: ComponentInput.model_validate(each) for name, each in (row.spec.get("inputs") or {}).items()}
    outputs = list(row.spec.get("outputs") or {})
    known = {kind: _known(kind) for kind in {wanted.type for wanted in interface.values() if not wanted.is_literal}}
    with st.form("use_component", border=False):
        one, two = st.columns(2, gap="small")
        display = one.text_input("Display name", str(row.spec.get("display_name") or row.name), key="use_display")
        experiment = two.text_input("Experiment", "Default", key="use_experiment")
        values = {name: _field(name, wanted, known.get(wanted.type, [])) for name, wanted in interface.items()}
        names = {
            name: st.text_input(f"Register output {name} as", key=f"use_out_{name}", placeholder="a name, or nothing")
            for name in outputs
        }
        sent = st.form_submit_button("Submit", type="primary", icon=":material/play_arrow:", key="use_submit")
    if not sent:
        return
    more = {"display_name": display.strip(), "experiment_name": experiment.strip()}
    try:
        with context.scope(write=True) as s:
            job = components.use(
                s,
                assets.get_by_id(s, row.id),
                {name: value for name, value in values.items() if value not in (None, "")},
                {name: {"name": text.strip()} for name, text in names.items() if text.strip()},
                more={key: each for key, each in more.items() if each},
            )
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"Job '{job.display_name}' was submitted.")
    context.want("job", ws=context.workspace_name(), job=job.name)
    st.rerun()


def _field(name: str, wanted: ComponentInput, known: Sequence[str]) -> Any:
    """The widget of one input; its value, or nothing for the default."""
    label = f"{name} ({wanted.type}{'' if wanted.is_required else ', optional'})"
    about, key = plain(wanted.description or "", 500) or None, f"use_in_{name}"
    if not wanted.is_literal:
        return st.selectbox(
            label,
            list(known),
            index=None,
            accept_new_options=True,
            placeholder="azureml:name:version, azureml://… or https://…",
            help=about,
            key=key,
        )
    if wanted.enum is not None or wanted.type == "boolean":
        known_values = [str(each) for each in wanted.enum] if wanted.enum is not None else ["true", "false"]
        default = str(wanted.default) if wanted.enum is not None else str(wanted.default).lower()
        place = known_values.index(default) if default in known_values else None
        return st.selectbox(label, known_values, index=place, help=about, key=key, format_func=plain)
    if wanted.type == "string":
        return st.text_input(label, "" if wanted.default is None else str(wanted.default), help=about, key=key)
    kind = int if wanted.type == "integer" else float
    limits: dict[str, Any] = {
        side: kind(limit)
        for side, limit in (("min_value", wanted.min), ("max_value", wanted.max))
        if limit is not None and abs(limit) < SAFE_INTEGER
    }
    limits |= {"step": 1} if kind is int else {"format": "%g"}
    limits["value"] = None if wanted.default is None else kind(wanted.default)
    return st.number_input(label, help=about, key=key, **limits)


def _known(kind: str) -> list[str]:
    """Assets of the input's type, the latest of each."""
    of = AssetKind.model if kind.endswith("_model") else AssetKind.data
    with context.scope() as s:
        rows = assets.listed(s, of, AssetQuery(type=kind, order_by="-created_at", limit=CHOICES)).rows
    return [f"azureml:{row.name}@latest" for row in rows]
