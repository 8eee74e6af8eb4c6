"""MLflow in memory, held to the same suite as the real one: tests/engines/test_tracking.py."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.core.errors import NotFound, Unavailable
from services.engines.tracking import JOB_TAG, Logged, ModelVersion, RunFacts


class FakeTracking:
    """MLflow in memory, for tests; `silent` makes it not answer."""

    def __init__(self) -> None:
        self.silent = False
        self.workspaces: dict[str, dict[str, str]] = {}
        self.runs: dict[tuple[str, str], RunFacts] = {}
        self.points: dict[tuple[str, str], list[Logged]] = {}
        self.models: dict[tuple[str, str], dict[str, ModelVersion | None]] = {}
        self.model_aliases: dict[tuple[str, str], dict[str, str]] = {}

    def answers(self) -> bool:
        return not self.silent

    def ensure_workspace(self, workspace: str) -> None:
        self._answering()
        self.workspaces.setdefault(workspace, {})

    def ensure_experiment(self, workspace: str, name: str) -> str:
        self._answering()
        known = self.workspaces[workspace]
        return known.setdefault(name, str(1 + sum(len(each) for each in self.workspaces.values())))

    def ensure_run(
        self,
        workspace: str,
        experiment_id: str,
        *,
        job_id: str,
        name: str,
        user: str,
        start_time: int,
        tags: Mapping[str, str],
        is_new: bool = False,
    ) -> str:
        self._answering()
        for (where, run_id), facts in self.runs.items():
            if where == workspace and facts.tags.get(JOB_TAG) == job_id:
                return run_id
        run_id = f"{len(self.runs) + 1:032x}"
        facts = RunFacts(run_id, experiment_id, name, "RUNNING", start_time, None, user, tags={**tags, JOB_TAG: job_id})
        self.runs[workspace, run_id] = facts
        return run_id

    def end_run(self, workspace: str, run_id: str, status: str, end_time: int) -> None:
        facts = self.run(workspace, run_id)
        self.runs[workspace, run_id] = RunFacts(**{**vars(facts), "status": status, "end_time": end_time})

    def run(self, workspace: str, run_id: str) -> RunFacts:
        self._answering()
        if (workspace, run_id) not in self.runs:
            raise NotFound(f"Run '{run_id}' was not found.")
        return self.runs[workspace, run_id]

    def children(self, workspace: str, experiment_id: str, run_id: str) -> list[RunFacts]:
        self._answering()
        return [
            facts
            for (where, _), facts in self.runs.items()
            if where == workspace and facts.tags.get("mlflow.parentRunId") == run_id
        ]

    def history(self, workspace: str, run_id: str, key: str) -> list[Logged]:
        self.run(workspace, run_id)
        return list(self.points.get((run_id, key), []))

    def log(self, workspace: str, run_id: str, points: Sequence[tuple[str, Logged]]) -> None:
        facts = self.run(workspace, run_id)
        for key, point in points:
            known = self.points.setdefault((run_id, key), [])
            stored = replace(point, value=_stored(point.value))
            if repr(stored) not in map(repr, known):
                known.append(stored)
            latest = facts.metrics.get(key)
            if latest is None or _rank(stored) > _rank(latest):
                facts = replace(facts, metrics={**facts.metrics, key: stored})
        self.runs[workspace, run_id] = facts

    def delete_run(self, workspace: str, run_id: str) -> None:
        self._answering()
        self.runs.pop((workspace, run_id), None)

    def tag_run(self, workspace: str, run_id: str, key: str, value: str | None) -> None:
        self._answering()
        if value is None and (workspace, run_id) not in self.runs:
            return
        facts = self.run(workspace, run_id)
        tags = {name: text for name, text in {**facts.tags, key: value}.items() if text is not None}
        self.runs[workspace, run_id] = replace(facts, tags=tags)

    def delete_workspace(self, workspace: str) -> None:
        self._answering()
        self.workspaces.pop(workspace, None)
        for key in [key for key in self.runs if key[0] == workspace]:
            del self.runs[key]

    def aliases(self, workspace: str) -> dict[str, dict[str, str]]:
        self._answering()
        return {name: dict(self.model_aliases[where, name]) for where, name in self.models if where == workspace}

    def aliases_of(self, workspace: str, name: str) -> dict[str, str] | None:
        return self.aliases(workspace).get(name)

    def versions(self, workspace: str, name: str = "") -> list[ModelVersion]:
        self._answering()
        mine = [given for (where, known), given in self.models.items() if where == workspace and name in {"", known}]
        return [each for given in mine for each in given.values() if each is not None]

    def download_uri(self, workspace: str, name: str, version: str) -> str:
        return self._model(workspace, name, version).source

    def register(
        self, workspace: str, name: str, *, source: str, run_id: str, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        self._answering()
        given = self.models.setdefault((workspace, name), {})
        self.model_aliases.setdefault((workspace, name), {})
        number = str(len(given) + 1)
        given[number] = made = ModelVersion(name, number, source, run_id, description=description, tags=dict(tags))
        return made

    def unregister(self, workspace: str, name: str, version: str) -> None:
        self._answering()
        given = self.models.get((workspace, name), {})
        if version in given:
            given[version] = None
            aliases = self.model_aliases[workspace, name]
            for alias in [alias for alias, number in aliases.items() if number == version]:
                del aliases[alias]

    def describe(self, workspace: str, name: str, version: str, description: str) -> None:
        self._change(workspace, name, version, description=description)

    def move_stage(self, workspace: str, name: str, version: str, stage: str) -> None:
        self._change(workspace, name, version, stage=stage)

    def tag(self, workspace: str, name: str, version: str, key: str, value: str | None) -> None:
        tags = {**self._model(workspace, name, version).tags, key: value}
        self._change(workspace, name, version, tags={key: text for key, text in tags.items() if text is not None})

    def alias(self, workspace: str, name: str, alias: str, version: str | None) -> None:
        self._answering()
        aliases = self.model_aliases[workspace, name]
        if version is None:
            aliases.pop(alias, None)
        else:
            aliases[alias] = self._model(workspace, name, version).version

    def _model(self, workspace: str, name: str, version: str) -> ModelVersion:
        self._answering()
        found = self.models.get((workspace, name), {}).get(version)
        if found is None:
            raise NotFound(f"Model version '{name}:{version}' was not found.")
        return found

    def _change(self, workspace: str, name: str, version: str, **what: Any) -> None:
        self.models[workspace, name][version] = replace(self._model(workspace, name, version), **what)

    def _answering(self) -> None:
        if self.silent:
            raise Unavailable("MLflow does not answer.")


def _stored(value: float) -> float:
    """Infinities are the largest numbers, and 0 has no sign."""
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value + 0.0


def _rank(point: Logged) -> tuple[int, int, float]:
    return point.step, point.time, 0.0 if math.isnan(point.value) else point.value
