"""One process of the driver: init() once, then run() for each mini-batch that it is sent, until there is no more.

It speaks in lines of JSON through two descriptors of its own, so that a script may print whatever it likes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import inspect
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, Sequence  # noqa: UP035 (Python 3.8 subscripts no other)

from . import rows
from .settings import Settings, read

_PARENT_ENDED = 1  # PR_SET_PDEATHSIG


class Context:
    """What run(mini_batch, mini_batch_context) is told of a mini-batch besides its files."""

    def __init__(self, index: int) -> None:
        self.minibatch_index = index
        self.partition_key_value: dict[str, str] = {}
        self.partition_index = 0
        self.dataset_name = None
        self.global_row_index_lower_bound = None
        self.global_row_index_higher_bound = None


class Script:
    """The functions of whoever works on the files: a scoring script's, or those that a model stands for."""

    def __init__(self, settings: Settings) -> None:
        self.module: Any = None
        if settings.is_mlflow:
            from .models import Predictor

            self.run: Callable[..., Any] = Predictor(settings.path(settings.model)).run
        else:
            self.module = _loaded(settings.entry_script, settings.argv())
            if not callable(getattr(self.module, "run", None)):
                raise AttributeError(f"'{settings.entry_script}' has no function run(mini_batch)")
            self.run = self.module.run
            self._call("init")
        self.takes_context = not settings.is_mlflow and _positions(self.run) > 1

    def on(self, paths: Sequence[str], index: int) -> Any:
        return self.run(paths, Context(index)) if self.takes_context else self.run(paths)

    def shut_down(self) -> None:
        self._call("shutdown")

    def _call(self, name: str) -> None:
        function = getattr(self.module, name, None)
        if callable(function):
            function()


def main(words: Sequence[str]) -> int:
    """`words` are the two descriptors, then the script's arguments."""
    os.setpgrp()
    ctypes.CDLL(None).prctl(_PARENT_ENDED, signal.SIGKILL)
    commands, answers = int(words[0]), int(words[1])
    os.set_inheritable(commands, False)
    os.set_inheritable(answers, False)
    settings = read(words[2:])
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    level = logging.getLevelName(settings.logging_level.upper())
    logging.getLogger().setLevel(level if isinstance(level, int) else logging.INFO)
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        try:
            script = Script(settings)
        except BaseException as cause:  # noqa: BLE001 (sys.exit() in a script is a failure like another)
            _answer(out, {"init_failed": _said(cause), "trace": _trace()})
            return 1
        _answer(out, {"is_ready": True})
        with os.fdopen(commands, encoding="utf-8") as orders:
            for line in orders:
                _answer(out, _worked(script, settings, json.loads(line)))
        script.shut_down()
    return 0


def _worked(script: Script, settings: Settings, order: dict[str, Any]) -> dict[str, Any]:
    """`returned` counts the items; the lines are in the order's file, whole, before this says so."""
    separator = "," if settings.is_mlflow else settings.separator
    try:
        result = script.on(order["paths"], order["index"])
        if not settings.appends:
            returned = rows.write(result, separator, None)
        else:
            with open(order["part"], "w", encoding="utf-8", newline="", errors="surrogateescape") as part:  # noqa: PTH123
                returned = rows.write(result, separator, part)
    except BaseException as cause:  # noqa: BLE001
        return {"index": order["index"], "failed": _said(cause), "trace": _trace()}
    return {"index": order["index"], "returned": returned}


def _loaded(file: str, argv: Sequence[str]) -> Any:
    path = Path(file).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"the scoring script '{file}' is not in the code")
    sys.argv[:] = [str(path), *argv]
    sys.path[:0] = [str(path.parent), *([str(Path.cwd())] if path.parent != Path.cwd() else [])]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{file}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _positions(function: Callable[..., Any]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds for each in inspect.signature(function).parameters.values())


def _said(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}"


def _trace() -> str:
    return traceback.format_exc()


def _answer(out: Any, what: dict[str, Any]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    out.write(json.dumps(what) + "\n")
    out.flush()
