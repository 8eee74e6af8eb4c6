"""MLflow models without a script: every form of a request, the signature, and the way without pandas."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.saved_models import MIXED, NAMES, ROWS
from tests.runtime.served import Served

NO_FLAVOUR = "ModelLoadFailed: the model has no python_function flavor, which serving needs; it has: pytorch, sklearn"
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models, each in its own, and `expected.json` with what MLflow predicts."""
    root = tmp_path_factory.mktemp("models")
    script = Path(__file__).parent / "saved_models.py"
    subprocess.run([sys.executable, "-W", "ignore", str(script), str(root)], check=True, cwd=root)
    return root


class Serving:
    """Each model, started when it is first asked for."""

    def __init__(self, saved: Path, folder: Path) -> None:
        self.saved = saved
        self.expected = json.loads((saved / "expected.json").read_text())
        self._folder = folder
        self._running: dict[str, Served] = {}

    def __call__(self, name: str) -> Served:
        if name not in self._running:
            path = str(self.saved / name)
            environment = {"ATELIER_SERVE": "mlflow", "ATELIER_MODEL_PATH": path, "AZUREML_MODEL_DIR": str(self.saved)}
            self._running[name] = Served(self._folder / name, **environment).__enter__()
        return self._running[name]

    def close(self) -> None:
        for each in self._running.values():
            each.__exit__()


