"""The bodies that MLflow models are asked with, made into rows, records or tensors that fit the signature."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from .signatures import NUMBERS, WHOLE, Column, Signature, Tensor, shape

KEYS = ("input_data", "dataframe_split", "dataframe_records", "inputs", "instances")
QUOTED = 60  # characters of a wrong value in a message
LIMITS = {"integer": 2**31, "long": 2**63}


class Unfit(Exception):
    """The request does not fit the model; the message names the column."""


class Payload(NamedTuple):
    """`is_of_mlflow`: asked with a key of MLflow's own scoring protocol, and answered by it."""

    value: Any
    params: dict[str, Any] | None
    is_of_mlflow: bool


class Table(NamedTuple):
    """Rows of values; `names` is None where only positions say which column is meant."""

    names: list[Any] | None
    rows: list[Any]


def read(body: bytes | bytearray) -> Payload:
    """Raises Unfit for what is none of the forms."""
    if not body:
        raise Unfit(f"The body is empty; a JSON object with one of {', '.join(KEYS)} is expected.")
    try:
        document = orjson.loads(body)
    except ValueError:
        document = _lenient(body)
    return of_document(document)


def of_document(document: Any) -> Payload:
    found = [key for key in KEYS if key in document] if isinstance(document, dict) else []
    if len(found) != 1:
        given = (
            f"; given: {', '.join(map(str, list(document)[:10]))}" if isinstance(document, dict) and document else ""
        )
        raise Unfit(f"The body is a JSON object with just one of {', '.join(KEYS)}{given}.")
    params = document.get("params")
    if params is not None and not isinstance(params, dict):
        raise Unfit("'params' is an object of names and values.")
    return Payload(document[found[0]], params, found[0] != "input_data")


def _lenient(body: bytes | bytearray) -> Any:
    """NaN and Infinity, which Python writes and JSON does not know."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"The body is not JSON: {error}.") from None


def table(value: Any, signature: Signature) -> Table:
    """Raises Unfit for what is no table."""
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        names = value.get("columns")
        if names is not None and not isinstance(names, list):
            raise Unfit("'columns' is a list of names.")
        return _even(Table(names, value["data"]))
    if isinstance(value, dict):
        columns = [each if isinstance(each, list) else [each] for each in value.values()]
        if len({len(each) for each in columns}) > 1:
            raise Unfit("The columns are of different lengths.")
        rows = [[column[at] for column in columns] for at in range(len(columns[0]) if columns else 0)]
        return _even(Table(list(value), rows))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _of_records(value, signature)
    if isinstance(value, list) and len(signature.columns) == 1 and not any(isinstance(each, list) for each in value):
        value = [[each] for each in value]
    if not isinstance(value, list):
        raise Unfit("The rows are a list of lists, a list of objects, or an object with 'columns' and 'data'.")
    return _even(Table(None, value))


def _of_records(records: list[Any], signature: Signature) -> Table:
    names: list[Any] = [each.name for each in signature.columns] or list(records[0])
    optional = {each.name for each in signature.columns if not each.is_required}
    rows = []
    for at, record in enumerate(records):
        if not isinstance(record, dict):
            raise Unfit(f"Row {at} is no object.")
        for name in names:
            if name not in record and name not in optional:
                raise Unfit(f"The column '{name}' is missing in row {at}.")
        rows.append([record.get(name) for name in names])
    return Table(names, rows)


def _even(found: Table) -> Table:
    if not found.rows:
        raise Unfit("There are no rows.")
    if not isinstance(found.rows[0], list):
        raise Unfit(f"Row 0 is not a list of values: {_quoted(found.rows[0])}.")
    return found


class Places:
    """Where the signature's columns lie in a table; the last order is remembered, because callers keep to one."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._names = [each.name for each in columns]
        self._last: tuple[list[Any], list[int]] = (self._names, list(range(len(self._names))))

    def of(self, found: Table) -> list[int] | None:
        """None when they lie as they are wanted. -1 is an optional column that did not come. Raises Unfit."""
        if found.names is None:
            if isinstance(found.rows[0], list) and len(found.rows[0]) != len(self._names):
                told = ", ".join(map(str, self._names))
                raise Unfit(f"{len(self._names)} columns are expected ({told}); row 0 has {len(found.rows[0])}.")
            return None
        if found.names == self._names:
            return None
        if found.names != self._last[0]:
            self._last = (found.names, self._found(found.names))
        return self._last[1]

    def _found(self, names: list[Any]) -> list[int]:
        at = {name: place for place, name in enumerate(names)}
        if len(at) < len(names):
            raise Unfit("A column is given twice.")
        missing = [str(each.name) for each in self._columns if each.name not in at and each.is_required]
        if missing:
            given = ", ".join(map(str, names))
            missed = f"columns {_listed(missing)} are" if len(missing) > 1 else f"column '{missing[0]}' is"
            raise Unfit(f"The {missed} missing; given: {given}.")
        return [at.get(name, -1) for name in self._names]


