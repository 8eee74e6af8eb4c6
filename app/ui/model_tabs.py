"""The tabs of one model: details, versions, artifacts, jobs, data, versions beside each other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import streamlit as st

from app import context
from app.ui import address, modelforms, parts, routes, table, tree, viewer
from app.ui.text import Markup, number, plain, size, tag
from services import assets, models
from services.core.errors import AtelierError
from services.core.times import parse
from services.data import shown_uri
from services.engines.contents import Contents
from services.engines.files import File
from services.specs import source
from services.store.rows import Asset
from services.store.rows import Job as JobRow

MOST = 2000
VERSIONS = [
    table.Column("Version", "link"),
    table.Column("Labels", "tags"),
    table.Column("Type"),
    table.Column("Stage"),
    table.Column("Approved by"),
    table.Column("Size", "size"),
    table.Column("Created", "time"),
    table.Column("Created by"),
]


def details(row: Asset, _: Sequence[Asset]) -> None:
    with context.scope() as s:
        labels, job, recorded = assets.labels_of(s, row), models.maker(s, row), models.recorded(s, row)
    left, right = st.columns([3, 2], gap="small")
    left.html(parts.panel("Details", parts.properties(_facts(row, labels, job))))
    with left:
        _consume(row)
    for title, body in (
        ("Approval", _approval(row.facts.get("approval"))),
        ("Signature", _signature(row.facts.get("signature") or {})),
        *((f"Flavour {plain(name, 80)}", _pairs(said)) for name, said in (row.facts.get("flavors") or {}).items()),
        ("Metrics of its run", _numbers({each.key: each.last for each in recorded.metrics})),
        ("Parameters of its run", _pairs(recorded.params)),
        *((f"Header of {plain(path, 80)}", _header(said)) for path, said in (row.facts.get("headers") or {}).items()),
        ("Tags", tag("div", parts.tags(row.tags), cls="at-none") if row.tags else None),
        ("Properties", _pairs(row.properties)),
        ("Could not be read", _sentences(row.facts.get("unread") or [])),
    ):
        if body is not None:
            right.html(parts.panel(title, body))


def versions(row: Asset, all_: Sequence[Asset]) -> None:
    with context.scope() as s:
        labels = {each.version: assets.labels_of(s, each) for each in all_[:MOST]}
    rows = [
        table.Row(
            each.version,
            [
                table.link(
                    each.version,
                    address.changed(version=each.version, tab=None),
                    "archived" if each.archived_at else "open" if each.version == row.version else "",
                ),
                table.tags(dict.fromkeys(labels[each.version], "")),
                modelforms.TYPES.get(each.type, each.type),
                each.stage,
                str((each.facts.get("approval") or {}).get("by", "")),
                each.facts.get("size"),
                table.time(each.created_at),
                each.created_by,
            ],
            address.changed(version=each.version, tab=None),
        )
        for each in all_[:MOST]
    ]
    pager = table.Pager(limit=len(rows), total=len(rows), noun="versions")
    table.show("model_versions", VERSIONS, rows, label="Versions", pager=pager)


def artifacts(row: Asset, _: Sequence[Asset]) -> None:
    """The tree at the left, the chosen file at the right: as text, or not at all."""
    found = _contents(row)
    if found is None:
        return
    try:
        listing = found.listing(most=MOST)
    except AtelierError as error:
        context.show(error)
        return
    files = [File(each.path, each.size, 0.0) for each in listing.files]
    if not files:
        parts.empty("folder_off", "No file", "There is nothing at the place that this model names.")
        return
    chosen = address.text("file") or _first(files)
    left, right = st.columns([2, 5], gap="small")
    drawn = tree.drawn(files, lambda path: address.changed(file=path), chosen)
    left.html(parts.panel("Files", drawn, f"{len(files)}{'' if listing.is_whole else '+'}"))
    if context.behind_gate():
        left.html(viewer.download_link("Download all", routes.model_archive(row.name, row.version)))

    def opened() -> tuple[BinaryIO, int]:
        return found.opened(chosen)

    with right, context.told():
        viewer.show(chosen, opened, routes.model(row.name, row.version, chosen))


def jobs(row: Asset, _: Sequence[Asset]) -> None:
    with context.scope() as s:
        maker, using = models.maker(s, row), assets.uses(s, row)
    lines = [("Made it", _job(maker.name), maker.display_name)] if maker is not None else []
    lines += [("Read it", _job(use.name), f"as {use.role}") for use in using if use.kind == "job"]
    if not lines:
        parts.empty("play_circle", "No job", "A job that makes or reads this version is listed here.")
        return
    st.html(parts.panel("Jobs", parts.rows(("What it did", "Job", ""), lines)))
    others = [(use.kind.capitalize(), plain(use.name, 200), plain(use.role, 80)) for use in using if use.kind != "job"]
    if others:
        st.html(parts.panel("Other uses", parts.rows(("What", "Name", "As"), others)))


def data(row: Asset, _: Sequence[Asset]) -> None:
    """What the job that made it has read."""
    with context.scope() as s:
        found = models.sources(s, row)
    if not found:
        parts.empty("database", "No data", "What the job that made this version has read is listed here.")
        return
    lines = [(assets.spoken(each.kind).capitalize(), plain(assets.named(each), 200), each.type) for each in found]
    st.html(parts.panel("Read by the job that made it", parts.rows(("What", "Name", "Type"), lines)))


def compare(row: Asset, all_: Sequence[Asset]) -> None:
    known = [each.version for each in all_]
    if len(known) < 2:
        parts.empty("compare_arrows", "One version only", "Register another, and both are shown beside each other.")
        return
    if not address.words("with", known):
        place = known.index(row.version)
        other = known[place + 1] if place + 1 < len(known) else known[place - 1]
        address.put(**{"with": f"{other},{row.version}"})
    wanted = address.choice("with", "Versions", known, width=420)
    with context.scope() as s:
        found = models.compare(s, row.name, wanted[:6])
    heads = ("", *(f"Version {each.asset.version}" for each in found))
    for title, columns in (
        ("Metrics", [{each.key: number(each.last) for each in one.recorded.metrics} for one in found]),
        ("Parameters", [dict(one.recorded.params) for one in found]),
        ("Signature", [_spelled(one.asset.facts.get("signature") or {}) for one in found]),
        ("Facts", [_beside(one.asset) for one in found]),
        ("Files", [{path: size(count) for path, count in models.sizes(one).items()} for one in found]),
    ):
        keys = list(dict.fromkeys(key for column in columns for key in column))
        if keys:
            lines = [_line(key, [column.get(key) for column in columns]) for key in keys[:MOST]]
            changed = sum(len({column.get(key) for column in columns}) > 1 for key in keys)
            st.html(parts.panel(title, parts.rows(heads, lines), f"{changed} differ" if changed else "all alike"))


def _line(key: str, values: Sequence[str | None]) -> list[str | Markup]:
    differs = len(set(values)) > 1
    name = tag("b", plain(key, 200)) if differs else plain(key, 200)
    return [name, *(plain(value, 400) if value is not None else tag("span", "—", cls="at-faint") for value in values)]


def _facts(row: Asset, labels: Sequence[str], job: JobRow | None) -> list[tuple[str, str | None]]:
    facts, entry = row.facts, row.facts.get(models.REGISTRY) or {}
    made_by = tag("a", job.display_name or job.name, href=context.link("job", job=job.name)) if job else None
    there = f"models:/{row.name}/{row.version}" if entry.get("version") and not entry.get("why") else None
    return [
        ("Name", tag("span", row.name, cls="at-mono")),
        ("Version", row.version),
        ("Type", modelforms.TYPES.get(row.type, row.type)),
        ("Stage", row.stage),
        ("Labels", parts.tags(dict.fromkeys(labels, "")) if labels else None),
        ("Created", parts.ago(row.created_at)),
        ("Created by", row.created_by),
        ("Created by job", made_by),
        ("Run", tag("span", models.run_of(row), cls="at-mono") if models.run_of(row) else None),
        ("Asset id", tag("span", f"azureml:{assets.named(row)}", cls="at-mono")),
        ("Source", tag("span", plain(shown_uri(row.path)), cls="at-mono")),
        ("In MLflow", tag("span", there, cls="at-mono") if there else plain(entry.get("why") or "On its way", 300)),
        *modelforms.found(facts),
        ("Input example", plain(facts["input_example"], 200) if facts.get("input_example") else None),
        ("Saved", plain(facts["utc_time_created"], 40) if facts.get("utc_time_created") else None),
        ("Content hash", tag("span", hashed[:16], cls="at-mono") if (hashed := models.content_hash(row)) else None),
    ]


def _approval(said: Mapping[str, Any] | None) -> Markup | None:
    if not said:
        return None
    return parts.properties(
        [("By", plain(said["by"], 80)), ("When", parts.ago(parse(said["at"]))), ("Note", plain(said["note"], 2000))]
    )


def _signature(said: Mapping[str, Any]) -> Markup | None:
    lines = [(part, name, kind) for part, name, kind in _columns(said)]
    return parts.rows(("", "Name", "Type"), lines) if lines else None


def _columns(said: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Each column or tensor of a signature; one without a name is shown by its place."""
    for part, label in (("inputs", "Input"), ("outputs", "Output"), ("params", "Parameter")):
        columns = said.get(part)
        for place, column in enumerate(columns if isinstance(columns, list) else []):
            if isinstance(column, dict):
                yield label, plain(column.get("name") or f"#{place}", 120), _kind(column)


