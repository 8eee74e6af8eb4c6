"""What an MLflow model says that it takes and gives, and an example of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

WHOLE = {"integer": "int32", "long": "int64"}
NUMBERS = {**WHOLE, "float": "float32", "double": "float64"}
SCHEMAS = {**dict.fromkeys(WHOLE, "integer"), "float": "number", "double": "number", "boolean": "boolean"}
EXAMPLES: dict[str, Any] = {**dict.fromkeys(WHOLE, 1), "float": 1.0, "double": 1.0, "boolean": True, "string": "text",
                            "datetime": "2024-01-01T00:00:00", "binary": "AA==", "array": []}  # fmt: skip
SHOWN = 3  # of the dimensions of a tensor's example


class Column(NamedTuple):
    """`name` is a number where the signature has no names."""

    name: str | int
    kind: str
    is_required: bool


class Tensor(NamedTuple):
    """`name` is empty for the only one; -1 in `shape` is any size."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Signature(NamedTuple):
    """Columns or tensors; both empty when the model says nothing."""

    columns: tuple[Column, ...]
    tensors: tuple[Tensor, ...]
    has_params: bool
    outputs: list[dict[str, Any]]

    @property
    def is_plain_numbers(self) -> bool:
        return bool(self.columns) and all(each.kind in NUMBERS and each.is_required for each in self.columns)

    def told(self) -> str:
        """`age (double), name (string)`."""
        if self.tensors:
            return ", ".join(f"{each.name or 'a tensor'} ({each.dtype} {shape(each)})" for each in self.tensors)
        return ", ".join(f"{each.name} ({each.kind})" for each in self.columns)


def shape(tensor: Tensor) -> str:
    return f"({', '.join(str(each) for each in tensor.shape)})"


def read(described: dict[str, Any]) -> Signature:
    """Of the content of an MLmodel file."""
    written = described.get("signature") or {}
    inputs = json.loads(written.get("inputs") or "[]")
    params = json.loads(written.get("params") or "[]")
    outputs = json.loads(written.get("outputs") or "[]")
    if any(each.get("type") == "tensor" for each in inputs):
        return Signature((), tuple(_tensor(each) for each in inputs), bool(params), outputs)
    columns = tuple(
        Column(each.get("name", at), str(each["type"]), bool(each.get("required", not each.get("optional", False))))
        for at, each in enumerate(inputs)
    )
    return Signature(columns, (), bool(params), outputs)


def _tensor(written: dict[str, Any]) -> Tensor:
    spec = written["tensor-spec"]
    return Tensor(str(written.get("name") or ""), str(spec["dtype"]), tuple(int(each) for each in spec["shape"]))


def example(folder: Path, described: dict[str, Any], signature: Signature) -> Any:
    """What `input_data` may be: the model's own example, or one made from its signature."""
    own = _own_example(folder, described)
    if own is not None:
        return own
    if signature.tensors:
        made = {each.name: _filled(each) for each in signature.tensors}
        return made.get("", made)
    if signature.columns:
        row = [EXAMPLES.get(each.kind, {}) for each in signature.columns]
        return {"columns": [each.name for each in signature.columns], "index": [0], "data": [row]}
    return []


def _own_example(folder: Path, described: dict[str, Any]) -> Any:
    told = described.get("saved_input_example_info") or {}
    path = folder / str(told.get("artifact_path") or "input_example.json")
    if not path.is_file() or told.get("type") not in (None, "dataframe", "ndarray"):
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict) and "inputs" in found:
        return found["inputs"]
    return found if isinstance(found, (dict, list)) else None


def _filled(tensor: Tensor) -> Any:
    value: Any = 0 if "int" in tensor.dtype else 0.0 if "float" in tensor.dtype else ""
    for size in reversed(tensor.shape):
        value = [value] * (1 if size < 0 else size)
    return value


def schemas(signature: Signature, sample: Any, given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of input and output, for Swagger; `sample` and `given` are examples of both."""
    anything: dict[str, Any] = {}
    if signature.columns:
        rows = {"type": "array", "items": {"type": "array", "items": anything}}
        names = {"type": "array", "items": {"type": "string"}}
        index = {"type": "array", "items": {"type": "integer"}}
        data: dict[str, Any] = {"type": "object", "properties": {"columns": names, "index": index, "data": rows}}
    elif isinstance(sample, dict):
        data = {"type": "object", "properties": {name: {"type": "array", "items": anything} for name in sample}}
    else:
        data = {"type": "array", "items": anything}
    data["description"] = f"The model takes: {signature.told()}" if signature.told() else "Whatever the model takes"
    properties: dict[str, Any] = {"input_data": data}
    if signature.has_params:
        properties["params"] = {"type": "object"}
    taken = {"type": "object", "required": ["input_data"], "properties": properties, "example": {"input_data": sample}}
    return taken, {**_output(signature.outputs), **({} if given is None else {"example": given})}


def _output(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    if not outputs or outputs[0].get("type") == "tensor":
        return {"type": "array", "items": {}}
    kinds = {str(each.get("name", at)): SCHEMAS.get(each["type"], "string") for at, each in enumerate(outputs)}
    if len(outputs) == 1 and "name" not in outputs[0]:
        return {"type": "array", "items": {"type": kinds["0"]}}
    return {
        "type": "array",
        "items": {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}},
    }
