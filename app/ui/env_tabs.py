"""The tabs of one environment: details, context, build log, packages, consume, jobs."""

import streamlit as st

from app import context
from app.ui import address, envforms, joblist, parts, table, tree
from app.ui.text import Markup, plain, size, tag
from services import environments, uploads
from services.core.errors import AtelierError
from services.engines.files import File
from services.specs import source
from services.store.rows import Asset, Build

TAIL = 200_000
AROUND = 3
FITS = 22
EDITABLE = 256 << 10


def details(row: Asset, build: Build | None, versions: list[Asset]) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left:
        parts.section("Definition", f"version {row.version}")
        st.code(source.dump(definition(row)), language="yaml", wrap_lines=True)
        st.html(parts.panel("Made of", parts.properties(_made_of(row)), "after the image map, in pip's words"))
    lines = [
        (
            tag("a", each.version, href=address.changed(version=each.version)),
            parts.ago(each.created_at),
            f"{each.created_by} (archived)" if each.archived_at else each.created_by,
        )
        for each in versions
    ]
    facts: list[tuple[str, str | None]] = [
        ("Reference", tag("span", f"azureml:{row.name}:{row.version}", cls="at-mono")),
        ("Hash", row.hash[:16]),
        ("Created by", row.created_by),
        ("Tags", parts.tags(row.tags) if row.tags else None),
    ]
    if build is not None:
        facts += [
            ("Image", build.image),
            ("Digest", build.digest),
            ("On disk", size(build.size) if build.size else None),
            ("Engine", build.engine),
            ("Packages", str(len(build.packages)) if build.packages else None),
            ("Built in", parts.duration(build.started_at, build.finished_at) if build.finished_at else None),
        ]
    right.html(parts.panel("Details", parts.properties(facts)))
    right.html(parts.panel("Versions", parts.rows(("Version", "Created", "By"), lines)))


def definition(row: Asset) -> dict[str, object]:
    found = {key: value for key, value in row.spec.items() if key != "hash"}
    if "build" in found:
        found["build"] = {"path": ".", "dockerfile_path": found["build"]["dockerfile_path"]}
    return found


def _made_of(row: Asset) -> list[tuple[str, str | None]]:
    """What the builder is told: the answer to why a package is there that nobody wrote down."""
    try:
        wish = environments.wish(context.studio(), row)
    except AtelierError as error:
        return [("Cannot be built", error.message)]
    bases = [wish.base] if wish.base else [f"{name} → {used}" for name, used in sorted(wish.froms.items())]
    return [
        ("Base", ", ".join(bases)),
        ("Python", wish.python),
        ("Packages", ", ".join(wish.requirements)),
        ("Options", " ".join(wish.pip_options)),
        ("Notes", " ".join(wish.notes)),
    ]


def failure(row: Asset, build: Build) -> None:
    """Above all tabs: why the last build failed and what to try."""
    with context.scope() as s:
        said = environments.diagnosis(s, build)
    if said is None:
        return
    where = tag("a", f"line {said.number} of the log", href=address.changed(tab="log")) if said.number else None
    st.html(
        tag(
            "div",
            tag("b", f"Version {row.version} could not be built: {said.cause}."),
            tag("span", plain(said.line.strip(), 400), cls="at-mono"),
            tag("span", said.remedy),
            tag("span", where) if where else None,
            cls="at-notice",
            data_tone="red",
            role="alert",
        )
    )


def log(row: Asset, build: Build | None) -> None:
    """Grows by itself while it is written."""
    if build is None:
        parts.empty(
            "construction",
            "Not built yet",
            "It is built when a job first needs it, or now.",
            cli=f"atelier environment build --name {row.name} --version {row.version} --stream",
        )
        return
    is_live = build.status in environments.WAITING

    @st.fragment(run_every=1 if is_live else None)
    def growing() -> None:
        with context.scope() as s:
            path = environments.build_log(s, build)
        text = path.read_bytes()[-TAIL:].decode("utf-8", "replace") if path.is_file() else ""
        if not text:
            words = "The worker begins in a moment." if is_live else "Its image was there already; nothing was built."
            st.html(tag("div", words, cls="at-none"))
            return
        parts.section("Log", "as it is written" if is_live else "")
        st.code(text, language=None, height=460 if text.count("\n") > FITS else "content", wrap_lines=True)

    _analysis(build)
    growing()


def _analysis(build: Build) -> None:
    with context.scope() as s:
        said, path = environments.diagnosis(s, build), environments.build_log(s, build)
    if said is None or not said.number:
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first, last = max(said.number - 1 - AROUND, 0), said.number + AROUND
    excerpt = "\n".join(
        f"{'→' if number == said.number else ' '} {number:>4}  {line[:400]}"
        for number, line in enumerate(lines[first:last], first + 1)
    )
    parts.section("Analysis", f"{said.cause}. {said.remedy}")
    st.code(excerpt, language=None, wrap_lines=True)


