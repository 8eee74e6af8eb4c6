"""What a model's files say about it, read and never loaded: MLmodel, safetensors' and ONNX's headers.

Loading a model runs whatever is in it; that happens in a job's container only. Here nothing is imported, unpickled or
followed: `loader_module: os` and `external_data: ../../etc/passwd` are words.
"""

import json
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import yaml

from services.core.errors import Invalid, NotFound
from services.engines import files
from services.engines.files import File

MLMODEL = "MLmodel"
LARGEST = 1 << 20
LARGEST_HEADER = 16 << 20
MOST_FIELDS = 200_000
MOST_HEADERS = 20
MOST_NAMES = 200
LONGEST = 2000
FORMATS = {
    ".pkl": "pickle", ".pickle": "pickle", ".joblib": "joblib", ".pt": "PyTorch", ".pth": "PyTorch", ".bin": "binary",
    ".ckpt": "PyTorch", ".h5": "Keras HDF5", ".keras": "Keras", ".onnx": "ONNX", ".safetensors": "safetensors",
    ".pb": "TensorFlow", ".tflite": "TensorFlow Lite", ".gguf": "GGUF", ".ubj": "XGBoost", ".cbm": "CatBoost",
}  # fmt: skip
_TRITON = re.compile(r"\A(?:[^/]+/)?[^/]+/(?:config\.pbtxt|\d+/.+)\Z")
_ELEMENTS = {
    1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "double", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip


def described(root: Path) -> dict[str, Any]:
    """Facts of the folder or the single file: `files`, `size` in bytes, `formats`, and what its headers say.

    What cannot be read is left out with a sentence in `unread`; nothing here raises for what a model holds.
    """
    found = listed(root)
    facts: dict[str, Any] = {"files": len(found), "size": sum(file.size for file in found)}
    formats = {FORMATS[suffix] for file in found if (suffix := PurePosixPath(file.path).suffix.lower()) in FORMATS}
    facts["formats"] = sorted(formats)
    home = root if root.is_dir() else root.parent
    unread: list[str] = []
    if root.is_dir() and any(file.path == MLMODEL for file in found):
        facts |= _read(home, MLMODEL, _mlmodel, unread)
    headers = {}
    for file in [file for file in found if file.path.lower().endswith((".safetensors", ".onnx"))][:MOST_HEADERS]:
        reader = _safetensors if file.path.lower().endswith(".safetensors") else _onnx
        if said := _read(home, file.path, reader, unread):
            headers[file.path] = said
    if headers:
        facts["headers"] = headers
    if unread:
        facts["unread"] = unread
    return facts


def listed(root: Path) -> list[File]:
    """The files of a model, which may be a single one."""
    if root.is_file() and not root.is_symlink():
        return [file for file in files.walk(root.parent) if file.path == root.name]
    return list(files.walk(root))


def is_mlflow(found: Sequence[File]) -> bool:
    return any(file.path == MLMODEL for file in found)


def is_triton(found: Sequence[File]) -> bool:
    """A repository for Triton has `<model>/config.pbtxt` or `<model>/<number>/…`, or is one such model."""
    return any(_TRITON.match(file.path) or file.path == "config.pbtxt" for file in found)


def _read(home: Path, path: str, reader: Any, unread: list[str]) -> dict[str, Any]:
    try:
        with files.open_inside(home, path) as file:
            return dict(reader(file))
    except (ValueError, KeyError, TypeError, RecursionError, OSError, yaml.YAMLError, Invalid, NotFound) as cause:
        unread.append(f"{path} cannot be read: {str(cause)[:200]}")
        return {}


def _mlmodel(file: BinaryIO) -> dict[str, Any]:
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    said = yaml.load(content, Loader=_Words)  # noqa: S506 (a SafeLoader that makes no dates)
    if not isinstance(said, dict):
        raise TypeError("it is no mapping")
    flavors = said.get("flavors")
    facts: dict[str, Any] = {
        "flavors": {str(name)[:100]: _scalars(inner) for name, inner in flavors.items()}
        if isinstance(flavors, dict)
        else {}
    }
    for key in ("mlflow_version", "run_id", "model_id", "model_uuid", "utc_time_created"):
        if isinstance(said.get(key), str | int | float):
            facts[key] = str(said[key])[:LONGEST]
    if isinstance(said.get("signature"), dict):
        facts["signature"] = {
            part: _json(said["signature"][part])
            for part in ("inputs", "outputs", "params")
            if said["signature"].get(part)
        }
    example = said.get("saved_input_example_info")
    if isinstance(example, dict) and isinstance(example.get("artifact_path"), str):
        facts["input_example"] = example["artifact_path"][:LONGEST]
    return facts


class _Words(yaml.SafeLoader):
    """Dates stay text, as JSON keeps them."""


_Words.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _scalars(given: Any) -> dict[str, str]:
    """The words of a flavour; what is nested in it is left out."""
    if not isinstance(given, dict):
        return {}
    kept = {
        str(key)[:100]: str(value)[:LONGEST] for key, value in given.items() if isinstance(value, str | int | float)
    }
    return dict(list(kept.items())[:MOST_NAMES])


def _json(given: Any) -> Any:
    """MLflow writes columns as JSON in a string; anything else could be an alias of an alias of an alias."""
    if not isinstance(given, str):
        raise TypeError("its signature is no JSON text")
    said = json.loads(given)
    return said[:MOST_NAMES] if isinstance(said, list) else str(said)[:LONGEST]


def _safetensors(file: BinaryIO) -> dict[str, Any]:
    """Eight bytes of length, then JSON: names, types and shapes."""
    length = struct.unpack("<Q", _exactly(file, 8))[0]
    if length > LARGEST_HEADER:
        raise ValueError(f"its header is larger than {LARGEST_HEADER} bytes")
    said = json.loads(_exactly(file, length))
    metadata = said.pop("__metadata__", {})
    tensors = {str(name): each for name, each in said.items()}
    count = 0
    for each in tensors.values():
        product = 1
        for size in each["shape"]:
            product *= int(size)
        count += product
    return {
        "format": "safetensors",
        "tensors": len(tensors),
        "parameters": min(count, 2**63 - 1),
        "types": sorted({str(each["dtype"])[:20] for each in tensors.values()})[:MOST_NAMES],
        "metadata": _scalars(metadata),
    }


def _onnx(opened: BinaryIO) -> dict[str, Any]:
    """The outer fields of the protobuf message; weights are passed over, and files beside it are never opened."""
    facts: dict[str, Any] = {"format": "ONNX", "opset": {}, "inputs": [], "outputs": [], "nodes": 0, "external": 0}
    file = _Message(opened)
    opened.seek(0, 2)
    end = opened.tell()
    for number, value in _fields(file, 0, end):
        match number, value:
            case 2, (start, length):
                facts["producer"] = _text(file, start, length)
            case 3, (start, length):
                facts["producer_version"] = _text(file, start, length)
            case 8, (start, length):
                facts["opset"] |= _opset(file, start, length)
            case 7, (start, length):
                _graph(file, start, length, facts)
    if not (facts["inputs"] or facts["outputs"] or facts["nodes"] or facts["opset"]):
        raise ValueError("it is no ONNX model")
    return facts


class _Message:
    """A protobuf message that is read in small steps, and in not too many of them."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.read, self.left = file.seek, file.tell, file.read, MOST_FIELDS


_Value = int | tuple[int, int]


def _graph(file: _Message, start: int, length: int, facts: dict[str, Any]) -> None:
    for number, value in _fields(file, start, start + length):
        match number, value:
            case 1, (_, _):
                facts["nodes"] += 1
            case 2, (at, size):
                facts["graph"] = _text(file, at, size)
            case 5, (at, size):
                facts["external"] += any(inner == 13 for inner, _ in _fields(file, at, at + size))
            case 11 | 12, (at, size) if len(facts["inputs"]) + len(facts["outputs"]) < MOST_NAMES:
                facts["inputs" if number == 11 else "outputs"].append(_port(file, at, size))


def _opset(file: _Message, start: int, length: int) -> dict[str, int]:
    domain, version = "ai.onnx", 0
    for number, value in _fields(file, start, start + length):
        match number, value:
            case 1, (at, size) if size:
                domain = _text(file, at, size)
            case 2, int():
                version = value
    return {domain: version}


def _port(file: _Message, start: int, length: int) -> dict[str, Any]:
    """A named input or output: its element type and shape, where it is a tensor."""
    port: dict[str, Any] = {"name": "", "type": "", "shape": []}
    for number, value in _fields(file, start, start + length):
        match number, value:
            case 1, (at, size):
                port["name"] = _text(file, at, size)
            case 2, (at, size):
                for inner, tensor in _fields(file, at, at + size):
                    if inner == 1 and isinstance(tensor, tuple):
                        port |= _tensor(file, *tensor)
    return port


def _tensor(file: _Message, start: int, length: int) -> dict[str, Any]:
    kind = ""
    shape: list[int | str] = []
    for number, value in _fields(file, start, start + length):
        match number, value:
            case 1, int():
                kind = _ELEMENTS.get(value, str(value))
            case 2, (at, size):
                for _, dimension in _fields(file, at, at + size):
                    if isinstance(dimension, tuple) and len(shape) < 16:
                        shape.append(_dimension(file, *dimension))
    return {"type": kind, "shape": shape}


def _dimension(file: _Message, start: int, length: int) -> int | str:
    for number, value in _fields(file, start, start + length):
        match number, value:
            case 1, int():
                return value
            case 2, (at, size):
                return _text(file, at, size)
    return "?"


def _fields(file: _Message, start: int, end: int) -> Iterator[tuple[int, _Value]]:
    """Fields of a protobuf message by number: numbers as they are, everything longer as (offset, length)."""
    at = start
    while at < end:
        file.left -= 1
        if file.left < 0:
            raise ValueError(f"it has more than {MOST_FIELDS} fields")
        file.seek(at)
        key = _varint(file)
        number, kind = key >> 3, key & 7
        match kind:
            case 0:
                value = _varint(file)
                at = file.tell()
                yield number, value
            case 1 | 5:
                at = file.tell() + (8 if kind == 1 else 4)
            case 2:
                length = _varint(file)
                place = file.tell()
                at = place + length
                if at > end:
                    raise ValueError("a field is longer than what holds it")
                yield number, (place, length)
            case _:
                raise ValueError("it is no protobuf message")


def _varint(file: _Message) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = _exactly(file, 1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError("a number is too long")


def _text(file: _Message, start: int, length: int) -> str:
    file.seek(start)
    return file.read(min(length, 200)).decode("utf-8", "replace").replace("\0", "")


def _exactly(file: "BinaryIO | _Message", count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise ValueError("it ends too early")
    return content
