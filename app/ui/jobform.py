"""The form of a new job and its YAML: two views of one text, each writing the other."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.ui import forms
from services.core.errors import AtelierError
from services.specs import source

TEXT = "yaml"
STARTER = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
    "type": "command",
    "display_name": "hello",
    "experiment_name": "Default",
    "command": "echo hello from $(python --version)",
    "environment": {"image": "python:3.11"},
}
FIELDS = ("display_name", "experiment_name", "description", "command", "compute")
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
    if st.session_state.get("_job_form") == mark and TEXT in st.session_state:
        st.session_state[TEXT] = st.session_state[TEXT]
        return
    st.session_state["_job_form"] = mark
    st.session_state[TEXT] = source.dump(dict(written))
    _fill(dict(written))


def value() -> dict[str, Any]:
    """What the YAML says now; empty while it cannot be read."""
    try:
        return source.load(st.session_state.get(TEXT, ""), file="job.yml").value
    except AtelierError:
        return {}


def typed() -> None:
    """The YAML was changed by hand: the form follows, when it can be read."""
    found = value()
    if found:
        _fill(found)


def wrote(field: str) -> None:
    """A field of the form was changed: it is written into the YAML."""
    put(**{field: st.session_state[f"f_{field}"]})


def wrote_tags() -> None:
    put(tags=forms.pairs(st.session_state["f_tags"]))


def wrote_environment() -> None:
    chosen = st.session_state["f_environment"] or ""
    put(
        environment=chosen if chosen.startswith("azureml:") or not chosen else {"image": chosen.removeprefix("image: ")}
    )


def wrote_timeout() -> None:
    hours = st.session_state["f_timeout"]
    limits = dict(value().get("limits") or {})
    limits["timeout"] = int(hours * 3600) if hours else None
    put(limits={key: each for key, each in limits.items() if each is not None})


def wrote_rows(kind: str) -> None:
    """One of the tables was edited."""
    rows = forms.rows(st.session_state[editor(kind)], st.session_state[f"_rows_{kind}"])
    named = [row for row in rows if str(row.get("name") or "").strip()]
    made = {"inputs": _inputs, "outputs": _outputs, "environment_variables": _variables}[kind](named)
    put(**{kind: made})


def add_input(name: str, written: Mapping[str, Any]) -> None:
    """From an upload: a new input, in both views."""
    inputs = dict(value().get("inputs") or {})
    inputs[name] = dict(written)
    put(inputs=inputs)
    _fill(value())


def put(**fields: Any) -> None:
    """Writes fields into the YAML; empty ones are taken out."""
    found = value()
    for field, each in fields.items():
        if each in (None, "", {}, []):
            found.pop(field, None)
        else:
            found[field] = each
    st.session_state[TEXT] = source.dump(found)


def editor(kind: str) -> str:
    """The key of a table; a new one when its rows come from the YAML."""
    return f"rows_{kind}:{st.session_state.get('_rows_version', 0)}"


def environment_word(written: Any) -> str | None:
    """What the environment box shows for a definition that is more than a name."""
    if isinstance(written, str):
        return written
    if isinstance(written, Mapping) and written.get("image") and not written.get("conda_file"):
        return f"image: {written['image']}"
    return None


def _fill(found: Mapping[str, Any]) -> None:
    for field in FIELDS:
        st.session_state[f"f_{field}"] = str(found.get(field) or "")
    tags = found.get("tags")
    st.session_state["f_tags"] = forms.spelled(tags) if isinstance(tags, Mapping) else ""
    st.session_state["f_environment"] = environment_word(found.get("environment"))
    limits = found.get("limits")
    timeout = limits.get("timeout") if isinstance(limits, Mapping) else None
    st.session_state["f_timeout"] = timeout / 3600 if isinstance(timeout, int) and timeout > 0 else None
    st.session_state["_rows_version"] = st.session_state.get("_rows_version", 0) + 1
    inputs, outputs, variables = (_mapping(found.get(kind)) for kind in ("inputs", "outputs", "environment_variables"))
    st.session_state["_rows_inputs"] = [_input_row(name, each) for name, each in inputs.items()]
    st.session_state["_rows_outputs"] = [_output_row(name, each) for name, each in outputs.items()]
    st.session_state["_rows_environment_variables"] = [
        {"name": name, "value": str(each)} for name, each in variables.items()
    ]


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
