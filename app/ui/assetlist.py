"""The list that data, environments, components and models share: search, type, archived, sort, pages, bulk actions."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import context
from app.ui import address, confirm, parts, table
from services import assets
from services.assets import NOUN, AssetQuery
from services.core.errors import AtelierError
from services.core.paging import Page, cursor_at
from services.core.states import AssetKind
from services.store.rows import Asset
from services.studio import Scope

SIZE = 50


def show(
    kind: AssetKind,
    columns: Sequence[table.Column],
    row: Callable[[Scope, Asset], table.Row],
    *,
    noun: str,
    nothing: Callable[[], None],
    types: Sequence[str] = (),
    mine: str = "",
) -> None:
    """The tool bar and one page of the latest versions; `nothing` draws what a workspace without any shows.

    With `mine`, as the person calls them, a switch leaves out what others made.

    Rows must have the asset's name as their id. Columns sort by the words of `assets.ORDERS`.
    """
    query = _asked(noun, types, mine)
    with context.scope() as s:
        page, total = assets.listed(s, kind, query), assets.counted(s, kind, query)
        rows = [row(s, asset) for asset in page.rows]
    if not rows:
        if query.search or query.type or query.created_by or query.include_archived:
            parts.empty("filter_alt_off", f"No {noun} match", "Try another word, or take a filter away.")
        else:
            nothing()
        return
    _table(kind, columns, rows, page, query, total, noun)


def _asked(noun: str, types: Sequence[str], mine: str) -> AssetQuery:
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        search = address.search(placeholder=f"Search {noun}")
        type_ = address.one_of("type", "Type", types) if types else ""
        is_mine = address.switch("mine", mine) if mine else False
        archived = address.switch("archived", "Include archived")
    order = address.text("sort", "-created_at")
    return AssetQuery(
        search=search,
        type=type_,
        created_by=context.principal().name if is_mine else "",
        include_archived=archived,
        order_by=order if order.removeprefix("-") in assets.ORDERS else "-created_at",
        limit=SIZE,
        cursor=cursor_at((address.number("page", 1) - 1) * SIZE),
    )


def _table(
    kind: AssetKind,
    columns: Sequence[table.Column],
    rows: Sequence[table.Row],
    page: Page[Asset],
    query: AssetQuery,
    total: int,
    noun: str,
) -> None:
    bar = st.container(horizontal=True, key="bulk")
    picked = table.show(
        noun.replace(" ", "_"),
        columns,
        rows,
        label=noun.capitalize(),
        order=query.order_by,
        selectable=True,
        pager=table.Pager((address.number("page", 1) - 1) * SIZE, SIZE, bool(page.next_cursor), total, noun),
        reset=context.recall("assets_reset") or 0,
    )
    chosen = [asset for asset in page.rows if asset.name in picked.ids]
    if chosen:
        with bar:
            _bulk(kind, chosen)


def _bulk(kind: AssetKind, chosen: Sequence[Asset]) -> None:
    parts.section(f"{len(chosen)} selected")
    names, all_archived = [asset.name for asset in chosen], all(asset.archived_at for asset in chosen)
    verb = "Restore" if all_archived else "Archive"
    if parts.act(verb, f"{NOUN[kind]}/write", glyph="archive"):
        _each(names, lambda s, name: assets.archive(s, kind, name, restore=all_archived), f"{verb.lower()}d")
        st.rerun()
    if parts.act("Delete", f"{NOUN[kind]}/delete", glyph="delete"):

        def forget(scope: Scope, name: str) -> None:
            for asset in assets.versions(scope, kind, name):
                assets.remove(scope, asset)

        phrase = names[0] if len(names) == 1 else f"delete {len(names)}"
        sentence = "All versions that nothing uses are forgotten; the files that they name stay where they are."
        confirm.confirm(sentence, phrase, "Delete", lambda: _each(names, forget, "deleted"))


def _each(names: Sequence[str], do: Callable[[Scope, str], object], past: str) -> None:
    """One transaction for each, so that one refusal does not undo the others."""
    refused: list[str] = []
    for name in names:
        try:
            with context.scope(write=True) as s:
                do(s, name)
        except AtelierError as error:
            refused.append(error.message)
    if len(refused) < len(names):
        context.done(f"{len(names) - len(refused)} {past}.")
    if refused:
        context.done(f"{len(refused)} refused: {refused[0]}", icon=":material/error:")
    context.remember("assets_reset", (context.recall("assets_reset") or 0) + 1)
