"""One environment: what it is made of, its build and why it failed, what is installed, who used it."""

from collections.abc import Callable

import streamlit as st

from app import context
from app.ui import address, confirm, env_tabs, envforms, parts
from services import assets, environments
from services.core.states import AssetKind
from services.store.rows import Asset, Build
from services.studio import Scope

TABS = {
    "details": "Details",
    "context": "Context",
    "log": "Build log",
    "packages": "Packages",
    "consume": "Consume",
    "jobs": "Jobs",
}


def actions(row: Asset, build: Build | None) -> None:
    named = f"--name {row.name} --version {row.version}"
    parts.cli(
        f"atelier environment show {named}",
        f"atelier environment build {named} --stream",
        f"atelier environment cancel {named}",
    )
    link = context.link("lineage", kind="environment", id=row.id)
    st.html(parts.button("Lineage", link, glyph="account_tree"), width="content")
    if build is not None and build.status in environments.WAITING:
        blocked = "It is being canceled." if build.desired == "cancel" else ""
        if parts.act("Cancel build", "environments/build/action", glyph="cancel", blocked=blocked):
            changed("The build is being canceled.", lambda s: environments.cancel_build(s, row.name, row.version))
    else:
        label, glyph = ("Rebuild", "refresh") if build is not None else ("Build", "construction")
        if parts.act(label, "environments/build/action", glyph=glyph):
            changed("A build was asked for.", lambda s: environments.build(s, row.name, row.version))
    restoring = row.archived_at is not None
    if parts.act("Restore" if restoring else "Archive", "environments/write", glyph="archive"):
        changed(
            f"Version {row.version} was {'restored' if restoring else 'archived'}.",
            lambda s: assets.archive(s, AssetKind.environment, row.name, row.version, restore=restoring),
        )
    if parts.act("Delete", "environments/delete", glyph="delete"):
        deleted(row)
    if parts.act("New version", "environments/write", glyph="add", primary=True):
        context.go("environments", new="1", **{"from": row.name, "version": row.version})


def deleted(row: Asset) -> None:
    with context.scope() as s:
        uses = assets.uses(s, row)
    breaks = ", ".join(f"{use.kind} {use.name}" for use in uses[:8])
    sentence = f"It is used by {breaks}: it cannot be deleted, only archived." if uses else "Nothing uses this version."

    def remove() -> None:
        with context.scope(write=True) as s:
            assets.remove(s, environments.get(s, row.name, row.version))
        context.done(f"Version {row.version} was deleted.")
        context.want("environments", ws=context.workspace_name())

    confirm.confirm(sentence, f"{row.name}:{row.version}", "Delete", remove)


def changed(message: str, do: Callable[[Scope], object]) -> None:
    done = False
    with context.told():
        with context.scope(write=True) as s:
            do(s)
        context.done(message)
        done = True
    if done:
        st.rerun()


@st.fragment(run_every=1)
def watch(row: Asset, seen: str) -> None:
    """Runs the whole page again when the build has moved; costs one small question."""
    with context.scope() as s:
        build = environments.build_of(s, row)
    if state(build) != seen:
        st.rerun()


def state(build: Build | None) -> str:
    return f"{build.status}:{build.desired}:{build.digest}" if build else ""


def tabs(row: Asset, build: Build | None, versions: list[Asset]) -> None:
    """Only the open one is run; which one is open is in the address."""
    wanted = TABS.get(address.text("tab"), TABS["details"])
    st.session_state["_environment_tab"] = wanted

    def chosen() -> None:
        key = next(key for key, label in TABS.items() if label == st.session_state["_environment_tab"])
        address.put(tab="" if key == "details" else key, file=None, package=None)

    made = st.tabs(list(TABS.values()), key="_environment_tab", on_change=chosen)
    shows: dict[str, Callable[[], None]] = {
        "Details": lambda: env_tabs.details(row, build, versions),
        "Context": lambda: env_tabs.files(row),
        "Build log": lambda: env_tabs.log(row, build),
        "Packages": lambda: env_tabs.packages(row, build),
        "Consume": lambda: env_tabs.consume(row, build),
        "Jobs": lambda: env_tabs.jobs(row),
    }
    for tab, label in zip(made, TABS.values(), strict=True):
        if label == wanted:
            with tab:
                shows[label]()


def version_box(versions: list[Asset], row: Asset) -> None:
    """The version dropdown beside the title."""
    names = [each.version for each in versions]
    box = f"_version:{row.name}"
    st.session_state[box] = row.version
    st.selectbox(
        "Version",
        names,
        key=box,
        format_func=lambda version: f"Version {version}",
        label_visibility="collapsed",
        width=150,
        on_change=lambda: address.put(version=st.session_state[box], file=None),
    )


name = address.text("name")
with context.scope() as scope:
    versions = environments.versions(scope, name)
wanted = address.text("version")
row = next((each for each in versions if each.version == wanted), versions[0])
with context.scope() as scope:
    build = environments.build_of(scope, row)
crumbs = [("Environments", context.link("environments"))]
with parts.header(name, crumbs=crumbs, after=parts.chip(envforms.built(build)), below=row.description or None):
    version_box(versions, row)
    actions(row, build)
if row.archived_at:
    parts.banner("gray", "This version is archived: lists leave it out unless they include archived ones.")
if build is not None and build.status == "Failed":
    env_tabs.failure(row, build)
if build is not None and (build.status in environments.WAITING or build.desired != "build"):
    watch(row, state(build))
tabs(row, build, versions)
