"""An MLflow model that works on files by itself: each is read, cast to the model's signature and predicted once."""

from __future__ import annotations

import csv
import importlib
import io
import json
from pathlib import Path
from typing import Any, Iterator, Sequence  # noqa: UP035 (Python 3.8 subscripts no other)

from .listing import IMAGES

NUMBERS = {
    "boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64",
    "datetime": "datetime64[ns]",
}  # fmt: skip


class Predictor:
    """`run` is what a scoring script's would be."""

    def __init__(self, folder: str) -> None:
        self.model = importlib.import_module("mlflow.pyfunc").load_model(folder)
        self.schema = self.model.metadata.get_input_schema()

    def run(self, paths: Sequence[str]) -> Iterator[str]:
        """Lines `row,prediction,file`, without their ends; what fails names the file."""
        for path in paths:
            name = Path(path).name
            try:
                predicted = list(_cells(self.model.predict(self._read(path))))
            except Exception as cause:
                raise RuntimeError(f"'{name}' could not be predicted: {cause}") from cause
            for row, cell in enumerate(predicted):
                yield _line(row, cell, name)

    def _read(self, path: str) -> Any:
        if path.lower().endswith(IMAGES):
            return _image(path, self.schema)
        frame = _table(path, self.schema)
        if self.schema is not None and self.schema.is_tensor_spec():
            return _shaped(frame.to_numpy(), self.schema)
        return frame


def _table(path: str, schema: Any) -> Any:
    pandas = importlib.import_module("pandas")
    columns = [] if schema is None or schema.is_tensor_spec() else list(schema.inputs)
    if path.lower().endswith(".csv"):
        text = {each.name: str for each in columns if each.name and _kind(each) == "string"}
        frame = pandas.read_csv(path, dtype=text)
    else:
        frame = pandas.read_parquet(path)
    return _cast(pandas, frame, columns) if columns else frame


def _cast(pandas: Any, frame: Any, columns: Sequence[Any]) -> Any:
    """The signature's columns in its order and types. Raises ValueError naming a column that is not there or not so."""
    if any(not each.name for each in columns):
        names = list(frame.columns)
        if len(names) != len(columns):
            raise ValueError(f"it has {len(names)} columns, and the model's signature {len(columns)}")
    else:
        names = [each.name for each in columns]
    kept = {}
    for name, column in zip(names, columns):  # noqa: B905 (Python 3.8 has no strict)
        if name in frame.columns:
            kept[name] = _column(pandas, frame[name], name, _kind(column))
        elif getattr(column, "required", True):
            raise ValueError(f"column '{name}' is missing; the model's signature names {', '.join(map(str, names))}")
    return pandas.DataFrame(kept)


def _column(pandas: Any, values: Any, name: str, kind: str) -> Any:
    try:
        if kind == "datetime":
            return pandas.to_datetime(values)
        if kind in NUMBERS:
            made = values.astype(NUMBERS[kind])
            if kind in {"integer", "long"} and not (made == values.astype("float64")).all():
                raise ValueError("it holds fractions, or numbers that are too large")
            return made
        return values.astype(str).where(values.notna(), None) if kind == "string" else values
    except (ValueError, TypeError, OverflowError) as cause:
        raise ValueError(
            f"column '{name}' is not of the type {kind} that the model's signature names: {cause}"
        ) from cause


def _kind(column: Any) -> str:
    return str(getattr(column.type, "name", ""))


def _image(path: str, schema: Any) -> Any:
    numpy = importlib.import_module("numpy")
    with importlib.import_module("PIL.Image").open(path) as opened:
        pixels = numpy.asarray(opened)
    return _shaped(pixels, schema) if schema is not None and schema.is_tensor_spec() else pixels


def _shaped(array: Any, schema: Any) -> Any:
    tensor = schema.inputs[0]
    shaped = array.astype(tensor.type).reshape(tensor.shape)
    return {tensor.name: shaped} if tensor.name else shaped


def _cells(predicted: Any) -> Iterator[str]:
    """One text for each row of a prediction, whatever it is: a scalar as it is, several values as JSON."""
    if hasattr(predicted, "to_dict") and hasattr(predicted, "columns"):
        single = len(predicted.columns) == 1
        for record in predicted.to_dict("records"):
            yield _cell(next(iter(record.values())) if single else record)
        return
    if isinstance(predicted, dict):
        columns = [list(_cells(values)) for values in predicted.values()]
        for row in zip(*columns):  # noqa: B905
            yield _cell(dict(zip(predicted, row)))  # noqa: B905
        return
    if isinstance(predicted, (str, bytes)) or not hasattr(predicted, "__iter__"):
        yield _cell(predicted)
        return
    for each in predicted:
        yield _cell(each)


def _cell(value: Any) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return json.dumps(value, default=str) if isinstance(value, (list, tuple, dict)) else str(value)


def _line(row: int, cell: str, name: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([row, cell, name])
    return text.getvalue()
