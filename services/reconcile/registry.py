"""Both registries, ours and MLflow's, kept equal: the same names, versions, labels, tags, words and stages.

What holds when both sides moved since they last agreed:

1. MLflow numbers versions and gives no number twice. A version that is made here gets its number there too; empty
   versions are made and deleted below it where MLflow lags behind (at most `MOST_EMPTY`).
2. A version whose name is no whole number, or is too far ahead, is ours only, and says so (`why`).
3. A number that MLflow has given to somebody else is theirs: the client was told so. Ours, which is younger than a
   look of the worker, moves to the next number while nothing uses it; else it stays ours only.
4. What was deleted here is deleted there. What a client deletes goes here at once; a version that is only found
   missing is archived, never deleted: MLflow may have lost its database.
5. A description, stage, tag or label that one side changed is changed on the other; what both changed is as MLflow
   has it. What has been agreed on is kept in `facts.registry`.

Deciding is `plan`, which touches nothing; every act may be repeated, because MLflow's version carries our id.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, func, select

from services import assets, lineage, models
from services.assets import Content
from services.core import failpoints
from services.core.errors import AtelierError, Invalid, NotFound, Unavailable
from services.core.states import AssetKind
from services.core.times import now
from services.engines.tracking import PROMPT, ModelVersion, Tracking
from services.events import emit
from services.models import REGISTRY
from services.reconcile import leases
from services.store.rows import Asset, AssetLabel, Fact, Job, Principal, Workspace
from services.studio import SYSTEM, Scope, Studio, mlflow_workspace

log = logging.getLogger("atelier.worker")
MARK = "atelier.asset"
OURS = "atelier."
STAGES = frozenset({"", "Staging", "Production", "Archived"})
MOST_EMPTY = 100
MOST_ROUNDS = 3
FULL_SECONDS = 60.0
LEAD_SECONDS = 90.0
LONGEST_SOURCE = 500
WAIT_SECONDS = 3.0

Words = Mapping[str, str]


@dataclass(frozen=True)
class Mine:
    """A version as the studio has it. `entry` is what was agreed on; `labels` are those that stand on it."""

    id: str
    name: str
    version: str
    words: Words = field(default_factory=dict)
    labels: frozenset[str] = frozenset()
    entry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        return f"{self.id}:{self.name}:{self.version}"

    @property
    def is_settled(self) -> bool:
        """Whether MLflow has been told, or cannot be."""
        if not self.entry:
            return False
        if self.entry.get("why"):
            return True
        if not self.entry.get("marked") or self.entry.get("agreed") != dict(self.words):
            return False
        return self.entry.get("labels") == sorted(label for label in self.labels if _is_alias(label))


@dataclass(frozen=True)
class Take:
    """Make here what a client has registered."""

    version: ModelVersion
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Give:
    """Make there what was made here."""

    mine: Mine


@dataclass(frozen=True)
class Adopt:
    """It is there already: note it. A crash came in between."""

    mine: Mine
    version: ModelVersion


@dataclass(frozen=True)
class Move:
    """Its number is somebody else's in MLflow."""

    mine: Mine


@dataclass(frozen=True)
class Stay:
    """Ours only, and why."""

    mine: Mine
    why: str


@dataclass(frozen=True)
class Lose:
    """MLflow has it no more."""

    mine: Mine


@dataclass(frozen=True)
class Forget:
    """Delete there what was deleted here."""

    version: ModelVersion


@dataclass(frozen=True)
class Agree:
    """Changes to make on either side; None takes away. `agreed` and `labels` hold once both are made."""

    mine: Mine
    here: Mapping[str, str | None]
    there: Mapping[str, str | None]
    agreed: Words
    labels: tuple[str, ...]
    is_unmarked: bool = False


@dataclass(frozen=True)
class Label:
    """A label to move to a version, or to take away (None); `here`, or else in MLflow."""

    name: str
    label: str
    version: str | None
    here: bool


Action = Take | Give | Adopt | Move | Stay | Lose | Forget | Agree | Label


