"""A scoring script: its `init()` once, its `run()` per request, called as its decorators ask."""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from . import answers, failures, rawhttp, swagger, versions
from .answers import Answer
from .rawhttp import Asked

log = logging.getLogger("azmlinfsrv")
UNEXPECTED = "An unexpected error occurred in scoring script. Check the logs for more info."


class Refused(Exception):
    """A request that `run()` cannot take; the status says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Inputs(NamedTuple):
    """How `run()` is called: a decorated one by `parameters`, others by `first`, the name of their only one."""

    kind: str  # "text", "parameters" or "raw"
    first: str
    parameters: list[inspect.Parameter]
    takes_headers: bool


class Script:
    """Answers requests with the `run()` of a script."""

    def __init__(self, module: ModuleType, root: Path) -> None:
        self._run: Callable[..., Any] = module.run
        driven = getattr(module, "driver_module", None)
        if isinstance(driven, ModuleType) and hasattr(driven, "run"):
            self._run = driven.run  # a generated driver forwards wrongly what is decorated
        self._inputs = inputs(self._run)
        self._file = inspect.unwrap(self._run).__code__.co_filename
        self._swagger = swagger.of_script(self._run, root) if self._inputs.kind != "raw" else swagger.of_folder(root)

    def score(self, asked: Asked) -> Answer:
        """Never raises for what `run()` does."""
        if asked.method not in ("GET", "POST") and self._inputs.kind != "raw":
            return Answer(200, b"") if asked.method == "OPTIONS" else answers.message(405, "Method not allowed")
        try:
            arguments = self._arguments(asked)
        except Refused as refused:
            return answers.message(refused.status, str(refused))
        if self._inputs.takes_headers:
            arguments["request_headers"] = asked.titled()
        del asked
        began = time.perf_counter()
        try:
            value = self._run(**arguments)
            elapsed = time.perf_counter() - began
            arguments.clear()
            found = answers.answer(value)
        except answers.NotJson as error:
            log.error("%s", error)
            return answers.message(500, str(error), failed=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 — whatever a script raises is its answer
            return self._raised(error)
        took = (b"x-ms-run-fn-exec-ms", b"%.3f" % (elapsed * 1000))
        return Answer(found.status, found.body, (*found.headers, took), found.stream)

    def swagger(self, version: str) -> bytes | None:
        return self._swagger.get(version)

    def _arguments(self, asked: Asked) -> dict[str, Any]:
        if self._inputs.kind == "raw":
            return {self._inputs.first: rawhttp.request(asked)}
        if self._inputs.kind == "parameters":
            return self._chosen(_document(asked))
        if asked.method == "GET":
            return {self._inputs.first: json.dumps(_of_query(asked.query))}
        try:
            return {self._inputs.first: str(asked.body, "utf-8")}
        except UnicodeDecodeError as error:
            raise Refused(400, f"Input cannot be decoded as UTF-8: {error}") from None

    def _chosen(self, document: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for parameter in self._inputs.parameters:
            found[parameter.name] = document.get(parameter.name, parameter.default)
            if found[parameter.name] is inspect.Parameter.empty:
                raise Refused(400, f"A value is not provided for the {parameter.name!r} parameter.")
        return found

    def _raised(self, error: BaseException) -> Answer:
        parameter = self._unfit(error)
        if parameter is not None:
            return answers.message(400, f"The parameter {parameter!r} does not fit its sample: {error}")
        log.error(
            "Encountered Exception: %s", "".join(traceback.format_exception(type(error), error, error.__traceback__))
        )
        return answers.message(500, UNEXPECTED, failed=True)

    def _unfit(self, error: BaseException) -> str | None:
        """The parameter whose value a decorator could not convert; None when the script's own code was reached."""
        found, frame = None, error.__traceback__
        while frame is not None and self._inputs.kind == "parameters":
            code = frame.tb_frame.f_code
            if code.co_filename == self._file:
                return None
            if code.co_name == "_deserialize_input_argument":
                found = found or str(frame.tb_frame.f_locals.get("param_name"))
            frame = frame.tb_next
        return found