def _kind(column: Mapping[str, Any]) -> str:
    spec = column.get("tensor-spec")
    if isinstance(spec, dict):
        return plain(f"{spec.get('dtype', 'tensor')} {spec.get('shape', '')}", 120)
    kind = column.get("type", "")
    default = f" = {column['default']}" if "default" in column else ""
    optional = "" if column.get("required", True) else ", optional"
    return plain(f"{kind if isinstance(kind, str) else json.dumps(kind)}{optional}{default}", 200)


def _spelled(said: Mapping[str, Any]) -> dict[str, str]:
    return {f"{part} {name}": kind for part, name, kind in _columns(said)}


def _beside(row: Asset) -> dict[str, str]:
    """What else may differ between versions."""
    facts = {"Type": modelforms.TYPES.get(row.type, row.type), "Stage": row.stage, "Source": shown_uri(row.path)}
    return {key: str(value) for key, value in [*facts.items(), *modelforms.found(row.facts)] if value}


def _header(said: Mapping[str, Any]) -> Markup:
    kept = {key: value for key, value in said.items() if value not in (None, "", {}, [], 0)}
    return parts.properties(
        (
            plain(key, 60).replace("_", " ").capitalize(),
            plain(value if isinstance(value, str) else json.dumps(value), 600),
        )
        for key, value in kept.items()
    )


