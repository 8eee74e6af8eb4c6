"""No model is ever loaded by the studio: not when it is registered, read, listed, compared, shown or downloaded."""

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from services.engines import mlmodel
from tests.malicious import Evil, corpus, framed, onnx

ROOT = Path(__file__).parents[1]
LOADERS = frozenset(
    {"pickle", "dill", "cloudpickle", "joblib", "torch", "tensorflow", "keras", "onnx", "onnxruntime", "h5py",
     "marshal", "shelve", "safetensors", "sklearn", "xgboost", "lightgbm", "catboost", "transformers"}
)  # fmt: skip


def test_the_corpus_bites_whoever_loads_it(tmp_path: Path) -> None:
    """Otherwise the test below shows nothing."""
    mark = tmp_path / "bitten"
    pickle.loads(pickle.dumps(Evil(mark)))  # noqa: S301 (that it bites is what is shown)
    assert mark.exists()
    assert len(corpus(tmp_path)) >= 30


@pytest.mark.slow
def test_nothing_of_a_model_runs_in_our_processes(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    command = [sys.executable, "-m", "tests.malicious", str(tmp_path / "home"), str(marks)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["hears"] is True
    assert said["heard"] == []
    assert said["done"] == []
    assert said["leaked"] is False
    assert said["models"] == 3 * len(corpus(marks))


@pytest.mark.parametrize("name", corpus(Path("/nowhere")))
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, name: str) -> None:
    for path, content in corpus(tmp_path)[name].items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    facts = mlmodel.described(tmp_path / "model")
    assert facts["files"] >= 1
    assert len(json.dumps(facts)) < 1 << 20
    for sentence in facts.get("unread", []):
        assert "cannot be read" in sentence
        assert len(sentence) < 400


def test_headers_of_safetensors_and_onnx_are_read(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": "F16", "shape": [3, 4], "data_offsets": [0, 24]}}
    (tmp_path / "model.safetensors").write_bytes(framed(json.dumps(header).encode()) + b"\0" * 24)
    (tmp_path / "model.onnx").write_bytes(onnx("../../weights"))
    facts = mlmodel.described(tmp_path)
    found = facts["headers"]["model.safetensors"]
    assert (found["tensors"], found["parameters"], found["types"]) == (1, 12, ["F16"])
    found = facts["headers"]["model.onnx"]
    assert (found["producer"], found["opset"], found["nodes"], found["external"]) == ("evil", {"ai.onnx": 17}, 1, 1)
    assert found["inputs"] == [{"name": "x", "type": "float", "shape": [4]}]
    assert facts["formats"] == ["ONNX", "safetensors"]


def test_what_loads_models_is_imported_nowhere() -> None:
    """Not even where it would be used well; what runs in a job's container is not ours to import.

    The importance of parameters grows a forest of its own, in a process of its own, and loads none.
    """
    found = set()
    for folder in ("services", "app", "pages"):
        for path in (ROOT / folder).rglob("*.py"):
            if ROOT / "services" / "runtime" in path.parents:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {(path.name, name) for name in names if name.partition(".")[0] in LOADERS}
    assert found == {("forest.py", "sklearn.ensemble")}