@pytest.fixture(scope="module")
def serving(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    made = Serving(saved, tmp_path_factory.mktemp("serving"))
    yield made
    made.close()


FORMS: list[tuple[dict[str, Any], bool]] = [
    ({"input_data": {"columns": NAMES, "index": [0, 1], "data": ROWS}}, False),
    ({"input_data": {"columns": [*NAMES[::-1], "more"], "data": [[*row[::-1], "x"] for row in ROWS]}}, False),
    ({"input_data": {"columns": NAMES, "data": [[str(each) for each in row] for row in ROWS]}}, False),
    ({"input_data": ROWS}, False),
    ({"input_data": RECORDS}, False),
    ({"input_data": {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}}, False),
    ({"dataframe_split": {"columns": NAMES, "data": ROWS}}, True),
    ({"dataframe_records": [{**each, "more": None} for each in RECORDS]}, True),
    ({"inputs": ROWS}, True),
    ({"inputs": {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}}, True),
    ({"instances": ROWS}, True),
    ({"instances": RECORDS, "params": {}}, True),
]


CASES = [(name, *form) for name in ("numbers", "skops") for form in FORMS]
CASES += [("untold", *FORMS[at]) for at in (0, 3, 4, 6, 8, 10, 11)]  # where nothing but the names says what is meant


@pytest.mark.parametrize(("name", "body", "is_of_mlflow"), CASES)
def test_every_form_gives_what_mlflow_gives(
    serving: Serving, name: str, body: dict[str, Any], is_of_mlflow: bool
) -> None:
    expected = serving.expected[name]

    answer = serving(name).score(body)

    assert answer.status_code == 200, answer.text
    assert answer.json() == ({"predictions": expected} if is_of_mlflow else expected)


@pytest.mark.parametrize(("name", "way"), [("numbers", "without pandas"), ("skops", "without pandas"),
                                           ("classes", "without pandas"), ("whole", "without pandas"),
                                           ("mixed", "as MLflow would"), ("kinds", "as MLflow would")])  # fmt: skip
def test_plain_numbers_go_without_pandas_where_that_changes_nothing(serving: Serving, name: str, way: str) -> None:
    assert f"numbers reach it {way}" in serving(name).said


def test_a_model_that_sees_names_and_not_places_keeps_its_frame(serving: Serving) -> None:
    assert serving("mixed").score({"input_data": MIXED}).json() == serving.expected["mixed"]


def test_no_warning_at_every_request(serving: Serving) -> None:
    served = serving("numbers")

    for body, _ in FORMS:
        served.score(body)

    assert "UserWarning" not in served.said


def test_words_are_answered_as_words(serving: Serving) -> None:
    assert set(serving("classes").score({"input_data": ROWS}).json()) <= {"high", "low"}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("numbers", {"columns": ["age", "bp"], "data": [[1, 2]]}, "The column 'bmi' is missing; given: age, bp."),
        ("numbers", {"columns": ["x"], "data": [[1]]}, "The columns 'age', 'bmi', 'bp' are missing; given: x."),
        ("numbers", {"columns": ["age", "bmi", "bp", "bp"], "data": [[1, 2, 3, 4]]}, "A column is given twice."),
        ("numbers", [{"age": 1, "bp": 2}], "The column 'bmi' is missing in row 0."),
        ("numbers", [[1, 2, 3], [1, "old", 3]], "The column 'bmi' is of type double; row 1 has \"old\"."),
        ("numbers", [[1, 2, [3]]], "The column 'bp' is of type double; row 0 has [3]."),
        ("numbers", [[1, 2, "x" * 500]], "x…."),
        ("numbers", [[1, 2, 3], [1, 2]], "Row 1 has 2 values, not 3."),
        ("numbers", [[1, 2]], "3 columns are expected (age, bmi, bp); row 0 has 2."),
        ("numbers", [], "There are no rows."),
        ("numbers", 5, "The rows are a list of lists"),
        ("numbers", [1, 2, 3], "Row 0 is not a list of values: 1."),
        ("numbers", {"age": [1, 2], "bmi": [1], "bp": [1]}, "different lengths"),
        ("whole", [[1.5, 2]], "The column 'small' is of type integer; row 0 has 1.5."),
        ("whole", [[2**31, 2]], "The column 'small' is of type integer; row 0 has 2147483648."),
        ("whole", [[1, None]], "The column 'big' is of type long; row 0 has null."),
        ("tensor", [[1, 2]], "The input has the shape (-1, 3); given: (1, 2)."),
        ("tensor", [["a", 2, 3]], "The input is of type float32 and shape (-1, 3)"),
        ("kinds", [["no", "t", "2024-01-01", 1, "AA==", 1]], "The column 'yes' is of type boolean; row 0 has \"no\"."),
        ("kinds", [[True, 5, "2024-01-01", 1, "AA==", 1]], "The column 'text' is of type string; row 0 has 5."),
        ("kinds", [[True, "t", "soon", 1, "AA==", 1]], "The column 'when' is of type datetime; row 0 has \"soon\"."),
        ("kinds", [[True, "t", "2024-01-01", 1, "é", 1]], "The column 'raw' is of type binary; row 0 has \"é\"."),
    ],
)
def test_what_does_not_fit_the_signature_is_named(serving: Serving, name: str, data: Any, words: str) -> None:
    answer = serving(name).score({"input_data": data})

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]
    assert "The model takes: " in answer.json()["message"]
    assert "x-ms-run-function-failed" not in answer.headers


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The body is empty"),
        (b"{", "The body is not JSON"),
        (b"[1]", "just one of input_data, dataframe_split, dataframe_records, inputs, instances"),
        (b'{"data": [[1]]}', "given: data"),
        (b'{"inputs": [[1]], "instances": [[1]]}', "given: inputs, instances"),
        (b'{"inputs": [[1, 2, 3]], "params": 5}', "'params' is an object"),
    ],
)
def test_what_is_no_request_is_refused(serving: Serving, body: bytes, words: str) -> None:
    answer = serving("numbers").client.post("/score", content=body)

    assert (answer.status_code, words in answer.json()["message"]) == (400, True), answer.text


def test_types_arrive_as_the_signature_says(serving: Serving) -> None:
    row = {"yes": True, "text": "t", "when": "2024-01-01T00:00:00", "whole": "7", "raw": "AA=="}

    answer = serving("kinds").score({"input_data": [row]})

    assert answer.status_code == 200, answer.text
    assert [each["kinds"].partition("[")[0] for each in answer.json()] == [
        "bool", "object", "datetime64", "int64", "object", "float64",
    ]  # fmt: skip
    assert {each["n"] for each in answer.json()} == {1}, "a frame is answered as records"


