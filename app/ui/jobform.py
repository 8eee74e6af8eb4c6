"""The form of a new job and its YAML: two views of one text, each writing the other.

The text lies in the state of the tab, not in a widget: what a browser says of a box may be older than what
another box has just changed. A view that is rewritten therefore gets new boxes, by a new number in their keys.
"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import context
from app.ui import forms
from services.core.errors import AtelierError
from services.specs import source

STARTER = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
    "type": "command",
    "display_name": "hello",
    "experiment_name": "Default",
    "command": "echo hello from $(python --version)",
    "environment": {"image": "python:3.11"},
}
INPUT_TYPES = (
    "string",
    "number",
    "integer",
    "boolean",
    "uri_file",
    "uri_folder",
    "mltable",
    "mlflow_model",
    "custom_model",
)
OUTPUT_TYPES = ("uri_folder", "uri_file", "mltable", "mlflow_model", "custom_model")
MODES = ("ro_mount", "download", "direct")
_DATA = frozenset(INPUT_TYPES[4:])
Rows = list[dict[str, Any]]


def begin(mark: str, written: Mapping[str, Any]) -> None:
    """Starts afresh when another job is opened for editing; otherwise keeps what was typed."""
    if st.session_state.get("_job_form") == mark:
        return
    st.session_state["_job_form"] = mark
    _put_text(source.dump(dict(written)))
    _rewrite_form()


def over() -> None:
    """The job was submitted: the next visit starts afresh."""
    st.session_state.pop("_job_form", None)


def bare(written: Any) -> Any:
    """Without what is empty: a person would not have written that."""
    if not isinstance(written, Mapping):
        return written
    kept = {key: bare(each) for key, each in written.items()}
    return {key: each for key, each in kept.items() if each not in (None, "", {}, [])}


def text() -> str:
    return str(st.session_state.get("_job_text", ""))


def value() -> dict[str, Any]:
    """What the YAML says now; empty while it cannot be read."""
    return _read() or {}


def text_box() -> str:
    """The key of the YAML's box."""
    key = f"yaml:{st.session_state.get('_text_version', 0)}"
    st.session_state.setdefault(key, text())
    return key


def box(field: str) -> str:
    """The key of a field's box."""
    key = f"f_{field}:{st.session_state.get('_form_version', 0)}"
    st.session_state.setdefault(key, _shown(field, value()))
    return key


def editor(kind: str) -> str:
    """The key of a table."""
    return f"rows_{kind}:{st.session_state.get('_form_version', 0)}"


def rows(kind: str) -> Rows:
    """The rows that a table starts with; its edits are kept beside them."""
    key = f"_{editor(kind)}"
    if key not in st.session_state:
        st.session_state[key] = [_ROWS[kind](name, each) for name, each in _mapping(value().get(kind)).items()]
    found: Rows = st.session_state[key]
    return found


def typed() -> None:
    """The YAML was changed by hand: the form follows, when it can be read."""
    st.session_state["_job_text"] = st.session_state[text_box()]
    if _read() is not None:
        _rewrite_form()


def wrote(field: str) -> None:
    """A field of the form was changed: it is written into the YAML."""
    put(**{field: st.session_state[box(field)]})


def wrote_tags() -> None:
    put(tags=forms.pairs(st.session_state[box("tags")]))


def wrote_environment() -> None:
    chosen = st.session_state[box("environment")] or ""
    put(
        environment=chosen if chosen.startswith("azureml:") or not chosen else {"image": chosen.removeprefix("image: ")}
    )


def wrote_timeout() -> None:
    hours = st.session_state[box("timeout")]
    limits = dict(value().get("limits") or {})
    limits["timeout"] = int(hours * 3600) if hours else None
    put(limits={key: each for key, each in limits.items() if each is not None})


def wrote_rows(kind: str) -> None:
    """One of the tables was edited."""
    written = forms.rows(st.session_state[editor(kind)], rows(kind))
    named = [row for row in written if str(row.get("name") or "").strip()]
    made = {"inputs": _inputs, "outputs": _outputs, "environment_variables": _variables}[kind](named)
    put(**{kind: made})


def add_input(name: str, written: Mapping[str, Any]) -> None:
    """From an upload: a new input, in both views."""
    inputs = dict(value().get("inputs") or {})
    inputs[name] = dict(written)
    put(inputs=inputs)
    _rewrite_form()


def put(**fields: Any) -> None:
    """Writes fields into the YAML; empty ones are taken out. A text that cannot be read is never overwritten."""
    found = _read()
    if found is None:
        context.done("The YAML cannot be read: correct it first.", icon=":material/error:")
        _rewrite_form()
        return
    for field, each in fields.items():
        if each in (None, "", {}, []):
            found.pop(field, None)
        else:
            found[field] = each
    _put_text(source.dump(found))


def _read() -> dict[str, Any] | None:
    try:
        return source.load(text(), file="job.yml").value
    except AtelierError:
        return None


def _put_text(written: str) -> None:
    st.session_state["_job_text"] = written
    st.session_state["_text_version"] = st.session_state.get("_text_version", 0) + 1


def _rewrite_form() -> None:
    st.session_state["_form_version"] = st.session_state.get("_form_version", 0) + 1


def _shown(field: str, found: Mapping[str, Any]) -> Any:
    """What the box of a field holds, as the YAML says."""
    match field:
        case "tags":
            return forms.spelled(_mapping(found.get("tags")))
        case "environment":
            return environment_word(found.get("environment"))
        case "timeout":
            timeout = _mapping(found.get("limits")).get("timeout")
            return timeout / 3600 if isinstance(timeout, int) and timeout > 0 else None
    return str(found.get(field) or "")


def environment_word(written: Any) -> str | None:
    """What the environment box shows for a definition that is more than a name."""
    if isinstance(written, str):
        return written
    if isinstance(written, Mapping) and written.get("image") and not written.get("conda_file"):
        return f"image: {written['image']}"
    return None


def _mapping(each: Any) -> Mapping[str, Any]:
    return each if isinstance(each, Mapping) else {}


def _input_row(name: str, each: Any) -> dict[str, Any]:
    if isinstance(each, Mapping):
        return {
            "name": name,
            "type": each.get("type", "uri_folder"),
            "value": str(each.get("path", "")),
            "mode": each.get("mode"),
        }
    kind = {bool: "boolean", int: "integer", float: "number"}.get(type(each), "string")
    return {"name": name, "type": kind, "value": str(each), "mode": None}


def _output_row(name: str, each: Any) -> dict[str, Any]:
    held = _mapping(each)
    return {"name": name, "type": held.get("type", "uri_folder"), "path": str(held.get("path") or "")}


def _variable_row(name: str, each: Any) -> dict[str, Any]:
    return {"name": name, "value": str(each)}


_ROWS = {"inputs": _input_row, "outputs": _output_row, "environment_variables": _variable_row}


def _inputs(rows: Rows) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        text, kind = str(row.get("value") or ""), row.get("type") or "string"
        if kind in _DATA:
            found[row["name"]] = {"type": kind, "path": text, **({"mode": row["mode"]} if row.get("mode") else {})}
        else:
            found[row["name"]] = text if kind == "string" else source.scalar(text)
    return found


def _outputs(rows: Rows) -> dict[str, Any]:
    return {
        row["name"]: {"type": row.get("type") or "uri_folder", **({"path": row["path"]} if row.get("path") else {})}
        for row in rows
    }


def _variables(rows: Rows) -> dict[str, Any]:
    return {row["name"]: str(row.get("value") or "") for row in rows}
