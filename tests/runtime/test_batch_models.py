"""MLflow models without a scoring script: files are read, cast to the signature, predicted once each."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.runtime.desk import Desk

SAVING = """
import sys
import numpy as np, pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, save_model
from mlflow.types import ColSpec, Schema, TensorSpec

class Told(PythonModel):
    def predict(self, context, model_input, params=None):
        return [f"{row.age + 1}/{row.oldpeak:.1f}/{row.thal}" for row in model_input.itertuples()]

class Shape(PythonModel):
    def predict(self, context, model_input, params=None):
        return np.array([[*model_input.shape, int(model_input.sum())]])

class Wide(PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"label": model_input["age"] > 50, "score": model_input["age"] / 100})

columns = Schema([ColSpec("long", "age"), ColSpec("double", "oldpeak"), ColSpec("string", "thal")])
tensor = Schema([TensorSpec(np.dtype("float32"), (-1, 2, 3, 3))])
for name, model, schema in (("told", Told, columns), ("shape", Shape, tensor), ("wide", Wide, None)):
    signature = ModelSignature(inputs=schema) if schema is not None else None
    save_model(f"{sys.argv[1]}/{name}", python_model=model(), signature=signature, pip_requirements=[])
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that tell what they were given: told, shape, wide."""
    folder = tmp_path_factory.mktemp("models")
    done = subprocess.run([sys.executable, "-c", SAVING, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def desk(tmp_path: Path, saved: Path) -> Desk:
    made = Desk(tmp_path, {"MODEL": str(saved / "told")})
    made.input.mkdir()
    return made


def scored(desk: Desk, **settings: Any) -> list[list[str]]:
    code = desk.run("", model="MODEL", flavor="mlflow", **settings)
    assert code == 0, desk.said + desk.log("stderr/process000.stderr.txt")
    return list(csv.reader(desk.result.open()))


def test_tables_are_cast_to_the_signature_and_predicted_once_a_file(desk: Desk) -> None:
    (desk.input / "b.csv").write_text("thal,age,oldpeak,more\n7,63,2,x\n6,41,1,y\n")
    table = pyarrow.table({"age": [5.0], "oldpeak": [3], "thal": ["fixed"]})
    parquet.write_table(table, desk.input / "a.parquet")
    (desk.input / "deep").mkdir()
    (desk.input / "deep" / "c.csv").write_text("not looked into\n")
    assert scored(desk) == [
        ["0", "6/3.0/fixed", "a.parquet"],
        ["0", "64/2.0/7", "b.csv"],
        ["1", "42/1.0/6", "b.csv"],
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("age,oldpeak\n1,2\n", "column 'thal' is missing"),
        ("age,oldpeak,thal\nold,2,x\n", "column 'age' is not of the type long"),
        ("age,oldpeak,thal\n1.5,2,x\n", "column 'age' is not of the type long"),
        ("age,oldpeak,thal\n,2,x\n", "column 'age' is not of the type long"),
    ],
)
def test_what_does_not_fit_the_signature_names_file_and_column(desk: Desk, text: str, why: str) -> None:
    (desk.input / "bad.csv").write_text(text)
    assert desk.run("", model="MODEL", flavor="mlflow") == 1
    assert f"'bad.csv' could not be predicted: {why}" in desk.said


def test_a_type_of_file_that_it_does_not_read_fails_the_job(desk: Desk) -> None:
    (desk.input / "a.csv").write_text("age,oldpeak,thal\n1,2,x\n")
    desk.files("notes.txt")
    assert desk.run("", model="MODEL", flavor="mlflow", error_threshold=-1) == 1
    assert "'notes.txt' is of a type that a model without a scoring script does not read" in desk.said
    assert not desk.result.exists()


def test_several_columns_of_a_prediction_are_json_in_one(desk: Desk, saved: Path) -> None:
    desk.variables["MODEL"] = str(saved / "wide")
    (desk.input / "a.csv").write_text("age\n60\n40\n")
    assert scored(desk) == [
        ["0", '{"label": true, "score": 0.6}', "a.csv"],
        ["1", '{"label": false, "score": 0.4}', "a.csv"],
    ]


def test_images_are_arrays_of_the_signatures_shape(desk: Desk, saved: Path) -> None:
    desk.variables["MODEL"] = str(saved / "shape")
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (3, 2), (1, 1, 1)).save(desk.input / "a.png")
    assert scored(desk) == [["0", "[1, 2, 3, 3, 18]", "a.png"]]


def test_a_model_that_cannot_be_loaded_is_said(desk: Desk) -> None:
    desk.files("a.csv")
    desk.variables["MODEL"] = str(desk.input)
    assert desk.run("", model="MODEL", flavor="mlflow") == 1
    assert "No worker comes up. init() failed" in desk.said
