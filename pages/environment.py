"""One environment: what it is made of, its build and why it failed, what is installed, who used it."""

import streamlit as st

from app import context
from app.ui import address, assetpage, changes, env_tabs, envforms, parts, tabs
from services import environments
from services.store.rows import Asset, Build


def actions(row: Asset, build: Build | None) -> None:
    named = f"--name {row.name} --version {row.version}"
    parts.cli(
        f"atelier environment show {named}",
        f"atelier environment build {named} --stream",
        f"atelier environment cancel {named}",
    )
    assetpage.lineage(row)
    if build is not None and build.status in environments.WAITING:
        blocked = "It is being canceled." if build.desired == "cancel" else ""
        if parts.act("Cancel build", "environments/build/action", glyph="cancel", blocked=blocked):
            changes.changed(
                "The build is being canceled.", lambda s: environments.cancel_build(s, row.name, row.version)
            )
    else:
        label, glyph = ("Rebuild", "refresh") if build is not None else ("Build", "construction")
        if parts.act(label, "environments/build/action", glyph=glyph):
            changes.changed("A build was asked for.", lambda s: environments.build(s, row.name, row.version))
    assetpage.archive(row)
    assetpage.delete_or_say(row, "environments", "Nothing uses this version.")
    if parts.act("New version", "environments/write", glyph="add", primary=True):
        context.go("environments", new="1", **{"from": row.name, "version": row.version})


@st.fragment(run_every=1)
def watch(row: Asset, seen: str) -> None:
    """Runs the whole page again when the build has moved; costs one small question."""
    with context.scope() as s:
        build = environments.build_of(s, row)
    if state(build) != seen:
        st.rerun()


def state(build: Build | None) -> str:
    return f"{build.status}:{build.desired}:{build.digest}" if build else ""


name = address.text("name")
with context.scope() as scope:
    versions = environments.versions(scope, name)
wanted = address.text("version")
row = next((each for each in versions if each.version == wanted), versions[0])
with context.scope() as scope:
    build = environments.build_of(scope, row)
crumbs = [("Environments", context.link("environments"))]
with parts.header(name, crumbs=crumbs, after=parts.chip(envforms.built(build)), below=row.description or None):
    assetpage.version_box(row, versions)
    actions(row, build)
assetpage.archived(row)
if build is not None and build.status == "Failed":
    env_tabs.failure(row, build)
if build is not None and (build.status in environments.WAITING or build.desired != "build"):
    watch(row, state(build))
tabs.show(
    "environment",
    {
        "details": ("Details", lambda: env_tabs.details(row, build, versions)),
        "context": ("Context", lambda: env_tabs.files(row)),
        "log": ("Build log", lambda: env_tabs.log(row, build)),
        "packages": ("Packages", lambda: env_tabs.packages(row, build)),
        "consume": ("Consume", lambda: env_tabs.consume(row, build)),
        "jobs": ("Jobs", lambda: env_tabs.jobs(row)),
    },
)
