"""What the pages of data, environments, components and models share: which version is open, and what is done to one."""

from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import address, changes, confirm, parts
from app.ui.text import plain, tag
from services import assets
from services.assets import NOUN, Use
from services.core.errors import NotFound
from services.core.states import AssetKind
from services.store.rows import Asset


def chosen(versions: Sequence[Asset]) -> Asset:
    """The version in the address, else the latest that is not archived. Raises NotFound."""
    wanted, newest = address.text("version"), latest(versions) or versions[0]
    if not wanted:
        return newest
    found = next((each for each in versions if each.version == wanted), None)
    if found is None:
        kind = assets.spoken(newest.kind).capitalize()
        raise NotFound(f"{kind} '{newest.name}' has no version '{wanted[:80]}'.")
    return found


def latest(versions: Sequence[Asset]) -> Asset | None:
    """The newest that is not archived."""
    return next((each for each in versions if each.archived_at is None), None)


def version_box(row: Asset, versions: Sequence[Asset], *, marked: Asset | None = None) -> None:
    """The drop-down of versions; which one is open is in the address, and `marked` is said to be the latest."""
    key = f"_version:{row.kind}:{row.name}"
    st.session_state[key] = row.version

    def said(version: str) -> str:
        return f"Version {version}{' (latest)' if marked is not None and version == marked.version else ''}"

    def changed() -> None:
        address.put(version=st.session_state[key], file=None, **{"with": None})

    st.selectbox(
        "Version",
        [each.version for each in versions],
        key=key,
        format_func=said,
        label_visibility="collapsed",
        on_change=changed,
        width=150 if marked is None else 190,
    )


def lineage(row: Asset) -> None:
    link = context.link("lineage", kind=row.kind, id=row.id)
    st.html(parts.button("Lineage", link, glyph="account_tree"), width="content")


def archived(row: Asset) -> None:
    """Says so where it is."""
    if row.archived_at:
        parts.banner("gray", "This version is archived: lists leave it out unless they include archived ones.")


def archive(row: Asset) -> None:
    """The button that archives or restores."""
    kind, restoring = AssetKind(row.kind), row.archived_at is not None
    if parts.act("Restore" if restoring else "Archive", f"{NOUN[kind]}/write", glyph="archive"):
        changes.changed(
            f"'{assets.named(row)}' was {'restored' if restoring else 'archived'}.",
            lambda s: assets.archive(s, kind, row.name, row.version, restore=restoring),
        )


def delete(row: Asset, screen: str, sentence: str) -> None:
    """The button that deletes what nothing uses, after `sentence`, and shows what would break of the rest."""
    if using := _asked_to_delete(row):
        _used(using)
    elif using is not None:
        _confirm(row, screen, sentence, "The version was deleted.")


def delete_or_say(row: Asset, screen: str, sentence: str) -> None:
    """The same with what would break in the question itself."""
    using = _asked_to_delete(row)
    if using is None:
        return
    if using:
        breaks = ", ".join(f"{use.kind} {use.name}" for use in using[:8])
        sentence = f"It is used by {breaks}: it cannot be deleted, only archived."
    _confirm(row, screen, sentence, f"Version {row.version} was deleted.")


def _asked_to_delete(row: Asset) -> list[Use] | None:
    """What uses it, once the button is pressed."""
    if not parts.act("Delete", f"{NOUN[AssetKind(row.kind)]}/delete", glyph="delete"):
        return None
    with context.scope() as s:
        return assets.uses(s, row)


def _confirm(row: Asset, screen: str, sentence: str, past: str) -> None:
    def remove() -> None:
        with context.scope(write=True) as s:
            assets.remove(s, assets.get_by_id(s, row.id))

    def gone() -> None:
        context.done(past)
        context.want(screen, ws=context.workspace_name())

    confirm.confirm(sentence, assets.named(row), "Delete", remove, then=gone)


@st.dialog("It is used")
def _used(using: Sequence[Use]) -> None:
    st.html(tag("p", "This version cannot be deleted. What would break:", cls="at-muted"))
    lines = [(use.kind.capitalize(), plain(use.name, 200), plain(use.role, 80)) for use in using[:50]]
    st.html(parts.rows(("What", "Name", "As"), lines))
    st.html(tag("p", "Archive it instead: it is hidden then, and what uses it still works.", cls="at-muted"))
