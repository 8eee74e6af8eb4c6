"""An MLflow model without a script: loaded, asked in every form that MLflow and the cloud know, answered as they do."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import pickle
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import answers, failures, payloads, signatures, swagger, versions
from .answers import Answer
from .payloads import Unfit
from .rawhttp import Asked

log = logging.getLogger("azmlinfsrv")
CHECKED = 3  # made-up rows on which both ways must agree, besides the model's own example
QUOTED = 300  # characters of a model's error in an answer
if TYPE_CHECKING:  # it has no subscripts before Python 3.9
    Predict = Callable[[Any], Any]


class Model:
    """`predict` takes what MLflow would give it; `raw` takes bare arrays, where the model has such a way."""

    def __init__(self, folder: Path, described: dict[str, Any], predict: Any, raw: Predict | None) -> None:
        self._signature = signatures.read(described)
        self._predict = predict
        self._places = payloads.Places(self._signature.columns)
        self._numbers: payloads.Numbers | None = None
        self._fast: Predict | None = None
        sample = signatures.example(folder, described, self._signature)
        if raw is not None and self._signature.is_plain_numbers and not self._signature.has_params:
            self._numbers = payloads.Numbers(self._signature.columns, self._places)
            if self._agree(raw, sample):
                self._fast = raw
                forget_names(raw)
        self._swagger = swagger.documents(*signatures.schemas(self._signature, sample, self._given(sample)))

    @property
    def is_fast(self) -> bool:
        """Whether plain numbers reach the model without pandas."""
        return self._fast is not None

    def score(self, asked: Asked) -> Answer:
        """Never raises for what the model does. What does not fit the signature is 400, what the model raises 500."""
        if asked.method != "POST":
            return Answer(200, b"") if asked.method == "OPTIONS" else answers.message(405, "Method not allowed")
        try:
            payload = payloads.read(asked.body)
            del asked
            began = time.perf_counter()
            value = jsonable(self._predicted(payload))
            elapsed = time.perf_counter() - began
            body = answers.dumped({"predictions": value} if payload.is_of_mlflow else value)
        except Unfit as error:
            return answers.message(400, f"{error}{self._expected()}")
        except answers.NotJson as error:
            log.error("%s", error)
            return answers.message(500, str(error).replace("run()", "The model"), failed=True)
        except Exception as error:  # noqa: BLE001 — whatever a model raises is its answer
            if is_refusal(error):
                return answers.message(400, str(error))
            log.error("Encountered Exception: %s", traceback.format_exc())
            return answers.message(
                500, f"The model failed: {failures.words(error).splitlines()[0][:QUOTED]}", failed=True
            )
        return Answer(200, body, (answers.JSON, (b"x-ms-run-fn-exec-ms", b"%.3f" % (elapsed * 1000))))

    def swagger(self, version: str) -> bytes | None:
        return self._swagger.get(version)

    def _predicted(self, payload: payloads.Payload) -> Any:
        signature = self._signature
        if signature.tensors:
            return self._predict(payloads.tensors(payload.value, signature.tensors), payload.params)
        if not signature.columns:
            return self._predict(untold(payload.value, signature), payload.params)
        found = payloads.table(payload.value, signature)
        if self._fast is not None and self._numbers is not None:
            matrix = self._numbers.of(found)
            return self._fast(self._typed_matrix(found) if matrix is None else matrix)
        made = payloads.columns(found, signature.columns, self._places)
        return self._predict(frame(made), payload.params)

    def _typed_matrix(self, found: payloads.Table) -> Any:
        """Numbers that came as text, null and the like."""
        made = payloads.columns(found, self._signature.columns, self._places)
        return np.asfortranarray(np.column_stack(list(made.values())))

    def _agree(self, raw: Predict, sample: Any) -> bool:
        """Whether bare numbers give just what a frame gives, on the model's example and on made-up rows."""
        signature = self._signature
        try:
            found = payloads.table(sample, signature)
            order = self._places.of(found)
            rows = [row if order is None else [row[at] for at in order] for row in found.rows]
            rows += made_up(signature)
            whole = payloads.Table(None, rows)
            matrix = self._typed_matrix(whole)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                bare = raw(matrix)
                framed = self._predict(frame(payloads.columns(whole, signature.columns, self._places)), None)
        except Exception as error:  # noqa: BLE001 — then it is not fast, and works as MLflow would
            log.info("Numbers reach the model through pandas: %s", failures.words(error))
            return False
        if same(bare, framed):
            return True
        log.info("Numbers reach the model through pandas: without it, the predictions are others")
        return False

    def _given(self, sample: Any) -> Any:
        """The answer to the example; None when there is none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = jsonable(self._predicted(payloads.Payload(sample, None, is_of_mlflow=False)))
                return json.loads(answers.dumped(value))
        except Exception as error:  # noqa: BLE001 — an example that does not fit hinders nobody
            log.info("The model does not answer its example: %s", failures.words(error))
            return None

    def _expected(self) -> str:
        told = self._signature.told()
        return f" The model takes: {told}" if told else ""


def load() -> Model:
    """The model at ATELIER_MODEL_PATH. Raises Failure."""
    named = Path(os.environ.get("ATELIER_MODEL_PATH") or os.environ.get("AZUREML_MODEL_DIR") or ".")
    folder = named.resolve()  # a model of a plain process is a link, which MLflow takes for a way out of its folder
    path = folder / "MLmodel"
    if not path.is_file():
        found = ", ".join(sorted(each.name for each in folder.iterdir())[:20]) or "nothing"
        text = f"{folder} is no MLflow model: there is no MLmodel in it; there is: {found}"
        raise failures.Failure("ModelLoadFailed", text)
    described: dict[str, Any] = importlib.import_module("yaml").safe_load(path.read_text(encoding="utf-8"))
    flavors = described.get("flavors") or {}
    if "python_function" not in flavors:
        text = f"the model has no python_function flavor, which serving needs; it has: {', '.join(flavors) or 'none'}"
        raise failures.Failure("ModelLoadFailed", text)
    code = flavors["python_function"].get("code")
    if code:
        sys.path.insert(0, str(folder / code))
    try:
        began = time.perf_counter()
        model = Model(folder, described, *opened(folder, described))
    except failures.Failure:
        raise
    except BaseException as error:
        failures.show_model_folder()
        text = f"the model cannot be loaded: {failures.words(error)}{versions.told(folder)}"
        raise failures.Failure("ModelLoadFailed", text) from error
    way = "without pandas" if model.is_fast else "as MLflow would"
    log.info("The model took %.2f s to load; numbers reach it %s", time.perf_counter() - began, way)
    return model


def opened(folder: Path, described: dict[str, Any]) -> tuple[Any, Predict | None]:
    """How the model is asked, and how with bare arrays. A scikit-learn model needs no MLflow for it."""
    flavors = described["flavors"]
    function = flavors["python_function"]
    if is_plain_sklearn(described):
        flavor = flavors["sklearn"]
        estimator = unpickled(folder / flavor["pickled_model"], flavor)
        called: Predict = getattr(estimator, function.get("predict_fn") or "predict")
        return (lambda value, params: called(value)), called
    model = importlib.import_module("mlflow.pyfunc").load_model(str(folder))
    try:
        raw = model.get_raw_model()
    except (AttributeError, NotImplementedError):
        raw = None

    def predict(value: Any, params: Any) -> Any:
        return model.predict(value, params=params) if params else model.predict(value)

    return predict, getattr(raw, function.get("predict_fn") or "predict", None)


def is_plain_sklearn(described: dict[str, Any]) -> bool:
    """Whether MLflow would do nothing but unpickle it and call it."""
    flavors = described["flavors"]
    allowed = os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true").lower() in ("true", "1")
    is_own = flavors["python_function"].get("loader_module") == "mlflow.sklearn" and "sklearn" in flavors
    if not is_own or not allowed or signatures.read(described).has_params:
        return False
    return flavors["sklearn"].get("serialization_format") != "skops" or importlib.util.find_spec("skops") is not None


def unpickled(path: Path, flavor: dict[str, Any]) -> Any:
    if not path.is_file():
        raise failures.missing(path)
    if flavor.get("serialization_format") == "skops":
        return importlib.import_module("skops.io").load(path, trusted=flavor.get("skops_trusted_types"))
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 — the person who deploys it trusts it; this is its own container


def frame(columns: dict[Any, Any]) -> Any:
    """A DataFrame of typed columns; a bare array where pandas is not installed. Columns without names stay so."""
    if importlib.util.find_spec("pandas") is None:
        return np.asfortranarray(np.column_stack(list(columns.values())))
    pandas = importlib.import_module("pandas")
    made = {name: each if isinstance(each, np.ndarray) else _series(pandas, each) for name, each in columns.items()}
    return pandas.DataFrame(made)


def _series(pandas: Any, values: list[Any]) -> Any:
    if any(isinstance(each, np.datetime64) for each in values):
        return pandas.to_datetime(pandas.Series(values))
    return pandas.Series(values, dtype=bool if all(isinstance(each, bool) for each in values) else object)


def untold(value: Any, signature: signatures.Signature) -> Any:
    """For a model that does not say what it takes: a frame when names came along, arrays otherwise."""
    is_split = isinstance(value, dict) and isinstance(value.get("data"), list)
    is_records = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    if is_split or is_records:
        found = payloads.table(value, signature)
        try:
            return importlib.import_module("pandas").DataFrame(found.rows, columns=found.names)
        except ValueError as error:
            raise Unfit(f"The rows are no table: {error}.") from None
    if isinstance(value, dict):
        return {name: np.array(each) for name, each in value.items()}
    try:
        return np.array(value)
    except ValueError as error:
        raise Unfit(f"The rows are no array: {error}.") from None


def made_up(signature: signatures.Signature) -> list[list[Any]]:
    """Rows on which no two columns are alike."""
    size = len(signature.columns)
    return [[float((at * 7 + place * 3) % 11 - 4) for place in range(size)] for at in range(CHECKED)]


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or not isinstance(one, (np.ndarray, list)):
        return False
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.array_equal(one, other))


def jsonable(value: Any) -> Any:
    """As MLflow answers: an array is a list, a frame is records, single precision is told in full."""
    if isinstance(value, np.ndarray):
        return value.astype("float64") if value.dtype in (np.float32, np.float16) else value
    if hasattr(value, "to_frame"):
        value = value.to_frame()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return value.to_dict(orient="records")
    if isinstance(value, dict):
        return {name: jsonable(each) for name, each in value.items()}
    return value


def is_refusal(error: Exception) -> bool:
    """Of MLflow, for an input that does not fit."""
    codes = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
    return type(error).__name__ == "MlflowException" and getattr(error, "error_code", "") in codes


def forget_names(predict: Predict) -> None:
    """Of the columns that estimators were fitted with: otherwise they warn at every array."""
    seen: set[int] = set()
    left = [getattr(predict, "__self__", None)]
    while left:
        each = left.pop()
        if isinstance(each, (list, tuple)):
            left += [part for part in each if isinstance(part, (list, tuple)) or hasattr(part, "get_params")]
        elif hasattr(each, "get_params") and hasattr(each, "__dict__") and id(each) not in seen:
            seen.add(id(each))
            vars(each).pop("feature_names_in_", None)
            left += list(vars(each).values())
