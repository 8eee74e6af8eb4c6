"""Images of a run: those of one key side by side with the others, and a slider along the steps."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import streamlit as st

from app import context
from app.ui import address, parts, routes
from app.ui.text import Markup, join, plain, tag
from services import run_files
from services.core.errors import AtelierError
from services.run_files import Image

MOST_KEYS = 60
LARGEST = 8 << 20


def found(name: str) -> list[Image]:
    """All pictures of one run."""
    with context.scope() as s:
        return run_files.images(s, [name]).get(name, [])


def show(name: str, pictures: Sequence[Image]) -> None:
    """Each key at the chosen step, or at the last one before it."""
    by_key: dict[str, list[Image]] = {}
    for each in pictures:
        by_key.setdefault(each.key, []).append(each)
    keys = list(by_key)
    if len(keys) > 1:
        wanted = address.search("image", placeholder="Search images").casefold()
        keys = [key for key in keys if wanted in key.casefold()]
    steps = sorted({each.step for key in keys for each in by_key[key]})
    _at_a_step(name, {key: by_key[key] for key in keys[:MOST_KEYS]}, steps)
    if len(keys) > MOST_KEYS:
        st.html(tag("p", f"{len(keys) - MOST_KEYS:,} more are not shown: search for them.", cls="at-none"))


@st.fragment
def _at_a_step(name: str, by_key: Mapping[str, Sequence[Image]], steps: Sequence[int]) -> None:
    step = steps[-1] if steps else 0
    if len(steps) > 1:
        step = st.select_slider("Step", steps, value=_remembered(steps), key="image_step", on_change=_remember)
    shown = [_at(images, step) for images in by_key.values()]
    if context.behind_gate():
        st.html(tag("div", *(_figure(name, each) for each in shown), cls="at-images"))
        return
    with st.grid(3, gap="small"):
        for each in shown:
            _through_streamlit(name, each)


def _at(images: Sequence[Image], step: int) -> Image:
    """The one of this step; else the last before it, else the first of all."""
    place = bisect_right([each.step for each in images], step) - 1
    return images[max(place, 0)]


def _figure(name: str, image: Image) -> Markup:
    whole = routes.run_artifact(name, image.path)
    source = routes.run_artifact(name, image.small) if image.small else whole
    picture = tag("img", src=source, alt=plain(f"{image.key}, step {image.step}", 200), loading="lazy")
    caption = tag("figcaption", tag("b", plain(image.key, 120)), tag("small", f"step {image.step}"))
    return tag("figure", tag("a", picture, href=whole, download=True, title="Download"), caption)


def _through_streamlit(name: str, image: Image) -> None:
    """Without a server of ours."""
    try:
        with context.scope() as s:
            file, size = run_files.opened(s, name, image.small or image.path)
    except AtelierError as error:
        context.show(error)
        return
    with file:
        content = file.read(LARGEST)
    st.html(join((tag("b", plain(image.key, 120)), " ", tag("small", f"step {image.step}"))))
    if size <= LARGEST:
        st.image(content)
    else:
        parts.empty("image", "Too large", "Open it among the run's files.")


def _remembered(steps: Sequence[int]) -> int:
    """The step of the address, or the nearest one before it; the last when it names none."""
    told = address.text("step")
    if not told.removeprefix("-").isdecimal() or len(told) > 18:
        return steps[-1]
    return steps[max(bisect_right(steps, int(told)) - 1, 0)]


def _remember() -> None:
    address.put(step=str(st.session_state["image_step"]))