def load() -> Script:
    """The script that the environment names, after its `init()`. Raises Failure."""
    root = Path(os.environ.get("AML_APP_ROOT") or Path.cwd())
    path = root / (os.environ.get("AZUREML_ENTRY_SCRIPT") or "main.py")
    module = imported(path, root)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise failures.Failure("UserScriptFunctionNotFound", f"{path.name} has no function {name}()")
    try:
        began = time.perf_counter()
        module.init()
        log.info("init() of %s took %.2f s", path.name, time.perf_counter() - began)
    except BaseException as error:
        failures.show_model_folder()
        raise init_failed(error, root) from error
    return Script(module, root)


def imported(path: Path, root: Path) -> ModuleType:
    """Raises Failure, with the place in the user's own files."""
    if not path.is_file():
        found = ", ".join(sorted(each.name for each in root.iterdir())) if root.is_dir() else "no such folder"
        raise failures.Failure("UserScriptImportError", f"there is no {path.name} in {root}: {found}")
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise failures.Failure("UserScriptImportError", f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_module"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        text = f"{path.name} cannot be imported: {failures.words(error)}{failures.place(error, str(root))}"
        raise failures.Failure("UserScriptImportError", text) from error
    return module


def init_failed(error: BaseException, root: Path) -> failures.Failure:
    """Tells a missing model file and a model of other versions from the script's own errors."""
    models = os.environ.get("AZUREML_MODEL_DIR") or ""
    if isinstance(error, FileNotFoundError) and models and str(error.filename or "").startswith(models):
        return failures.missing(Path(str(error.filename)))
    text = f"init() raised {failures.words(error)}{failures.place(error, str(root))}"
    if models and versions.is_unpickling(error):
        text += versions.told(Path(models))
    return failures.Failure("UserScriptInitFailed", text)


def inputs(run: Callable[..., Any]) -> Inputs:
    """Raises Failure for a `run()` that cannot be called."""
    parameters = list(inspect.signature(run).parameters.values())
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(each.kind not in named for each in parameters):
        text = "run() cannot accept positional-only arguments, *args, or **kwargs"
        raise failures.Failure("UserScriptFunctionNotFound", text)
    taken = [each for each in parameters if each.name != "request_headers"]
    if not taken:
        raise failures.Failure("UserScriptFunctionNotFound", "run() needs to accept an argument for input data")
    is_decorated, is_raw = swagger.is_decorated(run), rawhttp.is_asked_for()
    if is_decorated and is_raw:
        text = "run() cannot be decorated with both @rawhttp and @input_schema"
        raise failures.Failure("UserScriptFunctionNotFound", text)
    kind = "raw" if is_raw else "parameters" if is_decorated else "text"
    return Inputs(kind, taken[0].name, taken, len(taken) < len(parameters))


def _document(asked: Asked) -> dict[str, Any]:
    """The JSON of a decorated script's request."""
    if asked.method == "GET":
        return _of_query(asked.query)
    if not rawhttp.is_json(asked.header(b"content-type")):
        raise Refused(415, "Expects Content-Type to be application/json")
    if not asked.body:
        raise Refused(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        document = json.loads(asked.body)
    except ValueError as error:
        raise Refused(400, f"POST body could not be decoded as JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused(400, "POST body should be a JSON dictionary.")
    return document


def _of_query(query: bytes) -> dict[str, Any]:
    """`?a=1&b=x&b=y` is {"a": 1, "b": ["x", "y"]}: each value as JSON where it is some."""
    found = {}
    for name, values in parse_qs(query.decode("latin-1"), keep_blank_values=True).items():
        parsed = [_value(each) for each in values]
        found[name] = parsed[0] if len(parsed) == 1 else parsed
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