class Numbers:
    """Plain numbers as one matrix in the signature's order, without pandas.

    Column after column in memory, as in a frame: sums of floats depend on it in their last digit.
    """

    def __init__(self, columns: Sequence[Column], places: Places) -> None:
        self._places = places
        self._width = len(columns)
        self._dtype = np.result_type(*(NUMBERS[each.kind] for each in columns))
        self._whole = [at for at, each in enumerate(columns) if each.kind in WHOLE]
        self._is_narrow = any(each.kind == "integer" for each in columns)
        self._limits = np.array([2.0**31 if columns[at].kind == "integer" else 2.0**53 for at in self._whole])

    def of(self, found: Table) -> Any:
        """None when something is not a plain number, which is no error here. Raises Unfit for missing columns."""
        order = self._places.of(found)
        try:
            matrix = np.array(found.rows)
        except ValueError:  # rows of different lengths
            return None
        if matrix.ndim != 2 or matrix.dtype.kind not in "if":
            return None
        if found.names is not None and matrix.shape[1] != len(found.names):
            return None
        if order is not None:
            matrix = matrix[:, order]
        is_float = matrix.dtype.kind == "f"
        if self._whole and (is_float or self._is_narrow):
            whole = matrix[:, self._whole]
            if not (np.abs(whole) < self._limits).all() or (is_float and (whole % 1).any()):
                return None
        return matrix.astype(self._dtype, order="F", copy=False)


def columns(found: Table, wanted: Sequence[Column], places: Places) -> dict[Any, Any]:
    """Each column's values in its type. Raises Unfit naming the column and the row."""
    order = places.of(found) or list(range(len(wanted)))
    width = len(found.names) if found.names is not None else len(wanted)
    for at, row in enumerate(found.rows):
        if not isinstance(row, list) or len(row) != width:
            size = f"{len(row)} values" if isinstance(row, list) else "no list of values"
            raise Unfit(f"Row {at} has {size}, not {width}.")
    made = {}
    for place, column in enumerate(wanted):
        values = [None if order[place] < 0 else row[order[place]] for row in found.rows]
        made[column.name] = _typed(values, column)
    return made


def _typed(values: list[Any], column: Column) -> Any:
    convert = CONVERSIONS.get(column.kind)
    if convert is None:
        return values
    made = []
    for at, value in enumerate(values):
        try:
            made.append(None if value is None and not column.is_required else convert(value))
        except (TypeError, ValueError, OverflowError):
            text = f"The column '{column.name}' is of type {column.kind}; row {at} has {_quoted(value)}."
            raise Unfit(text) from None
    if column.kind in NUMBERS:
        if None in made:
            return np.array(made, dtype="float64")
        return np.array(made, dtype=NUMBERS[column.kind])
    return made


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _whole(limit: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        made = int(value)
        if (isinstance(value, float) and made != value) or not -limit <= made < limit:
            raise ValueError
        return made

    return convert


def _boolean(value: Any) -> bool:
    if value in (0, 1) and isinstance(value, (bool, int)):
        return bool(value)
    raise ValueError


def _string(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise ValueError


def _datetime(value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError
    return np.datetime64(value.rstrip("Z"), "ns")


def _binary(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError from error


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "double": _float,
    "float": _float,
    "integer": _whole(LIMITS["integer"]),
    "long": _whole(LIMITS["long"]),
    "boolean": _boolean,
    "string": _string,
    "datetime": _datetime,
    "binary": _binary,
}


def tensors(value: Any, wanted: Sequence[Tensor]) -> Any:
    """An array, or arrays by name. Raises Unfit naming the tensor, its type and its shape."""
    if len(wanted) == 1 and not wanted[0].name:
        rows = value["data"] if isinstance(value, dict) and "data" in value else value
        return _array(rows, wanted[0])
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        value = {name: [each.get(name) for each in value] for name in value[0]}
    if not isinstance(value, dict):
        raise Unfit(f"An object with {', '.join(each.name for each in wanted)} is expected.")
    for each in wanted:
        if each.name not in value:
            raise Unfit(f"The tensor '{each.name}' is missing; given: {', '.join(map(str, value))}.")
    return {each.name: _array(value[each.name], each) for each in wanted}


def _array(value: Any, tensor: Tensor) -> Any:
    name = f"The tensor '{tensor.name}'" if tensor.name else "The input"
    try:
        found = np.array(value)
        if found.dtype.kind in "USO" and np.dtype(tensor.dtype).kind in "iufb":
            raise ValueError("not all are numbers")
        made = found.astype(tensor.dtype)
    except (TypeError, ValueError) as error:
        raise Unfit(f"{name} is of type {tensor.dtype} and shape {shape(tensor)}: {error}.") from None
    fits = made.ndim == len(tensor.shape) and all(
        size < 0 or size == made.shape[at] for at, size in enumerate(tensor.shape)
    )
    if not fits:
        raise Unfit(f"{name} has the shape {shape(tensor)}; given: {made.shape}.")
    return made


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
