"""Components: steps with a typed interface, kept by name and version, to be used in many jobs."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from services import access, assets, environments, jobs, lineage, uploads
from services.assets import AssetQuery, Content
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page
from services.core.states import AssetKind
from services.engines import files
from services.engines.files import File
from services.specs import expressions
from services.specs.components import CommandComponent, Component
from services.specs.environments import Environment
from services.specs.interfaces import ComponentInput, fitted
from services.specs.jobs import CommandJob
from services.specs.problems import checked
from services.store.rows import Asset, Job
from services.studio import Scope

ANONYMOUS = "azureml_anonymous"
SENT = "azureml:"
OWN = frozenset({"type", "command", "code", "environment", "inputs", "outputs", "distribution"})
_NAME = re.compile(r"\A[a-z0-9_][a-z0-9_-]{0,254}\Z", re.ASCII)
_ABOUT = frozenset({"name", "version", "description", "tags", "properties", "additional_includes"})


def create(scope: Scope, spec: Component, *, snapshot: str | None = None, context: str | None = None) -> Asset:
    """A new version; automatic integers when none is given. The same content again is a no-op.

    Code and build contexts were uploaded before: the spec names them as `azureml:<id>`, or `snapshot` and `context`
    do. Raises Conflict when the version exists with another content, NotFound for what it names and is not there.
    """
    access.require(scope, "components/write")
    if spec.name and not _NAME.match(spec.name):
        raise Invalid(
            f"{spec.name[:80]!r} is no name for a component.",
            where="name",
            hint="Lower-case letters, digits, '_' and '-'.",
        )
    settled = _settled(scope, spec, snapshot, context)
    row = assets.register(
        scope,
        AssetKind.component,
        spec.name,
        spec.version,
        settled.content(spec),
        description=spec.description,
        tags=spec.tags,
        properties=spec.properties,
    )
    settled.record(scope, row)
    return row


def resolve(
    scope: Scope, wanted: str | Component, *, snapshot: str | None = None, context: str | None = None, where: str = ""
) -> Asset:
    """What a step names: a registered one, or one that is written there, which is then shared by its content."""
    access.require(scope, "components/read")
    if isinstance(wanted, str):
        return assets.resolve(scope, AssetKind.component, wanted, where=where or "component")
    settled = _settled(scope, wanted, snapshot, context)
    shown = wanted.description or wanted.display_name or wanted.name or ""
    row = assets.anonymous(scope, AssetKind.component, ANONYMOUS, settled.content(wanted), description=shown)
    settled.record(scope, row)
    return row


def listed(scope: Scope, query: AssetQuery | None = None) -> Page[Asset]:
    """One page of the latest version of each named one."""
    access.require(scope, "components/read")
    return assets.listed(scope, AssetKind.component, query)


def versions(scope: Scope, name: str) -> list[Asset]:
    """All versions of one, the newest first. Raises NotFound."""
    access.require(scope, "components/read")
    return assets.versions(scope, AssetKind.component, name)


def get(scope: Scope, name: str, version: str | None = None) -> Asset:
    """One version; the latest created when none is named."""
    access.require(scope, "components/read")
    return assets.get(scope, AssetKind.component, name, version)


def environment_of(scope: Scope, component: Asset) -> Asset | None:
    """What it runs in; None for pipelines, whose steps have their own, and for one that was deleted."""
    access.require(scope, "components/read")
    ids = component.facts.get("environments") or []
    return scope.session.get(Asset, ids[0]) if ids and component.type != "pipeline" else None


def code(scope: Scope, component: Asset) -> list[File]:
    """The files that it was registered with."""
    access.require(scope, "components/read")
    return [] if component.snapshot_id is None else list(files.walk(_folder(scope, component)))


def opened_code(scope: Scope, component: Asset, path: str) -> tuple[BinaryIO, int]:
    """One of these files for reading, and its size. Raises NotFound, Invalid."""
    access.require(scope, "components/read")
    if component.snapshot_id is None:
        raise NotFound(f"Component '{assets.named(component)}' has no code.")
    root = _folder(scope, component)
    return files.open_inside(root, path), files.size_inside(root, path)


def job_of(
    scope: Scope,
    component: Asset,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any] | None = None,
    *,
    more: Mapping[str, Any] | None = None,
) -> CommandJob:
    """A command job that does what the component does, with these values; `more` are further fields of the job.

    Inputs are checked against the interface; one without a value takes its default. Raises Invalid naming the input,
    Conflict when the component is none that runs by itself.
    """
    access.require(scope, "components/read")
    if component.type != "command":
        raise Conflict(
            f"Component '{assets.named(component)}' is a {component.type} component: it runs as a step of a pipeline."
        )
    spec = CommandComponent.model_validate(component.spec)
    values = {name: _value(name, wanted, inputs.get(name)) for name, wanted in spec.inputs.items()}
    if taken := OWN.intersection(more or {}):
        raise Invalid(f"'{min(taken)}' is the component's own.", where=f"job.{min(taken)}")
    unknown = [name for name in inputs if name not in spec.inputs]
    if unknown:
        known = ", ".join(spec.inputs) or "none"
        raise Invalid(
            f"The component has no input '{unknown[0][:80]}'.",
            where=f"inputs.{unknown[0]}",
            hint=f"Its inputs: {known}.",
        )
    written = {
        "display_name": spec.display_name or component.name,
        "command": expressions.settled(spec.command, values),
        "environment": _environment_of_job(scope, component),
        "inputs": {name: value for name, value in values.items() if value is not None},
        "outputs": _outputs(spec, outputs or {}),
        "resources": spec.resources.model_dump(mode="json", exclude_none=True) if spec.resources else None,
        "distribution": spec.distribution.model_dump(mode="json", exclude_none=True) if spec.distribution else None,
        **(more or {}),
    }
    return checked(CommandJob, {key: value for key, value in written.items() if value is not None})


def use(
    scope: Scope,
    component: Asset,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any] | None = None,
    *,
    more: Mapping[str, Any] | None = None,
) -> Job:
    """Submits such a job; that it came from the component is part of its lineage."""
    access.require(scope, "jobs/write")
    job = jobs.submit(scope, job_of(scope, component, inputs, outputs, more=more), snapshot=component.snapshot_id)
    lineage.record(scope, (str(component.kind), component.id), ("job", job.id), "component")
    return job


def as_json(row: Asset) -> dict[str, Any]:
    """As the cloud's CLI prints one; a file of it makes an equal one."""
    return assets.as_json(row, **row.spec)