def plan(mine: Sequence[Mine], theirs: Sequence[ModelVersion], aliases: Words) -> list[Action]:
    """What makes one name equal on both sides."""
    here = {each.version: each for each in mine}
    there = {each.version: each for each in theirs}
    ids = {each.id: each for each in mine}
    actions: list[Action] = []
    for version in theirs:
        actions += _of_theirs(version, here, ids, aliases, there)
    pairs: list[tuple[Mine, ModelVersion]] = []
    for each in sorted(mine, key=lambda one: (len(one.version), one.version)):
        found = there.get(each.version)
        if each.entry.get("version") == each.version and not each.entry.get("why"):
            if found is None:
                actions.append(Lose(each))
            else:
                pairs.append((each, found))
        elif found is not None and found.tags.get(MARK, "").partition(":")[0] == each.id:
            actions.append(Adopt(each, found))
        elif not each.entry or each.entry.get("is_far"):
            actions += _of_mine(each, found, theirs)
    labels = _labels(pairs, aliases)
    actions += labels[0]
    for each, version in pairs:
        actions += _agreement(each, version, tuple(sorted(k for k, v in labels[1].items() if v == each.version)))
    return actions


def _of_theirs(
    version: ModelVersion,
    here: Mapping[str, Mine],
    ids: Mapping[str, Mine],
    aliases: Words,
    there: Mapping[str, ModelVersion],
) -> Iterable[Action]:
    if PROMPT in version.tags:
        return
    marked_id, _, rest = version.tags.get(MARK, "").partition(":")
    marked = ids.get(marked_id)
    if rest == f"{version.name}:{version.version}" and marked is None:
        yield Forget(version)
    elif marked is not None and rest == f"{marked.name}:{marked.version}" and marked.version not in there:
        if marked.version != version.version and not marked.entry:
            yield Forget(version)  # an empty one below ours, which a crash has left
    elif version.version not in here:
        yield Take(version, tuple(alias for alias, number in aliases.items() if number == version.version))


def _of_mine(mine: Mine, found: ModelVersion | None, theirs: Sequence[ModelVersion]) -> Iterable[Action]:
    if not mine.version.isdecimal() or mine.version != str(int(mine.version)) or mine.version == "0":
        yield Stay(mine, f"MLflow numbers versions, and '{mine.version}' is no whole number.")
    elif found is not None:
        yield Move(mine)
    elif int(mine.version) - max((int(each.version) for each in theirs), default=0) > MOST_EMPTY + 1:
        if not mine.entry:
            yield Stay(mine, f"Version {mine.version} is too far ahead of MLflow's numbers.")
    else:
        yield Give(mine)


def _labels(pairs: Sequence[tuple[Mine, ModelVersion]], aliases: Words) -> tuple[list[Action], Words]:
    """Labels of versions that both sides have; others are ours only."""
    numbers = {mine.version for mine, _ in pairs}
    if not pairs:
        return [], {}
    name = pairs[0][0].name
    ours = {label: mine.version for mine, _ in pairs for label in mine.labels if _is_alias(label)}
    base = {label: mine.version for mine, _ in pairs for label in mine.entry.get("labels") or ()}
    known = {alias: version for alias, version in aliases.items() if version in numbers}
    here, there, agreed = merged(base, ours, known)
    actions: list[Action] = [Label(name, label, version, here=True) for label, version in here.items()]
    actions += [Label(name, label, version, here=False) for label, version in there.items()]
    return actions, agreed


def _is_alias(label: str) -> bool:
    """MLflow keeps `v3` for version 3."""
    return not (label[:1] in {"v", "V"} and label[1:].isdecimal())


def _agreement(mine: Mine, version: ModelVersion, labels: tuple[str, ...]) -> Iterable[Agree]:
    base = mine.entry.get("agreed") or {}
    here, there, agreed = merged(base, mine.words, words_of(version))
    is_unmarked = version.tags.get(MARK) != mine.mark
    if here or there or is_unmarked or dict(base) != agreed or sorted(mine.entry.get("labels") or ()) != list(labels):
        yield Agree(mine, here, there, agreed, labels, is_unmarked)


