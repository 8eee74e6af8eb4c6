"""One environment: its definition, versions and build log."""

from collections.abc import Callable

import streamlit as st

from app import context
from app.ui import address, envforms, parts
from app.ui.text import tag
from services import assets, environments
from services.core.states import AssetKind
from services.specs import source
from services.store.rows import Asset, Build
from services.studio import Scope


def detail(name: str) -> None:
    with context.scope() as s:
        versions = environments.versions(s, name)
    wanted = address.text("version")
    row_ = next((each for each in versions if each.version == wanted), versions[0])
    with context.scope() as s:
        build = environments.build_of(s, row_)
        log = environments.build_log(s, build) if build else None
    crumbs = [("Environments", context.link("environments"))]
    with parts.header(name, crumbs=crumbs, after=parts.chip(envforms.built(build)), below=row_.description or None):
        actions(row_, build)
    left, right = st.columns([3, 2], gap="small")
    with left:
        definition = {key: value for key, value in row_.spec.items() if key != "hash"}
        parts.section("Definition", f"version {row_.version}")
        st.code(source.dump(definition), language="yaml")
        parts.section("Build log", build.error if build and build.error else "")
        if log is not None and log.is_file():
            st.code(log.read_bytes()[-200_000:].decode("utf-8", "replace"), language=None, height=420)
        else:
            st.html(tag("div", "It is built when a job first needs it.", cls="at-none"))
    lines = [
        (
            tag("a", each.version, href=address.changed(version=each.version)),
            parts.ago(each.created_at),
            each.created_by,
        )
        for each in versions
    ]
    right.html(parts.panel("Versions", parts.rows(("Version", "Created", "By"), lines)))
    facts = [("Hash", row_.spec.get("hash", row_.hash)[:16])]
    if build:
        facts += [
            ("Image", build.image),
            ("Digest", build.digest),
            ("Engine", build.engine),
            ("Packages", ", ".join(build.packages)),
        ]
    right.html(
        parts.panel("Details", parts.properties([*facts, ("Tags", parts.tags(row_.tags) if row_.tags else None)]))
    )


def actions(row_: Asset, build: Build | None) -> None:
    parts.cli(f"atelier environment show --name {row_.name} --version {row_.version}")
    blocked = "" if build and build.status not in {"Queued", "Running"} else "There is no finished build to repeat."
    if parts.act("Rebuild", "environments/build/action", glyph="refresh", blocked=blocked):
        changed("A rebuild was asked for.", lambda s: environments.build(s, row_.name, row_.version))
    restoring = row_.archived_at is not None
    if parts.act("Restore" if restoring else "Archive", "environments/write", glyph="archive"):
        changed("Done.", lambda s: assets.archive(s, AssetKind.environment, row_.name, row_.version, restore=restoring))
    if parts.act("New version", "environments/write", glyph="add", primary=True):
        conda = row_.spec.get("conda_file")
        envforms.new(row_.name, row_.spec.get("image", ""), source.dump(conda) if conda else "")


def changed(message: str, do: Callable[[Scope], object]) -> None:
    with context.told():
        with context.scope(write=True) as s:
            do(s)
        context.done(message)


detail(address.text("name"))
