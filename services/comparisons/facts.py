"""What is known of how a run came about: what it was given, what code it ran, in what, on what."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from services import access, artifacts, assets, metrics, previews
from services.comparisons.sides import Side
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.lineage import anonymous_label
from services.specs.source import dump
from services.store import metrics as store
from services.store.rows import Asset, Build, Job
from services.studio import Scope

SHORT = 12
CONTENT = ": content"
_FACTS = {"size": "bytes", "files": "files"}
_GIT = ("commit", "branch", "dirty", "repository")


def params(scope: Scope, side: Side) -> dict[str, str]:
    """Logged ones, and what the job was given under names that it did not log."""
    access.require(scope, "experiments/runs/read")
    given = literals(side.job) if side.job is not None and side.is_own else {}
    return given | logged_params(scope, side.run_id)


def tags(scope: Scope, side: Side) -> dict[str, str]:
    """Those of the run, MLflow's own too, and of its job."""
    access.require(scope, "experiments/runs/read")
    mine = dict(side.job.tags) if side.job is not None and side.is_own else {}
    if not side.run_id:
        return mine
    return mine | {tag.key: tag.value for tag in store.tags_of(scope.session, [side.run_id]) if tag.wish != "remove"}


def code(scope: Scope, side: Side) -> dict[str, str]:
    """Command, snapshot and what git said of the folder; of a run from elsewhere what MLflow's tags say."""
    access.require(scope, "experiments/runs/read")
    if side.job is not None:
        job = side.job
        said = {"command": written(job, "command"), "snapshot": (job.snapshot_id or "")[:SHORT]}
        return _filled(said | {f"git {name}": str(job.git.get(name, "")) for name in _GIT})
    known = tags(scope, side)
    return _filled(
        {
            "source": known.get("mlflow.source.name", ""),
            "git commit": known.get("mlflow.source.git.commit", "") or known.get("mlflow.git.commit", ""),
            "git branch": known.get("mlflow.source.git.branch", "") or known.get("mlflow.git.branch", ""),
            "git dirty": known.get("mlflow.git.dirty", ""),
            "git repository": known.get("mlflow.source.git.repoURL", "") or known.get("mlflow.git.repo_url", ""),
        }
    )


def environment(scope: Scope, side: Side) -> dict[str, str]:
    """Its name, what it is made of, and the digest of the image that ran; nothing of a run from elsewhere."""
    access.require(scope, "experiments/runs/read")
    if side.job is None:
        return {}
    job = side.job
    row = scope.session.get(Asset, job.environment_id) if job.environment_id else None
    said = {"image": str(job.resolved.get("image") or ""), "digest": str(job.resolved.get("digest") or "")}
    if row is None:
        return _filled(said)
    name = anonymous_label(row) if row.is_anonymous else assets.named(row)
    return _filled({"environment": name, **texts(row.spec), "built image": said["image"], "digest": said["digest"]})


def packages(scope: Scope, side: Side) -> dict[str, str]:
    """Name and version of what was really installed; empty where nothing was built."""
    access.require(scope, "experiments/runs/read")
    job = side.job
    build = scope.session.get(Build, job.build_id) if job is not None and job.build_id else None
    return {} if build is None else versions(build.packages)


def data(scope: Scope, side: Side, *, closely: bool = False) -> dict[str, str]:
    """Of each input its version and content; `closely` also how many bytes, files and, where known, rows."""
    access.require(scope, "experiments/runs/read")
    if side.job is None:
        return {}
    settled: Mapping[str, Any] = side.job.resolved.get("assets") or {}
    found = {}
    for name, named in inputs(side.job).items():
        found[name] = named
        known = settled.get(name) or {}
        row = scope.session.get(Asset, known.get("id")) if known.get("kind") in AssetKind.__members__ else None
        if row is not None and row.workspace_id == scope.workspace_id:
            found[f"{name}{CONTENT}"] = row.hash[:SHORT]
            if closely:
                found |= {f"{name}: {key}": value for key, value in _counts(scope, row).items()}
    return _filled(found)