def packages(row: Asset, build: Build | None) -> None:
    """What was really installed, not what was asked for."""
    installed = build.packages if build else []
    if not installed:
        parts.empty("inventory_2", "Nothing is known yet", "Once it is built, what is really installed is listed here.")
        return
    text = "".join(f"{line}\n" for line in installed)
    with st.container(horizontal=True, vertical_alignment="center", key="packages_bar"):
        found = address.search("package", placeholder="Search packages")
        st.download_button("requirements.txt", text, "requirements.txt", "text/plain", icon=":material/download:")
        st.html(tag("span", f"{len(installed)} packages · image {build.digest[:19] if build else ''}", cls="at-muted"))
    shown = [line for line in installed if found.casefold() in line.casefold()]
    left, right = st.columns([3, 2], gap="small")
    with left:
        cells = [table.Row(line, list(_name_and_version(line))) for line in shown]
        table.show("packages", [table.Column("Package"), table.Column("Version", "code")], cells, label="Packages")
    with right:
        st.code("\n".join(shown) or " ", language=None, height=460 if len(shown) > FITS else "content")


def _name_and_version(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==") if "==" in line else line.partition(" @ ")
    return name.strip(), version.strip()


def consume(row: Asset, build: Build | None) -> None:
    """To copy into YAML, and the same on the command line."""
    reference = f"azureml:{row.name}:{row.version}"
    job = {"command": "python train.py", "code": "./src", "environment": reference}
    left, right = st.columns(2, gap="small")
    with left:
        parts.section("In a job", "job.yml")
        st.code(source.dump(job), language="yaml")
        parts.section("The latest version, whichever it is")
        st.code(f"environment: azureml:{row.name}@latest", language="yaml")
    with right:
        parts.section("Command line")
        st.code(
            "atelier job create --file job.yml --stream\n"
            f"atelier environment show --name {row.name} --version {row.version}\n"
            f"atelier environment packages --name {row.name} --version {row.version} > requirements.txt",
            language="bash",
            wrap_lines=True,
        )
        if build is not None and build.digest and build.engine == "docker":
            parts.section("The very image", "on this host")
            st.code(f"docker run --rm -it {build.image} bash", language="bash", wrap_lines=True)


def jobs(row: Asset) -> None:
    with context.scope() as s:
        found = environments.jobs_of(s, row)
    st.html(parts.panel("Jobs", joblist.lines(found, "No job has used this version."), f"version {row.version}"))


def files(row: Asset) -> None:
    """Dockerfile, conda file and what else it is made of; what is changed here becomes a new version."""
    if row.snapshot_id is None:
        _inline(row)
        return
    with context.scope() as s:
        found = environments.context_files(s, row)
    dockerfile = str(row.spec["build"]["dockerfile_path"])
    chosen = address.text("file") or dockerfile
    left, right = st.columns([1, 3], gap="small")
    drawn = tree.drawn([File(each.path, each.size, 0.0) for each in found], _at_file, chosen)
    left.html(parts.panel("Context", drawn, size(sum(each.size for each in found))))
    with right:
        _file(row, chosen)


def _at_file(path: str) -> str:
    return address.changed(tab="context", file=path)


def _file(row: Asset, path: str) -> None:
    try:
        with context.scope() as s:
            data = environments.context_file(s, row, path)
    except AtelierError as error:
        context.show(error)
        return
    st.html(_head(path, len(data)))
    if b"\0" in data[:8000] or len(data) > EDITABLE:
        st.html(tag("div", "This file can be replaced by a new context, not edited here.", cls="at-none"))
        return
    text = data.decode("utf-8", "replace")
    with st.container(key="yaml"):
        edited = st.text_area(path, text, height=420, key=f"context:{row.id}:{path}", label_visibility="collapsed")
    blocked = "" if edited != text else "Nothing was changed."
    if parts.act("Save and Build", "environments/write", glyph="construction", primary=True, blocked=blocked):
        with context.scope() as s:
            root = uploads.require_snapshot(s, str(row.snapshot_id))
            kept = {each.path: root / each.path for each in environments.context_files(s, row)}
        envforms.revised(row, {**kept, path: edited.encode()})


def _inline(row: Asset) -> None:
    opened = envforms.of_asset(row)
    image = st.text_input("Image", opened.image, key=f"context:{row.id}:image")
    has_conda = "conda_file" in row.spec
    conda = ""
    if has_conda:
        with st.container(key="yaml"):
            conda = st.text_area("Conda file", opened.conda, height=360, key=f"context:{row.id}:conda")
    is_changed = image != opened.image or (has_conda and conda != opened.conda)
    blocked = "" if is_changed else "Nothing was changed."
    if parts.act("Save and Build", "environments/write", glyph="construction", primary=True, blocked=blocked):
        wanted = {"name": row.name, "image": image.strip(), "description": row.description, "tags": dict(row.tags)}
        if has_conda:
            wanted["conda_file"] = conda
        envforms.create({key: value for key, value in wanted.items() if value}, {}, None, build=True)


def _head(path: str, count: int) -> Markup:
    return tag("div", tag("b", plain(path, 300)), tag("span", size(count)), cls="at-filehead")
