"""Why a replica did not start: a code and one line that the studio reads from the end of the log."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

EXIT = 3
LISTED = 200
LINE_LIMIT = 2000
QUOTED = 500  # characters of an error in it: what follows must still be read


class Failure(Exception):
    """`code` is one of the words that the studio knows; the message is for the person who deploys."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def tell(failure: Failure) -> None:
    """The traceback of what caused it, then the line; nothing may be printed after it."""
    logging.shutdown()
    sys.stdout.flush()
    if failure.__cause__ is not None:
        cause = failure.__cause__
        traceback.print_exception(type(cause), cause, cause.__traceback__, file=sys.stderr)
    line = " ".join(failure.message.split())[:LINE_LIMIT]
    print(f"ATELIER-FAILURE {failure.code}: {line}", file=sys.stderr, flush=True)


def check_model_path() -> None:
    """Raises Failure when the model is not where the environment says."""
    path = os.environ.get("ATELIER_MODEL_PATH") or os.environ.get("AZUREML_MODEL_DIR")
    if path and not Path(path).exists():
        raise missing(Path(path))


def missing(path: Path) -> Failure:
    """For a path that is not there; says what is, in the nearest folder above it."""
    above = next(each for each in path.absolute().parents if each.is_dir())
    found = ", ".join(sorted(each.name for each in itertools.islice(above.iterdir(), 20))) or "nothing"
    return Failure("ModelPathNotFound", f"model path {path} is not in the container; in {above} there is: {found}")


def tree(folder: Path, depth: int = 0) -> Iterator[str]:
    """What is below a folder, a line each."""
    for each in sorted(folder.iterdir()):
        yield "    " * depth + each.name + ("/" if each.is_dir() else "")
        if each.is_dir() and not each.is_symlink():
            yield from tree(each, depth + 1)


def show_model_folder() -> None:
    """To the log, for the person who looks for a file that is named otherwise."""
    folder = Path(os.environ.get("AZUREML_MODEL_DIR") or "")
    if folder.name and folder.is_dir():
        log = logging.getLogger("azmlinfsrv")
        log.info("The model folder %s holds:", folder)
        for line in itertools.islice(tree(folder), LISTED):
            log.info("    %s", line)


def place(error: BaseException, root: str) -> str:
    """` (score.py, line 3)`: where in the user's own files it was raised, or nothing."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(root)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def words(error: BaseException) -> str:
    """`ValueError: no such thing`."""
    text = str(error)
    text = text if len(text) <= QUOTED else f"{text[:QUOTED]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