@dataclass
class _Settled:
    """A definition with everything that it names pinned, and what that was."""

    shown: dict[str, Any]
    snapshots: list[str] = field(default_factory=list)
    environments: list[Asset] = field(default_factory=list)
    parts: list[Asset] = field(default_factory=list)

    def content(self, spec: Component) -> Content:
        ids = [row.id for row in (*self.environments, *self.parts)]
        told = orjson.dumps([self.shown, self.snapshots, ids], option=orjson.OPT_SORT_KEYS)
        return Content(
            hashlib.sha256(told).hexdigest(),
            type=spec.type,
            snapshot_id=self.snapshots[0] if self.snapshots and spec.type != "pipeline" else None,
            spec=self.shown,
            facts={"environments": [row.id for row in self.environments]},
        )

    def record(self, scope: Scope, row: Asset) -> None:
        for source in (*self.environments, *self.parts):
            lineage.record(scope, (str(source.kind), source.id), (str(row.kind), row.id), str(source.kind))


def _settled(scope: Scope, spec: Component, snapshot: str | None, context: str | None) -> _Settled:
    if getattr(spec, "additional_includes", None):
        raise Invalid("What is included must be uploaded with the code.", where="additional_includes")
    written = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    found = _Settled({key: value for key, value in written.items() if key not in _ABOUT} | {"type": spec.type})
    if snapshot is not None:
        found.shown["code"] = f"{SENT}{snapshot}"
    _settle(scope, found, found.shown, context, "")
    return found


