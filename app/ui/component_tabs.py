"""The tabs of one component: details, code, environment, jobs, YAML."""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import streamlit as st

from app import context
from app.ui import address, joblist, parts, tree, viewer
from app.ui.text import Markup, join, plain, tag
from services import assets, components, lineage
from services.specs import source
from services.store.rows import Asset

FIRST = ("readme.md", "train.py", "main.py", "score.py")


def details(row: Asset, versions: Sequence[Asset]) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left:
        st.html(parts.panel("Inputs", _inputs(row.spec.get("inputs") or {})))
        st.html(parts.panel("Outputs", _outputs(row.spec.get("outputs") or {})))
        if row.spec.get("command"):
            parts.section("Command", "what stands in $[[ ]] is left out when its input has no value")
            st.code(str(row.spec["command"]), language="bash", wrap_lines=True)
        if row.spec.get("jobs"):
            st.html(parts.panel("Steps", _steps(row.spec["jobs"]), "runs with pipelines"))
    right.html(parts.panel("Details", parts.properties(_facts(row))))
    lines = [
        (
            tag("a", each.version, href=address.changed(version=each.version, file=None)),
            parts.ago(each.created_at),
            f"{each.created_by} (archived)" if each.archived_at else each.created_by,
        )
        for each in versions[:200]
    ]
    right.html(parts.panel("Versions", parts.rows(("Version", "Created", "By"), lines)))


def code(row: Asset, _: Sequence[Asset]) -> None:
    with context.scope() as s:
        files = components.code(s, row)
    if not files:
        parts.empty("code", "No code", "Its command runs with what the image holds.", cli="code: ./src")
        return
    ranked = sorted(files, key=lambda file: (file.path.lower() not in FIRST, file.path.count("/"), file.path))
    chosen = address.text("file") or ranked[0].path
    left, right = st.columns([2, 5], gap="small")
    drawn = tree.drawn(files, lambda path: address.changed(file=path), chosen)
    left.html(parts.panel("Code", drawn, str(row.snapshot_id)[:12]))

    def opened() -> tuple[BinaryIO, int]:
        with context.scope() as s:
            return components.opened_code(s, row, chosen)

    with right, context.told():
        viewer.show(chosen, opened, "")


def environment(row: Asset, _: Sequence[Asset]) -> None:
    with context.scope() as s:
        found = components.environment_of(s, row)
    if found is None:
        has_own = "The steps of a pipeline have their own." if row.type == "pipeline" else "It was deleted."
        parts.empty("deployed_code", "No environment", has_own)
        return
    href = context.link("environment", name=found.name, version=found.version)
    name = f"image {found.spec.get('image', 'of a build context')}" if found.is_anonymous else assets.named(found)
    st.html(
        parts.panel(
            "Environment",
            parts.properties(
                [
                    ("Name", tag("a", plain(name, 200), href=href)),
                    ("Content hash", tag("span", found.hash[:16], cls="at-mono")),
                ]
            ),
        )
    )
    parts.section("Definition")
    st.code(source.dump({key: value for key, value in found.spec.items() if key != "hash"}), language="yaml")


def jobs(row: Asset, _: Sequence[Asset]) -> None:
    with context.scope() as s:
        found = [job for job, _ in lineage.used_by(s, row)]
    st.html(parts.panel("Jobs", joblist.lines(found, "No job has used this version."), f"version {row.version}"))


def yaml(row: Asset, _: Sequence[Asset]) -> None:
    shown = components.as_json(row)
    told = {"id", "creation_context", "archived"}
    written = {key: value for key, value in shown.items() if key not in told and value not in ({}, [], "", None)}
    parts.section("YAML", "atelier component create -f makes an equal one of it")
    st.code(source.dump(written), language="yaml", wrap_lines=True)


def _facts(row: Asset) -> list[tuple[str, str | None]]:
    resources: Mapping[str, Any] = row.spec.get("resources") or {}
    return [
        ("Name", tag("span", row.name, cls="at-mono")),
        ("Display name", plain(row.spec.get("display_name") or "", 255)),
        ("Type", row.type),
        ("Reference", tag("span", f"azureml:{assets.named(row)}", cls="at-mono")),
        ("Deterministic", None if row.spec.get("is_deterministic", True) else "no: never reused"),
        ("Resources", plain(", ".join(f"{key} {value}" for key, value in resources.items()), 300)),
        ("Content hash", tag("span", row.hash[:16], cls="at-mono")),
        ("Code", tag("span", row.snapshot_id[:16], cls="at-mono") if row.snapshot_id else None),
        ("Created", join((parts.ago(row.created_at), " by ", row.created_by))),
        ("Tags", parts.tags(row.tags) if row.tags else None),
    ]


def _inputs(given: Mapping[str, Any]) -> Markup:
    if not given:
        return tag("div", "None", cls="at-none")
    lines = [
        (
            tag("b", name),
            tag("span", plain(each.get("type", ""), 60), cls="at-nowrap"),
            "yes" if not each.get("optional") and each.get("default") is None else "no",
            tag("span", plain(each["default"], 200), cls="at-mono") if each.get("default") is not None else "",
            _limits(each),
            plain(each.get("description") or "", 300),
        )
        for name, each in given.items()
    ]
    heads = ("Name", "Type", "Required", "Default", "Values", "Description")
    used = [place for place in range(len(heads)) if place < 3 or any(line[place] for line in lines)]
    return parts.rows([heads[place] for place in used], [[line[place] for place in used] for line in lines])


def _limits(each: Mapping[str, Any]) -> str:
    if each.get("enum"):
        return plain(", ".join(map(str, each["enum"])), 200)
    least, most = each.get("min"), each.get("max")
    if least is None and most is None:
        return ""
    return f"{'' if least is None else f'{least:g}'} … {'' if most is None else f'{most:g}'}".strip()


def _outputs(given: Mapping[str, Any]) -> Markup:
    if not given:
        return tag("div", "None", cls="at-none")
    lines = [
        (tag("b", name), str(each.get("type", "uri_folder")), plain(each.get("description") or "", 300))
        for name, each in given.items()
    ]
    return parts.rows(("Name", "Type", "Description"), lines)


def _steps(steps: Mapping[str, Any]) -> Markup:
    lines = [
        (
            tag("b", name),
            str(step.get("type", "command")),
            plain(step.get("component") or step.get("command") or "", 200),
        )
        for name, step in steps.items()
    ]
    return parts.rows(("Step", "Type", "What it runs"), lines)
