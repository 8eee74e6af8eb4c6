"""What changed between two jobs, from what they were given to what they ran in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services import access, assets, jobs
from services.comparisons import facts
from services.engines import differences
from services.lineage import anonymous_label
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
        "command": ({"command": facts.written(one, "command")}, {"command": facts.written(other, "command")}),
        "parameters": (facts.literals(one), facts.literals(other)),
        "logged parameters": (
            facts.logged_params(scope, one.run_id or ""),
            facts.logged_params(scope, other.run_id or ""),
        ),
        "inputs": (facts.inputs(one), facts.inputs(other)),
        "outputs": (_outputs(one), _outputs(other)),
        "code": _code(scope, one, other),
        "environment": (_environment(scope, one), _environment(scope, other)),
        "packages": _packages(scope, one, other),
        "variables": facts.variables(one, other),
        "settings": (facts.settings(one), facts.settings(other)),
        "git": (facts.texts(one.git), facts.texts(other.git)),
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


def _outputs(job: Job) -> dict[str, str]:
    """As they were declared: where they went differs always."""
    return facts.texts(job.spec.get("outputs") or {})


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
    return {"environment": name, **facts.texts(row.spec), **said}


def _packages(scope: Scope, one: Job, other: Job) -> tuple[dict[str, str], dict[str, str]]:
    """What was really installed; nothing is said where one of the two was never built."""
    builds = [scope.session.get(Build, job.build_id) if job.build_id else None for job in (one, other)]
    before, after = ([] if build is None else build.packages for build in builds)
    if not before or not after:
        return {}, {}
    return facts.versions(before), facts.versions(after)
