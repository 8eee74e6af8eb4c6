"""Environments: what jobs run in; the workspace's own, the cloud's curated ones, and what they take on the disk."""

import streamlit as st

from app import context
from app.ui import address, assetlist, confirm, envforms, parts, table
from app.ui.text import size, tag
from services import environments
from services.core.states import AssetKind
from services.specs import environments as specs
from services.store.rows import Asset
from services.studio import Scope

COLUMNS = [
    table.Column("Name", "link", "name"),
    table.Column("Version", "code", "version"),
    table.Column("Image", "code"),
    table.Column("Build", "status"),
    table.Column("Created", "time", "created_at"),
    table.Column("Modified", "time", "updated_at"),
    table.Column("Created by", sort="created_by"),
    table.Column("Tags", "tags"),
]
CURATED = [table.Column("Name", "link"), table.Column("Description"), table.Column("Packages"), table.Column("From")]
IMAGES = [table.Column("Environment", "code"), table.Column("Size", "size"), table.Column("Stays because")]


def row(scope: Scope, environment: Asset) -> table.Row:
    href = context.link("environment", name=environment.name)
    cells = [
        table.link(environment.name, href, "archived" if environment.archived_at else ""),
        environment.version,
        environment.spec.get("image") or "build context",
        table.status(envforms.built(environments.build_of(scope, environment))),
        table.time(environment.created_at),
        table.time(environment.updated_at),
        environment.created_by,
        table.tags(environment.tags),
    ]
    return table.Row(environment.name, cells, href)


def nothing() -> None:
    parts.empty(
        "deployed_code",
        "No environments yet",
        "An environment is an image with the packages that a job needs. Jobs may also name an image directly.",
        cli="atelier environment create --name train --image python:3.11",
    )


def custom() -> None:
    assetlist.show(AssetKind.environment, COLUMNS, row, noun="environments", nothing=nothing)


def curated() -> None:
    st.html(
        tag(
            "div",
            "The cloud's own environments, by the names that YAML in the wild gives them. Jobs may name them as they "
            "are; maps.yml can map further ones. Open one to make your own of it.",
            cls="at-muted",
        )
    )
    with context.scope() as s:
        found = environments.curated(s)
    lines = []
    for each in found:
        definition, href = each.definition, address.changed(new="1", curated=each.name)
        packages = specs.translate(definition.conda_file).packages if isinstance(definition.conda_file, dict) else []
        names = ", ".join(package.partition(";")[0].strip() for package in packages)
        origin = "Atelier" if each.is_shipped else "maps.yml"
        cells = [table.link(each.name, href, each.references[0]), definition.description or "", names, origin]
        lines.append(table.Row(each.name, cells, href))
    table.show("curated", CURATED, lines, label="Curated environments")


def disk() -> None:
    """What images take; the button removes those that nothing needs, after it was shown which they are."""
    with context.scope() as s:
        kept = environments.disk(s)
    free = [each for each in kept if not each.holder]
    total, reclaimable = sum(each.size for each in kept), sum(each.size for each in free)
    facts = [("Images", str(len(kept))), ("Take", size(total)), ("Can be reclaimed", size(reclaimable))]
    st.html(tag("div", *(tag("div", tag("b", value), tag("small", name)) for name, value in facts), cls="at-stats"))
    with st.container(horizontal=True, key="disk_actions"):
        parts.cli("atelier environment disk", "atelier environment prune --dry-run")
        blocked = "" if free else "Every image is needed."
        if parts.act("Reclaim", "environments/build/action", glyph="cleaning_services", blocked=blocked):
            sentence = (
                f"{len(free)} images that nothing needs are removed; {size(reclaimable)} come free. "
                "They are built again when a job needs them."
            )
            confirm.confirm(sentence, "reclaim", "Reclaim", reclaim)
    if not kept:
        parts.empty("hard_drive", "No images yet", "What is built for this workspace is counted here.")
        return
    lines = [
        table.Row(
            each.build_id,
            [", ".join(each.environments) or "made for a job", each.size, each.why or "nothing needs it"],
        )
        for each in kept
    ]
    table.show("images", IMAGES, lines, label="Images")


def reclaim() -> None:
    with context.scope(write=True) as s:
        going = environments.prune(s, dry_run=False)
    context.done(f"{len(going)} images are being removed: {size(sum(each.size for each in going))}.")


TABS = {"custom": ("Custom environments", custom), "curated": ("Curated environments", curated), "disk": ("Disk", disk)}


def tabs() -> None:
    labels = [label for label, _ in TABS.values()]
    wanted = TABS.get(address.text("tab"), TABS["custom"])[0]
    st.session_state["_environments_tab"] = wanted

    def chosen() -> None:
        label = st.session_state["_environments_tab"]
        key = next(key for key, (each, _) in TABS.items() if each == label)
        address.put(tab="" if key == "custom" else key, page=None)

    made = st.tabs(labels, key="_environments_tab", on_change=chosen)
    for tab, (label, show) in zip(made, TABS.values(), strict=True):
        if label == wanted:
            with tab:
                show()


def listing() -> None:
    with parts.header("Environments"):
        parts.cli(
            "atelier environment list",
            "atelier environment curated",
            "atelier environment create -f environment.yml",
        )
        if parts.act("New environment", "environments/write", glyph="add", primary=True):
            address.put(new=True)
            st.rerun()
    tabs()


def new() -> None:
    crumbs = [("Environments", context.link("environments"))]
    opened = envforms.start()
    with parts.header(opened.name if not opened.is_new else "New environment", crumbs=crumbs):
        parts.cli("atelier environment create -f environment.yml", "atelier environment build --name NAME --stream")
    envforms.editor()


if address.flag("new"):
    new()
else:
    listing()
