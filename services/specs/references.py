"""What a file names beside itself: whether it is there, and whether it fits."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from services.core.errors import Invalid
from services.specs import kinds
from services.specs.commands import Interfaced
from services.specs.fields import Local
from services.specs.interfaces import fitted
from services.specs.jobs import Data, LiteralInput
from services.specs.problems import Problem
from services.specs.source import Source, load_file
from services.specs.steps import CommandStep, ParallelStep, PipelineStep, SweepStep

DEPTH = 20
_Path = tuple[str | int, ...]
_Step = CommandStep | ParallelStep | PipelineStep | SweepStep


@dataclass
class Checker:
    """Reads files and what they name; each file once, however many name it."""

    seen: dict[Path, kinds.Read] = field(default_factory=dict)
    depth: int = 0

    def file(self, path: Path) -> kinds.Read:
        """What a file is, and all that is wrong with it and with what it names. Nothing is raised."""
        path = path.resolve() if path.exists() else path
        if path not in self.seen:
            self.seen[path] = kinds.Read(None, None)  # a file that leads back to itself is told by who reads it first
            self.depth += 1
            self.seen[path] = self._read(path)
            self.depth -= 1
        return self.seen[path]

    def source(self, source: Source, base: Path) -> kinds.Read:
        """As `file`, for text whose paths are relative to `base`."""
        found = kinds.read(source)
        if found.spec is None:
            return found
        return kinds.Read(found.kind, found.spec, self._around(found.spec, source, base, ()), found.warnings)

    def _read(self, path: Path) -> kinds.Read:
        try:
            source = load_file(path)
        except Invalid as cause:
            line = str(cause.where or "").rpartition(":")[2]
            return kinds.Read(
                None,
                None,
                [Problem("", int(line) if line.isdigit() else None, cause.message, str(cause.where or path))],
            )
        return self.source(source, path.parent)

    def _around(self, spec: BaseModel, source: Source, base: Path, at: _Path) -> list[Problem]:
        found: list[Problem] = []
        for key, value, local in _fields(spec):
            here = (*at, key)
            if local is not None:
                found += self._named(value, local, spec, source, base, here)
            for inner, below in _models(value, here):
                found += self._around(inner, source, base, below)
        return found

    def _named(self, value: Any, local: Local, spec: BaseModel, source: Source, base: Path, at: _Path) -> list[Problem]:
        if isinstance(value, list):
            return [
                each
                for index, text in enumerate(value)
                for each in self._named(text, local, spec, source, base, (*at, index))
            ]
        if not isinstance(value, str) or _is_elsewhere(value):
            return []
        if local.what == "script":
            return _script(value, getattr(spec, "code", None), source, base, at)
        if local.what == "yaml" and not _is_yaml(value):
            return []
        path = Path(os.path.normpath(base / Path(value.removeprefix("file://").removeprefix("file:")).expanduser()))
        if not path.exists():
            return [_problem(source, at, f"'{value[:200]}' was not found ({path})")]
        if path.is_dir() and path.resolve() in {Path("/"), Path.home().resolve()}:
            return [_problem(source, at, f"'{value[:200]}' is {path.resolve()}, surely not meant to be sent whole")]
        return self._yaml(value, path, local.noun, spec, source, at) if local.noun else []

    def _yaml(self, text: str, path: Path, noun: str, spec: BaseModel, source: Source, at: _Path) -> list[Problem]:
        if self.depth > DEPTH:
            return [_problem(source, at, f"'{text[:200]}' is the end of a chain of more than {DEPTH} files")]
        found = self.file(path)
        if found.problems:
            first = found.problems[0]
            return [_problem(source, at, f"'{text[:200]}' is not right: {first}")]
        if found.kind is not None and found.kind.noun != noun:
            return [_problem(source, at, f"'{text[:200]}' is a {found.kind}, and a {noun} is meant")]
        if isinstance(spec, _Step) and isinstance(found.spec, Interfaced):
            return [_problem(source, (*at[:-1], "inputs"), said) for said in unfit(spec, found.spec)]
        return []


def unfit(step: _Step, component: Interfaced) -> list[str]:
    """What a step gives that its component does not take, or does not give and is needed."""
    searched = step.search_space.keys() if isinstance(step, SweepStep) else ()
    said = []
    for name, wanted in component.inputs.items():
        given = step.inputs.get(name)
        if given is None:
            if wanted.is_required and name not in searched:
                said.append(f"the component needs the input '{name}' ({wanted.type})")
            continue
        if isinstance(given, LiteralInput):
            given = given.default
        if wanted.is_literal and given is not None and not isinstance(given, Data) and "${{" not in str(given):
            try:
                fitted(wanted, given)
            except ValueError as cause:
                said.append(f"input '{name}': {cause}")
    return said


def _fields(spec: BaseModel) -> Iterator[tuple[str, Any, Local | None]]:
    for name, info in type(spec).model_fields.items():
        local = next((each for each in info.metadata if isinstance(each, Local)), None)
        yield info.alias or name, getattr(spec, name), local


def _models(value: Any, at: _Path) -> Iterator[tuple[BaseModel, _Path]]:
    """The specs in a value, with their paths."""
    if isinstance(value, BaseModel):
        yield value, at
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _models(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _models(inner, (*at, index))


def _script(text: str, code: str | None, source: Source, base: Path, at: _Path) -> list[Problem]:
    if code is not None and _is_elsewhere(code):
        return []
    folder = Path(os.path.normpath(base / (code or "").removeprefix("file://").removeprefix("file:")))
    if not folder.exists() or (folder / text).is_file() or folder.is_file():
        return []
    return [_problem(source, at, f"'{text[:200]}' was not found in the code ({folder})")]


def _problem(source: Source, at: _Path, message: str) -> Problem:
    name = ".".join(map(str, at))
    return Problem(name, source.line(at), f"{name}: {message}", source.where(at))


def _is_yaml(text: str) -> bool:
    return text.startswith(("file:", "./", "../")) or text.endswith((".yml", ".yaml"))


def _is_elsewhere(text: str) -> bool:
    """A name, a URI or an expression: nothing that could be looked at here."""
    is_uri = "://" in text and not text.startswith("file:")
    return is_uri or not text or "${{" in text or text.startswith(("azureml:", "runs:/", "models:/", "/subscriptions/"))