def _numbers(values: Mapping[str, float | None]) -> Markup | None:
    lines = [(plain(key, 120), number(value)) for key, value in values.items()]
    return parts.rows(("Metric", "Last"), lines, numbers=frozenset({1})) if lines else None


def _pairs(values: Mapping[str, str]) -> Markup | None:
    return parts.properties((plain(key, 120), plain(value, 500)) for key, value in values.items()) if values else None


def _sentences(said: Sequence[str]) -> Markup | None:
    return tag("div", *(tag("p", plain(each, 400)) for each in said), cls="at-none") if said else None


def _consume(row: Asset) -> None:
    reference = f"azureml:{assets.named(row)}"
    written = {
        "command": "python score.py --model ${{inputs.model}}",
        "inputs": {"model": {"type": row.type, "path": reference}},
    }
    parts.section("Use it in a job", "its folder stands in ${{inputs.model}}")
    st.code(source.dump(written), language="yaml")
    if row.type == models.MLFLOW and (row.facts.get(models.REGISTRY) or {}).get("version"):
        parts.section("Load it with MLflow", "on your machine; MLFLOW_TRACKING_URI names this studio")
        st.code(f'import mlflow\n\nmodel = mlflow.pyfunc.load_model("models:/{row.name}/{row.version}")', "python")


def _job(name: str) -> Markup:
    return tag("a", name, href=context.link("job", job=name))


def _contents(row: Asset) -> Contents | None:
    try:
        with context.scope() as s:
            return models.contents(s, row)
    except AtelierError as error:
        context.show(error)
        return None


def _first(files: Sequence[File]) -> str:
    """What says most: MLmodel, a readme, else the first that is text by its name."""
    words = ("mlmodel", "readme.md")
    texts = (".yaml", ".yml", ".json", ".txt", ".md", ".pbtxt", ".py")
    ranked = sorted(
        files,
        key=lambda file: (
            file.path.lower() not in words,
            file.path.lower() != words[0],
            not file.path.lower().endswith(texts),
            file.path.count("/"),
            file.path,
        ),
    )
    return ranked[0].path
