"""One name of the model registry: what was decided about its versions is done in both. The rules are in `registry`."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, select

from services import assets, lineage, models
from services.assets import Content
from services.core import failpoints
from services.core.errors import AtelierError, Invalid, NotFound, Unavailable
from services.core.states import AssetKind
from services.core.times import now
from services.engines.tracking import ModelVersion, Tracking
from services.events import emit
from services.models import REGISTRY
from services.reconcile.registry_plan import (
    MARK,
    MOST_EMPTY,
    Action,
    Adopt,
    Agree,
    Forget,
    Give,
    Label,
    Lose,
    Mine,
    Move,
    Stay,
    Take,
    Words,
    _words,
    plan,
    words_of,
)
from services.store.rows import Asset, AssetLabel, Job, Principal
from services.studio import SYSTEM, Scope, Studio, mlflow_workspace

log = logging.getLogger("atelier.worker")
STAGES = frozenset({"", "Staging", "Production", "Archived"})
MOST_ROUNDS = 3
LONGEST_SOURCE = 500


@dataclass
class Name:
    """One name, on both sides. `principal` is who changed it, where that is known: then only our side is changed."""

    studio: Studio
    tracking: Tracking
    workspace: str
    workspace_id: str
    name: str
    principal: Principal | None = None
    _keeps_labels: bool = True

    @property
    def there(self) -> str:
        return mlflow_workspace(self.workspace_id)

    def compare(self, told: tuple[list[ModelVersion], Words] | None = None) -> None:
        """Asks MLflow when it is not told. Raises Unavailable; what else fails is logged and tried again."""
        for _ in range(MOST_ROUNDS):
            actions = plan(self._ours(), *(told or self._asked()))
            is_waiting = any(isinstance(each, Label) and not each.here for each in actions)
            self._keeps_labels = self.principal is None or not is_waiting
            for action in actions:
                if self.principal is None or isinstance(action, Take | Adopt | Agree | Label):
                    self._tried(action)
            if self.principal is not None or not any(isinstance(each, Take | Give | Adopt | Move) for each in actions):
                return
            told = None  # what is there now has words and labels to agree on

    def _asked(self) -> tuple[list[ModelVersion], Words]:
        aliases = self.tracking.aliases_of(self.there, self.name)
        return (self.tracking.versions(self.there, self.name) if aliases is not None else [], aliases or {})

    def _ours(self) -> list[Mine]:
        with self.studio.database.session(write=False) as session:
            return every(session, self.workspace_id, self.name).get((self.workspace_id, self.name), [])

    def _tried(self, action: Action) -> None:
        try:
            self._do(action)
        except Unavailable:
            raise
        except AtelierError as cause:
            log.warning("Model '%s' is not equal in both registries yet: %s", self.name, cause)

    def _do(self, action: Action) -> None:
        match action:
            case Take(version, labels):
                self._take(version, labels)
            case Give(mine):
                self._give(mine)
            case Adopt(mine, version):
                self._note(mine, {"version": mine.version, "agreed": words_of(version), "labels": [], "marked": True})
            case Move(mine):
                self._move(mine)
            case Stay(mine, why):
                self._note(mine, {"why": why, "is_far": mine.version.isdecimal()})
            case Lose(mine):
                self._lose(mine)
            case Forget(version):
                self.tracking.unregister(self.there, version.name, version.version)
            case Label():
                self._label(action)
            case Agree():
                self._agree(action)

    def _take(self, version: ModelVersion, labels: Sequence[str]) -> None:
        uri = self.tracking.download_uri(self.there, version.name, version.version)
        path = uri if uri.startswith("mlflow-artifacts:/") else version.source
        with self._scope() as scope:
            if any(row.version == version.version for row in versions_of(scope, version.name)):
                return  # somebody was faster
            job = _job(scope, version.run_id)
            facts = _described(scope, path)
            type_ = models.MLFLOW if "flavors" in facts else models.CUSTOM
            words = words_of(version)
            entry = {"version": version.version, "agreed": words, "labels": sorted(labels), "run_id": version.run_id}
            content = Content(
                hashlib.sha256(f"{type_}\0{path}".encode()).hexdigest(),
                type=type_,
                path=path,
                facts={**facts, REGISTRY: entry},
                job_id=job.id if job else None,
            )
            row = assets.register(
                scope,
                AssetKind.model,
                version.name,
                version.version,
                content,
                description=version.description,
                tags=_tags(words),
                is_foreign=True,
            )
            row.stage = version.stage
            if self.principal is None:
                row.created_by = version.user or "mlflow"
                if version.created_at is not None:
                    row.created_at = datetime.fromtimestamp(version.created_at / 1000, UTC)
            models.note_version(scope, row.name, row.version)
            if job is not None:
                lineage.record(scope, ("job", job.id), (str(AssetKind.model), row.id), "registered")
            scope.session.add(row)
            for label in labels:
                _put(scope, row.name, label, row.version)

    def _give(self, mine: Mine) -> None:
        """Number after number, until MLflow's is ours; the ones below are deleted at once."""
        with self._scope() as scope:
            row = scope.session.get(Asset, mine.id)
            if row is None:
                return
            models.note_version(scope, row.name, row.version)
            if "files" not in row.facts:  # a job's output that was named: nobody has looked into it
                row.facts = {**_described(scope, row.path), **row.facts}
                scope.session.add(row)
            job = models.maker(scope, row)
            run_id = (job.run_id or "") if job is not None else ""
            path = row.path
        generic = f"azureml://models/{mine.name}/versions/{mine.version}"
        source = path if path.startswith("azureml://") and len(path) <= LONGEST_SOURCE else generic
        description, tags = mine.words.get("description", ""), _tags(mine.words)
        self.tracking.ensure_workspace(self.there)
        for _ in range(MOST_EMPTY + 2):
            made = self.tracking.register(
                self.there,
                mine.name,
                source=source,
                run_id=run_id,
                description=description,
                tags={**tags, MARK: mine.mark},
            )
            failpoints.reach("after_model_registered")
            if made.version == mine.version:
                entry = {"version": made.version, "agreed": words_of(made), "labels": [], "marked": True}
                self._note(mine, {**entry, "run_id": run_id})
                return
            if int(made.version) > int(mine.version) and self._move(mine, made.version):
                return
            self.tracking.unregister(self.there, mine.name, made.version)
            if int(made.version) > int(mine.version):
                return

    def _move(self, mine: Mine, number: str = "") -> bool:
        """To the number that MLflow has just given, or to the next; False when it has to stay what it is."""
        with self._scope() as scope:
            row = scope.session.get(Asset, mine.id)
            if row is None or row.version != mine.version:
                return False
            if any(use.kind != "label" for use in assets.uses(scope, row)):
                why = f"MLflow has given {mine.version} to another one before."
                keep(scope, row, {"why": why})
                return False
            row.version = number or models.next_version(scope, row.name)
            models.note_version(scope, row.name, row.version)
            row.facts = {key: value for key, value in row.facts.items() if key != REGISTRY}
            row.updated_at = now()
            scope.session.add(row)
            for label in mine.labels:
                _put(scope, row.name, label, row.version)
            sentence = f"Model '{row.name}:{mine.version}' became '{row.name}:{row.version}'"
            emit(scope, AssetKind.model, row.name, f"{sentence}: MLflow had given its number before")
            return True

    def _lose(self, mine: Mine) -> None:
        with self._scope() as scope:
            row = scope.session.get(Asset, mine.id)
            if row is None:
                return
            row.archived_at = row.archived_at or now()
            keep(scope, row, {**mine.entry, "why": "It was deleted in MLflow."})
            emit(scope, AssetKind.model, row.name, f"Model '{assets.named(row)}' was archived: MLflow has it no more")

    def _label(self, action: Label) -> None:
        if action.here:
            with self._scope() as scope:
                _put(scope, action.name, action.label, action.version)
        elif self.principal is None:
            self.tracking.alias(self.there, action.name, action.label, action.version)

    def _agree(self, action: Agree) -> None:
        mine, there = action.mine, action.there
        if self.principal is None:
            if action.is_unmarked:
                self.tracking.tag(self.there, mine.name, mine.version, MARK, mine.mark)
            for key, value in there.items():
                self._tell(mine, key, value)
        base = mine.entry.get("agreed") or {}
        held = {key: base.get(key) for key in there} if self.principal is not None else {}
        agreed = {key: value for key, value in {**action.agreed, **held}.items() if value is not None}
        with self._scope() as scope:
            row = scope.session.get(Asset, mine.id)
            if row is None:
                return
            for key, value in action.here.items():
                if key.startswith("tags."):
                    tags = {**row.tags, key.removeprefix("tags."): value}
                    row.tags = {tag: text for tag, text in tags.items() if text is not None}
                else:
                    setattr(row, key, value or "")
            if action.here:
                row.updated_at = now()
            entry = {**mine.entry, "agreed": agreed}
            if self._keeps_labels:
                entry["labels"] = list(action.labels)
            if self.principal is None:
                entry["marked"] = True
            keep(scope, row, entry)

    def _tell(self, mine: Mine, key: str, value: str | None) -> None:
        if key == "description":
            self.tracking.describe(self.there, mine.name, mine.version, value or "")
        elif key == "stage":
            self.tracking.move_stage(self.there, mine.name, mine.version, value or "")
        else:
            self.tracking.tag(self.there, mine.name, mine.version, key.removeprefix("tags."), value)

    def _note(self, mine: Mine, entry: Mapping[str, Any]) -> None:
        with self._scope() as scope:
            row = scope.session.get(Asset, mine.id)
            if row is not None:
                keep(scope, row, entry)

    def _scope(self) -> Any:
        return self.studio.scope(self.principal or SYSTEM, self.workspace, write=True)


