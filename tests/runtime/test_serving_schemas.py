"""Scripts whose `run()` says by inference-schema what it takes: conversion, refusals, Swagger."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.served import Served

pytestmark = pytest.mark.slow
CODE = """
    import numpy as np
    import pandas as pd
    from inference_schema.schema_decorators import input_schema, output_schema
    from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
    from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
    from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

    FRAME = pd.DataFrame({"age": [1.0], "bmi": [2.0]})

    def init():
        pass

    @input_schema("rows", NumpyParameterType(np.array([[1.0, 2.0]])))
    @input_schema("table", PandasParameterType(FRAME))
    @input_schema("words", StandardPythonParameterType(["a"]))
    @output_schema(StandardPythonParameterType({"kinds": ["ndarray"]}))
    def run(rows, table, words, times=1):
        if words == ["raise"]:
            raise ValueError("of the script itself")
        return {"kinds": [type(rows).__name__, type(table).__name__, words, times]}
"""
FITS = {"rows": [[1, 2]], "table": [{"age": 1, "bmi": 2}], "words": ["x"]}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has inference-schema and sees all that is installed here."""
    environment = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    made = environment / "bin" / "python"
    installing = [str(made), "-m", "pip", "install", "-q", "inference-schema", "wrapt<2", "pytz"]
    if subprocess.run([*installing, "--no-deps"], capture_output=True, check=False).returncode:
        pytest.skip("no packages can be had here")
    (folder,) = environment.glob("lib/python*/site-packages")
    (folder / "more.pth").write_text(sysconfig.get_path("purelib"))
    return str(made)


@pytest.fixture(scope="module")
def served(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served"), CODE, python=python) as made:
        yield made


def test_values_arrive_as_their_samples_are(served: Served) -> None:
    assert served.score(FITS).json() == {"kinds": ["ndarray", "DataFrame", ["x"], 1]}
    assert served.score({**FITS, "times": 3, "more": None}).json()["kinds"][3] == 3
    asked = "&".join(f"{name}={json.dumps(value)}" for name, value in FITS.items())
    assert served.client.get(f"/score?{asked}").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (json.dumps({"rows": [[1, 2]], "words": []}), 400, "A value is not provided for the 'table' parameter."),
        (json.dumps({**FITS, "rows": [[1, 2, 3]]}), 400, "The parameter 'rows' does not fit its sample"),
        (json.dumps({**FITS, "rows": [["x", 2]]}), 400, "The parameter 'rows' does not fit its sample"),
        (json.dumps({**FITS, "table": [{"age": 1}]}), 400, "The parameter 'table' does not fit its sample"),
        (json.dumps({**FITS, "words": "one"}), 400, "The parameter 'words' does not fit its sample"),
        ("[1]", 400, "POST body should be a JSON dictionary."),
        ("{", 400, "could not be decoded as JSON"),
        ("", 400, "POST body is empty."),
        (json.dumps({**FITS, "words": ["raise"]}), 500, "Check the logs"),
    ],
)
def test_what_does_not_fit_is_refused_and_what_the_script_raises_is_not(
    served: Served, body: str, status: int, words: str
) -> None:
    answer = served.client.post("/score", content=body, headers={"content-type": "application/json; charset=utf-8"})

    assert (answer.status_code, words in answer.json()["message"]) == (status, True), answer.text
    assert ("x-ms-run-function-failed" in answer.headers) == (status == 500)


def test_another_content_type_is_refused(served: Served) -> None:
    answer = served.client.post("/score", content=json.dumps(FITS), headers={"content-type": "text/plain"})

    assert (answer.status_code, "application/json" in answer.text) == (415, True)


def test_swagger_is_made_of_the_samples(served: Served) -> None:
    document = served.client.get("/swagger.json").json()
    three = served.client.get("/swagger.json?version=3").json()

    taken = document["definitions"]["ServiceInput"]
    assert set(taken["properties"]) >= {"rows", "table", "words"}
    assert taken["example"]["table"] == [{"age": 1.0, "bmi": 2.0}]
    assert document["definitions"]["ServiceOutput"]["example"] == {"kinds": ["ndarray"]}
    assert three["components"]["schemas"]["ServiceInput"] == taken


def test_raw_requests_and_samples_exclude_each_other(python: str, tmp_path: Path) -> None:
    code = CODE + "\n    from azureml.contrib.services.aml_request import rawhttp\n    run = rawhttp(run)\n"

    assert "both @rawhttp and @input_schema" in Served(tmp_path, code, python=python).failure


def test_the_example_from_outside_answers_with_our_server(python: str, census: Path, tmp_path: Path) -> None:
    """The script of P27 without its model, which other versions have written: its decorators alone."""
    text = (census / "endpoints/online/managed/inference-schema/code/score-standard.py").read_text()
    code = text.replace("model = joblib.load(model_path)", "model = Even()") + (
        "\n\nclass Even:\n    def predict_proba(self, rows):\n        return np.ones((len(rows), 3))\n"
    )
    sample = json.loads((census / "endpoints/online/managed/inference-schema/sample-inputs/standard.json").read_text())

    with Served(tmp_path, code, python=python) as served:
        assert served.score(sample).json() == {"Category": ["Setosa", "Setosa"]}
