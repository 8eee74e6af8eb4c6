"""New data asset: type, source, settings, review; the files go straight to the studio's disk."""

import streamlit as st

from app import context
from app.ui import address, data_forms, parts
from app.ui.text import Markup
from services.core.errors import AtelierError
from services.store.rows import Asset

SHOWS = {
    "type": data_forms.type_step,
    "source": data_forms.source_step,
    "settings": data_forms.settings_step,
    "review": data_forms.review_step,
}


def buttons(now: str) -> None:
    """Back, and on: or the end of it."""
    order = list(data_forms.STEPS)
    place = order.index(now)
    with st.container(horizontal=True):
        if place and st.button("Back"):
            moved(order[place - 1])
        if now != order[-1]:
            if st.button("Next", type="primary"):
                if complaint := data_forms.complaint(now):
                    parts.banner("orange", complaint)
                else:
                    moved(order[place + 1])
        elif parts.act("Create", "datasets/versions/write", glyph="add", primary=True):
            finish()


def moved(step: str) -> None:
    address.put(step=step)
    st.rerun()


def finish() -> None:
    made: Asset | None = None
    try:
        made = data_forms.create()
    except AtelierError as error:
        context.show(error)
    if made is not None:
        data_forms.over()
        context.done(f"Data asset '{made.name}:{made.version}' was created.")
        context.go("data_asset", name=made.name, version=made.version)


name = address.text("name")
data_forms.begin(name)
crumbs = [("Data", context.link("data"))]
if name:
    crumbs.append((name, context.link("data_asset", name=name)))
with parts.header("New version" if name else "New data asset", crumbs=crumbs):
    parts.cli("atelier data create --name iris --type uri_folder --path ./iris", "atelier data create -f data.yml")
now = data_forms.step()
steps: Markup = data_forms.stepper(now)
st.html(steps)
with st.container(width=720):
    SHOWS[now]()
    buttons(now)
