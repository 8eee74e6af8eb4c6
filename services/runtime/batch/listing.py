"""Which files a job works on, in one order on every machine, and how they are cut into mini-batches."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import Iterator, Sequence  # noqa: UP035 (Python 3.8 subscripts no other)

from .settings import Settings, Wrong

TABLES = (".csv", ".parquet")
IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".bmp", ".gif")
MLTABLE = "MLTable"


def files(settings: Settings) -> list[str]:
    """Of all inputs, sorted by path within each. Raises Wrong where there is none, or one that a model cannot read.

    A script gets the files of nested folders too; a model without a script does not look into those.
    """
    found: list[str] = []
    for variable in settings.inputs:
        root = Path(settings.path(variable))
        if settings.types.get(variable) == "mltable":
            found += _of_table(root)
        else:
            found += _below(root, is_deep=not settings.is_mlflow)
    if not found:
        raise Wrong("There is no file to work on: the input is empty.")
    if settings.is_mlflow:
        _require_readable(found)
    return found


def mini_batches(paths: Sequence[str], size: int) -> list[list[str]]:
    return [list(paths[start : start + size]) for start in range(0, len(paths), size)]


def _below(root: Path, *, is_deep: bool) -> list[str]:
    if root.is_file():
        return [str(root)]
    if not root.is_dir():
        raise Wrong(f"The input '{root}' is not there.")
    if not is_deep:
        return sorted(str(path) for path in root.iterdir() if path.is_file())
    return sorted(_walked(root))


def _walked(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        yield from (os.path.join(folder, name) for name in names)  # noqa: PTH118 (a million of them)


def _require_readable(paths: Sequence[str]) -> None:
    for path in paths:
        if not path.lower().endswith((*TABLES, *IMAGES)):
            raise Wrong(
                f"'{Path(path).name}' is of a type that a model without a scoring script does not read. "
                f"It reads {', '.join((*TABLES, *IMAGES))}; leave other files out, or write a scoring script."
            )


def _of_table(root: Path) -> list[str]:
    """The files that an MLTable names. Raises Wrong for one that would make rows of them."""
    file = root / MLTABLE if root.is_dir() else root
    try:
        import yaml
    except ImportError as cause:
        raise Wrong("Reading an MLTable needs the package PyYAML in the environment.") from cause
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
        paths = [next(iter(each.items())) for each in said["paths"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, yaml.YAMLError) as cause:
        raise Wrong(f"'{file}' cannot be read as an MLTable: {cause}") from cause
    if said.get("transformations"):
        raise Wrong("An MLTable that makes rows of its files is not worked on file by file; name the folder instead.")
    found: list[str] = []
    for kind, text in paths:
        found += _named(file.parent, str(kind), str(text))
    return found


def _named(root: Path, kind: str, text: str) -> list[str]:
    if "://" in text:
        raise Wrong(f"The MLTable names '{text}', which is not among the files of the input.")
    if kind in {"file", "folder"}:
        return _below(root / text, is_deep=True)
    pattern = text[2:] if text.startswith("./") else text  # noqa: FURB188 (Python 3.8 has no removeprefix)
    return [
        path
        for path in _below(root, is_deep=True)
        if fnmatch.fnmatch(Path(path).relative_to(root).as_posix(), pattern) and Path(path).name != MLTABLE
    ]