def host(scope: Scope, side: Side) -> dict[str, str]:
    """Where it ran and what it was allowed there; memory and processors as they were measured."""
    access.require(scope, "experiments/runs/read")
    if side.job is None:
        known = tags(scope, side)
        return _filled({"user": known.get("mlflow.user", ""), "source type": known.get("mlflow.source.type", "")})
    job = side.job
    return _filled({"engine": job.engine, "attempt": str(job.attempt or ""), **settings(job)})


def measured(scope: Scope, side: Side) -> dict[str, str]:
    """What a job's container had and used, from its samples."""
    access.require(scope, "experiments/runs/read")
    if side.job is None or not side.is_own:
        return {}
    found = {}
    for line in metrics.monitoring(scope, side.job.name):
        if len(line.value) and line.key in {"memory_mb", "cpu_percent"}:
            unit = "MB" if line.key == "memory_mb" else "% of one core"
            found[f"most {line.key.partition('_')[0]}"] = f"{line.value.max():.0f} {unit}"
    if limit := _memory_limit(scope, side.job):
        found["memory limit"] = f"{limit / 1e6:.0f} MB"
    return found


def logged_params(scope: Scope, run_id: str) -> dict[str, str]:
    access.require(scope, "experiments/runs/read")
    if not run_id:
        return {}
    rows = store.params_of(scope.session, [run_id])
    names = store.key_names(scope.session, [row.key_id for row in rows])
    return {names[row.key_id]: row.value for row in rows}


def literals(job: Job) -> dict[str, str]:
    """The inputs that are values and no data."""
    given: Mapping[str, Any] = job.spec.get("inputs") or {}
    return texts(
        {
            name: value.get("default", "") if isinstance(value, Mapping) else value
            for name, value in given.items()
            if not _is_data(value)
        }
    )


def inputs(job: Job) -> dict[str, str]:
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


def settings(job: Job) -> dict[str, str]:
    kept = {name: job.spec.get(name) for name in ("limits", "resources", "distribution")}
    return {"compute": job.compute or "local", **texts({name: value for name, value in kept.items() if value})}


def written(job: Job, key: str) -> str:
    return str(job.spec.get(key) or "")


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    def text(value: Any) -> str:
        return dump(value).strip() if isinstance(value, dict | list) else str(value)

    return {str(key): text(value) for key, value in values.items()}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Lines of `name==version`."""
    parts = (line.partition("==") for line in packages)
    return {name.strip(): version.strip() or "there" for name, _, version in parts}


def variables(one: Job, other: Job) -> tuple[dict[str, str], dict[str, str]]:
    """That they differ, never what they are: a value may be a secret."""
    before: Mapping[str, str] = one.spec.get("environment_variables") or {}
    after: Mapping[str, str] = other.spec.get("environment_variables") or {}
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return (
        {name: "a value" for name in names if name in before},
        {name: "another value" if name in before else "a value" for name in names if name in after},
    )


def _is_data(value: Any) -> bool:
    return isinstance(value, Mapping) and "path" in value


def _counts(scope: Scope, row: Asset) -> dict[str, str]:
    """Rows are known when a profile was made; nothing is computed for a comparison."""
    found = {word: str(row.facts[name]) for name, word in _FACTS.items() if name in row.facts}
    if row.kind == AssetKind.data:
        with suppress(AtelierError):  # it may be gone, or its place be unreadable
            profile = previews.profile(previews.view(scope, row)).result
            if profile is not None:
                found["rows"] = str(profile.get("total_rows") or profile.get("rows"))
    return found


def _memory_limit(scope: Scope, job: Job) -> int | None:
    with suppress(AtelierError, orjson.JSONDecodeError):
        file, _ = artifacts.opened(scope, job.name, metrics.MONITORING)
        with file:
            limit = orjson.loads(file.readline()).get("memory_limit")
            return limit if isinstance(limit, int) else None
    return None


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