def test_tensors_and_parameters_reach_the_model(serving: Serving) -> None:
    served = serving("tensor")

    assert served.score({"input_data": ROWS}).json() == [6.0, 16.5]
    assert served.score({"inputs": ROWS, "params": {"times": 2.0}}).json() == {"predictions": [12.0, 33.0]}
    refused = served.score({"inputs": ROWS, "params": {"times": "often"}})
    assert (refused.status_code, "times" in refused.json()["message"]) == (400, True), refused.text


def test_what_the_model_raises_is_its_failure(serving: Serving) -> None:
    answer = serving("numbers").client.post("/score", content=b'{"input_data": [[NaN, 2, null]]}')

    assert answer.status_code == 500
    assert answer.headers["x-ms-run-function-failed"] == "true"
    assert answer.json() == {"message": "The model failed: ValueError: Input X contains NaN."}


def test_swagger_shows_columns_and_an_example_that_works(serving: Serving) -> None:
    served = serving("skops")
    document = served.client.get("/swagger.json").json()

    taken = document["definitions"]["ServiceInput"]
    assert "age (double), bmi (double), bp (double)" in taken["properties"]["input_data"]["description"]
    assert len(taken["example"]["input_data"]["data"]) == 2, "the model's own example"
    assert served.score(taken["example"]).json() == document["definitions"]["ServiceOutput"]["example"]
    three = served.client.get("/swagger.json?version=3").json()
    assert three["components"]["schemas"]["ServiceInput"] == taken


def test_a_hundred_thousand_rows(serving: Serving) -> None:
    answer = serving("numbers").score({"input_data": ROWS * 50_000})

    assert len(answer.json()) == 100_000


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def rewritten(folder: Path, old: str, new: str) -> None:
    path = folder / "MLmodel"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        (shutil.rmtree, "ModelPathNotFound: model path {} is not in the container"),
        (lambda folder: without(folder, "MLmodel"), "ModelLoadFailed: {} is no MLflow model: there is no MLmodel"),
        (lambda folder: without(folder, "model.pkl"), "ModelPathNotFound: model path {}/model.pkl is not in the"),
        (lambda folder: rewritten(folder, "python_function", "pytorch"), NO_FLAVOUR),
    ],
)
def test_a_model_that_is_not_all_there_is_told(saved: Path, tmp_path: Path, spoil: Any, failure: str) -> None:
    model = shutil.copytree(saved / "numbers", tmp_path / "model")
    spoil(model)

    served = Served(tmp_path, ATELIER_SERVE="mlflow", ATELIER_MODEL_PATH=str(model), AZUREML_MODEL_DIR=str(tmp_path))

    assert served.failure.startswith(f"ATELIER-FAILURE {failure.format(model)}"), served.failure


def test_a_pickle_of_another_version_names_both(saved: Path, tmp_path: Path) -> None:
    model = shutil.copytree(saved / "numbers", tmp_path / "model")
    (model / "model.pkl").write_bytes(b"csklearn.linear_model.of_old\nRidge\n.")
    rewritten(model, "sklearn_version: ", "sklearn_version: 0.20.1 # ")

    served = Served(tmp_path, ATELIER_SERVE="mlflow", ATELIER_MODEL_PATH=str(model), AZUREML_MODEL_DIR=str(tmp_path))

    assert served.failure.startswith("ATELIER-FAILURE ModelLoadFailed: the model cannot be loaded: ModuleNotFoundError")
    assert "the model was saved with scikit-learn 0.20.1 (here " in served.failure


def test_a_model_may_be_a_link_as_plain_processes_have_them(serving: Serving, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(saved / "skops", target_is_directory=True)
    where = {"ATELIER_MODEL_PATH": str(tmp_path / "model"), "AZUREML_MODEL_DIR": str(tmp_path)}
    with Served(tmp_path / "served", ATELIER_SERVE="mlflow", **where) as served:
        answer = served.score({"input_data": {"columns": NAMES, "data": ROWS}})
    assert answer.json() == pytest.approx(serving.expected["skops"])
