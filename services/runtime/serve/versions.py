"""Which versions a model was saved with, and which are here: the usual reason why a pickle does not load."""

from __future__ import annotations

import platform
import re
import traceback
from importlib import metadata
from pathlib import Path

FILES = ("conda.yaml", "requirements.txt", "MLmodel")  # the last one that names a package wins
PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".bin")
FLAVOURS = {"xgb": "xgboost", "lgb": "lightgbm", "sklearn": "scikit-learn", "pytorch": "torch", "keras": "keras"}
_PIN = re.compile(r"^\s*(?:-\s*)?([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?={1,2}(\d[\w.]*)", re.MULTILINE)
_FLAVOUR = re.compile(r"^\s*([a-z]+)_version:\s*['\"]?(\d[\w.]*)", re.MULTILINE)
_IN_PICKLE = re.compile(rb"_sklearn_version.{1,8}?(\d+\.\d+(?:\.\d+)?(?:\.?(?:rc|post|dev)\d+)?)", re.DOTALL)


def is_unpickling(error: BaseException) -> bool:
    """Whether it was raised while a pickle was read."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = ("pickle", "joblib", "skops", "sklearn")
    return any(
        part in Path(each.filename).parts or f"{part}.py" in each.filename for each in frames for part in parts
    ) or ("pickle" in type(error).__module__ or any(each.line and ".load(" in each.line for each in frames[-1:]))


def saved(folder: Path) -> dict[str, str]:
    """Versions by package, from the files beside the model and from a scikit-learn pickle itself."""
    found: dict[str, str] = {}
    for name in FILES:
        for path in sorted(folder.rglob(name))[:1]:
            text = path.read_text(errors="replace")
            found.update({package.lower(): version for package, version in _PIN.findall(text)})
            named = ((FLAVOURS.get(flavour, flavour), version) for flavour, version in _FLAVOUR.findall(text))
            found.update({package: version for package, version in named if name == "MLmodel"})
    for path in sorted(each for each in folder.rglob("*") if each.suffix in PICKLES)[:1]:
        with path.open("rb") as file:
            inside = _IN_PICKLE.search(file.read(64 << 20))
        if inside:
            found["scikit-learn"] = inside.group(1).decode()
    return found


def here(package: str) -> str:
    """Empty when it is not installed."""
    if package == "python":
        return platform.python_version()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def told(folder: Path) -> str:
    """`; the model was saved with scikit-learn 0.24.1 (here 1.9.1)`: those that differ. Empty when none is known."""
    found = saved(folder)
    pairs = [f"{name} {version} (here {here(name) or 'not installed'})" for name, version in sorted(found.items())
             if here(name) != version]  # fmt: skip
    return f"; the model was saved with {', '.join(pairs)}" if pairs else ""