def merged(base: Words, ours: Words, theirs: Words) -> tuple[dict[str, str | None], dict[str, str | None], Words]:
    """Changes for here, changes for there, and what both have then; where both changed, MLflow's holds."""
    here: dict[str, str | None] = {}
    there: dict[str, str | None] = {}
    agreed: dict[str, str] = {}
    for key in sorted({*base, *ours, *theirs}):
        was, mine, told = base.get(key), ours.get(key), theirs.get(key)
        value = mine if told == was else told
        if value != mine:
            here[key] = value
        if value != told:
            there[key] = value
        if value is not None:
            agreed[key] = value
    return here, there, agreed


def words_of(version: ModelVersion) -> dict[str, str]:
    """What may change of a version, by key; empty words are as none."""
    return _words(version.description, version.stage, version.tags)


def _words(description: str, stage: str, tags: Words) -> dict[str, str]:
    words = {f"tags.{key}": value for key, value in tags.items() if not key.startswith(OURS)}
    return words | {key: value for key, value in (("description", description), ("stage", stage)) if value}


class Registry:
    """The worker's part: looks at what changed here, and at everything now and then."""

    def __init__(self, studio: Studio, tracking: Callable[[], Tracking | None], token: str) -> None:
        self.studio, self._tracking, self.token = studio, tracking, token
        self._seen: object = None
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        self._compared = float("-inf")

    def look(self, *, full: bool = False) -> None:
        """Cheap while nothing has changed. MLflow's silence is waited out."""
        tracking = self._tracking()
        if tracking is None:
            return
        seen, is_due = self._signature(), full or time.monotonic() - self._compared > FULL_SECONDS
        if (seen == self._seen and not is_due) or not self._leads():
            return
        try:
            self._compare(tracking, everything=is_due)
        except Unavailable as cause:
            log.info("The model registry waits: %s", cause)
            return
        self._seen = seen
        if is_due:
            self._compared = time.monotonic()

    def _compare(self, tracking: Tracking, *, everything: bool) -> None:
        with self.studio.database.session(write=False) as session:
            spaces = {
                row.id: row.name for row in session.exec(select(Workspace).where(col(Workspace.deleted_at).is_(None)))
            }
            found = _all(session)
        known = {key: frozenset(each.id for each in mine) for key, mine in found.items()}
        changed = {key for key, mine in found.items() if not all(each.is_settled for each in mine)}
        changed |= {key for key, ids in self._known.items() if ids - known.get(key, frozenset())}
        for workspace_id, workspace in spaces.items():
            names = sorted(name for where, name in changed if where == workspace_id)
            theirs: Mapping[str, tuple[list[ModelVersion], Words]] | None = None
            if everything:
                theirs = _theirs(tracking, workspace_id)
                names = sorted({*theirs, *(name for where, name in found if where == workspace_id)})
            for name in names:
                told = theirs.get(name, ([], {})) if theirs is not None else None
                if told is not None and not plan(found.get((workspace_id, name), []), *told):
                    continue
                Name(self.studio, tracking, workspace, workspace_id, name).compare(told)
        self._known = known

    def _signature(self) -> object:
        with self.studio.database.session(write=False) as session:
            counted = session.exec(
                select(func.count(col(Asset.id)), func.max(Asset.updated_at)).where(Asset.kind == AssetKind.model)
            ).one()
            labels = session.exec(
                select(AssetLabel.workspace_id, AssetLabel.name, AssetLabel.label, AssetLabel.version)
                .where(AssetLabel.kind == AssetKind.model)
                .order_by(AssetLabel.workspace_id, AssetLabel.name, AssetLabel.label)
            ).all()
        return tuple(counted), tuple(tuple(each) for each in labels)

    def _leads(self) -> bool:
        """One worker at a time: what is made in MLflow cannot be made twice."""
        at = now()
        with self.studio.database.session(write=True) as session:
            fact = session.get(Fact, "registry", with_for_update=True)
            other = fact is not None and fact.value["token"] != self.token and not leases.is_gone(fact.value["token"])
            if fact is not None and other and (at - fact.at).total_seconds() < LEAD_SECONDS:
                return False
            session.merge(Fact(name="registry", value={"token": self.token}, at=at))
        return True


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
            return _all(session, self.workspace_id, self.name).get((self.workspace_id, self.name), [])

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
            if any(row.version == version.version for row in _versions(scope, version.name)):
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
                _keep(scope, row, {"why": why})
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
            _keep(scope, row, {**mine.entry, "why": "It was deleted in MLflow."})
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
            _keep(scope, row, entry)

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
                _keep(scope, row, entry)

    def _scope(self) -> Any:
        return self.studio.scope(self.principal or SYSTEM, self.workspace, write=True)


