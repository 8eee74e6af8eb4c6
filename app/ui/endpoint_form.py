"""What an endpoint is asked with: fields made from the model's signature, and the body that they come to."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address
from app.ui.consume_code import compact
from app.ui.text import plain
from services import assets, models
from services.core.errors import AtelierError
from services.store.rows import Asset
from services.store.serving import Deployment, Endpoint

MOST_FIELDS = 60
LARGEST_EXAMPLE = 256 << 10
WHOLE = frozenset({"integer", "long"})
BROKEN = frozenset({"float", "double"})
PLAIN = WHOLE | BROKEN | {"boolean", "string", "datetime"}
BY_TRAFFIC = ""
Column = Mapping[str, Any]
# Underscores that Markdown would read; those within a word stay, for who has the label read out.
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


def deployment_box(found: Sequence[Deployment], screen: str) -> str:
    """Who is asked, in the address: one deployment by name, or whoever the traffic leads to."""
    key, now = f"_{screen}_deployment", address.text("deployment")
    names = [BY_TRAFFIC, *(each.name for each in found)]
    st.session_state[key] = now if now in names else BY_TRAFFIC

    def chosen() -> None:
        address.put(deployment=st.session_state[key])

    st.selectbox(
        "Deployment",
        names,
        key=key,
        format_func=lambda each: plain(each, 60) if each else "By traffic",
        on_change=chosen,
        label_visibility="collapsed",
        width=190,
    )
    return str(st.session_state[key])


def answering(endpoint: Endpoint, found: Sequence[Deployment], name: str) -> Deployment | None:
    """That one, or the one that most of the traffic goes to."""
    named = [each for each in found if each.name == name]
    ranked = named or sorted(found, key=lambda each: -endpoint.traffic.get(each.name, 0))
    return ranked[0] if ranked else None


def model_of(deployment: Deployment | None) -> Asset | None:
    """Its model, where the person may see it."""
    if deployment is None or deployment.model_id is None:
        return None
    try:
        with context.scope() as s:
            return assets.get_by_id(s, deployment.model_id)
    except AtelierError:
        return None


def columns(deployment: Deployment | None, model: Asset | None) -> list[Column]:
    """Named inputs of plain types; none where a form says less than JSON, as for tensors or a script of one's own."""
    if deployment is None or model is None or deployment.resolved.get("server") != "mlflow":
        return []
    found = (model.facts.get("signature") or {}).get("inputs")
    if not isinstance(found, list) or not 0 < len(found) <= MOST_FIELDS:
        return []
    named: list[Column] = [each for each in found if isinstance(each, dict) and _is_plain(each)]
    return named if len(named) == len(found) else []


def fields(given: Sequence[Column], model: Asset) -> list[Any]:
    """Draws one field a column; their values, None for an optional one that is left empty."""
    example = _first_row(given, example_of(model))
    values, across = [], 2 if len(given) > 1 else 1
    for first in range(0, len(given), across):  # line by line, as one goes on with the tabulator
        for at, place in enumerate(st.columns(across, gap="small"), first):
            if at < len(given):
                values.append(_field(place, given[at], example[at], f"in:{model.id}:{at}"))
    return values


def body(given: Sequence[Column], values: Sequence[Any]) -> str:
    """As MLflow models are asked: one row, by the names of the columns."""
    names = [column["name"] for column in given]
    return compact({"input_data": {"columns": names, "index": [0], "data": [list(values)]}})


def starting(endpoint: Endpoint, deployment: Deployment | None) -> str:
    """A body to begin with: a sample that somebody kept, the model's own example, or one made of its signature."""
    if endpoint.samples:
        return next(iter(endpoint.samples.values()))
    model = model_of(deployment)
    if model is None or deployment is None or deployment.resolved.get("server") != "mlflow":
        return '{"data": [[1, 2, 3]]}'
    example = example_of(model)
    if example is not None:
        return compact(_asked(example))
    given = columns(deployment, model)
    if given:
        return body(given, _first_row(given, None))
    inputs = (model.facts.get("signature") or {}).get("inputs") or []
    return compact({"input_data": _zeros(inputs)})


def example_of(model: Asset) -> Any:
    """The input that was saved with the model, read once; None where there is none that can be read."""
    path, key = model.facts.get("input_example"), f"example:{model.id}"
    if not path:
        return None
    if context.recall(key) is None:
        context.remember(key, [_read(model, str(path))])
    return context.recall(key)[0]


def _read(model: Asset, path: str) -> Any:
    try:
        with context.scope() as s:
            contents = models.contents(s, model)
        stream, size = contents.opened(path)
        with stream:
            return json.loads(stream.read()) if size <= LARGEST_EXAMPLE else None
    except (AtelierError, ValueError, OSError):
        return None


def _asked(example: Any) -> dict[str, Any]:
    """A saved example in the words of a request."""
    if isinstance(example, dict):
        for known in ("input_data", "dataframe_split", "dataframe_records", "inputs", "instances"):
            if known in example:
                return example
    return {"input_data": example}


def _first_row(given: Sequence[Column], example: Any) -> list[Any]:
    """A value for each column: of the example where it has one, else what says nothing."""
    found: Mapping[str, Any] = {}
    split = example.get("dataframe_split", example) if isinstance(example, dict) else example
    if isinstance(split, dict) and split.get("data") and isinstance(split.get("columns"), list):
        found = dict(zip(split["columns"], split["data"][0], strict=False))
    elif isinstance(split, list) and split and isinstance(split[0], dict):
        found = split[0]
    return [found.get(column["name"], _blank(column)) for column in given]


def _blank(column: Column) -> Any:
    kind = column["type"]
    return 0 if kind in WHOLE else 0.0 if kind in BROKEN else False if kind == "boolean" else ""


def _field(place: Any, column: Column, value: Any, key: str) -> Any:
    kind, is_optional = column["type"], column.get("required") is False
    label = f"{plain(column['name'], 80)} · {kind}{', optional' if is_optional else ''}"
    label = _EMPHASIS.sub(r"\\\g<0>", label)
    match kind:
        case "integer" | "long":
            start = int(value) if isinstance(value, int | float) else 0
            return place.number_input(label, value=None if is_optional else start, step=1, key=key)
        case "float" | "double":
            start_at = float(value) if isinstance(value, int | float) else 0.0
            return place.number_input(label, value=None if is_optional else start_at, step=None, format="%g", key=key)
        case "boolean":
            return place.toggle(label, bool(value), key=key)
    typed = place.text_input(label, "" if value is None else str(value), key=key)
    return typed if typed or not is_optional else None


def _is_plain(column: Column) -> bool:
    kind = column.get("type")
    return bool(column.get("name")) and isinstance(kind, str) and kind in PLAIN


def _zeros(inputs: Any) -> Any:
    """Something of the shape of the first tensor, with one row where the number of rows is free."""
    spec = inputs[0].get("tensor-spec") if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict) else None
    shape = spec.get("shape") if isinstance(spec, dict) else None
    if not isinstance(shape, list) or not all(isinstance(each, int) for each in shape):
        return []
    sizes = [1 if each < 0 else min(each, 64) for each in shape]
    made: Any = 0
    for size in reversed(sizes):
        made = [made] * size
    return made