def versions_of(scope: Scope, name: str) -> Sequence[Asset]:
    return scope.session.exec(
        select(Asset).where(Asset.workspace_id == scope.workspace_id, Asset.kind == AssetKind.model, Asset.name == name)
    ).all()


def every(session: Session, workspace_id: str = "", name: str = "") -> dict[tuple[str, str], list[Mine]]:
    """Every model by workspace and name, or those of one."""
    rows = select(Asset).where(Asset.kind == AssetKind.model, col(Asset.is_anonymous).is_(False))
    labels = select(AssetLabel).where(AssetLabel.kind == AssetKind.model)
    if name:
        rows = rows.where(Asset.workspace_id == workspace_id, Asset.name == name)
        labels = labels.where(AssetLabel.workspace_id == workspace_id, AssetLabel.name == name)
    standing: dict[tuple[str, str, str], set[str]] = {}
    for each in session.exec(labels):
        standing.setdefault((each.workspace_id, each.name, each.version), set()).add(each.label)
    found: dict[tuple[str, str], list[Mine]] = {}
    for row in session.exec(rows):
        on = frozenset(standing.get((row.workspace_id, row.name, row.version), set()))
        found.setdefault((row.workspace_id, row.name), []).append(_mine(row, on))
    return found


def _mine(row: Asset, labels: frozenset[str]) -> Mine:
    """A stage that MLflow does not know counts as unchanged."""
    entry = row.facts.get(REGISTRY) or {}
    stage = row.stage if row.stage in STAGES else str((entry.get("agreed") or {}).get("stage", ""))
    return Mine(row.id, row.name, row.version, _words(row.description, stage, row.tags), labels, entry)


def _job(scope: Scope, run_id: str) -> Job | None:
    if not run_id:
        return None
    return scope.session.exec(
        select(Job).where(Job.workspace_id == scope.workspace_id, Job.run_id == run_id, col(Job.deleted_at).is_(None))
    ).first()


def _described(scope: Scope, path: str) -> dict[str, Any]:
    """Facts of files that a client has left on this host; none for others."""
    try:
        return models.described(scope, path)
    except (Invalid, NotFound):
        return {}


def keep(scope: Scope, row: Asset, entry: Mapping[str, Any]) -> None:
    row.facts = {**row.facts, REGISTRY: dict(entry)}
    scope.session.add(row)


def _put(scope: Scope, name: str, label: str, version: str | None) -> None:
    """A label as MLflow has it, whatever its name."""
    key = (scope.workspace_id, AssetKind.model, name, label)
    if version is None:
        known = scope.session.get(AssetLabel, key)
        if known is not None:
            scope.session.delete(known)
        return
    scope.session.merge(AssetLabel(workspace_id=key[0], kind=key[1], name=name, label=label, version=version))


def _tags(words: Words) -> dict[str, str]:
    return {key.removeprefix("tags."): value for key, value in words.items() if key.startswith("tags.")}
