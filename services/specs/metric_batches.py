"""What a caller sends to log many points at once: as rows, or as columns, which cost a tenth to read.

The rules are MLflow's own, checked before anything is written: by this door nothing comes in that its own would refuse.
"""

import binascii
import posixpath
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from services.core.errors import Invalid

MOST = 1_000_000
MOST_BYTES = 64 << 20
LONGEST_KEY = 250
_NAME = re.compile(r"^[/\w.\- :]*$")
_FIELDS = {"key": "<u4", "value": "<f8", "step": "<i8", "timestamp": "<i8"}
_WORDS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MetricBatch:
    """Points in the order sent; `key` is each one's place in `names`, `time` in milliseconds."""

    names: tuple[str, ...]
    key: Whole
    step: Whole
    time: Whole
    value: Real

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, part: slice) -> "MetricBatch":
        return MetricBatch(self.names, self.key[part], self.step[part], self.time[part], self.value[part])


def schema() -> dict[str, Any]:
    """Of the body, for those who read OpenAPI."""
    words = {"anyOf": [{"type": "number"}, {"enum": list(_WORDS)}]}
    point = {
        "type": "object",
        "required": ["key", "value"],
        "properties": {
            "key": {"type": "string", "maxLength": LONGEST_KEY},
            "value": words,
            "step": {"type": "integer"},
            "timestamp": {"type": "integer", "minimum": 0},
        },
    }
    column = {"anyOf": [{"type": "array"}, {"type": "string", "description": "base64 of little-endian numbers"}]}
    columns = {"type": "object", "required": ["keys", "key", "value"], "properties": dict.fromkeys(_FIELDS, column)}
    rows = {
        "type": "object",
        "required": ["metrics"],
        "properties": {"metrics": {"type": "array", "maxItems": MOST, "items": point}},
    }
    return {"oneOf": [rows, columns]}


def read(content: bytes, now: int) -> MetricBatch:
    """The points of a body; a step left out is 0, a time left out `now`. Raises Invalid, naming the place."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as cause:
        raise Invalid(f"The body is not JSON: {cause}.") from cause
    if not isinstance(body, dict) or ("metrics" in body) == ("keys" in body):
        raise Invalid(
            "The body has either 'metrics', a list of points, or 'keys' and the columns key, value, step, timestamp."
        )
    unknown = sorted(set(body) - ({"metrics"} if "metrics" in body else {"keys", *_FIELDS}))
    if unknown:
        raise Invalid(f"'{unknown[0][:80]}' is not a field of a batch.", where=unknown[0][:80])
    batch = _of_rows(body["metrics"], now) if "metrics" in body else _of_columns(body, now)
    if not 0 < len(batch) <= MOST:
        raise Invalid(f"A batch has 1 to {MOST} points; this one has {len(batch)}.", where="metrics")
    for at, name in enumerate(batch.names):
        _check_name(name, f"keys[{at}]")
    if len(batch.time) and int(batch.time.min()) < 0:
        raise Invalid("A timestamp counts milliseconds since 1970 and is never below 0.", where="timestamp")
    return batch


def _of_rows(rows: Any, now: int) -> MetricBatch:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Invalid("'metrics' is a list of points.", where="metrics")
    known = {"key", "value", "step", "timestamp"}
    for at, row in enumerate(rows):
        if not (row.keys() <= known and "key" in row and "value" in row and isinstance(row["key"], str)):
            raise Invalid("A point has key (text) and value, and may have step and timestamp.", where=f"metrics[{at}]")
    places: dict[str, int] = {}
    key = [places.setdefault(row["key"], len(places)) for row in rows]
    return MetricBatch(
        tuple(places),
        np.array(key, np.int64),
        _whole([row.get("step", 0) for row in rows], "step"),
        _whole([row.get("timestamp", now) for row in rows], "timestamp"),
        _real([row["value"] for row in rows]),
    )


def _of_columns(body: Mapping[str, Any], now: int) -> MetricBatch:
    names = body["keys"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid("'keys' is a list of names.", where="keys")
    if len(set(names)) < len(names):
        raise Invalid("A name stands in 'keys' once.", where="keys")
    value = _column(body, "value")
    count = len(value)
    key = _column(body, "key")
    step = _column(body, "step") if "step" in body else np.zeros(count, np.int64)
    time = _column(body, "timestamp") if "timestamp" in body else np.full(count, now, np.int64)
    for name, column in (("key", key), ("step", step), ("timestamp", time)):
        if len(column) != count:
            raise Invalid(f"'{name}' has {len(column)} entries, 'value' has {count}.", where=name)
    if count and not (int(key.min()) >= 0 and int(key.max()) < len(names)):
        raise Invalid("'key' holds places in 'keys', the first of which is 0.", where="key")
    return MetricBatch(tuple(names), key, step, time, value)


def _column(body: Mapping[str, Any], name: str) -> Any:
    """As a list of numbers, or as base64 of them."""
    given = body.get(name)
    kind = np.dtype(_FIELDS[name])
    if isinstance(given, str):
        try:
            raw = b64decode(given, validate=True)
        except binascii.Error as cause:
            raise Invalid("This is neither a list nor base64.", where=name) from cause
        if len(raw) % kind.itemsize:
            raise Invalid(f"Each entry has {kind.itemsize} bytes; some are missing.", where=name)
        return np.frombuffer(raw, kind).astype(np.float64 if name == "value" else np.int64)
    if not isinstance(given, list):
        raise Invalid("A column is a list of numbers, or base64 of them.", where=name)
    return _real(given) if name == "value" else _whole(given, name)


def _whole(given: Sequence[Any], where: str) -> Whole:
    if not set(map(type, given)) <= {int}:
        raise Invalid(f"'{where}' is a whole number.", where=where)
    try:
        return np.array(given, np.int64)
    except OverflowError as cause:
        raise Invalid(f"'{where}' has at most 64 bits.", where=where) from cause


def _real(given: Sequence[Any]) -> Real:
    if not set(map(type, given)) <= {int, float}:
        given = [_WORDS.get(each, each) if isinstance(each, str) else each for each in given]
        if not set(map(type, given)) <= {int, float}:
            raise Invalid(f"A value is a number, or one of {', '.join(_WORDS)}.", where="value")
    return np.array(given, np.float64)


def _check_name(name: str, where: str) -> None:
    plain = posixpath.normpath(name)
    if _NAME.match(name) is None:
        raise Invalid(f"'{name[:80]}' is no name of a metric: letters, digits, _ - . : / and spaces are.", where=where)
    if plain != name or plain == "." or plain.startswith(("..", "/")):
        raise Invalid(f"'{name[:80]}' would be another name as a path.", where=where)
    if len(name) > LONGEST_KEY:
        raise Invalid(f"A name has at most {LONGEST_KEY} characters.", where=where)
