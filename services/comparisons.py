"""Comparisons: what changed between two jobs, from what they were given to what they ran in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services import access, assets, jobs
from services.engines import differences
from services.lineage import anonymous_label
from services.specs.source import dump
from services.store import metrics as logged
from services.store.rows import Asset, Build, Job
from services.studio import Scope


@dataclass(frozen=True)
class Change:
    """What one of two jobs has otherwise than the other; empty where it has nothing of the name."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Comparison:
    """What differs between two jobs, by section; sections without a difference are not there."""

    before: str
    after: str
    sections: Mapping[str, list[Change]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "changes": {
                title: [{"name": each.name, "before": each.before, "after": each.after} for each in changes]
                for title, changes in self.sections.items()
            },
        }


def compare(scope: Scope, before: str, after: str) -> Comparison:
    """What changed between two jobs, by their names: command, parameters, inputs, code, environment, packages, git."""
    access.require(scope, "jobs/read")
    one, other = jobs.get(scope, before), jobs.get(scope, after)
    pairs = {
        "command": ({"command": _written(one, "command")}, {"command": _written(other, "command")}),
        "parameters": (_parameters(one), _parameters(other)),
        "logged parameters": (_logged(scope, one), _logged(scope, other)),
        "inputs": (_inputs(one), _inputs(other)),
        "outputs": (_outputs(one), _outputs(other)),
        "code": _code(scope, one, other),
        "environment": (_environment(scope, one), _environment(scope, other)),
        "packages": _packages(scope, one, other),
        "variables": _variables(one, other),
        "settings": (_settings(one), _settings(other)),
        "git": (_texts(one.git), _texts(other.git)),
    }
    sections = {title: changes for title, pair in pairs.items() if (changes := _changes(*pair))}
    return Comparison(one.name, other.name, sections)


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    names = dict.fromkeys([*before, *after])
    return [
        Change(name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name, "") != after.get(name, "")
    ]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    def text(value: Any) -> str:
        return dump(value).strip() if isinstance(value, dict | list) else str(value)

    return {str(key): text(value) for key, value in values.items()}


def _written(job: Job, key: str) -> str:
    return str(job.spec.get(key) or "")


def _is_data(value: Any) -> bool:
    return isinstance(value, Mapping) and "path" in value


def _parameters(job: Job) -> dict[str, str]:
    given: Mapping[str, Any] = job.spec.get("inputs") or {}
    literals = {
        name: value.get("default", "") if isinstance(value, Mapping) else value
        for name, value in given.items()
        if not _is_data(value)
    }
    return _texts(literals)


def _logged(scope: Scope, job: Job) -> dict[str, str]:
    if job.run_id is None:
        return {}
    params = logged.params_of(scope.session, [job.run_id])
    names = logged.key_names(scope.session, [row.key_id for row in params])
    return {names[row.key_id]: row.value for row in params}


def _inputs(job: Job) -> dict[str, str]:
    """Which version it was, and where nobody named one where it lay."""
    given: Mapping[str, Any] = job.spec.get("inputs") or {}
    settled: Mapping[str, Any] = job.resolved.get("assets") or {}
    found = {}
    for name, value in given.items():
        if _is_data(value):
            known = settled.get(name) or {}
            has_version = known.get("name") and known.get("version")
            found[name] = f"{known['name']}:{known['version']}" if has_version else str(value["path"])
    return found


def _outputs(job: Job) -> dict[str, str]:
    """As they were declared: where they went differs always."""
    return _texts(job.spec.get("outputs") or {})


def _code(scope: Scope, one: Job, other: Job) -> tuple[dict[str, str], dict[str, str]]:
    if one.snapshot_id == other.snapshot_id:
        return {}, {}
    folders = [
        scope.studio.folders.snapshot(job.workspace_id, job.snapshot_id) if job.snapshot_id else None
        for job in (one, other)
    ]
    found = differences.changed(*folders)
    return {path: pair[0] for path, pair in found.items()}, {path: pair[1] for path, pair in found.items()}


def _environment(scope: Scope, job: Job) -> dict[str, str]:
    row = scope.session.get(Asset, job.environment_id) if job.environment_id else None
    said = {"digest": str(job.resolved.get("digest") or "")}
    if row is None:
        return said
    name = anonymous_label(row) if row.is_anonymous else assets.named(row)
    return {"environment": name, **_texts(row.spec), **said}


def _packages(scope: Scope, one: Job, other: Job) -> tuple[dict[str, str], dict[str, str]]:
    """What was really installed; nothing is said where one of the two was never built."""
    builds = [scope.session.get(Build, job.build_id) if job.build_id else None for job in (one, other)]
    before, after = ([] if build is None else build.packages for build in builds)
    if not before or not after:
        return {}, {}
    return _versions(before), _versions(after)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    parts = (line.partition("==") for line in packages)
    return {name.strip(): version.strip() or "there" for name, _, version in parts}


def _variables(one: Job, other: Job) -> tuple[dict[str, str], dict[str, str]]:
    """That they differ, never what they are: a value may be a secret."""
    before: Mapping[str, str] = one.spec.get("environment_variables") or {}
    after: Mapping[str, str] = other.spec.get("environment_variables") or {}
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return (
        {name: "a value" for name in names if name in before},
        {name: "another value" if name in before else "a value" for name in names if name in after},
    )


def _settings(job: Job) -> dict[str, str]:
    kept = {name: job.spec.get(name) for name in ("limits", "resources", "distribution")}
    return {"compute": job.compute or "local", **_texts({name: value for name, value in kept.items() if value})}
