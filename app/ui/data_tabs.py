"""The tabs of one data asset: details, preview, profile, versions compared, how it is used, by which jobs."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

import streamlit as st

from app import context
from app.ui import address, data_tables, joblist, parts, routes, tree, viewer
from app.ui.text import Markup, join, plain, size, tag
from services import assets, data, previews
from services.core.errors import AtelierError
from services.engines import tables
from services.engines.contents import Listing
from services.engines.files import File
from services.specs import source
from services.store.rows import Asset

LISTED = 500
MOMENT = timedelta(seconds=1)
READ = "azureml:{name}:{version}"


def details(row: Asset, versions: Sequence[Asset]) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left:
        _files(row)
    with context.scope() as s:
        labels, maker = assets.labels_of(s, row), data.maker(s, row)
    made_by = tag("a", maker.display_name or maker.name, href=context.link("job", job=maker.name)) if maker else None
    reference = READ.format(name=row.name, version=row.version)
    facts = [
        ("Type", row.type),
        ("Reference", tag("span", reference, cls="at-mono")),
        ("Source", tag("span", plain(row.path), cls="at-mono")),
        ("Made by", made_by),
        ("Size", size(row.facts["size"]) if "size" in row.facts else None),
        ("Files", f"{row.facts['files']:,}" if "files" in row.facts else None),
        ("Content hash", tag("span", row.hash[:16], cls="at-mono") if data.is_kept(row) else None),
        ("Labels", parts.tags(dict.fromkeys(labels, "")) if labels else None),
        ("Created", parts.ago(row.created_at)),
        ("Created by", row.created_by),
        ("Modified", parts.ago(row.updated_at) if row.updated_at - row.created_at > MOMENT else None),
        ("Tags", parts.tags(row.tags) if row.tags else None),
        ("Properties", parts.tags(row.properties) if row.properties else None),
    ]
    right.html(parts.panel("Details", parts.properties(facts)))
    lines = [
        (
            tag("a", each.version, href=address.changed(version=each.version)),
            parts.ago(each.created_at),
            f"{each.created_by} (archived)" if each.archived_at else each.created_by,
        )
        for each in versions
    ]
    right.html(parts.panel("Versions", parts.rows(("Version", "Created", "By"), lines)))


def preview(row: Asset) -> None:
    """Files at the left, the first look at the chosen one at the right."""
    seen = _view(row)
    if seen is None:
        return
    listing = _listing(seen)
    if listing is None:
        return
    chosen = address.text("file") or ("" if row.type == "mltable" else previews.first(listing))
    if len(listing.files) > 1:
        left, right = st.columns([1, 3], gap="small")
        drawn = tree.drawn(_as_files(listing), lambda path: address.changed(file=path), chosen)
        left.html(parts.panel("Files", drawn, _count(listing)))
    else:
        right = st.container()
    with right:
        _previewed(row, seen, chosen)


def profile(row: Asset) -> None:
    seen = _view(row)
    if seen is None:
        return
    state = previews.profile(seen)
    if state.is_under_way:
        _watch_profile(seen)
        return
    found = tables.Profile.from_json(state.result) if state.status == "Ready" and state.result is not None else None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        if found is not None:
            when = "" if seen.is_kept else f" · of the files {parts.spoken_ago(state.made_at)}" if state.made_at else ""
            parts.section("Profile", f"{data_tables.profiled(found)}{when}")
        else:
            parts.section("Profile")
        label = "Generate profile" if found is None else "Generate again"
        if parts.act(label, "datasets/versions/read", glyph="bar_chart", primary=found is None):
            with context.told():
                previews.ask_profile(seen, anew=True)
            st.rerun()
    if state.status == "Failed":
        parts.banner("red", state.error)
    if found is None:
        sentence = "Type, missing and distinct values, quantiles, moments and a histogram of every column."
        cli = f"atelier data profile --name {row.name} --version {row.version}"
        parts.empty("bar_chart", "No profile yet", sentence, cli=cli)
        return
    _notes(found.notes)
    st.html(data_tables.profile(found))


def compare(row: Asset, versions: Sequence[Asset]) -> None:
    others = [each.version for each in versions if each.version != row.version]
    if not others:
        parts.empty("compare_arrows", "One version only", "Make another, and what changed is shown here.")
        return
    later = [each.version for each in versions[[each.version for each in versions].index(row.version) + 1 :]]
    asked = address.text("with")
    wanted = asked if asked in others else (later or others)[0]
    with st.container(horizontal=True, vertical_alignment="center"):
        _from_box(others, wanted, row)
        place = st.container()
    old = next(each for each in versions if each.version == wanted)
    before, after = _view(old), _view(row)
    if before is None or after is None:
        return
    state = previews.diff(before, after)
    if state.is_under_way:
        _watch_diff(before, after)
        return
    with place:
        label = "Compare" if state.status != "Ready" else "Compare again"
        if parts.act(label, "datasets/versions/read", glyph="compare_arrows", primary=state.status != "Ready"):
            with context.told():
                previews.ask_diff(before, after, anew=True)
            st.rerun()
    if state.status == "Failed":
        parts.banner("red", state.error)
    if state.status == "Ready" and state.result is not None:
        _compared(tables.Diff.from_json(state.result))


def _from_box(others: Sequence[str], wanted: str, row: Asset) -> None:
    """Which version is the old one; in the address as `with`."""
    box = f"_data_with:{row.id}"
    st.session_state[box] = wanted
    st.selectbox(
        "Compare with",
        others,
        key=box,
        format_func=lambda version: f"Version {version} → {row.version}",
        label_visibility="collapsed",
        width=180,
        on_change=lambda: address.put(**{"with": st.session_state[box]}),
    )


def consume(row: Asset) -> None:
    """What to write in a job, in Python and at the command line."""
    reference = READ.format(name=row.name, version=row.version)
    inputs = {"inputs": {"data": {"type": row.type, "path": reference}}}
    parts.section("In a job's YAML", "the path to the data stands in ${{inputs.data}}")
    st.code(source.dump({"command": "python train.py --data ${{inputs.data}}", **inputs}), language="yaml")
    parts.section("In the script", "that the job runs")
    st.code(_script(row), language="python")
    parts.section("On the command line")
    named = f"--name {row.name} --version {row.version}"
    lines = (f"atelier data show {named}", f"atelier data download {named} --download-path .")
    st.code("\n".join(lines), language="bash")


def jobs(row: Asset) -> None:
    with context.scope() as s:
        readers, maker = data.readers(s, row), data.maker(s, row)
    found = list({reader.job.id: reader.job for reader in readers}.values())
    nothing = "No job has read this version."
    st.html(parts.panel("Read by", joblist.lines(found, nothing), f"version {row.version}"))
    if maker is not None:
        st.html(parts.panel("Made by", joblist.lines([maker], "")))


def _files(row: Asset) -> None:
    seen = _view(row)
    listing = _listing(seen) if seen is not None else None
    if listing is None:
        return
    lines = [
        (
            tag("a", plain(file.path, 300), href=address.changed(tab="preview", file=file.path)),
            size(file.size),
            _download(row, file.path),
        )
        for file in listing.files[:LISTED]
    ]
    if not lines:
        st.html(parts.panel("Files", tag("div", "There are no files.", cls="at-none")))
        return
    drawn = parts.rows(("Path", "Size", ""), lines, numbers=frozenset({1}))
    rest = len(listing.files) - LISTED
    if rest > 0 or not listing.is_whole:
        cli = f"atelier data download --name {row.name} --version {row.version}"
        more = f"{rest:,} more" if rest > 0 and listing.is_whole else "There are more files"
        drawn = join((drawn, tag("p", f"{more}; all of them come with: ", tag("code", cli), cls="at-none")))
    st.html(parts.panel("Files", drawn, f"{_count(listing)} · {size(listing.size)}"))


def _download(row: Asset, path: str) -> Markup:
    link = routes.data(row.name, row.version, path)
    label = f"Download {path}"
    return tag("a", parts.icon("download"), href=link, download=True, aria_label=label) if link else Markup("")


def _previewed(row: Asset, seen: previews.View, path: str) -> None:
    try:
        with st.spinner("Reading…", show_time=False):
            found = previews.preview(seen, path)
    except AtelierError as error:
        _head(row, seen, path, "")
        context.show(error)
        return
    if row.type == "mltable" and not path:
        st.html(tag("div", tag("b", "The table of MLTable"), tag("span", _said(found)), cls="at-filehead"))
    else:
        _head(row, seen, found.path, _said(found))
    _notes(found.notes)
    match found:
        case tables.TablePreview():
            st.html(data_tables.rows(found))
        case tables.TextPreview():
            language = viewer.LANGUAGES.get(PurePosixPath(found.path).suffix.lower())
            height: Literal["content"] | int = 560 if found.text.count("\n") > 28 else "content"
            st.code(found.text or " ", language=language, line_numbers=True, height=height)
        case tables.ImagePreview():
            if found.content is not None:
                st.image(found.content)
        case tables.NotebookPreview():
            _notebook(found)
        case tables.PdfPreview():
            st.html(tag("div", "Download it to read it.", cls="at-none at-panel"))
        case tables.BinaryPreview():
            st.html(tag("div", found.reason, tag("div", found.magic, cls="at-mono"), cls="at-none at-panel"))


def _said(found: tables.Preview) -> str:
    match found:
        case tables.TablePreview():
            return data_tables.said(found)
        case tables.TextPreview():
            return f"{size(found.size)} · {found.encoding}{' · the start of it' if found.truncated else ''}"
        case tables.ImagePreview():
            return f"{found.width} × {found.height} · {found.format} · {size(found.size)}"
        case tables.NotebookPreview():
            return f"{len(found.cells)} cells · {found.language} · {size(found.size)}"
        case tables.PdfPreview():
            pages = "" if found.pages is None else f"{found.pages} {'page' if found.pages == 1 else 'pages'} · "
            return f"{pages}{size(found.size)}"
        case tables.BinaryPreview():
            return size(found.size)


def _notebook(found: tables.NotebookPreview) -> None:
    """As text: nothing that a notebook holds is ever run or drawn."""
    for cell in found.cells:
        if cell.type == "code":
            st.code(cell.source or " ", language=found.language if found.language == "python" else None)
        else:
            st.html(tag("div", plain(cell.source, 20_000), cls="at-pre"))
        for output in cell.outputs:
            st.html(tag("div", tag("pre", plain(output, 20_000)), cls="at-output"))


def _head(row: Asset, seen: previews.View, path: str, said: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(tag("div", tag("b", plain(path, 300)), tag("span", said), cls="at-filehead"))

        def opened() -> tuple[BinaryIO, int]:
            return seen.contents.opened(path)

        link = routes.data(row.name, row.version, path)
        if link:
            viewer.download(path, 0, opened, link)
        else:
            with context.told():
                file, count = opened()
                file.close()
                viewer.download(path, count, opened, link)


def _compared(found: tables.Diff) -> None:
    stats = [tag("div", tag("small", name), tag("b", value)) for name, value in data_tables.facts(found)]
    st.html(tag("div", *stats, cls="at-stats"))
    _notes(found.notes)
    for title, drawn in (
        ("Schema", data_tables.schema(found)),
        ("Files", data_tables.files(found)),
        ("Values of the columns that both have", data_tables.drift(found)),
    ):
        if drawn is not None:
            st.html(parts.panel(title, drawn))
    if not (found.is_tabular or found.files_added or found.files_removed or found.files_changed):
        st.html(tag("div", "All files are the same.", cls="at-none at-panel"))


@st.fragment(run_every=1)
def _watch_profile(seen: previews.View) -> None:
    """Runs the page again when it is there."""
    _progress(previews.profile(seen), "Computing the profile")


@st.fragment(run_every=1)
def _watch_diff(before: previews.View, after: previews.View) -> None:
    _progress(previews.diff(before, after), "Comparing")


def _progress(state: previews.State, doing: str) -> None:
    if not state.is_under_way:
        st.rerun()
    waiting = "Waiting for its turn" if state.status == "Queued" else f"{doing}: {state.progress:.0%}"
    st.progress(state.progress, waiting)


def _view(row: Asset) -> previews.View | None:
    """What went wrong stands on the page when there is none."""
    with context.told(), context.scope() as s:
        return previews.view(s, row)
    return None


def _listing(seen: previews.View) -> Listing | None:
    with context.told():
        return seen.contents.listing()
    return None


def _as_files(listing: Listing) -> list[File]:
    return [File(file.path, file.size, 0.0) for file in listing.files]


def _count(listing: Listing) -> str:
    more = "" if listing.is_whole else "more than "
    return f"{more}{len(listing.files):,} {'file' if len(listing.files) == 1 else 'files'}"


def _notes(notes: Sequence[str]) -> None:
    if notes:
        st.html(tag("div", *(tag("div", note) for note in notes), cls="at-notice", data_tone="gray"))


def _script(row: Asset) -> str:
    head = "import argparse\n\nparser = argparse.ArgumentParser()\nparser.add_argument('--data')\n"
    head += "data = parser.parse_args().data\n"
    if row.type == "uri_file":
        return f"import pandas as pd\n{head}frame = pd.read_csv(data)\n"
    if row.type == "mltable":
        return f"import mltable\n{head}frame = mltable.load(data).to_pandas_dataframe()\n"
    return f"from pathlib import Path\n{head}for path in Path(data).rglob('*'):\n    print(path)\n"
