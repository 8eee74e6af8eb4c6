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

Deciding is `registry_plan`, which touches nothing; every act may be repeated, because MLflow's version carries our id.
"""

import logging
import time
from collections.abc import Callable, Mapping

from sqlmodel import col, func, select

from services import assets, models
from services.core.errors import NotFound, Unavailable
from services.core.states import AssetKind
from services.core.times import now
from services.engines.tracking import ModelVersion, Tracking
from services.events import emit
from services.models import REGISTRY
from services.reconcile import leases
from services.reconcile.registry_acts import Name, every, keep, versions_of
from services.reconcile.registry_plan import (
    Words,
    plan,
)
from services.store.rows import Asset, AssetLabel, Fact, Workspace
from services.studio import Scope, Studio, mlflow_workspace

log = logging.getLogger("atelier.worker")
FULL_SECONDS = 60.0
LEAD_SECONDS = 90.0
WAIT_SECONDS = 3.0


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
            found = every(session)
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


def settle(studio: Studio, workspace_id: str, name: str) -> None:
    """Waits until MLflow has all of our numbers, so that the next one that it gives is free here too.

    Raises Unavailable when that takes long.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        with studio.database.session(write=False) as session:
            mine = every(session, workspace_id, name).get((workspace_id, name), [])
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
    for row in versions_of(scope, name):
        entry = {key: value for key, value in row.facts.get(REGISTRY, {}).items() if key != "marked"}
        row.name, row.updated_at = new_name, now()
        keep(scope, row, entry)
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
        for row in versions_of(scope, name)
        if row.facts.get(REGISTRY, {}).get("version") == row.version and version in {None, row.version}
    ]


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
