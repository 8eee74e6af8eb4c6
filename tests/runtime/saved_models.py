"""Saves models of several kinds with MLflow: `python saved_models.py FOLDER`, on its own because MLflow warns a lot."""

import json
import sys
from pathlib import Path
from typing import Any

NAMES = ["age", "bmi", "bp"]
ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 7.5]]
MIXED = [{"age": 1.0, "bmi": 2.0, "bp": 3.0, "kind": "b"}]
MORE: dict[str, Any] = {"pip_requirements": ["scikit-learn"]}  # so that MLflow looks for none itself
PICKLED: dict[str, Any] = MORE | {"serialization_format": "pickle"}


def tables(root: Path) -> None:
    """Of scikit-learn, and what they predict."""
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    save = mlflow.sklearn.save_model
    values = np.random.default_rng(1).normal(size=(50, 3))
    x, y = pd.DataFrame(values, columns=NAMES), values @ [1.0, 2.0, 3.0]
    regression = make_pipeline(StandardScaler(), LinearRegression()).fit(x, y)
    save(regression, root / "numbers", signature=infer_signature(x, y), **PICKLED)
    save(regression, root / "skops", signature=infer_signature(x, y), input_example=x.head(2), **MORE)
    save(regression, root / "untold", **PICKLED)
    words = np.where(y > 0, "high", "low")
    save(LogisticRegression().fit(x, words), root / "classes", signature=infer_signature(x, words), **PICKLED)
    mixed = x.assign(kind=np.where(x["age"] > 0, "a", "b"))
    by_name = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough")
    encoded = make_pipeline(by_name, LinearRegression()).fit(mixed, y)
    save(encoded, root / "mixed", signature=infer_signature(mixed, y), **PICKLED)
    whole = pd.DataFrame({"small": [1, 2, 3], "big": [1, 2, 3]}).astype({"small": "int32"})
    save(LinearRegression().fit(whole, [1, 2, 3]), root / "whole", signature=infer_signature(whole), **PICKLED)
    frames = dict.fromkeys(("numbers", "skops", "untold"), pd.DataFrame(ROWS, columns=NAMES))
    frames["mixed"] = pd.DataFrame(MIXED)
    expected = {name: mlflow.pyfunc.load_model(str(root / name)).predict(each) for name, each in frames.items()}
    (root / "expected.json").write_text(json.dumps({name: each.tolist() for name, each in expected.items()}))


def functions(root: Path) -> None:
    """Of Python: one that takes a tensor and a parameter, one that tells the types of its columns."""
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.types.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    class Sums(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return np.asarray(model_input).sum(axis=-1) * (params or {}).get("times", 1)

    class Kinds(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            kinds = [str(each.dtype) for _, each in model_input.items()]
            return pd.DataFrame({"kinds": kinds, "n": len(model_input)})

    tensor = Schema([TensorSpec(np.dtype("float32"), (-1, 3))])
    params = ParamSchema([ParamSpec("times", DataType.double, 1.0)])
    signature = mlflow.models.ModelSignature(tensor, tensor, params)
    mlflow.pyfunc.save_model(root / "tensor", python_model=Sums(), signature=signature, **MORE)
    kinds = {"yes": "boolean", "text": "string", "when": "datetime", "whole": "long", "raw": "binary"}
    columns = [ColSpec(DataType[kind], name) for name, kind in kinds.items()]
    columns.append(ColSpec(DataType.double, "maybe", required=False))
    signature = mlflow.models.ModelSignature(Schema(columns))
    mlflow.pyfunc.save_model(root / "kinds", python_model=Kinds(), signature=signature, **MORE)


if __name__ == "__main__":
    tables(Path(sys.argv[1]))
    functions(Path(sys.argv[1]))