def settle(studio: Studio, workspace_id: str, name: str) -> None:
    """Waits until MLflow has all of our numbers, so that the next one that it gives is free here too.

    Raises Unavailable when that takes long.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        with studio.database.session(write=False) as session:
            mine = _all(session, workspace_id, name).get((workspace_id, name), [])
        if all(each.entry for each in mine):
            return
        if time.monotonic() > until:
            raise Unavailable(f"Versions of '{name[:80]}' are on their way to MLflow's registry.", hint="Try again.")
        time.sleep(0.05)


def removed(scope: Scope, name: str, version: str | None = None) -> None:
    """A client has deleted a version, or all that MLflow had; `refuse_used` was asked before."""
    for row in _registered(scope, name, version):
        for label in assets.labels_of(scope, row):
            assets.remove_label(scope, AssetKind.model, name, label)
        scope.session.flush()
        models.note_version(scope, name, row.version)
        assets.remove(scope, row)


def refuse_used(scope: Scope, name: str, version: str | None = None) -> None:
    """Raises Conflict, as deleting here would, for what something uses; labels go with their version in MLflow."""
    for row in _registered(scope, name, version):
        using = [use for use in assets.uses(scope, row) if use.kind != "label"]
        if using:
            assets.remove(scope, row)


def renamed(scope: Scope, name: str, new_name: str) -> None:
    """A client has renamed a model: all of its versions here too."""
    for row in _versions(scope, name):
        entry = {key: value for key, value in row.facts.get(REGISTRY, {}).items() if key != "marked"}
        row.name, row.updated_at = new_name, now()
        _keep(scope, row, entry)
        models.note_version(scope, new_name, row.version)
    for label in scope.session.exec(
        select(AssetLabel).where(
            AssetLabel.workspace_id == scope.workspace_id,
            AssetLabel.kind == AssetKind.model,
            AssetLabel.name == name,
        )
    ).all():
        scope.session.delete(label)
        scope.session.add(AssetLabel(**{**label.model_dump(), "name": new_name}))
    emit(scope, AssetKind.model, new_name, f"Model '{name}' was renamed to '{new_name}'")


def _registered(scope: Scope, name: str, version: str | None) -> list[Asset]:
    return [
        row
        for row in _versions(scope, name)
        if row.facts.get(REGISTRY, {}).get("version") == row.version and version in {None, row.version}
    ]


def _versions(scope: Scope, name: str) -> Sequence[Asset]:
    return scope.session.exec(
        select(Asset).where(Asset.workspace_id == scope.workspace_id, Asset.kind == AssetKind.model, Asset.name == name)
    ).all()


def _all(session: Session, workspace_id: str = "", name: str = "") -> dict[tuple[str, str], list[Mine]]:
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


def _theirs(tracking: Tracking, workspace_id: str) -> dict[str, tuple[list[ModelVersion], Words]]:
    there = mlflow_workspace(workspace_id)
    try:
        aliases = tracking.aliases(there)
    except NotFound:  # nobody has used MLflow in it yet
        return {}
    found: dict[str, tuple[list[ModelVersion], Words]] = {name: ([], known) for name, known in aliases.items()}
    for version in tracking.versions(there) if aliases else ():
        if version.name in found:
            found[version.name][0].append(version)
    return found


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


def _keep(scope: Scope, row: Asset, entry: Mapping[str, Any]) -> None:
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
