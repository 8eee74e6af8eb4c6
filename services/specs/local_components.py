"""A component file on somebody's machine: which files must be sent, and the component without any local path."""

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.core.errors import Invalid
from services.core.names import is_hex
from services.specs import components
from services.specs.code import Entry, Manifest, manifest
from services.specs.environments import Environment
from services.specs.problems import checked
from services.specs.source import Source, load, load_file

Place = tuple[str, ...]
CODE = "azureml:"
EARLIEST = (1980, 1, 1, 0, 0, 0)


@dataclass
class LocalComponent:
    """`written` names code and build contexts by the id that they have once they are sent.

    `parts` are components that a step names by a path: they are made first, then named at their place.
    """

    written: dict[str, Any]
    code: list[Manifest] = field(default_factory=list)
    contexts: list[Manifest] = field(default_factory=list)
    parts: dict[Place, "LocalComponent"] = field(default_factory=dict)
    held: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list, repr=False)

    def put(self, place: Place, value: Any) -> None:
        """Writes a value where `parts` says that one is missing."""
        here = self.written
        for key in place[:-1]:
            here = here[key]
        here[place[-1]] = value


def component(
    source: Source, base: Path, value: Mapping[str, Any] | None = None, *, within: Path | None = None
) -> LocalComponent:
    """Reads a component file; paths are relative to `base`, the folder of the file.

    `value` replaces what the file says (after `--set`). With `within`, no path may lead out of that folder: for
    files of somebody else. Raises Invalid with file and line.
    """
    return _Reader(source, base.resolve(), within.resolve() if within else None, ()).read(value)


