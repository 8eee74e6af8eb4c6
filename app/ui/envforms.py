"""The editor of environments: a new one, a new version of one, and the words for its builds."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app import context
from app.ui import address, forms, parts, upload
from app.ui.text import plain, tag
from services import environments, uploads
from services.core.errors import AtelierError, Conflict
from services.specs import source
from services.specs.code import Entry
from services.specs.environments import Environment as Spec
from services.specs.problems import checked
from services.store.rows import Asset, Build

CONDA = "name: train\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - scikit-learn\n"
DOCKERFILE = "FROM python:3.11\nRUN pip install scikit-learn\n"
SOURCES = {"image": "Image", "conda": "Image and conda file", "docker": "Dockerfile", "context": "Build context"}
_WORDS = {"Running": "Building", "Succeeded": "Ready", "Discarded": "Not on disk", "NotBuilt": "Not built"}


def built(build: Build | None) -> str:
    """The state of a build in a person's words."""
    if build is None:
        return "Not built"
    if build.desired == "cancel" and build.status in environments.WAITING:
        return "Canceling"
    return _WORDS.get(build.status, build.status)


@dataclass(frozen=True)
class Start:
    """What the editor opens with."""

    name: str = ""
    source: str = "conda"
    image: str = "python:3.11"
    conda: str = CONDA
    description: str = ""
    tags: str = ""
    is_new: bool = True


def start() -> Start:
    """From the address: `from` names an environment, `curated` one of the cloud's."""
    if name := address.text("from"):
        with context.scope() as s:
            return of_asset(environments.get(s, name, address.text("version") or None))
    if name := address.text("curated"):
        with context.scope() as s:
            found = next((each for each in environments.curated(s) if each.name == name), None)
        if found is not None:
            definition = found.definition
            conda = source.dump(definition.conda_file) if definition.conda_file else ""
            return Start(name, "conda" if conda else "image", definition.image or "", conda or CONDA)
    return Start()


def of_asset(row: Asset) -> Start:
    conda = row.spec.get("conda_file")
    kind = "context" if "build" in row.spec else "conda" if conda else "image"
    text = source.dump(conda) if conda else CONDA
    tags = forms.spelled(row.tags)
    return Start(row.name, kind, row.spec.get("image") or "python:3.11", text, row.description, tags, is_new=False)


def editor() -> None:
    """Settings, customize, tags, review: one page, and the YAML of it beside."""
    opened = start()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        parts.section("Settings")
        name = st.text_input("Name", opened.name, placeholder="sklearn-train", key="env_name")
        kind = st.segmented_control(
            "Source", list(SOURCES), format_func=lambda each: SOURCES[each], default=opened.source, key="env_source"
        )
        kind = kind or opened.source
        parts.section("Customize")
        wanted, files, snapshot = _customized(kind, opened)
        parts.section("Tags")
        description = st.text_input("Description", opened.description, key="env_description")
        tags = st.text_input("Tags", opened.tags, placeholder="team=vision", key="env_tags")
    wanted = {"name": name.strip(), **wanted, "description": description, "tags": forms.pairs(tags)}
    wanted = {key: value for key, value in wanted.items() if value}
    with right:
        parts.section("Review", "the YAML of this environment")
        st.code(source.dump(wanted), language="yaml", wrap_lines=True)
        if not name.strip():
            missing = "It needs a name."
        elif kind == "context" and snapshot is None:
            missing = "Upload its build context first."
        else:
            missing = ""
        with st.container(horizontal=True, key="env_buttons"):
            save = parts.act(
                "Save and Build", "environments/write", glyph="construction", primary=True, blocked=missing
            )
            only = parts.act("Save", "environments/write", glyph="save", blocked=missing)
    if save or only:
        create(wanted, files, snapshot, build=save)


def _customized(kind: str, opened: Start) -> tuple[dict[str, Any], dict[str, bytes | Path], str | None]:
    """What the definition is made of, the files of a new context, and one that was uploaded."""
    if kind in {"image", "conda"}:
        image = st.text_input("Image", opened.image, placeholder="python:3.11", key="env_image")
        _mapped(image.strip())
        if kind == "image":
            return {"image": image.strip()}, {}, None
        with st.container(key="yaml"):
            text = st.text_area("Conda file", opened.conda, height=260, key="env_conda")
        return {"image": image.strip(), "conda_file": text}, {}, None
    if kind == "docker":
        with st.container(key="yaml"):
            text = st.text_area("Dockerfile", DOCKERFILE, height=260, key="env_dockerfile")
        return {"build": {"path": "."}}, {"Dockerfile": text.encode()}, None
    sent = upload.area("context", "code", "Drop the folder with the Dockerfile here")
    path = st.text_input("Dockerfile", "Dockerfile", key="env_dockerfile_path", help="Inside of the folder.")
    return {"build": {"path": ".", "dockerfile_path": path.strip()}}, {}, sent.id if sent else None


def _mapped(image: str) -> None:
    used = environments.image_map(context.studio()).image(image) if image else image
    if used != image:
        st.html(tag("div", "The image map makes this ", tag("b", plain(used), cls="at-mono"), ".", cls="at-muted"))


def create(wanted: Mapping[str, Any], files: Mapping[str, bytes | Path], snapshot: str | None, *, build: bool) -> None:
    """A version, built at once when asked for; then its page."""
    try:
        spec = dict(wanted)
        if isinstance(spec.get("conda_file"), str):
            spec["conda_file"] = source.load(spec["conda_file"], file="conda file").value
        found = checked(Spec, spec)
        if files:
            snapshot = stored(files)
        with context.scope(write=True) as s:
            made = environments.create(s, found, context=snapshot)
            s.session.flush()
            name, version = made.name, made.version
        if build:
            _built(name, version)
    except AtelierError as error:
        context.show(error)
        return
    context.done(f"Environment '{name}:{version}' was saved.")
    where = {"ws": context.workspace_name(), "name": name, "version": version, "tab": "log" if build else ""}
    context.want("environment", **{key: value for key, value in where.items() if value})
    st.rerun()


def revised(row: Asset, files: Mapping[str, bytes | Path]) -> None:
    """The next version of an environment with a build context, of other files."""
    wanted = {
        "name": row.name,
        "build": {"path": ".", "dockerfile_path": row.spec["build"]["dockerfile_path"]},
        "description": row.description,
        "tags": dict(row.tags),
    }
    create({key: value for key, value in wanted.items() if value}, files, None, build=True)


def _built(name: str, version: str) -> None:
    try:
        with context.scope(write=True) as s:
            environments.build(s, name, version)
    except Conflict as refused:  # it is saved all the same
        context.done(refused.message, icon=":material/error:")


def stored(files: Mapping[str, bytes | Path]) -> str:
    """The snapshot of a small context, made of texts of this page and of files that are here already."""
    contents = {path: each if isinstance(each, bytes) else each.read_bytes() for path, each in files.items()}
    entries = [
        Entry(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            executable=isinstance(of := files[path], Path) and os.access(of, os.X_OK),
        )
        for path, content in sorted(contents.items())
    ]
    with context.scope(write=True) as s:
        state = uploads.begin(s, "context", entries)
        landings = [] if state.complete else [(uploads.landing(s, state.id, path), path) for path in contents]
    for landing, path in landings:
        if not landing.complete:
            with landing.open() as target:
                target.write(contents[path][landing.offset :])
            landing.finish()
    if not state.complete:
        with context.scope(write=True) as s:
            uploads.seal(s, state.id)
    return state.id