def _settle(scope: Scope, found: _Settled, here: dict[str, Any], context: str | None, at: str) -> None:
    """Of one command, task, trial or step, and of what it holds: code, environment, components."""
    if isinstance(here.get("code"), str):
        snapshot = here["code"].removeprefix(SENT)
        if snapshot == here["code"]:
            raise Invalid("Code must be uploaded first.", where=f"{at}code")
        uploads.require_snapshot(scope, snapshot)
        found.snapshots.append(snapshot)
    if here.get("environment"):
        here["environment"] = _environment(scope, found, here["environment"], context, f"{at}environment")
    for key in ("component", "trial"):
        if isinstance(here.get(key), str):
            part = assets.resolve(scope, AssetKind.component, here[key], where=f"{at}{key}")
            found.parts.append(part)
            here[key] = f"azureml:{assets.named(part)}"
    for key in ("component", "trial", "task"):
        if isinstance(here.get(key), dict):
            _settle(scope, found, here[key], context, f"{at}{key}.")
    for name, step in (here.get("jobs") or {}).items():
        _settle(scope, found, step, context, f"{at}jobs.{name}.")


def _environment(scope: Scope, found: _Settled, wanted: Any, context: str | None, where: str) -> Any:
    """How it is shown: a registered one by name and version, an inline one as it was written."""
    if isinstance(wanted, str):
        row = environments.resolve(scope, wanted)
        found.environments.append(row)
        return wanted if row.is_anonymous else f"azureml:{assets.named(row)}"
    spec = Environment.model_validate(wanted)
    if spec.build is not None and context is None:
        if not spec.build.path.startswith(SENT):
            raise Invalid("A build context must be uploaded first.", where=f"{where}.build.path")
        context = spec.build.path.removeprefix(SENT)
    row = environments.resolve(scope, spec, context=context)
    found.environments.append(row)
    if spec.build is not None:
        return {"build": {"path": f"{SENT}{context}", "dockerfile_path": spec.build.dockerfile_path}}
    return {key: value for key, value in row.spec.items() if key != "hash"}


def _environment_of_job(scope: Scope, component: Asset) -> str:
    row = environment_of(scope, component)
    if row is None:
        raise NotFound(f"The environment of component '{assets.named(component)}' was deleted.")
    return f"azureml:{assets.named(row)}"


def _value(name: str, wanted: ComponentInput, given: Any) -> Any:
    """A literal of the right type, or data; None for an optional one that has neither value nor default."""
    if given is None or given == "":
        if wanted.is_required:
            raise Invalid(f"Input '{name}' needs a value.", where=f"inputs.{name}")
        given = wanted.default if wanted.is_literal or wanted.default is None else {"path": wanted.default}
        if given is None:
            return None
    if wanted.is_literal:
        if isinstance(given, Mapping | list):
            raise Invalid(f"Input '{name}' is a {wanted.type}, not data.", where=f"inputs.{name}")
        try:
            return fitted(wanted, given)
        except ValueError as cause:
            raise Invalid(f"Input '{name}': {cause}.", where=f"inputs.{name}") from cause
    written = dict(given) if isinstance(given, Mapping) else {"path": str(given)}
    mode = {"mode": wanted.mode} if wanted.mode else {}
    return {"type": wanted.type, **mode, **written}


def _outputs(spec: CommandComponent, given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in given if name not in spec.outputs]
    if unknown:
        known = ", ".join(spec.outputs) or "none"
        raise Invalid(
            f"The component has no output '{unknown[0][:80]}'.",
            where=f"outputs.{unknown[0]}",
            hint=f"Its outputs: {known}.",
        )
    kept = {"type", "mode", "path"}
    return {
        name: {**wanted.model_dump(mode="json", include=kept, exclude_none=True), **dict(given.get(name) or {})}
        for name, wanted in spec.outputs.items()
    }


def _folder(scope: Scope, component: Asset) -> Path:
    return scope.studio.folders.snapshot(component.workspace_id, str(component.snapshot_id))