@dataclass
class _Reader:
    source: Source
    base: Path
    within: Path | None
    around: tuple[Path, ...]

    def read(self, value: Mapping[str, Any] | None = None) -> LocalComponent:
        written = dict(self.source.value if value is None else value)
        components.component(written, self.source)
        made = LocalComponent(written)
        self._sent(made, written, ())
        return made

    def _sent(self, made: LocalComponent, here: dict[str, Any], at: Place) -> None:
        """Everything local of one command, task, trial or step, and of what it holds."""
        self._code(made, here, at)
        self._environment(made, here, at)
        for key in ("component", "trial"):
            if isinstance(here.get(key), str) and (path := self._yaml(here[key], (*at, key))) is not None:
                made.parts[(*at, key)] = self._part(path, (*at, key))
        for key in ("component", "trial", "task"):
            if isinstance(here.get(key), dict):
                here[key] = dict(here[key])
                self._sent(made, here[key], (*at, key))
        if isinstance(here.get("jobs"), dict):
            here["jobs"] = {name: dict(step) for name, step in here["jobs"].items()}
            for name, step in here["jobs"].items():
                self._sent(made, step, (*at, "jobs", name))

    def _code(self, made: LocalComponent, here: dict[str, Any], at: Place) -> None:
        code, includes = here.get("code"), here.pop("additional_includes", None) or []
        if isinstance(code, str) and code.startswith(CODE) and is_hex(code.removeprefix(CODE)):
            if includes:
                raise Invalid(
                    "What is included goes into local code, and this was sent before.",
                    where=self.source.where((*at, "additional_includes")),
                )
            return
        if code is None and not includes:
            return
        found = manifest(self._existing(code, (*at, "code"))) if code is not None else Manifest(())
        for text in includes:
            found = self._included(made, found, text, (*at, "additional_includes"))
        made.code.append(found)
        here["code"] = f"{CODE}{found.id}"

    def _included(self, made: LocalComponent, into: Manifest, text: str, at: Place) -> Manifest:
        """By its base name at the root; folders merge, and what would cover a file is refused."""
        path = self.base / text
        if text.endswith(".zip") and not path.exists() and path.with_suffix("").is_dir():
            path = self._zipped(made, self._existing(text.removesuffix(".zip"), at))
        else:
            path = self._existing(text, at)
        found = manifest(path)
        prefix = f"{path.name}/" if path.is_dir() else ""
        entries = {entry.path: entry for entry in into.entries}
        sources = dict(into.sources)
        for entry in found.entries:
            name = f"{prefix}{entry.path}"
            if _is_taken(name, entries):
                raise Invalid(
                    f"'{text[:200]}' brings '{name}', and the code has one already.", where=self.source.where(at)
                )
            entries[name] = Entry(name, entry.size, entry.sha256, entry.executable)
            sources[name] = found.sources[entry.path]
        refused = (*into.refused, *((f"{prefix}{name}", reason) for name, reason in found.refused))
        return Manifest(tuple(entries.values()), refused, sources)

    def _zipped(self, made: LocalComponent, folder: Path) -> Path:
        """The same folder makes the same bytes, so that it is known again."""
        held = tempfile.TemporaryDirectory(prefix="atelier-")
        made.held.append(held)
        path = Path(held.name) / f"{folder.name}.zip"
        found = manifest(folder)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in sorted(found.entries, key=lambda entry: entry.path):
                info = zipfile.ZipInfo(entry.path, EARLIEST)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, found.sources[entry.path].read_bytes())
        return path

    def _environment(self, made: LocalComponent, here: dict[str, Any], at: Place) -> None:
        wanted, reader, place = here.get("environment"), self, (*at, "environment")
        if isinstance(wanted, str):
            path = self._yaml(wanted, place)
            if path is None:
                return
            reader, place = self._beside(path), ()
            wanted = reader.source.value
        if isinstance(wanted, dict):
            here["environment"] = reader._definition(made, dict(wanted), place)
            if reader is not self:
                checked(Environment, here["environment"], reader.source)

    def _definition(self, made: LocalComponent, written: dict[str, Any], at: Place) -> dict[str, Any]:
        conda, build = written.get("conda_file"), written.get("build")
        if isinstance(conda, str):
            path = self._existing(conda, (*at, "conda_file"))
            written["conda_file"] = load(path.read_bytes(), file=self._named(path)).value
        is_sent = isinstance(build, dict) and str(build.get("path", "")).startswith(CODE)
        if isinstance(build, dict) and isinstance(build.get("path"), str) and not is_sent:
            context = self._existing(build["path"], (*at, "build", "path"))
            dockerfile = str(build.get("dockerfile_path", "Dockerfile"))
            if not (context / dockerfile).is_file():
                raise Invalid(
                    f"The build context has no '{dockerfile[:200]}'.", where=self.source.where((*at, "build"))
                )
            found = manifest(context, ignore=False)
            made.contexts.append(found)
            written["build"] = {**build, "path": f"{CODE}{found.id}"}
        return written

    def _part(self, path: Path, at: Place) -> LocalComponent:
        if path in self.around:
            raise Invalid(f"'{path.name}' is made of itself.", where=self.source.where(at))
        reader = self._beside(path)
        reader.around = (*self.around, path)
        return reader.read()

    def _beside(self, path: Path) -> "_Reader":
        read = load_file(path) if self.within is None else load(path.read_bytes(), file=self._named(path))
        return _Reader(read, path.parent, self.within, self.around)

    def _named(self, path: Path) -> str:
        """As its sender knows it."""
        return str(path) if self.within is None else path.relative_to(self.within).as_posix()

    def _yaml(self, text: str, at: Place) -> Path | None:
        """The file that a text names, when it is a path to one and no reference."""
        if text.startswith("file:"):
            return self._existing(text, at)
        if text.startswith("azureml:") or not text.endswith((".yml", ".yaml")):
            return None
        return self._existing(text, at)

    def _existing(self, text: str, at: Place) -> Path:
        where = self.source.where(at)
        if "://" in text and not text.startswith("file:"):
            raise Invalid(f"'{text[:200]}' must be on this machine.", where=where)
        written = Path(text.removeprefix("file://").removeprefix("file:"))
        path = (self.base / (written.expanduser() if self.within is None else written)).resolve()
        if self.within is not None and path != self.within and self.within not in path.parents:
            raise Invalid(f"'{text[:200]}' leads out of the folder that was sent.", where=where)
        if not path.exists():
            raise Invalid(f"'{text[:200]}' was not found.", where=where)
        if path in {Path("/"), Path.home().resolve()}:
            raise Invalid(f"'{text[:200]}' is {path}, which is surely not meant to be sent whole.", where=where)
        return path


def _is_taken(name: str, entries: Mapping[str, Entry]) -> bool:
    """By a file of that name, a file where it needs a folder, or a folder where it would be a file."""
    parts: Sequence[str] = name.split("/")
    folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    return name in entries or not folders.isdisjoint(entries) or any(path.startswith(f"{name}/") for path in entries)
